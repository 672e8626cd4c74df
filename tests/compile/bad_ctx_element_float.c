/* SPDX-License-Identifier: MIT */
/* An element has to fit into a word. */
// expect: an argument must be an integer or a pointer
#include <aglet/ctx.h>

static const ag_key(double) key = AG_KEY("key");

ag_ctx *f(void);
ag_ctx *f(void) {
    return ag_ctx_plus(NULL, &key, 1.5);
}
