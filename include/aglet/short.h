/* SPDX-License-Identifier: MIT */
/*
 * aglet/short.h - Go's bare words, for who asks for them. Nothing else includes this.
 *
 *     #include <stdio.h>
 *     #include <aglet/short.h>              // after all other headers
 *
 *     static void square(chan(int) in, chan(int) out) {
 *         defer(close, out);
 *         for (int v; recv(in, &v);)
 *             send(out, v * v);
 *     }
 *
 *     go(square, in, out);
 *     select(AG_RECV(out, &v), AG_AFTER(AG_SEC));
 *
 * Each word is a macro for the name with ag_ in front and means what that means, no more: the table
 * is the rest of this file. Cases of select keep their names, AG_RECV and so on.
 *
 * Order of includes. A macro reaches into every line behind it, so this header comes last. Four of
 * the words are functions of the C library: their headers (<unistd.h>, <sys/socket.h>,
 * <sys/select.h>) are included here first, before the words exist, so that including them again
 * does nothing; the other headers of the C library, and those of the C++ library but for streams
 * (`close` is a member there), may come later, too. All words but `close` stand for a call only:
 * as the name of a variable, a member or a function that is passed on they are left alone.
 *
 * How to call what a word hides: (send)(fd, buf, n, 0), (recv)(…), (select)(…): a name in
 * parentheses is no macro call. `close` is one wherever it stands, so that defer(close, c) closes a
 * channel; for a descriptor there is ag_fd_close. Any word that is in the way may be undefined:
 * #undef close.
 *
 * C++: `try` with an argument list is ag_try; `try {` is the language's, as ever.
 */
#ifndef AGLET_SHORT_H
#define AGLET_SHORT_H

#include <aglet.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wkeyword-macro"
#endif

/* Goroutines: aglet/run.h. */
#define go(...) ag_go(__VA_ARGS__)
#define yield() ag_yield()

/* Channels: aglet/chan.h. */
#define chan(...) ag_chan(__VA_ARGS__)
#define make(...) ag_make(__VA_ARGS__)
#define send(...) ag_send(__VA_ARGS__)
#define recv(...) ag_recv(__VA_ARGS__)
#define close ag_close
#define len(...) ag_len(__VA_ARGS__)
#define cap(...) ag_cap(__VA_ARGS__)
#define select(...) ag_select(__VA_ARGS__)

/* Deferred calls and panics: aglet/defer.h. */
#define defer(...) ag_defer(__VA_ARGS__)
#define panic(...) ag_panic(__VA_ARGS__)
#define recover() ag_recover()
#define try(...) ag_try(__VA_ARGS__)

#ifdef __clang__
#pragma clang diagnostic pop
#endif

#endif
