/* SPDX-License-Identifier: MIT */
/*
 * Channels among thousands of goroutines: nothing lost, nothing twice, nothing torn.
 */
#include "stress.h"

/* A value that tells when it was torn. */
typedef struct item {
    uint64_t value, inverse, filler[3];
} item;

static item item_of(uint64_t value) {
    item i = {value, ~value, {value * 3, value * 5, value * 7}};
    return i;
}

static void check_item(const item *i) {
    ag_check(i->inverse == ~i->value && i->filler[0] == i->value * 3 &&
             i->filler[1] == i->value * 5 && i->filler[2] == i->value * 7);
}

static void produce(ag_chan(item) c, int from, int n, ag_wg *wg) {
    for (int i = 0; i < n; i++)
        ag_send(c, item_of((uint64_t)(from + i)));
    ag_wg_done(wg);
}

static void consume(ag_chan(item) c, atomic_ullong *sum, atomic_ullong *count, ag_wg *wg) {
    item i;
    unsigned long long mine = 0, seen = 0;
    while (ag_recv(c, &i)) {
        check_item(&i);
        mine += i.value;
        seen++;
    }
    atomic_fetch_add(sum, mine);
    atomic_fetch_add(count, seen);
    ag_wg_done(wg);
}

static void many_to_many(int cap, int sides, int each) {
    ag_chan(item) c = ag_make(item, cap);
    atomic_ullong sum = 0, count = 0;
    ag_wg producers = AG_WG_INIT, consumers = AG_WG_INIT;
    ag_wg_add(&producers, sides);
    ag_wg_add(&consumers, sides);
    for (int i = 0; i < sides; i++) {
        ag_go(consume, c, &sum, &count, &consumers);
        ag_go(produce, c, i * each, each, &producers);
    }
    ag_wg_wait(&producers);
    ag_close(c);
    ag_wg_wait(&consumers);
    unsigned long long n = (unsigned long long)sides * (unsigned long long)each;
    ag_check_int(atomic_load(&count), n);
    ag_check_int(atomic_load(&sum), n * (n - 1) / 2);
    ag_unref(c);
}

AG_TEST_RUN(a_thousand_producers_and_consumers_on_one_unbuffered_channel) {
    many_to_many(0, 1000, scaled(200));
}

AG_TEST_RUN(a_thousand_producers_and_consumers_on_one_small_buffer) {
    many_to_many(1, 1000, scaled(200));
    many_to_many(7, 1000, scaled(200));
}

AG_TEST_RUN(few_producers_and_consumers_on_a_large_buffer) {
    many_to_many(1024, 4, scaled(200000));
}

static void increment(ag_chan(int64_t) in, ag_chan(int64_t) out) {
    int64_t v;
    while (ag_recv(in, &v))
        ag_send(out, v + 1);
    ag_close(out);
    ag_unref(out);
    ag_unref(in);
}

AG_TEST_RUN(a_pipeline_of_thousands_with_many_values_under_way) {
    int links = 2000, values = scaled(300);
    ag_chan(int64_t) first = ag_make(int64_t, 1), at = first;
    for (int i = 0; i < links; i++) {
        ag_chan(int64_t) next = ag_make(int64_t, i % 3);
        ag_go(increment, i == 0 ? ag_ref(at) : at, ag_ref(next));
        at = next;
    }
    ag_chan(int64_t) last = at;
    int64_t got = 0;
    for (int sent = 0, received = 0; received < values;) {
        int64_t v;
        ag_chan(int64_t) to = sent < values ? first : NULL;
        if (ag_select(AG_SEND(to, sent), AG_RECV(last, &v)) == 0) {
            sent++;
        } else {
            ag_check_int(v, received + links);
            received++;
            got += v;
        }
    }
    ag_close(first);
    ag_check(!ag_recv(last, NULL));
    ag_check_int(got, (int64_t)values * links + (int64_t)values * (values - 1) / 2);
    eventually(ag_count() == 1);
    ag_unref(first);
    ag_unref(last);
}

static void pass_token(ag_chan(int) in, ag_chan(int) out) {
    int v;
    while (ag_recv(in, &v)) {
        if (v == 0) {
            ag_send(out, 0);
            return;
        }
        ag_send(out, v - 1);
    }
}

