/* SPDX-License-Identifier: MIT */
/* The prime sieve: a chain of goroutines, each of which lets pass what its prime does not divide.
 * A new one is put at the end for every prime that comes out. */
#include <aglet.h>

static void generate(ag_chan(int) out) {
    for (int i = 2;; i++)
        ag_send(out, i);
}

static void filter(ag_chan(int) in, ag_chan(int) out, int prime) {
    for (int v; ag_recv(in, &v);)
        if (v % prime != 0)
            ag_send(out, v);
}

static int app(void *arg) {
    (void)arg;
    /* The chain never ends, so its channels live until the program does, as in Go. */
    ag_chan(int) chain = ag_make(int, 0);
    ag_go(generate, chain);
    for (int i = 0; i < 10; i++) {
        int prime;
        ag_recv(chain, &prime);
        printf("%d\n", prime);
        ag_chan(int) longer = ag_make(int, 0);
        ag_go(filter, chain, longer, prime);
        chain = longer;
    }
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 2
 * 3
 * 5
 * 7
 * 11
 * 13
 * 17
 * 19
 * 23
 * 29
 */
