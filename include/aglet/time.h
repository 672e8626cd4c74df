/* SPDX-License-Identifier: MIT */
/*
 * aglet/time.h - clocks, sleep, timers, tickers. All times are int64_t nanoseconds.
 */
#ifndef AGLET_TIME_H
#define AGLET_TIME_H

#include <aglet/chan.h>

AG__BEGIN

#define AG_NS ((ag_time)1)
#define AG_US ((ag_time)1000)
#define AG_MS ((ag_time)1000000)
#define AG_SEC ((ag_time)1000000000)
#define AG_MIN ((ag_time)60 * AG_SEC)

/** The monotonic clock, nanoseconds since an unspecified start; > 0. Deadlines are its points. */
AG_API ag_time ag_now(void);

/** The wall clock, nanoseconds since 1970-01-01 UTC. May jump. */
AG_API ag_time ag_wall(void);

/**
 * Parks this goroutine for at least `ns`; 0 or less returns at once. On a foreign thread the
 * thread sleeps.
 * Returns: 0, or -ECANCELED / -ETIMEDOUT when the current context has ended.
 */
AG_API int ag_sleep(ag_time ns);

/**
 * A channel of capacity 1 that receives the time at which `ns` have passed, Go's time.After.
 * Without memory the process ends with `fatal error: out of memory for a timer`.
 * Owns: the caller unrefs the channel; the timer behind it goes with its firing.
 */
AG_API ag_chan(ag_time) ag_after(ag_time ns);

/** A pending call. Reference counted; usable from any thread; not copyable. */
typedef struct ag_timer ag_timer;

/**
 * ag_timer_start(ns, fn, args...): runs fn(args...) in a goroutine of its own after `ns`,
 * Go's time.AfterFunc.
 * Returns: the timer with one reference, NULL when out of memory. If there is no memory for the
 * goroutine when the time has come, fn runs as soon as there is some.
 * Owns: a pending timer keeps itself; ag_unref drops only the caller's reference, it does not
 * stop the timer.
 */
#define ag_timer_start(ns, ...)                                                                    \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag_time ag__ns = (ns);                                                                     \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__timer_start(ag__ns, &ag__s, AG__FN(__VA_ARGS__), ag__a);                               \
    })

/** Stops `t`. Returns: true if it was pending and will not run, false if it has run, is about
 * to, or was stopped. Does not wait for a call that runs. NULL: false. */
AG_API bool ag_timer_stop(ag_timer *t);

/** Makes `t` run `ns` from now, whether it was pending or not. Returns: true if it was pending. */
AG_API bool ag_timer_reset(ag_timer *t, ag_time ns);

/** A periodic sender. Reference counted; usable from any thread; not copyable. */
typedef struct ag_ticker ag_ticker;

/** Sends the time into ag_ticker_chan every `ns`. A slow reader loses ticks: the channel holds
 * one. Returns: the ticker, NULL when out of memory. Panics: `non-positive interval for
 * ag_ticker_start`. Owns: the last ag_unref stops it, too. */
AG_API ag_ticker *ag_ticker_start(ag_time ns);
/** The channel; it lives as long as the ticker. Owns: the ticker; no unref by the caller. */
AG_API ag_chan(ag_time) ag_ticker_chan(ag_ticker *t);
/** No tick is sent after this. The channel is not closed, as in Go. NULL is accepted. */
AG_API void ag_ticker_stop(ag_ticker *t);

AG_API ag_timer *ag__timer_start(ag_time ns, const struct ag__site *site, ag__fn fn,
                                 const intptr_t args[6]);

AG__END
#endif
