/* SPDX-License-Identifier: MIT */
/*
 * room.h - who waits for room in a scope with a limit.
 *
 * A child that goes leaves its place to the first who waits, under the lock of the nest: the place
 * goes on to count, so that nobody comes in between. A waiter has a claim (sched/sched.h), because
 * its context may end.
 */
#ifndef AG_CTX_ROOM_H
#define AG_CTX_ROOM_H

#include "ctx/ctx.h"

struct ag__nest_room {
    struct ag__nest_room *next; /* Guarded by the nest's lock. */
    ag__g *g;
    uint64_t epoch;
};

/* Lock held, all. One child more. */
static inline void ag__room_count(ag__nest *n) {
    ag__nest_add_to(&n->count, 1);
    ag__nest_add_to(&n->created, 1);
    n->running++;
}

/* Takes out the first whose wait goes on, having claimed it, unless the limit was
 * lowered meanwhile; who waits then waits on. */
static inline struct ag__nest_room *ag__room_take(ag__nest *n) {
    struct ag__nest_room *w = NULL;
    while (AG__UNLIKELY(n->room != NULL) && (n->limit <= 0 || n->running <= n->limit)) {
        w = n->room;
        n->room = w->next;
        if (ag__claim(w->g, w->epoch))
            return w;
    }
    return NULL;
}

static inline void ag__room_drop(ag__nest *n, struct ag__nest_room *w) {
    struct ag__nest_room **at = &n->room;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
}

#endif
