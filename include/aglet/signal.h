/* SPDX-License-Identifier: MIT */
/*
 * aglet/signal.h - signals as values on a channel, and as the end of a context.
 *
 * What nobody asked for keeps the action that the program or the system has set; aglet itself
 * takes SIGQUIT, for the dump, and the signals of a crash, to say which goroutine it was (see
 * no_signals in aglet/run.h and aglet/debug.h). A signal that is asked for comes, although every
 * thread of the program blocks it.
 *
 * Equal signals that come before the first of them was taken may count as one, because the system
 * merges them; real-time signals (SIGRTMIN and above) are never merged. Apart from that, none is
 * lost for which the channel has room.
 *
 * As process 1, in a container: the system gives no default action to signals there, so SIGTERM
 * does nothing unless it is asked for; ag_stop_ctx is meant for that. Orphans become children of
 * process 1, which must wait for them: ag_reap_children (aglet/process.h).
 */
#ifndef AGLET_SIGNAL_H
#define AGLET_SIGNAL_H

#include <aglet/chan.h>
#include <signal.h>

AG__BEGIN

/**
 * ag_notify(c, sig, ...): from now on the numbered signals are sent into `c`, an ag_chan(int),
 * instead of their default action, Go's signal.Notify; without a signal, all that can be
 * caught. Delivery never waits: a full channel loses the signal, so give it a capacity.
 * Returns: 0, -EINVAL for a signal that can't be caught, -ENOMEM, -EAGAIN if the thread for signals
 * can't be started; then nothing has changed. Panics: `os/signal: Notify using nil
 * channel`. Owns: takes its own reference of c until ag_notify_stop.
 */
#define ag_notify(...) AG__NOTIFY(__VA_ARGS__, -1)
#define AG__NOTIFY(c, ...)                                                                         \
    __extension__({                                                                                \
        ag_chan(int) ag__c = (c);                                                                  \
        const int ag__sigs[] = {__VA_ARGS__};                                                      \
        ag__notify(ag__c, ag__sigs, (int)(sizeof ag__sigs / sizeof *ag__sigs) - 1);                \
    })

/** No more signals into `c`, Go's signal.Stop; those nobody listens to get their old action back.
 * What came before it has been sent when it returns, and no more will be. */
AG_API void ag_notify_stop(ag_chan(int) c);

/**
 * ag_notify_reset(sig, ...): undoes every ag_notify, ag_notify_ctx, ag_stop_ctx and
 * ag_notify_ignore for these signals, Go's signal.Reset; without a signal, for all. They have the
 * action from before again. What came before it has been sent when it returns. A context of which
 * all signals are undone ends no more by one.
 * Returns: 0, -EINVAL for a signal that can't be caught; then nothing has changed.
 * Go: there it leaves what is ignored ignored.
 */
#define ag_notify_reset(...) AG__SIGNALS(ag__notify_reset, __VA_ARGS__)

/**
 * ag_notify_ignore(sig, ...): undoes every ag_notify and the like for these signals, and has the
 * system drop them, Go's signal.Ignore; without a signal, all that can be caught. Programs started
 * from here ignore them, too. An ag_notify takes precedence while it lasts.
 * Returns: 0, -EINVAL for a signal that can't be caught; then nothing has changed.
 * Limit: SIGCHLD is dropped without being marked as ignored for the system, because then children
 * would end without a status.
 */
#define ag_notify_ignore(...) AG__SIGNALS(ag__notify_ignore, __VA_ARGS__)

/** Whether the signal is ignored now, be it by ag_notify_ignore, by the program, or because the
 * process was started that way (nohup). False for a number that is no signal. */
AG_API bool ag_notify_ignored(int sig);

/**
 * ag_notify_ctx(parent, sig, ...): a context below `parent` (aglet/ctx.h) that also ends when one
 * of the numbered signals comes, Go's signal.NotifyContext; without a signal, any that can be
 * caught. It then has ag_ctx_err -ECANCELED, and ag_ctx_cause is the number of the signal. However
 * it ends, also by ag_ctx_cancel or the last ag_unref, the signals have their old action again: a
 * second Ctrl-C ends the process. Returns: the context, with one reference; NULL for a signal that
 * can't be caught, or when out of memory or threads. From: goroutine, any thread.
 */
#define ag_notify_ctx(...) AG__NOTIFY_CTX(__VA_ARGS__, -1)
#define AG__NOTIFY_CTX(parent, ...)                                                                \
    __extension__({                                                                                \
        ag_ctx *ag__c = (parent);                                                                  \
        const int ag__sigs[] = {__VA_ARGS__};                                                      \
        ag__notify_ctx(ag__c, ag__sigs, (int)(sizeof ag__sigs / sizeof *ag__sigs) - 1);            \
    })

/**
 * A context below `parent` for programs that stop in order: the first SIGINT or SIGTERM ends it,
 * with ag_ctx_cause the number of the signal, and the program finishes what it has begun; a second
 * one ends the process at once, with status 128 + its number, whatever the program is doing, also
 * as process 1. One that comes within 100 ms of the first counts as the same, because some send
 * it twice (timeout(1) to the process and its group).
 * A context that ends in another way, also by the last ag_unref, gives the signals their old action
 * back. Once one has ended by a signal the second ends the process for ever, but for another
 * ag_stop_ctx, which begins anew, and ag_notify_reset.
 * Returns: the context, with one reference; NULL when out of memory or threads.
 * From: goroutine, any thread.
 */
AG_API ag_ctx *ag_stop_ctx(ag_ctx *parent);

/* The signs are for an empty list, which C has no braces for: it becomes {+ + 0}. */
#define AG__SIGNALS(fn, ...)                                                                       \
    __extension__({                                                                                \
        const int ag__sigs[] = {+__VA_ARGS__ + 0};                                                 \
        fn(ag__sigs, sizeof #__VA_ARGS__ == 1 ? 0 : (int)(sizeof ag__sigs / sizeof *ag__sigs));    \
    })

AG_API int ag__notify_reset(const int *sigs, int count);
AG_API int ag__notify_ignore(const int *sigs, int count);
AG_API ag_ctx *ag__notify_ctx(ag_ctx *parent, const int *sigs, int count);
AG_API int ag__notify(ag_chan(int) c, const int *sigs, int count);

AG__END
#endif