AG_TEST_RUN(tokens_run_around_a_ring) {
    enum { RING = 503 };
    static ag_chan(int) chans[RING];
    int hops = scaled(300000);
    for (int i = 0; i < RING; i++)
        chans[i] = ag_make(int, 1);
    for (int i = 1; i < RING; i++)
        ag_go(pass_token, chans[i], chans[(i + 1) % RING]);
    ag_send(chans[1], hops);
    int v, seen = 0;
    while (ag_recv(chans[0], &v) && v > 0) {
        ag_send(chans[1], v - 1);
        seen++;
    }
    ag_check(seen >= hops / RING - 1 && seen <= hops / RING + 1);
    ag_send(chans[1], 0);
    eventually(ag_count() == 1);
    for (int i = 0; i < RING; i++)
        ag_unref(chans[i]);
}

static void sieve_stage(ag_chan(int) in, ag_chan(int) out, int prime) {
    int v;
    while (ag_recv(in, &v))
        if (v % prime)
            ag_send(out, v);
    ag_close(out);
}

static void numbers(ag_chan(int) out, int limit) {
    for (int i = 2; i < limit; i++)
        ag_send(out, i);
    ag_close(out);
}

AG_TEST_RUN(the_sieve_finds_the_primes) {
    int limit = 2000, primes = 0, last = 0;
    ag_chan(int) c = ag_make(int, 0);
    ag_go(numbers, c, limit);
    for (int prime; ag_recv(c, &prime);) {
        ag_chan(int) next = ag_make(int, 0);
        ag_go(sieve_stage, c, next, prime);
        c = next;
        primes++;
        last = prime;
    }
    ag_check_int(primes, 303);
    ag_check_int(last, 1999);
}

static void answer(ag_chan(ag_chan(int)) requests) {
    ag_chan(int) reply;
    for (int n = 0; ag_recv(requests, &reply); n++) {
        ag_send(reply, n);
        ag_unref(reply);
    }
}

static void ask(ag_chan(ag_chan(int)) requests, int rounds, atomic_int *answers, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        ag_chan(int) reply = ag_make(int, i % 2);
        int v;
        ag_send(requests, ag_ref(reply));
        ag_check(ag_recv(reply, &v));
        atomic_fetch_add(answers, 1);
        ag_unref(reply); /* both drop it at about the same time */
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(channels_are_made_passed_on_and_freed_all_the_time) {
    int askers = 200, rounds = scaled(500);
    ag_chan(ag_chan(int)) requests = ag_make(ag_chan(int), 10);
    atomic_int answers = 0;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 4; i++)
        ag_go(answer, requests);
    ag_wg_add(&wg, askers);
    for (int i = 0; i < askers; i++)
        ag_go(ask, requests, rounds, &answers, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&answers), askers * rounds);
    ag_close(requests);
    eventually(ag_count() == 1);
    ag_unref(requests);
}

static void try_out(ag_chan(int) c, int rounds, atomic_llong *balance, int seed, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    long long mine = 0;
    for (int i = 0; i < rounds; i++) {
        int v = (int)roll(&d, 1000), got;
        if (roll(&d, 2)) {
            if (ag_try_send(c, v))
                mine += v;
        } else if (ag_try_recv(c, &got) == 1) {
            mine -= got;
        }
        if (roll(&d, 64) == 0)
            ag_yield();
    }
    atomic_fetch_add(balance, mine);
    ag_wg_done(wg);
}

AG_TEST_RUN(those_that_never_wait_keep_the_balance) {
    for (int cap = 0; cap < 20; cap += 5) {
        ag_chan(int) c = ag_make(int, cap);
        atomic_llong balance = 0;
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 50);
        for (int i = 0; i < 50; i++)
            ag_go(try_out, c, scaled(10000), &balance, i, &wg);
        ag_wg_wait(&wg);
        for (int v; ag_try_recv(c, &v) == 1;)
            atomic_fetch_sub(&balance, v);
        ag_check_int(atomic_load(&balance), 0);
        ag_unref(c);
    }
}
