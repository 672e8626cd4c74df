/* SPDX-License-Identifier: MIT */
/* Waiting for a number of goroutines. ag_wg_go counts, starts, and is done however the function
 * ends; by hand, count before the go statement and defer the done. */
#include <aglet.h>

static void work(int id) {
    printf("goroutine %d done\n", id);
}

static void work_by_hand(int id, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    if (id == 4)
        return; /* done, too */
    work(id);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 3; i++)
        ag_wg_go(&wg, work, i);
    ag_wg_wait(&wg);
    printf("the first three\n");
    for (int i = 3; i < 6; i++) {
        ag_wg_add(&wg, 1); /* here, not in the goroutine: the wait might come first */
        ag_go(work_by_hand, i, &wg);
    }
    ag_wg_wait(&wg); /* a group may be used again */
    printf("all\n");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Unordered output:
 * goroutine 0 done
 * goroutine 1 done
 * goroutine 2 done
 * the first three
 * goroutine 3 done
 * goroutine 5 done
 * all
 */
