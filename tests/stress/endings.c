/* SPDX-License-Identifier: MIT */
/*
 * Endings: panics, goexits and tries by the thousand, runs that end with everything under way,
 * stacks of all sizes made and given back.
 */
#include "stress.h"

static void add(atomic_int *n) {
    atomic_fetch_add(n, 1);
}

static void recovers(void) {
    ag_recover();
}

/* Every way out, chosen by number, below some frames with deferred calls. */
static void leave_somehow(int how, int depth, atomic_int *deferred) {
    ag_defer(add, deferred);
    if (depth > 0) {
        leave_somehow(how, depth - 1, deferred);
        return;
    }
    if (how == 0)
        ag_panic("by panic %d", depth);
    if (how == 1)
        ag_goexit();
    if (how == 2)
        ag_sleep(AG_US);
}

static void live(int how, int depth, atomic_int *deferred, ag_wg *wg) {
    ag_panic_info info;
    ag_defer(ag_wg_done, wg);
    if (how == 3) {
        ag_defer(recovers);
        leave_somehow(0, depth, deferred);
    }
    int status = ag_try(&info, leave_somehow, how, depth, deferred);
    ag_check_int(status, how == 0 ? AG_PANICKED : 0);
}

AG_TEST_RUN(thousands_end_in_every_way) {
    int many = scaled(20000), expected = 0;
    static atomic_int deferred;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++) {
        int depth = i % 13;
        expected += depth + 1;
        ag_go(live, i % 4, depth, &deferred, &wg);
    }
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&deferred), expected);
    eventually(ag_count() == 1);
}

static atomic_int hooks;

static void hook(const ag_panic_info *info) {
    ag_check_str(info->msg, "alone");
    atomic_fetch_add(&hooks, 1);
}

static void dies_alone(int wait) {
    if (wait)
        ag_sleep(wait * AG_US);
    ag_panic("alone");
}

AG_TEST_RUN(hundreds_die_alone) {
    int many = scaled(500);
    ag_go_opts opts = {.on_panic = hook};
    for (int i = 0; i < many; i++)
        ag_go_with(&opts, dies_alone, i % 5 * 20);
    eventually(atomic_load(&hooks) == many);
    eventually(ag_count() == 1);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

static void work_for_ever(ag_chan(int) a, ag_chan(int) b) {
    for (;;) {
        ag_send(a, 1);
        ag_recv(b, NULL);
        ag_sleep(AG_US);
    }
}

static void answer_for_ever(ag_chan(int) a, ag_chan(int) b) {
    for (;;) {
        ag_recv(a, NULL);
        ag_go(ag_yield);
        ag_send(b, 1);
    }
}

static void stay_outside(int us) {
    for (;;) {
        usleep((useconds_t)us);
        ag_yield();
    }
}

static int main_leaves_all_that(void *arg) {
    int round = *(int *)arg;
    static ag_chan(int) a, b;
    static ag_mutex m;
    memset(&m, 0, sizeof m);
    a = ag_make(int, 0);
    b = ag_make(int, 0);
    ag_mutex_lock(&m);
    for (int i = 0; i < 20; i++) {
        ag_go(work_for_ever, a, b);
        ag_go(answer_for_ever, a, b);
        ag_go(ag_mutex_lock, &m);
        ag_go(ag_sleep, i * AG_MS);
    }
    ag_go(stay_outside, 50);
    ag_go(stay_outside, 5000);
    ag_unref(ag_timer_start(AG_MS, ag_yield));
    ag_ticker_start(AG_MS);
    ag_sleep(round % 5 * AG_MS / 2);
    return round;
}

AG_TEST(runs_end_with_everything_under_way) {
    for (int i = 0; i < scaled(60); i++)
        ag_check_int(ag_run(main_leaves_all_that, &i), i);
}

/* ---- Stacks --------------------------------------------------------------------------------- */

static __attribute__((noinline)) int dig(int kib) {
    volatile char room[900];
    room[0] = (char)kib;
    int below = kib > 0 ? dig(kib - 1) : 0;
    return below + (room[0] == (char)kib);
}

static void use_stack(int kib, bool wait, ag_wg *wg) {
    ag_check_int(dig(kib), kib + 1);
    if (wait)
        ag_sleep(AG_US * 50);
    ag_check_int(dig(kib / 2), kib / 2 + 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(stacks_of_all_sizes_come_and_go) {
    const int sizes_kib[] = {0, 64, 128, 512, 1024, 4096};
    int many = scaled(6000);
    for (int round = 0; round < 3; round++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, many);
        for (int i = 0; i < many; i++) {
            int size = sizes_kib[i % 6];
            ag_go_opts opts = {.stack_size = (size_t)size << 10};
            ag_check(ag_go_with(&opts, use_stack, (size ? size : 256) / 8, i % 3 == 0, &wg) > 0);
            if (i % 500 == 0)
                ag_yield();
        }
        ag_wg_wait(&wg);
    }
}

static void park(ag_chan(int) gate, atomic_int *parked) {
    volatile char room[512];
    room[0] = 1;
    atomic_fetch_add(parked, 1);
    ag_recv(gate, NULL);
    ag_check(room[0] == 1);
    atomic_fetch_sub(parked, 1);
}

AG_TEST_RUN(a_hundred_thousand_wait_at_the_same_time) {
    int many = live_at_most(scaled(100000));
    ag_chan(int) gate = ag_make(int, 0);
    static atomic_int parked;
    for (int i = 0; i < many; i++)
        ag_check(ag_go(park, gate, &parked) > 0);
    eventually(atomic_load(&parked) == many);
    ag_check_int(ag_count(), many + 1);
    ag_close(gate);
    eventually(atomic_load(&parked) == 0);
    eventually(ag_count() == 1);
    ag_unref(gate);
}
