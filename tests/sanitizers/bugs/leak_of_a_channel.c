/* SPDX-License-Identifier: MIT */
/* A channel whose last reference is not dropped. */
// bug: a channel without its last `ag_unref`
// leak: leaked in 1 allocation
// procs: 1,2,8
#include <aglet.h>

static int use(void) {
    ag_chan(int) volatile c = ag_make(int, 1);
    ag_send(c, 1);
    c = NULL;
    return 0;
}

static int app(void *arg) {
    (void)arg;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, use);
    ag_scope_end(&s);
    while (ag_count() > 1)
        ag_yield();
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
