/* SPDX-License-Identifier: MIT */
/*
 * Processors taken away in front of every kind of runtime call: goroutines stay outside, asleep
 * in the kernel or burning CPU, for about the time after which their processor is handed on, and
 * then call. Whether it was taken is the point of the race; the sums hold either way.
 */
#include "stress.h"

#include <poll.h>

struct shared {
    ag_chan(int) c, buffered;
    ag_mutex mutex;
    long guarded;
    ag_wg wg;
    atomic_llong balance;
    atomic_int timers, once_runs;
    int pipe[2];
};

static void open_shared(struct shared *s) {
    memset(s, 0, sizeof *s);
    s->c = ag_make(int, 0);
    s->buffered = ag_make(int, 16);
    ag_check_int(pipe2(s->pipe, O_NONBLOCK | O_CLOEXEC), 0);
}

static void close_shared(struct shared *s, long guarded) {
    for (int v; ag_try_recv(s->buffered, &v) == 1;)
        atomic_fetch_sub(&s->balance, v);
    eventually(atomic_load(&s->balance) == 0); /* the last timers are still to come */
    ag_check_int(s->guarded, guarded);
    eventually(ag_count() == 1);
    ag_fd_close(s->pipe[0]);
    ag_fd_close(s->pipe[1]);
    ag_unref(s->c);
    ag_unref(s->buffered);
}

/* Stays outside of the runtime for a while, in one of several ways. */
static void stay_away(struct dice *d) {
    switch (roll(d, 6)) {
    case 0:
        usleep(roll(d, 400));
        break;
    case 1:
        burn_us((int)roll(d, 200));
        break;
    case 2:
        poll(NULL, 0, 1);
        break;
    case 3:
        ag_blocking(usleep, roll(d, 300));
        break;
    case 4:
        if (roll(d, 20) == 0)
            burn_us(12000); /* longer than any slice */
        break;
    default:
        break;
    }
}

static void add_balance(atomic_llong *balance, int v) {
    atomic_fetch_add(balance, v);
}

static void call_something(struct shared *s, struct dice *d) {
    int v = (int)roll(d, 100) + 1, got = 0;
    ag_wg wg = AG_WG_INIT;
    switch (roll(d, 11)) {
    case 0:
        if (ag_select(AG_SEND(s->c, v), AG_RECV(s->c, &got), AG_AFTER(AG_MS)) == 0)
            atomic_fetch_add(&s->balance, v);
        atomic_fetch_sub(&s->balance, got);
        break;
    case 1:
        if (ag_try_send(s->buffered, v))
            atomic_fetch_add(&s->balance, v);
        break;
    case 2:
        if (ag_try_recv(s->buffered, &got) == 1)
            atomic_fetch_sub(&s->balance, got);
        break;
    case 3:
        ag_yield();
        break;
    case 4:
        ag_sleep(roll(d, 300) * AG_US);
        break;
    case 5:
        ag_wg_add(&wg, 1);
        ag_go(ag_wg_done, &wg);
        stay_away(d);
        ag_wg_wait(&wg);
        break;
    case 6:
        atomic_fetch_add(&s->balance, v);
        ag_go(add_balance, &s->balance, -v);
        break;
    case 7:
        atomic_fetch_add(&s->balance, v);
        ag_unref(ag_timer_start(roll(d, 200) * AG_US, add_balance, &s->balance, -v));
        break;
    case 8:
        ag_check_int(ag_fd_wait(s->pipe[0], AG_READABLE, ag_now() + roll(d, 300) * AG_US),
                     -ETIMEDOUT);
        break;
    case 9:
        ag_check(ag_fd_wait(s->pipe[1], AG_WRITABLE, 0) > 0);
        break;
    default:
        ag_unref(ag_make(int, 1));
        ag_count();
        ag_now();
        break;
    }
}

static void wander(struct shared *s, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        stay_away(&d);
        if (roll(&d, 4) == 0) {
            ag_mutex_lock(&s->mutex);
            s->guarded++;
            if (roll(&d, 10) == 0)
                stay_away(&d); /* holding it */
            ag_mutex_unlock(&s->mutex);
        } else {
            ag_mutex_lock(&s->mutex);
            s->guarded++;
            ag_mutex_unlock(&s->mutex);
            call_something(s, &d);
        }
    }
    ag_wg_done(&s->wg);
}

AG_TEST_RUN(every_call_after_a_stay_outside) {
    static struct shared s;
    int many = 40, rounds = scaled(150);
    open_shared(&s);
    ag_wg_add(&s.wg, many);
    for (int i = 0; i < many; i++)
        ag_go(wander, &s, rounds, i + 1);
    ag_wg_wait(&s.wg);
    close_shared(&s, (long)many * rounds);
}

AG_TEST_RUN(every_call_after_a_stay_outside_with_processors_coming_and_going) {
    static struct shared s;
    int many = 20, rounds = scaled(100), numbers[] = {1, 3, 2, 8, 1, 2, 5};
    open_shared(&s);
    ag_wg_add(&s.wg, many);
    for (int i = 0; i < many; i++)
        ag_go(wander, &s, rounds, i + 100);
    for (int i = 0; ag_count() > 1 && i < 10000; i++) {
        ag_procs(numbers[i % 7]);
        ag_sleep(AG_MS);
    }
    ag_wg_wait(&s.wg);
    close_shared(&s, (long)many * rounds);
}

static void hog(atomic_int *stop) {
    while (!atomic_load(stop))
        continue;
}

AG_TEST_RUN(work_beside_endless_loops) {
    static struct shared s;
    static atomic_int stop;
    int rounds = scaled(60);
    open_shared(&s);
    for (int i = 0; i < 3; i++)
        ag_go(hog, &stop);
    ag_wg_add(&s.wg, 10);
    for (int i = 0; i < 10; i++)
        ag_go(wander, &s, rounds, i + 200);
    ag_wg_wait(&s.wg);
    atomic_store(&stop, 1);
    close_shared(&s, 10L * rounds);
}

static void just_over(int us, atomic_int *left, int rounds) {
    for (int i = 0; i < rounds; i++) {
        usleep((useconds_t)us);
        ag_yield();
        burn_us(us / 4);
        ag_yield();
    }
    atomic_fetch_sub(left, 1);
}

AG_TEST_RUN(stays_of_all_lengths_around_the_limit) {
    static atomic_int left;
    atomic_store(&left, 40);
    for (int i = 0; i < 40; i++)
        ag_go(just_over, 20 + i * 20, &left, scaled(200));
    eventually(atomic_load(&left) == 0);
}
