/* SPDX-License-Identifier: MIT */
/*
 * The set of sampled blocks and the counts of stacks: what was put in is found, once, by its own
 * address; full lines and levels; from several threads at once.
 */
#include "ag_test.h"
#include "heap/stacks.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const void *address(uint64_t i) {
    return (const void *)(uintptr_t)(0x7f0000000000 + i * 16);
}
static ag__heap_block block_of(uint64_t i) {
    return (ag__heap_block){.bytes = i * 3, .parts = (int64_t)i + 1, .count = (uint32_t)i};
}
static bool put(uint64_t i) {
    ag__heap_block b = block_of(i);
    return ag__heap_put(address(i), &b);
}
static void take(uint64_t i) {
    ag__heap_block b, expect = block_of(i);
    ag_check(ag__heap_may_have(address(i)));
    ag_check(ag__heap_take(address(i), &b));
    ag_check(b.bytes == expect.bytes && b.parts == expect.parts && b.count == expect.count);
}
static int pages_in_use(void) {
    int n = 0;
    for (int i = 0; i < AG__HEAP_PAGES; i++)
        n += ag__heap_pages[i] != 0;
    return n;
}

AG_TEST(a_block_is_found_once) {
    ag__heap_block b;
    ag_check(!ag__heap_may_have(address(1)));
    ag_check(!ag__heap_take(address(1), &b));
    ag_check(put(1));
    ag_check(!ag__heap_take(address(2), &b));
    take(1);
    ag_check(!ag__heap_take(address(1), &b));
    ag_check_int(pages_in_use(), 0);
}

AG_TEST(no_block_is_never_found) {
    ag__heap_block b;
    for (uint64_t i = 0; i < 5000; i++)
        ag_check(put(i));
    ag_check(!ag__heap_take(NULL, &b));
}

/* More than the first levels hold; in an order of its own each is taken out. */
AG_TEST(there_is_room_for_many) {
    enum { MANY = AG__SIZE(200000, 3000) };
    for (uint64_t i = 0; i < MANY; i++)
        ag_check(put(i));
    for (uint64_t i = 0; i < MANY; i++)
        take(i * 7919 % MANY);
    for (uint64_t i = 0; i < MANY; i++) {
        ag__heap_block b;
        ag_check(!ag__heap_take(address(i), &b));
    }
    ag_check(put(1));
    take(1);
}

/* Pages with few blocks are clean again when those are gone; one that had very many stays. */
AG_TEST(a_page_forgets_its_blocks) {
    for (uint64_t i = 0; i < 254; i++)
        ag_check(put(i));
    ag_check_int(pages_in_use(), 1);
    for (uint64_t i = 0; i < 254; i++)
        take(i);
    ag_check_int(pages_in_use(), 0);
    for (uint64_t i = 0; i < 256; i++)
        ag_check(put(i));
    for (uint64_t i = 0; i < 256; i++)
        take(i);
    ag_check_int(pages_in_use(), 1);
    ag_check(!ag__heap_may_have(address(256)));
    ag__heap_keep_page(address(1024));
    ag_check(ag__heap_may_have(address(1024)));
}

enum { THREADS = 4, OWN = 3000 };
static void *put_and_take(void *arg) {
    uint64_t first = (uint64_t)(uintptr_t)arg;
    int rounds = 40 / ag_test_slow();
    for (int round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < OWN; i++)
            ag_check(put(i * THREADS + first));
        for (uint64_t i = OWN; i-- > 0;)
            take(i * THREADS + first);
    }
    return NULL;
}
AG_TEST(threads_put_and_take_at_once) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        ag_check_int(pthread_create(&threads[i], NULL, put_and_take, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ag_check(put(0));
    take(0);
}

/* ---- Stacks --------------------------------------------------------------------------------- */

static int64_t count_at(uintptr_t pc, const char *tag) {
    uintptr_t pcs[3] = {pc, 2, 3};
    return ag__heap_count_of(pcs, 3, tag, strlen(tag));
}

AG_TEST(a_stack_with_the_same_tag_is_the_same) {
    int64_t first = count_at(1, "");
    ag_check(first >= 0);
    ag_check_int(count_at(1, ""), first);
    ag_check(count_at(1, "adams") != first);
    ag_check_int(count_at(1, "adams"), count_at(1, "adams"));
    ag_check(count_at(1, "adam") != count_at(1, "adams"));
    ag_check(count_at(5, "") != first);
}

static ag__heap_count total;
static int counts, without_stack;
static void add_up(void *arg, const ag__heap_count *c) {
    (void)arg;
    total.blocks += c->blocks;
    total.bytes += c->bytes;
    total.freed_blocks += c->freed_blocks;
    total.freed_bytes += c->freed_bytes;
    counts++;
    without_stack += c->frames == 0;
}

AG_TEST(sums_are_right_when_there_are_too_many_stacks) {
    enum { STACKS = 40000 };
    for (uintptr_t i = 0; i < STACKS; i++) {
        ag__heap_block b = {.bytes = 10, .parts = 2 << 12, .count = (uint32_t)count_at(i + 1, "")};
        ag__heap_allocated(&b);
        if (i % 2)
            ag__heap_freed(&b);
    }
    ag__heap_each(add_up, NULL);
    ag_check_int(total.blocks, 2 * STACKS);
    ag_check_int(total.bytes, 20 * STACKS);
    ag_check_int(total.freed_blocks, STACKS);
    ag_check_int(total.freed_bytes, 10 * STACKS);
    ag_check_int(without_stack, 1);
    ag_check_int(ag__heap_crowded(), STACKS - (counts - 1));
    ag_check(ag__heap_crowded() > 0);
}

static void *count_up(void *arg) {
    (void)arg;
    for (uintptr_t i = 0; i < 30000; i++) {
        ag__heap_block b = {
            .bytes = 1, .parts = 1 << 12, .count = (uint32_t)count_at(i % 50 + 1, "x")};
        ag__heap_allocated(&b);
        ag__heap_freed(&b);
    }
    return NULL;
}
static void is_no_less(void *arg, const ag__heap_count *c) {
    (void)arg;
    ag_check(c->freed_blocks <= c->blocks && c->freed_bytes <= c->bytes);
}
AG_TEST(stacks_are_counted_by_threads_at_once_and_read_meanwhile) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        ag_check_int(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 100; i++)
        ag__heap_each(is_no_less, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ag__heap_each(add_up, NULL);
    ag_check_int(total.blocks, THREADS * 30000);
    ag_check_int(total.freed_bytes, THREADS * 30000);
    ag_check(counts >= AG__SIZE(50, 1));
}
