/* SPDX-License-Identifier: MIT */
/* Who began the scope writes what a child writes, before the scope has ended. */
// bug: a write beside a scope, before it has ended
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static int child(int v) {
    shared = v;
    return 0;
}

static int app(void *arg) {
    ag_scope s;
    (void)arg;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child, 1);
    ag_yield();
    shared = 2;
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
