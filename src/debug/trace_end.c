/* SPDX-License-Identifier: MIT */
/*
 * trace_end.c - the file that AGLET_RECORD_FILE names: what ran before the process ended.
 *
 * After a panic or a deadlock the goroutine concerned writes it. A handler of a signal can't: it
 * may stand in the midst of malloc. So a thread that was started with the world waits for a crash
 * and writes it then, and the handler gives it some time: the crash may have left a lock taken that
 * the writing needs, and then there is no file.
 *
 *     handler          crashed = 1, wakes, waits for done, TIME_TO_WRITE at most
 *     writer's thread  waits for crashed; writes; done = 1, wakes
 *
 * Whoever writes first is the only one.
 */
#include "debug/trace.h"
#include "os/sig.h"
#include <stdlib.h>
#include <string.h>

enum { PATH = 1024 };
#define TIME_TO_WRITE 2000000000 /* ns */

static _Atomic bool written; /* or being written */

static struct {
    char path[PATH];          /* Written while no world runs. */
    int process;              /* Where its thread lives; 0: it does not. As path. */
    _Atomic uint32_t crashed; /* Futex. */
    _Atomic uint32_t done;    /* Futex. */
    bool wrote;               /* The writer's until done. */
} at_crash;

static bool write_record(const char *path) {
    FILE *out = fopen(path, "we");
    bool wrote = out && ag_trace_snapshot(out) == 0;
    return out && fclose(out) == 0 && wrote;
}

static const char *path_asked_for(void) {
    const char *path = getenv("AGLET_RECORD_FILE");
    return path && *path ? path : NULL;
}

void ag__trace_at_end(void) {
    const char *path = path_asked_for();
    if (!path || atomic_exchange(&written, true))
        return;
    if (write_record(path))
        fprintf(stderr, "\nwhat ran before: go tool trace %s\n", path);
    else
        fprintf(stderr, "\naglet: could not write %s\n", path);
}

static void writer(void) {
    ag__sig_receive_only(0);
    while (!atomic_load(&at_crash.crashed))
        ag__os_futex_wait(&at_crash.crashed, 0, -1);
    at_crash.wrote = write_record(at_crash.path);
    atomic_store(&at_crash.done, 1);
    ag__os_futex_wake(&at_crash.done, 1);
}

void ag__trace_crash_begin(void) {
    const char *path = path_asked_for();
    at_crash.path[0] = 0;
    if (!path || strlen(path) >= PATH)
        return;
    memcpy(at_crash.path, path, strlen(path) + 1);
    if (at_crash.process != ag__os_pid() && ag__helper_start(writer, "aglet-crash") == 0)
        at_crash.process = ag__os_pid();
}

const char *ag__trace_at_crash(bool *ret_wrote) {
    if (!at_crash.path[0] || at_crash.process != ag__os_pid() || atomic_exchange(&written, true))
        return NULL;
    atomic_store(&at_crash.crashed, 1);
    ag__os_futex_wake(&at_crash.crashed, 1);
    int64_t until = ag__os_now() + TIME_TO_WRITE, now;
    while (!atomic_load(&at_crash.done) && (now = ag__os_now()) < until)
        ag__os_futex_wait(&at_crash.done, 0, until - now);
    *ret_wrote = atomic_load(&at_crash.done) && at_crash.wrote;
    return at_crash.path;
}
