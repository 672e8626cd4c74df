/* SPDX-License-Identifier: MIT */
/* A pipeline: each stage is a goroutine that reads one channel and writes the next; closing the
 * first channel ends all of them, one after the other. Each stage has references of its own. */
#include <aglet.h>

static void numbers(ag_chan(int) out, int n) {
    ag_defer(ag_unref, out);
    ag_defer(ag_close, out);
    for (int i = 1; i <= n; i++)
        ag_send(out, i);
}

static void square(ag_chan(int) in, ag_chan(int) out) {
    ag_defer(ag_unref, in);
    ag_defer(ag_unref, out);
    ag_defer(ag_close, out);
    for (int v; ag_recv(in, &v);)
        ag_send(out, v * v);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) plain = ag_make(int, 0);
    ag_defer(ag_unref, plain);
    ag_chan(int) squared = ag_make(int, 0);
    ag_defer(ag_unref, squared);
    ag_go(numbers, ag_ref(plain), 5);
    ag_go(square, ag_ref(plain), ag_ref(squared));
    for (int v; ag_recv(squared, &v);)
        printf("%d\n", v);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 1
 * 4
 * 9
 * 16
 * 25
 */
