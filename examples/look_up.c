/* SPDX-License-Identifier: MIT */
/* Names to addresses: the goroutine that asks waits, its thread does not, and a context bounds it
 * although nothing stops the system's resolver. */
#include <aglet.h>
#include <string.h>

static void show(const char *host) {
    ag_host_addr addrs[8];
    int n = ag_lookup_host(host, addrs, 8);
    if (n < 0)
        printf("%s: %s\n", host, strerror(-n));
    for (int i = 0; i < n; i++)
        printf("%s: %s\n", host, addrs[i].text);
}

static int app(void *arg) {
    (void)arg;
    ag_host_addr addr;
    ag_within(30 * AG_SEC);
    show("127.0.0.1"); /* a number is its own answer */
    show("2001:db8:0:0::7");
    show("no-such-host.invalid");
    if (ag_lookup_host("localhost", &addr, 1) == 1)
        printf("localhost is known\n");
    ag_ctx *gone = ag_ctx_with_cancel(NULL);
    ag_defer(ag_unref, gone);
    ag_ctx_cancel(gone);
    ag_ctx_enter(gone);
    show("example.com"); /* nobody is asked, nobody waits */
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 127.0.0.1: 127.0.0.1
 * 2001:db8:0:0::7: 2001:db8::7
 * no-such-host.invalid: No such file or directory
 * localhost is known
 * example.com: Operation canceled
 */
