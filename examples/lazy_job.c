/* SPDX-License-Identifier: MIT */
/* A job that is made now and runs when it is started, or when somebody awaits it; the data of the
 * request that was current when it was made are with it. Kotlin: start = CoroutineStart.LAZY. */
#include <aglet.h>

static void *work(const char *what) {
    printf("%s runs for request %s\n", what, ag_local(&ag_request_id));
    return NULL;
}

static int app(void *arg) {
    (void)arg;
    ag_job *report, *mail, *backup;
    {
        ag_with(&ag_request_id, "r-17");
        report = ag_async_lazy(work, "the report");
        mail = ag_async_lazy(work, "the mail");
        backup = ag_async_lazy(work, "the backup");
    }
    ag_defer(ag_unref, report);
    ag_defer(ag_unref, mail);
    ag_defer(ag_unref, backup); /* nobody starts it: it never runs */
    printf("made: %s\n", ag_job_state_name(ag_job_state(report)));
    ag_job_start(report);
    ag_job_await(report, NULL);
    ag_job_await(mail, NULL); /* starts it, too */
    printf("awaited: %s\n", ag_job_state_name(ag_job_state(mail)));
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * made: New
 * the report runs for request r-17
 * the mail runs for request r-17
 * awaited: Completed
 */
