/* SPDX-License-Identifier: MIT */
/* A semaphore without its lock, from the library's source and instead of the library's. */
// bug: the runtime's own: a semaphore without its lock
// self: data race
// clean: thread
// procs: 2
#define _GNU_SOURCE
#define AG_BUILDING 1
#include "sync/sync.h"
#include <aglet.h>

#define ag__bias_lock(m, lock) ((void)(m), (void)(lock), false)
#define ag__bias_unlock(m, lock, cheap) ((void)(m), (void)(lock), (void)(cheap))
#include "sync/sem.c"

static ag_sem shared = AG_SEM_INIT(1);
static int here;

/* Of nothing, so that the count stays right; so often that the two meet. */
static void take_and_give(ag_wg *wg) {
    __atomic_fetch_add(&here, 1, __ATOMIC_RELAXED); /* orders nothing */
    while (__atomic_load_n(&here, __ATOMIC_RELAXED) < 2)
        continue;
    for (int i = 0; i < 100000; i++)
        if (ag_sem_try_acquire(&shared, 0))
            ag_sem_release(&shared, 0);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(take_and_give, &wg);
    ag_go(take_and_give, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
