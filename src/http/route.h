/* SPDX-License-Identifier: MIT */
/*
 * The router: patterns (pattern.h) compiled into a tree, and the look-up of a request in it.
 *
 * Register first, serve then: a router must not change while it is searched. Searching allocates
 * nothing and may be done by any number of threads at a time.
 */
#ifndef AG_HTTP_ROUTE_H
#define AG_HTTP_ROUTE_H

#include "http/pattern.h"

typedef struct ag__http_router ag__http_router;

/* Limit: at most `route_max` patterns. Returns: NULL if there is no memory. */
ag__http_router *ag__http_router_new(uint32_t route_max);

/* NULL is accepted. The handlers are the caller's. */
void ag__http_router_free(ag__http_router *r);

/* Registers `handler`, not NULL, for `pattern`, which is copied.
   Returns: 0, -EINVAL (malformed), -EEXIST (in conflict with a pattern that is there), -ENOSPC
   (more than route_max), -ENOMEM; ag__http_router_message() says more. The router then matches what
   it matched before. */
int ag__http_router_add(ag__http_router *r, const char *pattern, void *handler);

/* What was wrong with the last pattern that was not accepted; names the other one, if any. */
const char *ag__http_router_message(const ag__http_router *r);

enum ag__http_route_result {
    AG__ROUTE_FOUND,
    AG__ROUTE_REDIRECT,   /* 307 to `location`, with the query appended */
    AG__ROUTE_NOT_FOUND,  /* 404 */
    AG__ROUTE_BAD_METHOD, /* 405 with ag__http_router_allow() */
};

/* Slices lie in the path that was searched. May be copied. */
typedef struct ag__http_match {
    void *handler;                           /* FOUND */
    const ag__http_pattern *pattern;         /* FOUND; lives as long as the router */
    ag__http_text location;                  /* REDIRECT; lies in `scratch` */
    uint32_t value_count;                    /* FOUND: how many of `values` are there */
    bool exact;                              /* FOUND: no {...} matched more than nothing */
    ag__http_text values[AG__WILDCARDS_MAX]; /* in the pattern's order, still escaped */
} ag__http_match;

/*
 * Looks up a request. `host` has no port and any case; `path` is escaped and may be unclean;
 * `scratch` has room for path.n + 2 bytes. As in Go, an unclean path is redirected to the clean
 * one, "/a" to "/a/" where only that is registered; a pattern with a host wins, then the most
 * specific one; HEAD is served by GET. Returns: enum ag__http_route_result, or -ENOBUFS if
 * `scratch` is too small. An empty path, CONNECT has one, is not found.
 */
int ag__http_route(const ag__http_router *r, ag__http_text method, ag__http_text host,
                   ag__http_text path, char *scratch, size_t scratch_size,
                   ag__http_match *ret_match);

/* The methods that are registered for the path, "GET, HEAD, POST", as much of the list as fits; not
   ended by a NUL. `scratch` as above. Returns: its length, or -ENOBUFS if `scratch` is too small.
 */
int64_t ag__http_router_allow(const ag__http_router *r, ag__http_text host, ag__http_text path,
                              char *scratch, size_t scratch_size, char *dst, size_t size);

/* The value of a wildcard, still escaped. Returns: false if the pattern has no such name. */
bool ag__http_match_value(const ag__http_match *m, const char *name, ag__http_text *ret_value);

#endif
