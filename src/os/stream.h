/* SPDX-License-Identifier: MIT */
/*
 * stream.h - what the machine must offer of streams: a FILE whose bytes go to a function.
 */
#ifndef AG_STREAM_H
#define AG_STREAM_H

#include "base/base.h"
#include <stdio.h>

/* Whole buffers of `bytes`, and the rest at fflush and fclose, go to put(arg, data, n), which
 * returns whether it took them. The stream has no lock of its own: one thread or goroutine at a
 * time writes, and `put` may park. The buffer, aligned as malloc's, is the stream's
 * until fclose. NULL: no memory. */
FILE *ag__stream_to(bool (*put)(void *arg, const char *data, size_t n), void *arg, char *buffer,
                    size_t bytes);

#endif
