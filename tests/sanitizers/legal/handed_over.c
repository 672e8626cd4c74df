/* SPDX-License-Identifier: MIT */
/* What is pointed to belongs to whom the pointer was sent: round rings of channels of several
 * capacities, through selects, and through workers and back. No lock, and plain variables. */
// clean: thread self address undefined leak valgrind
// procs: 1,2,8
#include <aglet.h>

#include <stdlib.h>

struct parcel {
    int hops, sum;
};
typedef ag_chan(struct parcel *) parcels;

static int pass_on(parcels from, parcels to, int by) {
    struct parcel *p;
    while (ag_recv(from, &p)) {
        p->hops++;
        p->sum += by;
        if (p->hops % 2)
            ag_send(to, p);
        else
            ag_select(AG_SEND(to, p), AG_AFTER(AG_MIN));
    }
    ag_close(to);
    return 0;
}

static void ring(int stations, int cap, int count) {
    parcels all[9];
    ag_scope s;
    for (int i = 0; i <= stations; i++)
        all[i] = ag_make(struct parcel *, cap);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    for (int i = 0; i < stations; i++)
        ag_scope_go(&s, pass_on, all[i], all[i + 1], i);
    for (int i = 0; i < count; i++) {
        struct parcel *p = calloc(1, sizeof *p);
        ag_send(all[0], p);
        ag_recv(all[stations], &p);
        if (p->hops != stations || p->sum != stations * (stations - 1) / 2)
            abort();
        free(p);
    }
    ag_close(all[0]);
    ag_scope_end(&s);
    for (int i = 0; i <= stations; i++)
        ag_unref(all[i]);
}

static void sort_out(struct parcel **shelf, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    (*shelf)->sum++;
}

static int app(void *arg) {
    (void)arg;
    ring(8, 0, 50);
    ring(8, 1, 50);
    ring(3, 4, 50);
    struct parcel one = {0, 0}, *shelf = &one;
    for (int i = 0; i < 20; i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 1);
        ag_go(sort_out, &shelf, &wg);
        ag_wg_wait(&wg);
        one.sum++;
    }
    return one.sum != 40;
}

int main(void) {
    return ag_run(app, NULL);
}
