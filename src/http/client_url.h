/* SPDX-License-Identifier: MIT */
/*
 * URLs of http and https, read strictly: what comes out can be written into a request as it is.
 */
#ifndef AG_HTTP_CLIENT_URL_H
#define AG_HTTP_CLIENT_URL_H

#include "http/chars.h"

enum { AG__URL_MAX = 65536 };

/* A URL. The zero value is empty, for ag__url_done. Not copyable. Owns `text`, into which the
   slices point. */
typedef struct ag__url {
    char *text;         /* scheme://host[:port]/path[?query], ended by a NUL; scheme and host in
                           lower case, no default port */
    ag__http_text host; /* in lower case; an IPv6 address keeps its brackets */
    ag__http_text authority; /* host, with the port unless it is the scheme's: the field Host */
    ag__http_text path;      /* begins with '/' */
    ag__http_text target;    /* path and query */
    ag__http_text user;      /* of "user:password@", as it stands there, escaped; else p is NULL */
    uint16_t port;           /* never 0 */
    bool tls;
} ag__url;

/*
 * Reads an absolute URL. In path and query, bytes that may not stand there are escaped; control
 * characters are refused, and so is a '%' in the path that is no escape. A fragment is dropped.
 * Returns: 0; -EINVAL, -EPROTONOSUPPORT for another scheme, -ENOMEM; *ret_why (a constant) says
 * why, and *ret_url is empty.
 */
int ag__url_parse(const char *s, ag__url *ret_url, const char **ret_why);

/* The same for a reference, as Location has it, which may be relative to `base` (RFC 3986 5.2). */
int ag__url_resolve(const ag__url *base, const char *s, ag__url *ret_url, const char **ret_why);

void ag__url_done(ag__url *u);

/* Whether what is meant for the one may be told the other: the same host, the same port, or both
   the default ones, and not from https to http. */
bool ag__url_trusts(const ag__url *from, const ag__url *to);

/* "Basic …" of escaped user:password; malloc'ed, NULL when out of memory. */
char *ag__url_basic(ag__http_text user);

#endif
