/* SPDX-License-Identifier: MIT */
/*
 * ctx.c - the background context: the one that never ends.
 *
 * All goroutines have it as their current one for now. It is a reference-counted object like all
 * others, with more references than anybody drops, so that ag_ref and ag_unref need no special
 * case for it.
 */
#include "base/base.h"
#include <aglet/ctx.h>

struct ag_ctx {
    ag__object object;
};

static void never(ag__object *o) {
    (void)o;
}

static ag_ctx background = {{never, 1 << 30}};

ag_ctx *ag_ctx_background(void) {
    return &background;
}
ag_ctx *ag_ctx_current(void) {
    return &background;
}

ag_chan(char) ag_ctx_done(ag_ctx *c) {
    (void)c;
    return NULL;
}

int ag_ctx_err(ag_ctx *c) {
    (void)c;
    return 0;
}
