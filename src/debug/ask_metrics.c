/* SPDX-License-Identifier: MIT */
/*
 * ask_metrics.c - the metrics of a running program, as Prometheus asks for them.
 */
#include "debug/ask.h"
#include <aglet/metric.h>
#include <errno.h>
#include <string.h>

int ag__ask_metrics(const ag__question *q, FILE *out) {
    const char *format = ag__question_text(q, "format");
    int which = AG_METRICS_PROMETHEUS;
    if (!format)
        which = ag_metrics_format(ag__question_accept(q));
    else if (strcmp(format, "openmetrics") == 0)
        which = AG_METRICS_OPEN;
    else if (strcmp(format, "prometheus") != 0)
        return -EINVAL;
    if (which == AG_METRICS_OPEN)
        ag__question_set_type(q, AG_METRICS_OPEN_TYPE);
    return ag_metrics_write(out, which);
}
