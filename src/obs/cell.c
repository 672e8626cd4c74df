/* SPDX-License-Identifier: MIT */
/*
 * cell.c - the memory of what is counted; obs.h tells who may touch which part.
 *
 * Chunks are mapped whole, a row a page, and touched only where somebody counts: with a thousand
 * counters on two processors that is two pages for 512 of them, and no two processors ever share a
 * line.
 *
 * Refused: cells in the record of a P, which would have to grow under its owner; a padded line for
 * each counter and processor, eight times the memory; thread-locals, which foreign threads would
 * leave behind.
 */
#include "obs/obs.h"
#include <string.h>

enum { ROWS_MIN = AG__SIZE(64, 3) };

int ag__cell_rows;

static ag__lock chunk_lock;
static int64_t *chunk; /* Guarded by chunk_lock: the newest, */
static int chunk_used; /* Guarded by chunk_lock: and how much of its rows is given out. */

static int64_t *chunk_new(void) {
    size_t page = ag__os_page(), bytes = sizeof(int64_t) * AG__CELL_ROW * (size_t)ag__cell_rows;
    bytes = (bytes + page - 1) / page * page;
    int64_t *c = ag__os_reserve(bytes);
    if (c && ag__os_commit(c, bytes) != 0) {
        ag__os_unreserve(c, bytes);
        return NULL;
    }
    return c;
}

int64_t *ag__cells_new(int n) {
    ag__lock_acquire(&chunk_lock);
    if (!ag__cell_rows) {
        int cpus = AG__SIZE(ag__os_cpus(), 1);
        ag__cell_rows = 1 + (cpus > ROWS_MIN ? cpus : ROWS_MIN);
    }
    if (!chunk || chunk_used + n > AG__CELL_ROW) {
        int64_t *c = chunk_new();
        if (!c) {
            ag__lock_release(&chunk_lock);
            return NULL;
        }
        chunk = c;
        chunk_used = 0;
    }
    int64_t *at = chunk + chunk_used;
    chunk_used += n;
    ag__lock_release(&chunk_lock);
    return at;
}

void ag__cells_give_back(int64_t *at, int n) {
    ag__lock_acquire(&chunk_lock);
    if (at + n == chunk + chunk_used)
        chunk_used -= n;
    ag__lock_release(&chunk_lock);
}

int64_t ag__cells_sum(const int64_t *at) {
    int64_t sum = 0;
    for (int row = 0; row < ag__cell_rows; row++)
        sum += __atomic_load_n(at + (size_t)row * AG__CELL_ROW, __ATOMIC_RELAXED);
    return sum;
}

double ag__cells_sum_double(const int64_t *at) {
    double sum = 0;
    for (int row = 0; row < ag__cell_rows; row++) {
        int64_t bits = __atomic_load_n(at + (size_t)row * AG__CELL_ROW, __ATOMIC_RELAXED);
        double d;
        memcpy(&d, &bits, sizeof d);
        sum += d;
    }
    return sum;
}
