/* SPDX-License-Identifier: MIT */
/* Who does not wait is not ordered: the default case is taken, and the variable read. */
// bug: a read after a select that did not wait
// thread: data race
// procs: 1
#include <aglet.h>

static int shared;

static int work(ag_chan(int) told) {
    ag_select(AG_RECV(told, NULL), AG_DEFAULT);
    volatile int v = shared;
    (void)v;
    return 0;
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) told = ag_make(int, 0);
    ag_defer(ag_unref, told);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work, told);
    ag_yield();
    shared = 1;
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
