/* SPDX-License-Identifier: MIT */
/*
 * A program with something to see on every page: one goroutine that computes, two that wait for
 * each other's lock and a third behind them, workers that are given jobs, calls that block, a
 * wait group, a long tree. A number as its argument: so many goroutines more, which wait, each
 * started by one of a hundred. It prints its port, and ends with its standard input.
 */
#include <aglet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

AG_HISTOGRAM(job_seconds, "job_duration_seconds", "how long a job took",
             AG_BUCKETS_EXP(0.00001, 2, 16));

/* --- What takes processor time. --- */

static volatile double sink;

__attribute__((noinline)) static void mix_digits(int rounds) {
    double x = 1;
    for (int i = 1; i < rounds; i++)
        x += x / (double)i;
    sink = x;
}
__attribute__((noinline)) static void crunch_numbers(void) {
    for (;;) {
        mix_digits(100000);
        ag_yield();
    }
}

/* --- A deadlock of two, and who waits behind it. --- */

static ag_mutex left_shoe, right_shoe;

static void ties_left_first(ag_wg *both) {
    ag_mutex_lock(&left_shoe);
    ag_wg_done(both);
    ag_wg_wait(both);
    ag_mutex_lock(&right_shoe);
}
static void ties_right_first(ag_wg *both) {
    ag_mutex_lock(&right_shoe);
    ag_wg_done(both);
    ag_wg_wait(both);
    ag_mutex_lock(&left_shoe);
}
static void wants_a_shoe(void) {
    ag_mutex_lock(&left_shoe);
}

/* --- Work. --- */

static void works(ag_chan(int) jobs) {
    int rounds;
    while (ag_recv(jobs, &rounds)) {
        ag_time start = ag_now();
        mix_digits(rounds);
        ag_histogram_since(&job_seconds, start);
    }
}
static void gives_work(ag_chan(int) jobs) {
    for (int i = 0;; i++) {
        ag_send(jobs, 1000 << i % 8);
        ag_sleep(AG_MS);
    }
}
static void reads_slowly(void) {
    for (;;) {
        ag_region("the night shift");
        for (int i = 0; i < 20; i++) {
            {
                ag_region("a slow read");
                ag_blocking(usleep, 60000);
            }
            ag_sleep(20 * AG_MS);
        }
    }
}

/* --- Who waits for long. --- */

static void rests(void) {
    ag_sleep(1000 * AG_SEC);
}
static void waits_for_all(ag_wg *group) {
    ag_wg_wait(group);
}
static void idles(ag_chan(int) never) {
    ag_recv(never, NULL);
}
static void starts_many(ag_chan(int) never, int count) {
    for (int i = 0; i < count; i++)
        ag_go(idles, never);
    ag_recv(never, NULL);
}

static void named(void (*fn)(ag_wg *), const char *name, ag_wg *wg) {
    ag_go_with((&(ag_go_opts){.name = name}), fn, wg);
}

static int reads(void) {
    char byte;
    return (int)read(0, &byte, 1);
}

static char *volatile book;
static __attribute__((noinline)) void keeps_a_book(void) {
    book = malloc(1 << 20);
}

static int app(void *more) {
    static ag_wg both, resting;
    ag_chan(int) jobs = ag_make(int, 4);
    ag_chan(int) never = ag_make(int, 0);
    ag_wg_add(&both, 2);
    named(ties_left_first, "lefty", &both);
    named(ties_right_first, "<img src=x onerror=alert(1)>", &both);
    ag_wg_wait(&both);
    ag_go(wants_a_shoe);
    keeps_a_book();
    for (int i = 0; i < 3; i++)
        ag_wg_go(&resting, rests);
    ag_go(waits_for_all, &resting);
    for (int i = 0; i < 4; i++)
        ag_go(works, jobs);
    ag_go(gives_work, jobs);
    ag_go(reads_slowly);
    ag_go(crunch_numbers);
    for (int i = 0; more && i < 100; i++)
        ag_go(starts_many, never, atoi(more) / 100);
    while (more && ag_count() < atoi(more)) /* who is told the port finds them */
        ag_sleep(AG_MS);
    printf("%d\n", ag_debug_serve("localhost:0"));
    fflush(stdout);
    ag_blocking(reads);
    exit(0);
}

int main(int argc, char **argv) {
    return ag_run(app, argc > 1 ? argv[1] : NULL);
}
