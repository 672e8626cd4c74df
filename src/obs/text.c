/* SPDX-License-Identifier: MIT */
/*
 * text.c - metrics as text: Prometheus' exposition format, 0.0.4, and OpenMetrics 1.0.
 *
 * They differ in the name of a counter (OpenMetrics: without _total in HELP and TYPE), in
 * exemplars, in the end mark, and in that bounds of buckets are written as floating numbers.
 * https://prometheus.io/docs/instrumenting/exposition_formats/ and
 * https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
 *
 * Text of the program is written as UTF-8 whatever it is: what is none becomes U+FFFD.
 */
#include "obs/obs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Numbers and texts. --- */

const char *ag__number_text(char buf[AG__NUMBER_BYTES], double v) {
    if (v != v)
        return "NaN";
    if (__builtin_isinf(v))
        return v > 0 ? "+Inf" : "-Inf";
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, AG__NUMBER_BYTES, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    /* The point of the program's locale, which may be of several bytes. */
    size_t used = 0;
    for (const char *p = buf; *p; p++)
        if ((*p >= '0' && *p <= '9') || strchr("+-e", *p))
            buf[used++] = *p;
        else if (used == 0 || buf[used - 1] != '.')
            buf[used++] = '.';
    buf[used] = 0;
    return buf;
}

