/* SPDX-License-Identifier: MIT */
/*
 * A record is one write in append mode, so records of any number of goroutines and processes stand
 * one behind the other, and none is torn.
 */
#include "audit.h"
#include "order.h"

#include <aglet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int audit_open(const char *db, struct audit *ret_audit) {
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s.audit", db) >= sizeof name)
        return -ENAMETOOLONG;
    int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        int err = -errno;
        ag_logf(AG_LOG_ERROR, "cannot open %s: %s; see --db", name, strerror(-err));
        return err;
    }
    ret_audit->fd = fd;
    return 0;
}

static const char *or_null(const char *text) {
    return *text ? text : NULL;
}

static char *record_text(const struct audit_record *r) {
    char time[ORDER_TIME_BYTES];
    json_t *json = json_pack("{s:s, s:s, s:I, s:s*, s:s*, s:s*, s:i}", "time",
                             order_time(r->time_ms, time), "event", r->event, "order",
                             (json_int_t)r->order, "by", or_null(r->by), "from", or_null(r->from),
                             "request", or_null(r->request), "process", ag_process_pid(NULL));
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

void audit_write(struct audit *a, const struct audit_record *r) {
    char *text = record_text(r);
    ag_defer(free, text);
    size_t n = text ? strlen(text) : 0;
    const struct iovec line[] = {{text, n}, {"\n", 1}};
    if (!text || writev(a->fd, line, 2) != (ssize_t)n + 1)
        ag_log_error("an audit record could not be written", ag_kv("event", r->event),
                     ag_kv("order", r->order), ag_kv("record", (const char *)text));
}

void audit_close(struct audit *a) {
    ag_blocking(fdatasync, a->fd);
    close(a->fd);
}
