/* SPDX-License-Identifier: MIT */
/* A result is passed on to who may change and free it. */
// warn: discards
#include <aglet.h>

static const char *f(void) {
    return "text";
}

ag_job *g(void);
ag_job *g(void) {
    return ag_async(f);
}
