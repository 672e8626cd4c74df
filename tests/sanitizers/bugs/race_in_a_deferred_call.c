/* SPDX-License-Identifier: MIT */
/* The last deferred call is the first to run: the mutex is given up before the count is written. */
// bug: a deferred call that runs after the deferred unlock
// thread: data race
// procs: 1,2,8
#include "../apart.h"

static ag_mutex m;

static void count(int *n) {
    *n += 1;
    apart_pass();
}

static int work(int turn, int *n) {
    apart_wait(turn);
    ag_mutex_lock(&m);
    ag_defer(count, n);
    ag_defer(ag_mutex_unlock, &m);
    return 0;
}

static int app(void *arg) {
    (void)arg;
    int n = 0;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work, 0, &n);
    ag_scope_go(&s, work, 1, &n);
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
