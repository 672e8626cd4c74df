/* SPDX-License-Identifier: MIT */
/* An array can't be assigned, so it can't be sent. */
// expect gcc: invalid initializer
// expect clang: array initializer must be
#include <aglet.h>

typedef int numbers[3];

int g(ag_chan(numbers) c, numbers v);
int g(ag_chan(numbers) c, numbers v) {
    return ag_send(c, v);
}
