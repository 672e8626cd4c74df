/* SPDX-License-Identifier: MIT */
/*
 * What the tests of metrics share: all metrics as text, and the value of one sample.
 */
#ifndef CONFORMANCE_METRIC_TEXT_H
#define CONFORMANCE_METRIC_TEXT_H

#include "ag_test.h"
#include <aglet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All metrics as text; the caller frees it. */
static inline char *metrics(int format) {
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    ag_check_int(ag_metrics_write(out, format), 0);
    fclose(out);
    return text;
}

/* The value behind `name{labels} `, as text; "" if there is no such sample. */
static inline const char *value_of(const char *text, const char *sample) {
    static _Thread_local char value[64];
    size_t n = strlen(sample);
    value[0] = 0;
    for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (strncmp(p, sample, n) == 0 && p[n] == ' ')
            snprintf(value, sizeof value, "%.*s", (int)strcspn(p + n + 1, "\n"), p + n + 1);
    return value;
}

#endif
