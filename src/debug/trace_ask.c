/* SPDX-License-Identifier: MIT */
/*
 * trace_ask.c - traces over HTTP and the socket: /debug/pprof/trace as Go has it, /debug/trace for
 * more. The file is a temporary one until the trace is complete, for `out` may be somebody who
 * wants to be written to by the thread that asked, and who reads slowly.
 */
#include "debug/ask.h"
#include "debug/trace.h"
#include <aglet/time.h>
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

typedef ag__teller *(*teller_fn)(FILE *out);

static int record(const ag__question *q, FILE *file, teller_fn teller, int64_t seconds) {
    int64_t since = ag__question_number(q, "since", INT64_MIN);
    if (seconds == 0)
        return ag__trace_snapshot(teller, file, since);
    int r = ag__trace_start(teller, file);
    if (r != 0)
        return r;
    bool whole = ag__question_sleep(q, seconds * AG_SEC);
    r = ag_trace_stop();
    if (!whole)
        return -ECANCELED;
    /* With gaps is better than nothing; that the world has ended meanwhile is no error. */
    return r == -ENOBUFS ? 0 : r;
}

static int answer(const ag__question *q, FILE *out, teller_fn teller) {
    int64_t seconds = ag__question_number(q, "seconds", 1);
    (void)ag__question_number(q, "since", 0);
    if (ag__question_is_given_up(q) || seconds < 0 || seconds > SECONDS_MAX)
        return -EINVAL;
    FILE *file = tmpfile();
    if (!file)
        return -ENOMEM;
    int r = record(q, file, teller, seconds);
    if (r == 0)
        r = copy(file, out);
    fclose(file);
    return r;
}

int ag__ask_pprof_trace(const ag__question *q, FILE *out) {
    return answer(q, out, ag__tell_go);
}

int ag__ask_trace(const ag__question *q, FILE *out) {
    static const struct {
        const char *name;
        teller_fn teller;
        const char *type;
    } formats[] = {{"json", ag__tell_json, NULL},
                   {"lanes", ag__tell_lanes, NULL},
                   {"go", ag__tell_go, "application/octet-stream"}};
    const char *format = ag__question_text(q, "format");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (format ? strcmp(format, formats[i].name) != 0 : i > 0)
            continue;
        if (formats[i].type)
            ag__question_set_type(q, formats[i].type);
        return answer(q, out, formats[i].teller);
    }
    return -EINVAL;
}
