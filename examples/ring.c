/* SPDX-License-Identifier: MIT */
/* A ring of a thousand goroutines hands a number round and round; each adds one. Waiting
 * goroutines cost memory, not threads. */
#include <aglet.h>

enum { GOROUTINES = 1000, ROUNDS = 10 };

static void pass_on(ag_chan(int) from, ag_chan(int) to) {
    ag_defer(ag_unref, from);
    ag_defer(ag_unref, to);
    ag_defer(ag_close, to);
    for (int v; ag_recv(from, &v);)
        ag_send(to, v + 1);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) first = ag_make(int, 0), last = ag_ref(first);
    for (int i = 0; i < GOROUTINES; i++) {
        ag_chan(int) next = ag_make(int, 0);
        ag_go(pass_on, last, ag_ref(next));
        last = next;
    }
    int v = 0;
    for (int round = 0; round < ROUNDS; round++) {
        ag_send(first, v);
        ag_recv(last, &v);
    }
    printf("%d goroutines, %d rounds: %d\n", (int)ag_count() - 1, ROUNDS, v);
    ag_close(first);
    while (ag_recv(last, &v)) {
    }
    ag_unref(first);
    ag_unref(last);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 1000 goroutines, 10 rounds: 10000
 */
