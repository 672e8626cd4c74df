/* SPDX-License-Identifier: MIT */
/*
 * The gate: turns, closing, who is the last.
 */
#include "ag_test.h"
#include "io/io.h"
#include <aglet.h>
#include <errno.h>
#include <pthread.h>

static _Atomic int releases;

static void leave_locked(ag__gate *x, int mode) {
    if (ag__gate_unlock(x, mode))
        releases++;
}

AG_TEST(the_last_one_out_of_a_closed_gate_releases) {
    ag__gate x = {0};
    ag_check_int(ag__gate_lock(&x, AG__READ), 0);
    ag_check_int(ag__gate_lock(&x, AG__WRITE), 0);
    ag_check_int(ag__gate_try_lock(&x, AG__READ), -EBUSY);
    ag_check_int(ag__gate_enter(&x), 0);
    ag_check_int(ag__gate_close(&x), 0);
    ag_check_int(ag__gate_close(&x), -ECANCELED);
    ag_check_int(ag__gate_lock(&x, AG__READ), -ECANCELED);
    ag_check_int(ag__gate_try_lock(&x, AG__READ), -ECANCELED);
    ag_check_int(ag__gate_enter(&x), -ECANCELED);
    ag_check(!ag__gate_leave(&x));
    ag_check(!ag__gate_unlock(&x, AG__WRITE));
    ag_check(!ag__gate_leave(&x));
    ag_check(ag__gate_unlock(&x, AG__READ));
}

AG_TEST(an_open_gate_is_never_released) {
    ag__gate x = {0};
    for (int i = 0; i < 3; i++) {
        ag_check_int(ag__gate_lock(&x, i & 1), 0);
        ag_check(!ag__gate_unlock(&x, i & 1));
        ag_check_int(ag__gate_enter(&x), 0);
        ag_check(!ag__gate_leave(&x));
    }
    ag_check_int(ag__gate_close(&x), 0);
    ag_check(ag__gate_leave(&x));
}

enum { MANY = 8, ROUNDS = 2000 };

struct shared {
    ag__gate gate;
    _Atomic int inside[2];
    _Atomic int done;
};

static void take_turns(struct shared *s, int mode) {
    for (int i = 0; i < ROUNDS / ag_test_slow(); i++) {
        ag_check_int(ag__gate_lock(&s->gate, mode), 0);
        ag_check_int(atomic_fetch_add_explicit(&s->inside[mode], 1, AG__RLX), 0);
        if (i % 16 == 0)
            ag_yield();
        ag_check_int(atomic_fetch_sub_explicit(&s->inside[mode], 1, AG__RLX), 1);
        leave_locked(&s->gate, mode);
    }
    s->done++;
}

static void *take_turns_on_thread(void *arg) {
    take_turns(arg, AG__READ);
    return NULL;
}

AG_TEST_RUN(one_reader_and_one_writer_are_inside_at_a_time) {
    static struct shared s;
    pthread_t thread;
    for (int i = 0; i < MANY; i++)
        ag_go(take_turns, &s, i & 1);
    pthread_create(&thread, NULL, take_turns_on_thread, &s);
    while (s.done < MANY + 1)
        ag_sleep(AG_MS);
    pthread_join(thread, NULL);
    ag_check_int(releases, 0);
    ag_check_int(s.gate.word, 0);
}

static void until_closed(struct shared *s, int mode) {
    int r;
    while ((r = ag__gate_lock(&s->gate, mode)) == 0) {
        if (mode == AG__READ)
            ag_yield();
        leave_locked(&s->gate, mode);
        ag__leave(ag__enter()); /* as every user of a gate does */
    }
    ag_check_int(r, -ECANCELED);
    s->done++;
}

AG_TEST_RUN(a_close_ends_all_turns_and_is_released_once) {
    for (int round = 0; round < 80 / ag_test_slow(); round++) {
        struct shared s = {.done = 0};
        releases = 0;
        for (int i = 0; i < MANY; i++)
            ag_go(until_closed, &s, i & 1);
        if (round & 1)
            ag_yield();
        if (round & 2)
            ag_sleep(1000);
        ag_check_int(ag__gate_close(&s.gate), 0);
        if (ag__gate_leave(&s.gate))
            releases++;
        while (s.done < MANY)
            ag_yield();
        ag_check_int(releases, 1);
    }
}
