/* SPDX-License-Identifier: MIT */
/* Whether it was done is asked of a plain variable, so as not to ask the once. */
// bug: a flag read beside the once
// thread: data race
// procs: 1,2,8
#include "../apart.h"

static int ready;
static ag_once once;

static void prepare(void) {
    ready = 1;
}

static int work(int n) {
    apart_wait(n);
    if (!ready)
        ag_once_do(&once, prepare);
    apart_pass();
    return 0;
}

static int app(void *arg) {
    (void)arg;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work, 0);
    ag_scope_go(&s, work, 1);
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
