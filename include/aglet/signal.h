/* SPDX-License-Identifier: MIT */
/*
 * aglet/signal.h - signals as values on a channel, and as the end of a context.
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

/** No more signals into `c`; those nobody listens to get their old action back. When it
 * returns, no more will be sent. */
AG_API void ag_notify_stop(ag_chan(int) c);

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

AG_API ag_ctx *ag__notify_ctx(ag_ctx *parent, const int *sigs, int count);
AG_API int ag__notify(ag_chan(int) c, const int *sigs, int count);

AG__END
#endif
