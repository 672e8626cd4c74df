/* SPDX-License-Identifier: MIT */
/*
 * prof_ask.c - the profiles as answers at Go's paths, /debug/pprof/NAME, so that
 * `go tool pprof http://HOST/debug/pprof/heap` and what else knows Go's servers works.
 *
 *   ?seconds=N   what happens in the next N seconds: of the CPU profile how long, 30 if not given;
 *                of the others what is there at the end less what was there at the beginning
 *   ?debug=1     as text; of goroutines ?debug=2 is the dump, of goroutineleak that of those which
 *                leak
 *   ?format=json for the pages; see prof_json.c
 *
 * An answer that takes time looks every now and then whether its client is still there. The CPU
 * profile is one for the process: who comes second is told so.
 */
#include "debug/ask.h"
#include "debug/detect.h"
#include "debug/prof.h"
#include <aglet/debug.h>
#include <aglet/time.h>
#include <errno.h>
#include <string.h>

enum { CPU_SECONDS = 30, SECONDS_MAX = 3600, HZ_MAX = 1000 };

static const char folder[] = "/debug/pprof/";

/* In p what happens in the next seconds. */
static int gather_span(const ag__question *q, const ag__prof_source *source, ag__prof *p,
                       int64_t seconds) {
    int64_t wall = ag__os_wall(), began = ag__os_now();
    int r = source->gather(p, -1);
    if (r != 0)
        return r;
    if (!ag__question_sleep(q, seconds * AG_SEC))
        return -EPIPE;
    r = source->gather(p, 1);
    ag__prof_set_time(p, wall, ag__os_now() - began);
    return r;
}

static int answer(const ag__question *q, const ag__prof_source *source, int64_t seconds,
                  FILE *out) {
    int64_t debug = ag__question_number(q, "debug", 0);
    const char *format = ag__question_text(q, "format");
    bool as_json = format && strcmp(format, "json") == 0;
    if (format && !as_json)
        return -EINVAL;
    ag__prof *p = ag__prof_new(source->kind);
    if (!p)
        return -ENOMEM;
    int r = seconds > 0 ? gather_span(q, source, p, seconds) : source->gather(p, 1);
    if (r == 0 && as_json)
        ag__question_set_type(q, "application/json");
    if (r == 0)
        return as_json ? ag__prof_end_with(p, ag__prof_json, out) : ag__prof_end(p, debug > 0, out);
    ag__prof_free(p);
    return r;
}

static int dump_leaks(const ag__question *q, FILE *out) {
    ag__look l;
    ag__detect_now(&l);
    for (int i = 0; i < l.count && !ag__question_is_given_up(q); i++)
        if (!l.nodes[i].goes_on)
            ag_dump_goroutine(out, l.nodes[i].id);
    ag__look_free(&l);
    return 0;
}

int ag__ask_pprof(const ag__question *q, FILE *out) {
    const char *name = ag__question_path(q) + sizeof folder - 1;
    int64_t seconds = ag__question_number(q, "seconds", 0);
    const ag__prof_source *source = ag__prof_find(name);
    if (!source || seconds < 0 || seconds > SECONDS_MAX)
        return source ? -EINVAL : -ENOENT;
    if (ag__question_number(q, "debug", 0) == 2 && source->kind == &ag__prof_goroutine) {
        ag_dump_as(out, AG_DUMP_EACH);
        return 0;
    }
    if (ag__question_number(q, "debug", 0) == 2 && source->kind == &ag__prof_goroutineleak)
        return dump_leaks(q, out);
    if (ag__question_is_given_up(q))
        return 0;
    int r = answer(q, source, seconds, out);
    if (source->kind == &ag__prof_heap || source->kind == &ag__prof_allocs)
        ag__question_set_reason(q, ag__prof_heap_why(r));
    return r;
}

int ag__ask_pprof_cpu(const ag__question *q, FILE *out) {
    int64_t seconds = ag__question_number(q, "seconds", CPU_SECONDS);
    int64_t hz = ag__question_number(q, "hz", 0);
    if (seconds < 1 || seconds > SECONDS_MAX || hz < 0 || hz > HZ_MAX)
        return -EINVAL;
    if (ag__question_is_given_up(q))
        return 0;
    int r = ag_profile_start((int)hz);
    if (r != 0)
        return r;
    bool there = ag__question_sleep(q, seconds * AG_SEC);
    ag_profile_stop();
    return there ? answer(q, ag__prof_find("profile"), 0, out) : -EPIPE;
}

int ag__ask_pprof_index(const ag__question *q, FILE *out) {
    (void)q;
    int n;
    const ag__prof_source *all = ag__prof_sources(&n);
    fprintf(out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Profiles"
                 "</title>\n<h1>Profiles</h1>\n<ul>\n");
    for (int i = 0; i < n; i++)
        fprintf(out, "<li><a href=\"%s%s?debug=1\">%s</a> %s\n", folder, all[i].kind->name,
                all[i].kind->name, all[i].about);
    fprintf(out, "</ul>\n<p>go tool pprof http://HOST%sNAME\n</html>\n", folder);
    return 0;
}

/* The arguments of the program, each with a zero byte behind it, as pprof shows them. */
int ag__ask_pprof_cmdline(const ag__question *q, FILE *out) {
    (void)q;
    char text[512];
    FILE *in = fopen("/proc/self/cmdline", "re");
    if (!in)
        return -ENOENT;
    for (size_t n; (n = fread(text, 1, sizeof text, in)) > 0;)
        fwrite(text, 1, n, out);
    fclose(in);
    return 0;
}
