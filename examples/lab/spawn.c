/* SPDX-License-Identifier: MIT */
/*
 * What a thread, one of Go's goroutines and one of ours cost: to start, to keep, and how many fit.
 *
 * "Start, run, end" starts many at once and waits until all have ended, so stacks are used again.
 * "Alive" starts them, has each of them run until it waits, and only then looks at the clock and
 * at the memory of the process (VmRSS + VmPTE; what the kernel keeps for a thread is not in it).
 */
#include "lab.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS_AT_ONCE = 100 };

static _Atomic long started;

/* ---- Threads ----------------------------------------------------------------------------------
 */

static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;

static void *thread_ends(void *arg) {
    atomic_fetch_add_explicit(&started, 1, memory_order_relaxed);
    return arg;
}

static void *thread_waits(void *arg) {
    atomic_fetch_add_explicit(&started, 1, memory_order_relaxed);
    pthread_mutex_lock(&gate_mutex);
    pthread_mutex_unlock(&gate_mutex);
    return arg;
}

static int threads_churn(long n) {
    pthread_t ids[THREADS_AT_ONCE];
    const ag_time start = ag_now();
    for (long done = 0; done < n; done += THREADS_AT_ONCE) {
        int made = 0;
        while (made < THREADS_AT_ONCE && pthread_create(&ids[made], NULL, thread_ends, NULL) == 0)
            made++;
        for (int i = 0; i < made; i++)
            pthread_join(ids[i], NULL);
        if (made < THREADS_AT_ONCE)
            return 1;
    }
    lab_print("start_ns", (double)(ag_now() - start) / (double)n);
    return 0;
}

static int threads_alive(long n) {
    pthread_attr_t attr;
    size_t stack_bytes = 0;
    pthread_t *ids = calloc((size_t)n, sizeof *ids);
    long made = 0;
    if (!ids || pthread_attr_init(&attr) != 0)
        return 1;
    pthread_attr_getstacksize(&attr, &stack_bytes);
    pthread_mutex_lock(&gate_mutex);
    const double before = lab_memory();
    const ag_time start = ag_now();
    while (made < n && pthread_create(&ids[made], &attr, thread_waits, NULL) == 0)
        made++;
    while (atomic_load(&started) < made)
        sched_yield();
    const double spent = (double)(ag_now() - start);
    const double taken = lab_memory() - before;
    const double threads = lab_threads();
    pthread_mutex_unlock(&gate_mutex);
    for (long i = 0; i < made; i++)
        pthread_join(ids[i], NULL);
    free(ids);
    if (made == 0)
        return 1;
    lab_print("alive", (double)made);
    lab_print("alive_ns", spent / (double)made);
    lab_print("bytes", taken / (double)made);
    lab_print("threads", threads);
    lab_print("stack_bytes", (double)stack_bytes);
    return 0;
}

/* ---- aglet ------------------------------------------------------------------------------------
 */

static long goal;
static ag_chan(char) gate;

static int churn(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg *const w = &wg;
    const ag_time start = ag_now();
    ag_wg_add(w, (int)goal);
    for (long i = 0; i < goal; i++)
        if (ag_go(ag_wg_done, w) < 0)
            return 1;
    ag_wg_wait(w);
    lab_print("start_ns", (double)(ag_now() - start) / (double)goal);
    return 0;
}

static void waits(void) {
    atomic_fetch_add_explicit(&started, 1, memory_order_relaxed);
    ag_recv(gate, NULL);
}

static int alive(void *arg) {
    (void)arg;
    gate = ag_make(char, 0);
    ag_stats stats;
    const double before = lab_memory();
    const ag_time start = ag_now();
    for (long i = 0; i < goal; i++)
        if (ag_go(waits) < 0)
            return 1;
    while (atomic_load(&started) < goal)
        ag_yield();
    const double spent = (double)(ag_now() - start);
    ag_stats_read(&stats);
    lab_print("alive", (double)ag_count() - 1);
    lab_print("alive_ns", spent / (double)goal);
    lab_print("bytes", (lab_memory() - before) / (double)goal);
    lab_print("threads", lab_threads());
    lab_print("stack_bytes", (double)stats.stack_bytes / (double)stats.stacks);
    return 0;
}

