/* SPDX-License-Identifier: MIT */
/*
 * A busy goroutine beside a 1 ms ticker on one processor: how late is the ticker?
 *
 * Three hogs: a loop that never calls anything; the same that yields every 10 million rounds, as
 * the article advises; and the end of a function that has 10,000 deferred calls to run. Go is
 * measured twice, as it schedules today and as it did when the article's advice was needed
 * (asyncpreemptoff). All run pinned to one CPU, so that aglet, which hands the processor on to
 * another thread, gains nothing from a second one.
 */
#define _GNU_SOURCE
#include "lab.h"
#include <sched.h>
#include <stdatomic.h>

enum { YIELD_EVERY = 10000000, DEFERRED = 10000, DEFERRED_ROUNDS = 20000 };

static long rounds;
static _Atomic bool running;
static ag_time hog_began, hog_ended;

/* The compiler must keep the loop. */
static void spin(long n) {
    for (long i = 0; i < n; i++)
        __asm__ volatile("");
}

static void busy(void) {
    spin(rounds);
}

static void yielding(void) {
    for (long left = rounds; left > 0; left -= YIELD_EVERY) {
        spin(left < YIELD_EVERY ? left : YIELD_EVERY);
        ag_yield();
    }
}

static void deferring(long left) {
    ag_defer(spin, DEFERRED_ROUNDS);
    if (left > 1)
        deferring(left - 1);
}

static void chain(void) {
    deferring(DEFERRED);
}

static void idle(void) {
    ag_sleep(200 * AG_MS);
}

static void hog(void (*fn)(void)) {
    hog_began = ag_now();
    fn();
    hog_ended = ag_now();
    atomic_store(&running, false);
}

/* Counts ticks until the hog has ended, and notes the longest time without one. */
static int tick_beside(void *arg) {
    void (*const fn)(void) = *(void (**)(void))arg;
    ag_ticker *ticker = ag_ticker_start(AG_MS);
    ag_defer(ag_unref, ticker);
    ag_time longest = 0, last;
    long ticks = 0;
    ag_recv(ag_ticker_chan(ticker), NULL);
    last = ag_now();
    atomic_store(&running, true);
    /* The chain of deferred calls is deep: one block for each call. */
    const ag_go_opts opts = {.name = "hog", .stack_size = 8 << 20};
    ag_go_with(&opts, hog, fn);
    while (atomic_load(&running)) {
        ag_recv(ag_ticker_chan(ticker), NULL);
        ag_time now = ag_now();
        longest = now - last > longest ? now - last : longest;
        last = now;
        ticks++;
    }
    const double ms = (double)(hog_ended - hog_began) / 1e6;
    lab_print("longest_ms", (double)longest / 1e6);
    lab_print("busy_ms", ms);
    lab_print("ticks_percent", 100 * (double)ticks / (ms > 1 ? ms : 1));
    return 0;
}

/* Onto the first CPU that this process may use; Go's side is started by a pinned process, too. */
static int pin(void) {
    cpu_set_t may, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof may, &may) != 0)
        return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &may)) {
            CPU_SET(cpu, &one);
            break;
        }
    return sched_setaffinity(0, sizeof one, &one) != 0;
}

static int measure(void (*fn)(void), long n) {
    const ag_config config = {.procs = 1};
    rounds = n;
    return ag_run_with(&config, tick_beside, &fn);
}

static int busy_part(long n) {
    return measure(busy, n);
}

static int yield_part(long n) {
    return measure(yielding, n);
}

static int chain_part(long n) {
    return measure(chain, n);
}

static int idle_part(long n) {
    return measure(idle, n);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static struct lab_cell lateness(const struct lab_values *v) {
    struct lab_cell cell, share = lab_scaled(v, "ticks_percent", 1, "%.0f");
    if (isnan(lab_get(v, "longest_ms")))
        return share;
    snprintf(cell.text, sizeof cell.text, "%.1f ms (%.8s %% of %.1f)", lab_get(v, "longest_ms"),
             share.text, lab_get(v, "busy_ms"));
    return cell;
}

static int table(void) {
    const long n = lab_much(1000000000, 1200000000, 4000000000);
    if (pin() != 0)
        fprintf(stderr, "lab-hog: could not pin to one CPU\n");
    lab_go_ready();
    struct lab_values go_idle = lab_go("idle", n), go = lab_go("busy", n);
    struct lab_values go_yield = lab_go("yield", n), go_chain = lab_go("chain", n);
    setenv("GODEBUG", "asyncpreemptoff=1", 1);
    struct lab_values old = lab_go("busy", n), old_yield = lab_go("yield", n);
    struct lab_values old_chain = lab_go("chain", n);
    struct lab_values us_idle = lab_self("idle", n), us = lab_self("busy", n);
    struct lab_values us_yield = lab_self("yield", n), us_chain = lab_self("chain", n);

    lab_begin("A 1 ms ticker beside a busy goroutine, one processor, one CPU: longest wait for a "
              "tick (ticks that came, % of the ms it was busy)",
              "beside", "article", "Go here, cooperative", "Go here", "aglet here");
    lab_row("nothing", "", "", lateness(&go_idle).text, lateness(&us_idle).text);
    lab_row("an endless loop", "the others starve", lateness(&old).text, lateness(&go).text,
            lateness(&us).text);
    lab_row("yielding every 10,000,000 rounds", "they run", lateness(&old_yield).text,
            lateness(&go_yield).text, lateness(&us_yield).text);
    lab_row("10,000 deferred calls at an end", "delays preemption", lateness(&old_chain).text,
            lateness(&go_chain).text, lateness(&us_chain).text);
    lab_end("aglet can't interrupt C code, so it takes the processor away from the thread instead "
            "and goes on with\nanother: a goroutine that never yields is a thread of its own and "
            "starves nobody.");
    return isnan(lab_get(&us, "longest_ms"));
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"busy", busy_part},
                                            {"yield", yield_part},
                                            {"chain", chain_part},
                                            {"idle", idle_part},
                                            {NULL, NULL}};
    static const struct lab lab = {"hog", "a busy goroutine beside a 1 ms ticker on one processor",
                                   parts, table};
    return lab_main(argc, argv, &lab);
}
