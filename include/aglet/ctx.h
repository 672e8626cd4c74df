/* SPDX-License-Identifier: MIT */
/*
 * aglet/ctx.h - contexts. In this version there is one: the background context, which never
 * ends; cancel, time limits and values build on these names.
 */
#ifndef AGLET_CTX_H
#define AGLET_CTX_H

#include <aglet/chan.h>

AG__BEGIN

/** The context that never ends. Returns: never NULL; unref does nothing to it. */
AG_API ag_ctx *ag_ctx_background(void);
/** This goroutine's current context. Returns: never NULL; the caller gets no reference. */
AG_API ag_ctx *ag_ctx_current(void);
/** A channel that closes when `c` ends; NULL (never ready) for one that can't. */
AG_API ag_chan(char) ag_ctx_done(ag_ctx *c);
/** 0 while `c` lives, else -ECANCELED or -ETIMEDOUT. NULL is the background context. */
AG_API int ag_ctx_err(ag_ctx *c);

AG__END
#endif
