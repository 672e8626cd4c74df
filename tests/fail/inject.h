/* SPDX-License-Identifier: MIT */
/*
 * Calls that fail to order.
 *
 * The linker sends the library's calls of the C library to wrappers (`--wrap`), so the library is
 * the one that is installed, without a line for this. What can fail, and how, is inject.def.
 *
 *     WALK(MEMORY | THREAD, step);
 *
 * runs step() again and again: the first allocation of a run fails, then the second, and so on,
 * until a run makes fewer; the same with the first, second … system call; and then for each call by
 * itself with each of its errors. On whatever thread: the runtime's own are not spared. A step does
 * its work through
 *
 *     if (!ok(ag_something(…)))  …
 *
 * which ends the test for a negative result that no injected failure explains, and leaves things
 * as it found them. After each run, with nothing failing any more, there must be as many
 * descriptors and goroutines as before; and walking the same way again and again, three to twelve
 * times, must not take more memory each time. (The pools of the runtime take some now and then. The
 * race sanitizer, to which each goroutine is dear, sees one walk.)
 */
#ifndef FAIL_INJECT_H
#define FAIL_INJECT_H

#include "../conformance/common.h"

enum { MEMORY = 1, THREAD = 2, SYSTEM = 4, QUIET = 8, GROW = 16, STACK = 32 };

/* The tests' own, which does not fail. */
int __real_pipe2(int fds[2], int flags);

/* Lets the n-th call of `name` fail with `error`, counted from now, all threads together; with
 * `ever`, the following ones, too. */
void inject(const char *name, int error, int n, bool ever);
/* No failures from here on. Returns how many calls failed. */
int inject_end(void);
/* How many calls have failed since inject. */
int injected(void);

/* A non-blocking pipe for a step's own use, which does not fail to order. */
int a_pipe(int ret_ends[2]);

/* Returns: true for a result of 0 or more, false for an error that was injected. */
bool ok_at(const char *file, int line, const char *what, long long result);
#define ok(result) ok_at(__FILE__, __LINE__, #result, (result))
/* The same where the failure may have been the other end's, so that any error can come of it. */
bool ok_after_at(const char *file, int line, const char *what, long long result);
#define ok_after(result) ok_after_at(__FILE__, __LINE__, #result, (result))
/* The same for a pointer. */
bool ok_ptr_at(const char *file, int line, const char *what, const void *result);
#define ok_ptr(result) ok_ptr_at(__FILE__, __LINE__, #result, (result))

/* Returns how many calls failed in all: a walk that reaches nothing proves nothing. */
int walk_at(const char *file, int line, int kinds, void (*step)(void));
#define walk(kinds, step) walk_at(__FILE__, __LINE__, kinds, step)
#define WALK(kinds, step) ag_check(walk(kinds, step) > 0)

#endif
