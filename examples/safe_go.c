/* SPDX-License-Identifier: MIT */
/* Goroutines whose panic ends only themselves, and a monitor that hears of each: the hook given at
 * the start only notes the panic; a goroutine of its own reports it and takes its time. */
#include <aglet.h>

struct report {
    char text[64];
};

static ag_chan(struct report) reports;

/* A hook must not wait: a full channel loses the report. */
static void note(const ag_panic_info *p) {
    struct report r;
    snprintf(r.text, sizeof r.text, "%.*s", (int)sizeof r.text - 1, p->msg);
    ag_try_send(reports, r);
}

static void monitor(int expected) {
    struct report r;
    for (int i = 0; i < expected && ag_recv(reports, &r); i++)
        printf("monitor: %s\n", r.text);
}

static void work(int id, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    if (id % 2)
        ag_panic("worker %d has failed", id);
    printf("worker %d is done\n", id);
}

static int app(void *arg) {
    (void)arg;
    reports = ag_make(struct report, 16);
    ag_defer(ag_unref, reports);
    const ag_go_opts safe = {.on_panic = note};
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, monitor, 2);
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go_with(&safe, work, i, &wg);
    ag_wg_wait(&wg);
    printf("still here\n");
    return 0;
}

int main(void) {
    if (!freopen("/dev/null", "w", stderr)) /* where the panics are printed as well */
        return 1;
    return ag_run(app, NULL);
}
/* Unordered output:
 * worker 0 is done
 * worker 2 is done
 * monitor: worker 1 has failed
 * monitor: worker 3 has failed
 * still here
 */
