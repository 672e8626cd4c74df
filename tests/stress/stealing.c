/* SPDX-License-Identifier: MIT */
/*
 * Work made in one place and done in all: trees of goroutines, one that makes all the work, full
 * queues, and a count in the end that tells of a lost or doubled one.
 */
#include "stress.h"

static void leaf(ag_chan(int64_t) up, int64_t number) {
    ag_send(up, number);
}

static void branch(ag_chan(int64_t) up, int64_t number, int64_t size) {
    if (size == 1) {
        leaf(up, number);
        return;
    }
    ag_chan(int64_t) c = ag_make(int64_t, 0);
    int64_t sum = 0, v;
    for (int i = 0; i < 10; i++)
        ag_go(branch, c, number + i * (size / 10), size / 10);
    for (int i = 0; i < 10 && ag_recv(c, &v); i++)
        sum += v;
    ag_send(up, sum);
    ag_unref(c);
}

AG_TEST_RUN(a_tree_of_a_hundred_thousand_adds_up) {
    ag_chan(int64_t) c = ag_make(int64_t, 0);
    int64_t size = scaled(100) >= 100 ? 100000 : 1000, sum = 0;
    ag_go(branch, c, 0, size);
    ag_check(ag_recv(c, &sum));
    ag_check_int(sum, size * (size - 1) / 2);
    ag_unref(c);
}

static void fib(int n, int64_t *ret_value, ag_wg *wg) {
    if (n < 2) {
        *ret_value = n;
    } else {
        int64_t a, b;
        ag_wg below = AG_WG_INIT;
        ag_wg_add(&below, 2);
        ag_go(fib, n - 1, &a, &below);
        ag_go(fib, n - 2, &b, &below);
        ag_wg_wait(&below);
        *ret_value = a + b;
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(fork_and_join_all_the_way_down) {
    int n = scaled(100) >= 100 ? 21 : 14;
    int64_t expected[] = {377, 10946}, value = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(fib, n, &value, &wg);
    ag_wg_wait(&wg);
    ag_check_int(value, expected[n == 21]);
}

static void work(atomic_uchar *mark, int us, ag_wg *wg) {
    if (us)
        burn_us(us);
    atomic_fetch_add(mark, 1);
    ag_wg_done(wg);
}

static void one_maker(int many, int us) {
    atomic_uchar *marks = calloc((size_t)many, 1);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(work, &marks[i], us ? i % us : 0, &wg);
    ag_wg_wait(&wg);
    for (int i = 0; i < many; i++)
        ag_check_int(atomic_load(&marks[i]), 1);
    free(marks);
}

AG_TEST_RUN(one_makes_more_than_any_queue_holds) {
    one_maker(scaled(500000), 0);
}

AG_TEST_RUN(one_makes_work_of_uneven_size) {
    ag_procs(4);
    one_maker(scaled(20000), 100);
}

static void make_more(int depth, atomic_int *count) {
    atomic_fetch_add(count, 1);
    if (depth > 0) {
        ag_go(make_more, depth - 1, count);
        ag_yield();
        ag_go(make_more, depth - 1, count);
    }
}

AG_TEST_RUN(everybody_makes_more_while_others_take) {
    static atomic_int count;
    int depth = scaled(100) >= 100 ? 16 : 10;
    ag_procs(8);
    ag_go(make_more, depth, &count);
    eventually(atomic_load(&count) == (2 << depth) - 1);
    eventually(ag_count() == 1);
}

static void run_and_yield(atomic_int *live, int rounds) {
    for (int i = 0; i < rounds; i++)
        ag_yield();
    atomic_fetch_sub(live, 1);
}

AG_TEST_RUN(more_processors_than_work_and_more_work_than_processors) {
    static atomic_int live;
    ag_procs(16);
    for (int round = 0; round < scaled(200); round++) {
        int many = round % 40 + 1;
        atomic_store(&live, many);
        for (int i = 0; i < many; i++)
            ag_go(run_and_yield, &live, round % 7 * 20);
        eventually(atomic_load(&live) == 0);
    }
}
