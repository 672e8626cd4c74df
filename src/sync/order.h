/* SPDX-License-Identifier: MIT */
/*
 * order.h - the order in which locks are taken; debug checks only. All calls under one lock of
 * the caller's.
 */
#ifndef AG_ORDER_H
#define AG_ORDER_H

#include "lang/report.h"

/* A lock that somebody holds, or is about to. */
typedef struct ag__hold {
    const void *address;
    uint32_t id; /* never 0; no two locks of the process have the same */
    bool writes;
    uintptr_t pc; /* the return address of the call that took it */
} ag__hold;

/*
 * `who`, at pcs, is about to wait for `wanted` and holds held[0 .. count-1]. Returns a report,
 * without text and details beyond the first lines, if that contradicts what was seen before; to be
 * finished by ag__order_explain, then sent, outside of the caller's lock.
 */
typedef struct ag__cycle ag__cycle;
ag__cycle *ag__order_seen(ag__who who, const ag__hold *held, int count, ag__hold wanted,
                          const uintptr_t *pcs, int frames);
/* Whether ag__order_seen would look at its pcs: the pair was not seen yet. */
bool ag__order_is_new(const ag__hold *held, int count, ag__hold wanted);
void ag__order_report(ag__cycle *c);
/* Forgets all that concerns this lock. */
void ag__order_forget(uint32_t id);

#endif
