/* SPDX-License-Identifier: MIT */
/* Spans are exported in batches: when enough have come, when the oldest has waited long enough, and
 * what is left when the source ends. One goroutine owns the batch; a select is its clock. */
#include <aglet.h>

enum { BATCH = 4 };

static void export_batch(const int *batch, int n, const char *why) {
    printf("spans %d to %d: %s\n", batch[0], batch[n - 1], why);
}

static void collect(ag_chan(int) spans, ag_chan(char) exported) {
    int batch[BATCH], n = 0, span = 0;
    ag_time due = 0;
    for (bool open = true; open;) {
        const char *why = "waited long enough";
        ag_time wait = n > 0 ? due - ag_now() : AG_MIN;
        if (ag_select(AG_RECV_OK(spans, &span, &open), AG_AFTER(wait)) == 0) {
            why = open ? NULL : "the end";
            due = n == 0 ? ag_now() + 20 * AG_MS : due;
            if (open)
                batch[n++] = span;
            if (n == BATCH)
                why = "the batch is full";
        }
        if (n > 0 && why) {
            export_batch(batch, n, why);
            n = 0;
            ag_send(exported, 1);
        }
    }
    ag_close(exported);
}

static int app(void *arg) {
    (void)arg;
    static const int bursts[] = {4, 2, 1};
    ag_chan(int) spans = ag_make(int, 8);
    ag_defer(ag_unref, spans);
    ag_chan(char) exported = ag_make(char, 0);
    ag_defer(ag_unref, exported);
    ag_go(collect, spans, exported);
    for (int burst = 0, span = 0; burst < 3; burst++) {
        for (int i = 0; i < bursts[burst]; i++)
            ag_send(spans, span++);
        if (burst == 2)
            ag_close(spans);
        ag_recv(exported, NULL);
    }
    return ag_recv(exported, NULL);
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * spans 0 to 3: the batch is full
 * spans 4 to 5: waited long enough
 * spans 6 to 6: the end
 */
