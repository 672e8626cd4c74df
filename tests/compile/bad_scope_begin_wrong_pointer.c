/* SPDX-License-Identifier: MIT */
/* Only an ag_scope can be begun. */
// warn: incompatible pointer type
#include <aglet.h>

void g(ag_wg *wg);
void g(ag_wg *wg) {
    ag_scope_begin(wg, AG_SCOPE_FAIL_FAST);
}
