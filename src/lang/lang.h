/* SPDX-License-Identifier: MIT */
/*
 * lang.h - the door of the language floor: what ctx, sync and the dump need of channels,
 * panics and deferred calls beyond the public headers.
 */
#ifndef AG_LANG_H
#define AG_LANG_H

#include "sched/sched.h"
#include <aglet/chan.h>
#include <aglet/defer.h>
#include <aglet/time.h>

/* A panic raised by the runtime for the caller's mistake, with the place of the call `pc`. */
void ag__panic_text(void *pc, const char *text) __attribute__((noreturn, cold));

/* In a deferred call: the panic that runs it; NULL if none does. */
const ag_panic_info *ag__panicking(void);

/* ag_close for who is inside the runtime. False: it was closed before. */
bool ag__chan_close_inside(ag__m *m, void *chan);
/* Once true, always true; who takes it for more than a hint goes through the lock. */
bool ag__chan_is_closed(const void *chan);

/* Frees the channels whose last reference went while goroutines, now dropped, waited there. */
void ag__chan_free_orphans(void);

#endif
