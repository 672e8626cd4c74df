/* SPDX-License-Identifier: MIT */
/*
 * Rings of events: what a reader sees beside a writer, that draining misses nothing, what happens
 * to a full tape, and to the ring of a thread that has ended.
 */
#include "probe/probe.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "ag_test.h"

enum { RECORD = 64 };

/* Every word of an event follows from its number. */
static ag__event nth(int64_t i) {
    return (ag__event){.kind = AG__EV_START,
                       .detail = (uint8_t)i,
                       .p = (int16_t)(i & 0x7fff),
                       .g = i,
                       .x = (uint64_t)i * 0x9E3779B97F4A7C15u,
                       .n = (uint32_t)~i};
}

static void check_whole(const ag__event *e) {
    ag__event same = nth(e->g);
    same.when = e->when;
    ag_check_mem(e, &same, sizeof same);
}

struct seen {
    int tid, rings;
    size_t count;
    int64_t first, last; /* numbers */
    int64_t when;
};

/* Whole events, in order, without a hole. */
static bool see(void *arg, int tid, const ag__event *events, size_t n) {
    struct seen *seen = arg;
    if (tid != seen->tid)
        return true;
    seen->rings++;
    for (size_t i = 0; i < n; i++) {
        check_whole(&events[i]);
        if (seen->count == 0)
            seen->first = events[i].g;
        else
            ag_check_int(events[i].g, seen->last + 1);
        ag_check(events[i].when >= seen->when);
        seen->last = events[i].g;
        seen->when = events[i].when;
        seen->count++;
    }
    return true;
}

static struct seen snapshot_of(int tid) {
    struct seen seen = {.tid = tid};
    ag_check_int(ag__probe_snapshot(see, &seen), 0);
    return seen;
}

AG_TEST(the_recorder_keeps_the_last_events) {
    ag__probe_configure(RECORD);
    ag__ring *r = ag__ring_join(7);
    for (int64_t i = 1; i <= 10; i++)
        ag__ring_note(r, nth(i));
    struct seen seen = snapshot_of(7);
    ag_check_int(seen.count, 10);
    ag_check_int(seen.first, 1);
    for (int64_t i = 11; i <= 3 * RECORD; i++)
        ag__ring_note(r, nth(i));
    seen = snapshot_of(7);
    ag_check_int(seen.last, 3 * RECORD);
    ag_check_int(seen.count, RECORD - 1); /* the oldest may be half overwritten */
    ag__ring_leave(r);
}

AG_TEST(the_recorder_can_be_off) {
    ag__probe_configure(0);
    ag__ring *r = ag__ring_join(7);
    ag__ring_note(r, nth(1));
    ag_check_int(snapshot_of(7).rings, 0);
    ag__ring_leave(r);
}

AG_TEST(a_thread_without_a_ring_notes_nothing) {
    ag__probe_configure(RECORD);
    ag_check(ag__ring_note(NULL, nth(1)) > 0);
    ag__ring_leave(NULL);
}

AG_TEST(the_events_of_a_thread_that_ended_stay_until_its_ring_is_needed) {
    ag__probe_configure(RECORD);
    ag__ring *a = ag__ring_join(1), *b = ag__ring_join(2);
    ag__ring_note(a, nth(1));
    ag__ring_note(b, nth(2));
    ag__ring_leave(a);
    ag__ring_leave(b);
    ag_check_int(snapshot_of(1).count, 1);
    ag_check_ptr(ag__ring_join(3), a); /* who ended first gives first */
    ag_check_int(snapshot_of(1).rings, 0);
    ag_check_int(snapshot_of(3).count, 0);
    ag_check_int(snapshot_of(2).count, 1);
    ag__ring_leave(a);
}

static int times_in_memory_of_rings(uint64_t word) {
    uintptr_t lo, hi;
    int times = 0;
    for (int i = 0; ag__ring_memory(i, &lo, &hi); i++)
        for (const uint64_t *at = (const uint64_t *)lo; at < (const uint64_t *)hi; at++)
            times += *at == word;
    return times;
}

AG_TEST(where_events_are_kept_can_be_asked) {
    enum { THREADS = 3 };
    const uint64_t word = 0x7fed1234abcd;
    ag__probe_configure(RECORD);
    ag__ring *rings[THREADS];
    for (int i = 0; i < THREADS; i++) {
        rings[i] = ag__ring_join(i);
        ag__ring_note(rings[i], (ag__event){.x = word});
    }
    ag_check_int(times_in_memory_of_rings(word), THREADS);
    ag_check_int(ag__probe_begin(), 0);
    ag__ring_note(rings[0], (ag__event){.x = word});
    ag_check_int(times_in_memory_of_rings(word), THREADS + 2);
    ag__probe_end();
    for (int i = 0; i < THREADS; i++)
        ag__ring_leave(rings[i]);
}

/* --- Beside a writer. --- */

struct writer {
    pthread_t thread;
    int tid;
    int64_t from, to;
    _Atomic bool stop;
    _Atomic int64_t noted;
    _Atomic int64_t *drained; /* NULL: does not wait for that */
};
enum { AHEAD = 16 }; /* fits on the smallest tape */

