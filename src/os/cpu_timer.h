/* SPDX-License-Identifier: MIT */
/*
 * cpu_timer.h - asking threads where they are while they use CPU time.
 */
#ifndef AG_CPU_TIMER_H
#define AG_CPU_TIMER_H

#include "base/base.h"

/* Runs as a signal handler on a thread that has used `periods` more periods of CPU time, 1 or more.
 * `context` is the handler's third argument. */
typedef void (*ag__cpu_tick_fn)(const void *context, int64_t periods);

/*
 * Every thread of the process calls fn(context, periods) once a period of its CPU time, also those
 * of ours that begin later. System calls are not interrupted where the kernel allows, see
 * cpu_timer.c. One function per process. Returns: 0; -EBUSY it is on, or the program has a handler
 * of its own for the signal; -EAGAIN, -ENOMEM, -ENOSYS.
 */
int ag__cpu_timers_start(int64_t period_ns, ag__cpu_tick_fn fn);
/* A call that was under way may still come. */
void ag__cpu_timers_stop(void);
/* Threads that got no timer since the start: the system has no more. */
int64_t ag__cpu_timers_refused(void);

/* The calling thread, of ours or one that has become known, has begun; it is about to end. */
void ag__cpu_timer_begin(void);
void ag__cpu_timer_end(void);

#endif
