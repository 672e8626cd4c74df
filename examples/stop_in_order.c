/* SPDX-License-Identifier: MIT */
/* First stops, second forces: SIGINT or SIGTERM ends the context of all the workers, which finish
 * what they have begun; should that hang, a second one ends the process at once. In a container,
 * as process 1, it works just the same. */
#include <aglet.h>
#include <unistd.h>

static void finish(int number) {
    ag_shield(10 * AG_SEC); /* the stop does not count here */
    ag_sleep(number * 5 * AG_MS);
    printf("worker %d has finished\n", number);
}

static void worker(int number) {
    ag_defer(finish, number);
    while (ag_sleep(AG_MS) == 0) /* work, until the context ends */
        continue;
}

static int app(void *arg) {
    (void)arg;
    static ag_wg wg;
    ag_ctx *stop = ag_stop_ctx(NULL);
    if (!stop)
        return 1;
    ag_defer(ag_unref, stop);
    {
        ag_ctx_enter(stop);
        for (int i = 1; i <= 3; i++)
            ag_wg_go(&wg, worker, i);
    }
    ag_sleep(10 * AG_MS);
    kill(getpid(), SIGTERM); /* as the system would */
    ag_recv(ag_ctx_done(stop), NULL);
    printf("signal %d: finishing\n", ag_ctx_cause(stop));
    ag_wg_wait(&wg);
    printf("all done\n");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * signal 15: finishing
 * worker 1 has finished
 * worker 2 has finished
 * worker 3 has finished
 * all done
 */
