/* SPDX-License-Identifier: MIT */
/*
 * ask_basics.c - the answers that are there in every program: the list of what can be asked, the
 * goroutines as text, the counters. Each is a few lines around what dump.c offers; what needs more
 * lives beside what it is about, with a line in ask.def.
 */
#include "debug/ask.h"
#include "sched/sched.h"
#include <aglet/debug.h>

int ag__ask_list(const ag__question *q, FILE *out) {
    (void)q;
    int n;
    const ag__answer *all = ag__answers(&n);
    int width = 0;
    for (int i = 0; i < n; i++) {
        int length = snprintf(NULL, 0, "%s", all[i].path);
        width = length > width ? length : width;
    }
    for (int i = 0; i < n; i++)
        fprintf(out, "%-*s  %s\n", width, all[i].path, all[i].about);
    return 0;
}

int ag__ask_goroutines(const ag__question *q, FILE *out) {
    int64_t id = ag__question_number(q, "id", 0);
    if (ag__question_is_given_up(q))
        return 0;
    if (ag__question_text(q, "id"))
        return ag_dump_goroutine(out, id);
    int64_t debug = ag__question_number(q, "debug", 0);
    ag_dump_as(out, debug >= 2 ? AG_DUMP_EACH : debug == 1 ? AG_DUMP_GROUPS : AG_DUMP_AUTO);
    return 0;
}

int ag__ask_stats(const ag__question *q, FILE *out) {
    (void)q;
    ag_stats s;
    ag_stats_read(&s);
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {
        {"pid", ag__os_pid()},          {"goroutines", s.goroutines}, {"created", s.created},
        {"threads", s.threads},         {"procs", s.procs},           {"handed_on", s.handed_on},
        {"stolen", s.stolen},           {"stacks", s.stacks},         {"polls", s.polls},
        {"stack_bytes", s.stack_bytes}, {"now_ns", ag__os_now()},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fprintf(out, "%s\"%s\": %lld", i ? ",\n  " : "{\n  ", rows[i].name,
                (long long)rows[i].value);
    fprintf(out, "\n}\n");
    return 0;
}
