/* SPDX-License-Identifier: MIT */
/* A graceful stop in phases, on SIGTERM: take no new work, tell the workers, wait for what is under
 * way - but not for ever -, release resources, return from main so that its deferred calls run. */
#include <aglet.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int finished;

static void worker(ag_chan(int) jobs, ag_chan(char) left) {
    while (ag_recv(jobs, NULL)) {
        ag_sleep(AG_MS);
        atomic_fetch_add(&finished, 1);
    }
    ag_send(left, 1);
}

static void release(const char *what) {
    printf("5 %s released\n", what);
}

static int app(void *arg) {
    (void)arg;
    ag_ctx *stop = ag_notify_ctx(NULL, SIGTERM, SIGINT);
    ag_defer(ag_unref, stop);
    ag_defer(release, "database");
    ag_chan(int) jobs = ag_make(int, 4);
    ag_defer(ag_unref, jobs);
    ag_chan(char) left = ag_make(char, 2);
    ag_defer(ag_unref, left);
    for (int i = 0; i < 2; i++)
        ag_go(worker, jobs, left);

    int accepted = 0;
    while (ag_select_ordered(AG_DONE(stop), AG_SEND(jobs, accepted)) == 1)
        if (++accepted == 20)
            kill(getpid(), SIGTERM); /* somebody else's, as a rule */
    printf("1 signal %s\n", ag_ctx_cause(stop) == SIGTERM ? "TERM" : "INT");
    printf("2 no new work after %s jobs\n", accepted >= 20 ? "20 or more" : "few");
    ag_close(jobs);
    printf("3 workers told\n");
    ag_within(20 * AG_SEC); /* and no longer */
    int gone = 0;
    while (gone < 2 && ag_recv(left, NULL))
        gone++;
    printf("4 %d workers left, %s\n", gone, finished == accepted ? "nothing lost" : "jobs lost");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 1 signal TERM
 * 2 no new work after 20 or more jobs
 * 3 workers told
 * 4 2 workers left, nothing lost
 * 5 database released
 */
