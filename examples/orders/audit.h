/* SPDX-License-Identifier: MIT */
/*
 * The audit trail: FILE.audit beside the database has a line of JSON for each change of an order,
 * of all processes that write to it. A line comes when there is time for it, and has the time of
 * the change.
 */
#ifndef ORDERS_AUDIT_H
#define ORDERS_AUDIT_H

#include <stdint.h>

struct audit {
    int fd;
};

/* A plain value. The texts at the end may be "". */
struct audit_record {
    const char *event; /* placed, cancelled, shipping, shipped */
    int64_t order;
    int64_t time_ms;   /* since 1970 */
    char by[200];      /* the subject of the client's certificate */
    char from[64];     /* its address */
    char request[130]; /* the request's id */
};

/* Says what is wrong. Returns: 0, a negative errno. */
int audit_open(const char *db, struct audit *ret_audit);
/* By any number of goroutines at a time. Survives the end of the process when it returns, that of
 * the machine after audit_close. A record that can't be written goes to the log. */
void audit_write(struct audit *a, const struct audit_record *r);
void audit_close(struct audit *a);

#endif
