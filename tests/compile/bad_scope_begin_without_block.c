/* SPDX-License-Identifier: MIT */
/* A scope needs a block. */
// expect gcc: expected expression before
// expect clang: expected expression
#include <aglet.h>

void g(ag_scope *s);
void g(ag_scope *s) {
    if (s)
        ag_scope_begin(s, AG_SCOPE_FAIL_FAST);
}
