/* SPDX-License-Identifier: MIT */
/* A semaphore that lets two in is no lock. */
// bug: writes under a semaphore of two
// thread: data race
// procs: 1,2,8
#include "../apart.h"

int shared; /* not static: a variable that nobody reads would be gone */
static ag_sem sem = AG_SEM_INIT(2);

static int work(int n) {
    ag_sem_acquire(&sem, 1);
    apart_wait(n);
    shared++;
    apart_pass();
    apart_wait(2);
    ag_sem_release(&sem, 1);
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
