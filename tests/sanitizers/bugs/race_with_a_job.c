/* SPDX-License-Identifier: MIT */
/* That a job has ended, its state tells; only awaiting it orders. */
// bug: a result read before the job is awaited
// thread: data race
// procs: 1
#include <aglet.h>

static int result;

static void *work(void) {
    result = 1;
    return &result;
}

static int app(void *arg) {
    (void)arg;
    ag_job *j = ag_async(work);
    ag_yield();
    volatile int early = result;
    (void)early;
    ag_job_await(j, NULL);
    ag_unref(j);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
