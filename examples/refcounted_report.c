/* SPDX-License-Identifier: MIT */
/* A resource that several goroutines use and the last one reports: each drops its reference in a
 * deferred call; the last drop starts the report, and only after that the resource is freed. */
#include <aglet.h>
#include <stdatomic.h>
#include <stdlib.h>

struct span {
    atomic_int refs;
    atomic_int events;
    ag_chan(int) freed;
};

static void report_and_free(struct span *s) {
    ag_sleep(AG_MS); /* a slow collector, and nobody waits for it */
    printf("reported %d events\n", atomic_load(&s->events));
    ag_chan(int) freed = s->freed;
    free(s);
    ag_send(freed, 1);
}

static void release(struct span *s) {
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        ag_go(report_and_free, s);
}

static void work(struct span *s, int events) {
    ag_defer(release, s);
    for (int i = 0; i < events; i++)
        atomic_fetch_add(&s->events, 1);
    if (events == 3)
        ag_goexit(); /* released all the same */
}

static int app(void *arg) {
    (void)arg;
    struct span *s = calloc(1, sizeof *s);
    if (!s)
        return 1;
    ag_chan(int) freed = s->freed = ag_make(int, 0);
    atomic_store(&s->refs, 1 + 5);
    for (int i = 1; i <= 5; i++)
        ag_go(work, s, i);
    release(s);
    ag_recv(freed, NULL);
    printf("freed after the report\n");
    ag_unref(freed);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * reported 15 events
 * freed after the report
 */
