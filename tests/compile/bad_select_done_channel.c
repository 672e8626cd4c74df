/* SPDX-License-Identifier: MIT */
/* AG_DONE takes the context, not its channel. */
// warn: pointer type mismatch
#include <aglet.h>

int g(ag_ctx *ctx);
int g(ag_ctx *ctx) {
    return ag_select(AG_DONE(ag_ctx_done(ctx)));
}
