/* SPDX-License-Identifier: MIT */
/* A job is cancelled where it sleeps; its clean-up runs, and may take its time, before the join
 * returns. Kotlin's example of cancelAndJoin and finally. */
#include <aglet.h>

static void clean_up(void) {
    ag_shield(AG_SEC);
    ag_sleep(AG_MS);
    printf("Cleanup action\n");
}

static void *sleeper(ag_chan(int) rounds) {
    ag_defer(clean_up);
    for (int i = 0; i < 1000; i++) {
        printf("I'm sleeping %d ...\n", i);
        ag_send(rounds, i);
        if (ag_sleep(i < 2 ? AG_MS : AG_MIN) != 0)
            break;
    }
    return NULL;
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) rounds = ag_make(int, 0);
    ag_defer(ag_unref, rounds);
    ag_job *job = ag_async(sleeper, rounds);
    ag_defer(ag_unref, job);
    for (int i = 0; i < 3; i++)
        ag_recv(rounds, NULL);
    ag_job_cancel_and_join(job);
    printf("it is %s\n", ag_job_state_name(ag_job_state(job)));
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * I'm sleeping 0 ...
 * I'm sleeping 1 ...
 * I'm sleeping 2 ...
 * Cleanup action
 * it is Cancelled
 */