size_t ag__utf8_len(const char *p, size_t n) {
    const unsigned char *s = (const unsigned char *)p;
    /* The first byte tells the length, and what the second may be: Unicode, table 3-7. */
    unsigned lo = 0x80, hi = 0xbf;
    size_t len;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        lo = 0xa0;
    if (s[0] == 0xed)
        hi = 0x9f;
    if (s[0] == 0xf0)
        lo = 0x90;
    if (s[0] == 0xf4)
        hi = 0x8f;
    if (n < len || s[1] < lo || s[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

static void put_text(FILE *out, const char *s, bool quoted) {
    for (size_t left = strlen(s); left > 0;) {
        size_t n = ag__utf8_len(s, left);
        if (n == 0)
            fputs("\xef\xbf\xbd", out);
        else if (*s == '\n')
            fputs("\\n", out);
        else if (*s == '\\' || (quoted && *s == '"'))
            fprintf(out, "\\%c", *s);
        else
            fwrite(s, 1, n, out);
        n += n == 0;
        s += n;
        left -= n;
    }
}

static void put_number(FILE *out, double v) {
    char buf[AG__NUMBER_BYTES];
    fputs(ag__number_text(buf, v), out);
}

/* A bound, as the value of `le`. */
static void put_bound(const ag__out *o, double v) {
    char buf[AG__NUMBER_BYTES];
    const char *text = ag__number_text(buf, v);
    bool whole = text[strcspn(text, ".eI")] == 0;
    fprintf(o->file, "%s%s", text, whole && o->open ? ".0" : "");
}

/* --- Families. --- */

void ag__out_head(ag__out *o, const char *name, const char *help, int type) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    int n = (int)strlen(name) - (o->open && type == AG__COUNTER ? (int)strlen("_total") : 0);
    fprintf(o->file, "# HELP %.*s ", n, name);
    put_text(o->file, help, o->open);
    fprintf(o->file, "\n# TYPE %.*s %s\n", n, name, types[type]);
}

static void put_label(ag__out *o, char before, const char *label, const char *value) {
    fprintf(o->file, "%c%s=\"", before, label);
    put_text(o->file, value, true);
    fputc('"', o->file);
}

/* The name, and the labels of s, which may be NULL. Returns what comes before a further label. */
static char put_name(ag__out *o, const char *name, const char *suffix, const struct ag__series *s) {
    char before = '{';
    fprintf(o->file, "%s%s", name, suffix);
    for (int i = 0; s && i < s->family->label_count; i++) {
        put_label(o, before, s->family->labels[i], s->values[i]);
        before = ',';
    }
    return before;
}

/* The end of the labels, and the value. */
static void put_value(ag__out *o, char before, double v) {
    fputs(before == ',' ? "} " : " ", o->file);
    put_number(o->file, v);
}

static void put_exemplar(ag__out *o, struct ag__series *s, int i) {
    if (!o->open || !s)
        return;
    ag__lock_acquire(&s->lock);
    ag__exemplar *at = &s->exemplars[i], e;
    e.wall = at->wall;
    e.value = at->value;
    memcpy(e.request, at->request, sizeof e.request);
    ag__lock_release(&s->lock);
    if (!e.request[0])
        return;
    fputs(" # ", o->file);
    put_label(o, '{', "request_id", e.request);
    fputs("} ", o->file);
    put_number(o->file, e.value);
    fprintf(o->file, " %lld.%03lld", (long long)(e.wall / AG_SEC),
            (long long)(e.wall / AG_MS % 1000));
}

/* counts[i] of n bounds and of +Inf; s may be NULL. */
static void put_histogram(ag__out *o, const char *name, struct ag__series *s, const double *bounds,
                          const int64_t *counts, int n, double sum) {
    int64_t total = 0;
    for (int i = 0; i <= n; i++) {
        char before = put_name(o, name, "_bucket", s);
        fprintf(o->file, "%cle=\"", before);
        if (i < n)
            put_bound(o, bounds[i]);
        else
            fputs("+Inf", o->file);
        fprintf(o->file, "\"} %lld", (long long)(total += counts[i]));
        put_exemplar(o, s, i);
        fputc('\n', o->file);
    }
    put_value(o, put_name(o, name, "_sum", s), sum);
    fputc('\n', o->file);
    char before = put_name(o, name, "_count", s);
    fprintf(o->file, "%s %lld\n", before == ',' ? "}" : "", (long long)total);
}

void ag__out_value(ag__out *o, const char *name, const char *label, const char *value, double v) {
    char before = put_name(o, name, "", NULL);
    if (label) {
        put_label(o, before, label, value);
        before = ',';
    }
    put_value(o, before, v);
    fputc('\n', o->file);
}

void ag__out_histogram(ag__out *o, const char *name, const double *bounds, const int64_t *counts,
                       int n, double sum) {
    put_histogram(o, name, NULL, bounds, counts, n, sum);
}

static void put_series(ag__out *o, struct ag__series *s) {
    const struct ag__family *f = s->family;
    if (f->type == AG__HISTOGRAM) {
        int64_t counts[AG__BOUNDS_MAX + 1];
        for (int i = 0; i <= f->bound_count; i++)
            counts[i] = ag__cells_sum(s->cells.at + i);
        put_histogram(o, f->name, s, f->bounds, counts, f->bound_count,
                      ag__cells_sum_double(s->cells.at + f->bound_count + 1));
        return;
    }
    char before = put_name(o, f->name, "", s);
    if (f->type == AG__GAUGE) {
        put_value(o, before, ag__series_gauge(s));
    } else {
        fprintf(o->file, "%s %lld", before == ',' ? "}" : "",
                (long long)ag__cells_sum(s->cells.at));
        put_exemplar(o, s, 0);
    }
    fputc('\n', o->file);
}

static void put_family(ag__out *o, struct ag__family *f) {
    double v;
    struct ag__series *s = atomic_load_explicit(&f->first, memory_order_acquire);
    if (!atomic_load(&f->def))
        return;
    if (!s && !f->label_count) {
        if (!ag__family_ask(f, &v))
            return;
        ag__out_head(o, f->name, f->help, f->type);
        ag__out_value(o, f->name, NULL, NULL, v);
        return;
    }
    ag__out_head(o, f->name, f->help, f->type);
    for (; s; s = atomic_load_explicit(&s->next, memory_order_acquire))
        put_series(o, s);
}

int ag_metrics_write(FILE *out, int format) {
    if (format != AG_METRICS_PROMETHEUS && format != AG_METRICS_OPEN)
        return -EINVAL;
    AG__TSAN_LOOK_AWAY(); /* as inside: it does not know our locks */
    ag__out o = {out, format == AG_METRICS_OPEN};
    for (struct ag__family *f = ag__families(); f;
         f = atomic_load_explicit(&f->next, memory_order_acquire))
        put_family(&o, f);
    ag__runtime_write(&o);
    if (o.open)
        fputs("# EOF\n", out);
    int r = fflush(out) != 0 || ferror(out) ? -EIO : 0;
    AG__TSAN_LOOK();
    return r;
}

/* --- Which format. --- */

static const char *skip(const char *at) {
    return at + strspn(at, " \t");
}

/* The weight in thousandths that a list's item, up to `end`, gives itself; -1: it is of another
 * version than 1.0.0 or 0.0.4. https://www.rfc-editor.org/rfc/rfc9110#name-quality-values */
static int weight_of(const char *at, const char *end) {
    int weight = 1000;
    while ((at = memchr(at, ';', (size_t)(end - at))) != NULL) {
        at = skip(at + 1);
        if (strncasecmp(at, "q=", 2) == 0) {
            weight = at[2] == '1' ? 1000 : 0;
            for (int i = 4, unit = 100; at[2] == '0' && at[3] == '.' && unit > 0; i++, unit /= 10) {
                if (at[i] < '0' || at[i] > '9')
                    break;
                weight += (at[i] - '0') * unit;
            }
        } else if (strncasecmp(at, "version=", 8) == 0) {
            at += 8;
            at += *at == '"';
            if (strncmp(at, "1.0.0", 5) != 0 && strncmp(at, "0.0.4", 5) != 0)
                return -1;
        }
    }
    return weight;
}

/* The most that `type` has in the list; 0: it is not there. */
static int weight_in(const char *list, const char *type) {
    int most = 0;
    for (const char *at = list, *end; *at; at = *end ? end + 1 : end) {
        at = skip(at);
        end = at + strcspn(at, ",");
        size_t n = strcspn(at, "; \t,");
        if (n != strlen(type) || strncasecmp(at, type, n) != 0)
            continue;
        int weight = weight_of(at, end);
        most = weight > most ? weight : most;
    }
    return most;
}

int ag_metrics_format(const char *accept) {
    int open = accept ? weight_in(accept, "application/openmetrics-text") : 0;
    return open > 0 && open >= weight_in(accept, "text/plain") ? AG_METRICS_OPEN
                                                               : AG_METRICS_PROMETHEUS;
}
