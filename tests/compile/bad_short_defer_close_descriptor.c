/* SPDX-License-Identifier: MIT */
/* A deferred close, too, is that of channels. */
// warn gcc: makes pointer from integer without a cast
// warn clang: incompatible integer to pointer conversion
#include <aglet/short.h>

void g(int fd);
void g(int fd) {
    defer(close, fd);
}
