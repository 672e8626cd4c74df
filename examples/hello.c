/* SPDX-License-Identifier: MIT */
/*
 * Two channels and a goroutine between them that squares what comes through.
 */
#include <aglet.h>

static void square(ag_chan(int) in, ag_chan(int) out) {
    for (int v; ag_recv(in, &v);)
        ag_send(out, v * v);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) in = ag_make(int, 0), out = ag_make(int, 0);
    ag_go(square, in, out);
    ag_send(in, 7);
    int v;
    ag_recv(out, &v);
    printf("%d\n", v);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}

/* Output: 49 */
