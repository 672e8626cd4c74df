/* SPDX-License-Identifier: MIT */
/*
 * poll.h - what a poller must offer: edge-triggered readiness of descriptors.
 */
#ifndef AG_POLL_H
#define AG_POLL_H

#include "base/base.h"

typedef struct ag__poll_event {
    uint64_t data;
    bool readable, writable; /* errors and hang-ups set both; a peer's end sets readable */
    bool ended; /* the peer's end, an error or urgent data: a short read did not drain it */
} ag__poll_event;

/* One poller; closed by ag__poll_close. -EMFILE … */
int ag__poll_open(void);
void ag__poll_close(void);
/* Registers fd once, both directions, edge-triggered, with `data`. -EPERM for descriptors that
 * are always ready. */
int ag__poll_add(int fd, uint64_t data);
/* Registers fd for some directions, or, with `again`, changes what it was registered for and
 * has a present readiness reported anew. -EEXIST, -ENOENT when the number means another file. */
int ag__poll_set(int fd, uint64_t data, bool readable, bool writable, bool again);
int ag__poll_del(int fd);
/* Takes up to `max` events; waits timeout_ns (0: not, < 0: without limit). Returns the count,
 * 0 also when interrupted by ag__poll_break. */
int ag__poll_wait(ag__poll_event *ret_events, int max, int64_t timeout_ns);
/* Ends a wait that goes on now, or the next one. Async-signal-safe. */
void ag__poll_break(void);

/* Asks about one descriptor, level-triggered, without the poller; blocks the thread. Returns
 * AG__POLL_* bits, all that were asked for when it failed or hung up; 0 when the time is over or
 * a signal came; -EBADF. */
enum { AG__POLL_READABLE = 1, AG__POLL_WRITABLE = 2 };
int ag__poll_one(int fd, int bits, int64_t timeout_ns);

#endif
