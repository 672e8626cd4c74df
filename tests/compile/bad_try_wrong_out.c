/* SPDX-License-Identifier: MIT */
/* Where the panic goes is an ag_panic_info. */
// warn: incompatible pointer type
#include <aglet.h>

static void f(void) {
}

int g(char *out);
int g(char *out) {
    return ag_try(out, f);
}
