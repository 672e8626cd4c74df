/* SPDX-License-Identifier: MIT */
/* The six states of a job. */
#include <aglet.h>

static void *child(ag_chan(int) gate) {
    ag_shield(AG_MIN); /* goes on when it is cancelled */
    ag_recv(gate, NULL);
    return NULL;
}

static void *parent(ag_chan(int) gate, ag_chan(int) may_return) {
    ag_unref(ag_async(child, gate));
    ag_recv(may_return, NULL);
    return NULL;
}

static void show(const char *when, ag_job *j) {
    printf("%-26s %s\n", when, ag_job_state_name(ag_job_state(j)));
}

static int life(void *is_cancelled) {
    ag_chan(int) gate = ag_make(int, 0), may_return = ag_make(int, 0);
    ag_defer(ag_unref, gate);
    ag_defer(ag_unref, may_return);
    ag_job *j = ag_async_lazy(parent, gate, may_return);
    ag_defer(ag_unref, j);
    show("made", j);
    ag_job_start(j);
    show("started", j);
    ag_send(may_return, 1);
    while (ag_job_state(j) == AG_JOB_ACTIVE)
        ag_sleep(AG_MS);
    show("returned, its child runs", j);
    if (is_cancelled)
        ag_job_cancel(j);
    show(is_cancelled ? "cancelled" : "not cancelled", j);
    ag_close(gate);
    int r = ag_job_await(j, NULL);
    show("its child is gone", j);
    return r;
}

int main(void) {
    int a = ag_run(life, NULL), b = ag_run(life, &a);
    return a == 0 && b < 0 ? 0 : 1;
}
/* Output:
 * made                       New
 * started                    Active
 * returned, its child runs   Completing
 * not cancelled              Completing
 * its child is gone          Completed
 * made                       New
 * started                    Active
 * returned, its child runs   Completing
 * cancelled                  Cancelling
 * its child is gone          Cancelled
 */
