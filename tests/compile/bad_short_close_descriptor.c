/* SPDX-License-Identifier: MIT */
/* With the bare words, close closes channels; a descriptor is refused. */
// expect gcc: invalid type argument of unary
// expect clang: indirection requires pointer operand
#include <aglet/short.h>

void g(int fd);
void g(int fd) {
    close(fd);
}
