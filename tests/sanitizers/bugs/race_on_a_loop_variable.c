/* SPDX-License-Identifier: MIT */
/* Each goroutine gets the address of the one loop variable instead of its value. */
// bug: the address of a loop variable
// thread: data race
// procs: 1,2,8
#include "../apart.h"

static int work(const int *i) {
    apart_wait(1);
    return *i < 0;
}

static int app(void *arg) {
    (void)arg;
    int i;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    for (i = 0; i < 3; i++)
        ag_scope_go(&s, work, &i);
    apart_pass();
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
