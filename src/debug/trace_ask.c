/* SPDX-License-Identifier: MIT */
/*
 * trace_ask.c - traces over HTTP and the socket: /debug/pprof/trace as Go has it, /debug/trace for
 * more. The file is a temporary one until the trace is complete, for `out` may be somebody who
 * wants to be written to by the thread that asked, and who reads slowly.
 */
#include "debug/ask.h"
#include "debug/trace.h"
#include <errno.h>
#include <string.h>

enum { SECONDS_MAX = 3600 };

static int copy(FILE *from, FILE *to) {
    char bytes[16384];
    size_t n;
    rewind(from);
    while ((n = fread(bytes, 1, sizeof bytes, from)) > 0)
        if (fwrite(bytes, 1, n, to) != n)
            return -EIO;
    return ferror(from) ? -EIO : 0;
}

/* Sleeps in steps, so that who has given up is noticed. */
static bool wait_for(const ag__question *q, int64_t ns) {
    enum { STEP_NS = 50000000 };
    for (int64_t end = ag__os_now() + ns;;) {
        int64_t left = end - ag__os_now();
        if (left <= 0 || ag__question_is_given_up(q))
            return left <= 0;
        ag__os_sleep(left < STEP_NS ? left : STEP_NS);
    }
}

static int record(const ag__question *q, FILE *file, bool json, int64_t seconds) {
    if (seconds == 0)
        return json ? ag_trace_snapshot_json(file) : ag_trace_snapshot(file);
    int r = json ? ag_trace_start_json(file) : ag_trace_start(file);
    if (r != 0)
        return r;
    bool whole = wait_for(q, seconds * 1000000000);
    r = ag_trace_stop();
    if (!whole)
        return -ECANCELED;
    /* With gaps is better than nothing; that the world has ended meanwhile is no error. */
    return r == -ENOBUFS ? 0 : r;
}

static int answer(const ag__question *q, FILE *out, bool json) {
    int64_t seconds = ag__question_number(q, "seconds", 1);
    if (ag__question_is_given_up(q) || seconds < 0 || seconds > SECONDS_MAX)
        return -EINVAL;
    FILE *file = tmpfile();
    if (!file)
        return -ENOMEM;
    int r = record(q, file, json, seconds);
    if (r == 0)
        r = copy(file, out);
    fclose(file);
    return r;
}

int ag__ask_pprof_trace(const ag__question *q, FILE *out) {
    return answer(q, out, false);
}

int ag__ask_trace(const ag__question *q, FILE *out) {
    const char *format = ag__question_text(q, "format");
    bool json = !format || strcmp(format, "json") == 0;
    if (!json && strcmp(format, "go") != 0)
        return -EINVAL;
    if (!json)
        ag__question_set_type(q, "application/octet-stream");
    return answer(q, out, json);
}
