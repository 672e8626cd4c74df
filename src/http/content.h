/* SPDX-License-Identifier: MIT */
/*
 * What the files for content of known size share: conditions, negotiation, sending.
 */
#ifndef AG_HTTP_CONTENT_H
#define AG_HTTP_CONTENT_H

#include "http/server.h"

#include <aglet/http_file.h>

/* What tells one state of a resource from another. */
typedef struct ag__http_validators {
    ag__http_text etag;  /* "x" or W/"x"; empty: none */
    bool has_date;       /* of Last-Modified: */
    bool date_is_strong; /* it changes with every change */
    int64_t date;        /* seconds */
} ag__http_validators;

enum { AG__COND_GO, AG__COND_NOT_MODIFIED, AG__COND_FAILED };

/* condition.c: evaluates the request's conditions, RFC 9110 13.2.2. Returns: AG__COND_*. */
int ag__http_condition(ag_http_request *req, const ag__http_validators *v);
/* Whether Range counts: it is there, the method is GET, and If-Range holds. Returns: its value. */
bool ag__http_range_counts(ag_http_request *req, const ag__http_validators *v,
                           ag__http_text *ret_range);
/* Strong and weak comparison, RFC 9110 8.8.3.2. */
bool ag__http_etags_match(ag__http_text a, ag__http_text b, bool weakly);

/* accept.c: how much the client likes gzip and no coding, in thousandths; -1: it did not say. */
typedef struct ag__http_codings {
    int gzip, identity;
} ag__http_codings;
void ag__http_codings_accepted(ag_http_request *req, ag__http_codings *ret);
/* Whether an answer should be compressed, if it can be. */
bool ag__http_wants_gzip(ag_http_request *req);
/* Adds Accept-Encoding to Vary, unless it or * is there. Returns: ag_http_set's. */
int ag__http_vary(ag_http_response *res);
/* The value of a field that the handler has set; empty: none. */
ag__http_text ag__http_field_set(const ag_http_response *res, const char *name);
/* type.c: whether content of this type gets smaller by gzip. */
bool ag__http_type_is_text(ag__http_text type);

/* Where the bytes come from. */
typedef struct ag__http_source {
    const char *name;
    int64_t size;
    ag_time modified; /* ag_wall(); 0: not known */
    bool make_etag;   /* of size and time of change */
    const char *etag_end;
    int fd;           /* a file, or -1 */
    const char *data; /* or memory */
    ag_http_read_at fn;
    void *arg;
} ag__http_source;

/* content.c */
int ag__http_serve(ag_http_request *req, ag_http_response *res, const ag__http_source *src);

/* send_file.c: the next n bytes of the body from the file, where it stands, within the kernel. The
   response streams, with a known length. Returns: 0, -EIO when it ends before, ag_http_write's
   errors; -ENOSYS when it can't be done here, and nothing was. */
int ag__http_send_file(ag_http_response *res, int fd, int64_t n);

#endif
