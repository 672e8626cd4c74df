/* SPDX-License-Identifier: MIT */
/* A graceful stop: SIGINT and SIGTERM arrive as values; then no new work is taken, the workers
 * finish what they have, and main returns. Start it and press Ctrl-C. */
#include <aglet.h>

static void worker(int number, ag_chan(int) jobs) {
    for (int job; ag_recv(jobs, &job);) {
        printf("worker %d: job %d begins\n", number, job);
        ag_sleep(500 * AG_MS);
        printf("worker %d: job %d is done\n", number, job);
    }
}

static int app(void *arg) {
    (void)arg;
    static ag_wg wg;
    ag_chan(int) signals = ag_make(int, 1);
    ag_defer(ag_unref, signals);
    ag_notify(signals, SIGINT, SIGTERM);
    ag_defer(ag_notify_stop, signals);

    ag_chan(int) jobs = ag_make(int, 0);
    ag_defer(ag_unref, jobs);
    for (int i = 1; i <= 3; i++)
        ag_wg_go(&wg, worker, i, jobs);
    int sig = 0;
    for (int job = 1; sig == 0; job++)
        ag_select(AG_RECV(signals, &sig), AG_SEND(jobs, job));

    printf("signal %d: finishing\n", sig);
    ag_close(jobs);
    ag_wg_wait(&wg);
    printf("all done\n");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Not run: it ends by a signal. */