static void *write_on(void *arg) {
    struct writer *w = arg;
    ag__ring *r = ag__ring_join(w->tid);
    int64_t i = w->from;
    for (; i < w->to && !w->stop; i++) {
        while (w->drained && i > *w->drained + AHEAD)
            ag__os_yield();
        ag__ring_note(r, nth(i));
    }
    w->noted = i - w->from;
    ag__ring_leave(r);
    return NULL;
}

AG_TEST(a_reader_beside_a_writer_sees_whole_events_without_a_hole) {
    ag__os_init();
    ag__probe_configure(8);
    struct writer w = {.tid = 5, .from = 1, .to = INT64_MAX};
    pthread_create(&w.thread, NULL, write_on, &w);
    int64_t last = 0;
    int rounds = 0;
    for (int64_t end = ag__os_now() + 300000000; ag__os_now() < end || last == 0; rounds++) {
        struct seen seen = snapshot_of(5);
        ag_check(seen.count == 0 || seen.last >= last);
        if (seen.count)
            last = seen.last;
    }
    w.stop = true;
    pthread_join(w.thread, NULL);
    ag_check(rounds > 0 && last > 0);
    ag_check_int(snapshot_of(5).last, w.noted);
}

/* --- Draining. --- */

enum { WRITERS = 4 };

struct drained {
    struct seen of[WRITERS];
    _Atomic int64_t last[WRITERS];
    int64_t since, max; /* times: all are since the last cut, or were late then */
};

static bool take(void *arg, int tid, const ag__event *events, size_t n) {
    struct drained *d = arg;
    if (tid < 100)
        return true;
    for (size_t i = 0; i < n; i++) {
        ag_check(events[i].when >= d->since);
        if (events[i].when > d->max)
            d->max = events[i].when;
    }
    see(&d->of[tid - 100], tid, events, n);
    d->last[tid - 100] = d->of[tid - 100].last;
    return true;
}

AG_TEST(what_is_drained_is_everything_up_to_then) {
    ag__os_init();
    ag__probe_configure(0);
    struct writer w[WRITERS];
    struct drained d = {.since = 0};
    int64_t each = 50000 / ag_test_slow();
    ag_check_int(ag__probe_begin(), 0);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.tid = 100 + i, .from = 1, .to = each + 1, .drained = &d.last[i]};
        d.of[i].tid = 100 + i;
        pthread_create(&w[i].thread, NULL, write_on, &w[i]);
    }
    size_t total = 0;
    while (total < WRITERS * (size_t)each) {
        d.max = 0;
        int64_t cut = ag__probe_drain(take, &d);
        ag_check(d.max < cut);
        d.since = cut; /* nothing older comes later */
        total = 0;
        for (int i = 0; i < WRITERS; i++)
            total += d.of[i].count;
        ag__probe_wait(100000);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    ag__probe_end();
    ag_check_int(ag__probe_lost(), 0);
}

static bool count(void *arg, int tid, const ag__event *events, size_t n) {
    (void)events;
    if (tid == 9)
        *(size_t *)arg += n;
    return true;
}

AG_TEST(a_full_tape_makes_its_thread_wait_then_loses_and_counts) {
    enum { MANY = 1 << 17 };
    ag__os_init();
    ag__probe_configure(0);
    ag__ring *r = ag__ring_join(9);
    ag_check_int(ag__probe_begin(), 0);
    int64_t before = ag__os_now();
    for (int64_t i = 1; i <= MANY; i++)
        ag__ring_note(r, nth(i));
    ag_check(ag__os_now() - before >= 50000000); /* once, and not for each event */
    size_t n = 0;
    ag__probe_drain(count, &n);
    ag_check(n > 0);
    ag_check_int(ag__probe_lost(), MANY - (int64_t)n);
    ag__ring_note(r, nth(1)); /* there is room again */
    n = 0;
    ag__probe_drain(count, &n);
    ag_check_int(n, 1);
    ag__probe_end();
    ag_check_int(ag__probe_begin(), 0);
    ag_check_int(ag__probe_lost(), 0); /* of this trace */
    ag__probe_end();
    ag__ring_leave(r);
}

/* --- Names. --- */

AG_TEST(a_name_has_one_number) {
    uint32_t a = ag__name("parse"), b = ag__name("compute");
    char same[] = "parse";
    ag_check(a && b && a != b);
    ag_check_int(ag__name(same), a);
    ag_check_str(ag__name_text(a), "parse");
    ag_check_str(ag__name_text(0), "?");
    ag_check_str(ag__name_text(1 << 30), "?");
    char large[200];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    ag_check_int(strlen(ag__name_text(ag__name(large))), 63);
}

static void *name_all(void *ret_numbers) {
    uint32_t *numbers = ret_numbers;
    for (int i = 0; i < 8; i++) {
        char text[32];
        snprintf(text, sizeof text, "name %d", i);
        numbers[i] = ag__name(text);
    }
    return NULL;
}

AG_TEST(threads_agree_about_names) {
    pthread_t threads[4];
    uint32_t numbers[4][8];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, name_all, numbers[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i < 4; i++)
        ag_check_mem(numbers[i], numbers[0], sizeof numbers[0]);
}

AG_TEST(there_are_so_many_names_and_no_more) {
    uint32_t n = 0, none = 0;
    for (int i = 0; i < 20000; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d", i);
        *(ag__name(text) ? &n : &none) += 1;
    }
    ag_check(n >= 8 && none > 0);
}