static int churn_part(long n) {
    goal = n;
    return ag_run(churn, NULL);
}

static int alive_part(long n) {
    goal = n;
    return ag_run(alive, NULL);
}

/* ---- The table --------------------------------------------------------------------------------
 */

/* As many as fit into half of the free memory, when a few told how much one takes. */
static long as_many_as_fit(struct lab_values few, long most) {
    const double bytes = lab_get(&few, "bytes");
    const double fit = lab_proc("/proc/meminfo", "MemAvailable") * 512 / bytes;
    return isnan(bytes) || fit >= (double)most ? most : (long)fit;
}

static int table(void) {
    const long few = lab_much(2000, 20000, 20000), most = lab_much(20000, 200000, 1000000);
    const long many = lab_much(20000, 500000, 2000000), threads = lab_much(500, 5000, 10000);
    struct lab_values t = lab_self("threads-alive", threads);
    struct lab_values t2 = lab_self("threads-churn", lab_much(1000, 10000, 20000));
    struct lab_values go2 = lab_go("churn", many);
    struct lab_values go = lab_go("alive", as_many_as_fit(lab_go("alive", few), most));
    struct lab_values us2 = lab_self("churn", many);
    struct lab_values us = lab_self("alive", as_many_as_fit(lab_self("alive", few), most));

    lab_begin("Threads, Go's goroutines and aglet's", "for each of them", "article: thread",
              "article: goroutine", "thread here", "Go here", "aglet here");
    lab_row("start, run, end", "~1000000 ns", "~200 ns", lab_cell(&t2, "start_ns", "%.0f ns"),
            lab_cell(&go2, "start_ns", "%.0f ns"), lab_cell(&us2, "start_ns", "%.0f ns"));
    lab_row("start, run, wait", "", "", lab_cell(&t, "alive_ns", "%.0f ns"),
            lab_cell(&go, "alive_ns", "%.0f ns"), lab_cell(&us, "alive_ns", "%.0f ns"));
    lab_row("memory while it waits", "", "", lab_cell(&t, "bytes", "%.0f B"),
            lab_cell(&go, "bytes", "%.0f B"), lab_cell(&us, "bytes", "%.0f B"));
    lab_row("stack it may use", "1-8 MB", "2 KB at first",
            lab_scaled(&t, "stack_bytes", 1.0 / 1024, "%.0f KiB").text, "grows by copying",
            lab_scaled(&us, "stack_bytes", 1.0 / 1024, "%.0f KiB").text);
    lab_row("alive at once", "thousands", "millions", lab_cell(&t, "alive", "%.0f"),
            lab_cell(&go, "alive", "%.0f"), lab_cell(&us, "alive", "%.0f"));
    lab_row("threads of the process by then", "", "", lab_cell(&t, "threads", "%.0f"),
            lab_cell(&go, "threads", "%.0f"), lab_cell(&us, "threads", "%.0f"));
    lab_end("A goroutine in C costs what one in Go costs to start and a page or two to keep: its "
            "stack is\naddress space until it is touched, so it never moves and C may point into "
            "it.");
    return isnan(lab_get(&us, "alive")) || isnan(lab_get(&us2, "start_ns"));
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"threads-churn", threads_churn},
                                            {"threads-alive", threads_alive},
                                            {"churn", churn_part},
                                            {"alive", alive_part},
                                            {NULL, NULL}};
    static const struct lab lab = {
        "spawn", "what threads, Go's goroutines and aglet's cost, and how many fit", parts, table};
    return lab_main(argc, argv, &lab);
}
