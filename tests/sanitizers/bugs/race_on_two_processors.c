/* SPDX-License-Identifier: MIT */
/* Two goroutines that run at the same time write the same variable. One writes a little later: of
 * two writes in the same instant the sanitizer may see neither's trace. */
// bug: two goroutines write, on two processors
// thread: data race
// procs: 2,8
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */
static int here, written;

static void write_it(int v, ag_wg *wg) {
    __atomic_fetch_add(&here, 1, __ATOMIC_RELAXED); /* orders nothing */
    while (__atomic_load_n(&here, __ATOMIC_RELAXED) < 2)
        continue;
    while (v == 2 && !__atomic_load_n(&written, __ATOMIC_RELAXED))
        continue;
    shared = v;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&written, 1, __ATOMIC_RELAXED);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(write_it, 1, &wg);
    ag_go(write_it, 2, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
