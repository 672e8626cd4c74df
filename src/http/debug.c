/* SPDX-License-Identifier: MIT */
/*
 * debug.c - the handler for programs with a server of their own that want /debug/ there, too. It
 * carries a question to ag_debug_answer and the answer back, piece by piece, and leaves to
 * ag_debug_admit who may ask. A client that goes away is noticed when a piece can't be sent, and
 * while a profile or a trace is made for it; an answer that broke off by itself ends the connection
 * without its last chunk, by a panic.
 */
#include <aglet/debug.h>
#include <aglet/defer.h>
#include <aglet/http.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct way {
    ag_http_request *req;
    ag_http_response *res;
    bool is_lost; /* the client has gone, or takes no more */
};

static int begin(void *arg, int status, const char *content_type) {
    struct way *w = arg;
    ag_http_status(w->res, status);
    int r = ag_http_set(w->res, "Content-Type", content_type);
    w->is_lost = r != 0;
    return r;
}

static int go_on(void *arg, const void *data, size_t n) {
    struct way *w = arg;
    ssize_t r = ag_http_write(w->res, data, n);
    w->is_lost = r < 0;
    return r < 0 ? (int)r : 0;
}

static bool is_gone(void *arg) {
    struct way *w = arg;
    w->is_lost = w->is_lost || ag_http_client_is_gone(w->req);
    return w->is_lost;
}

/* The fields that must not be there twice: two of them are none that would be let in. */
static const char *only(ag_http_request *req, const char *name) {
    const char *found = NULL, *at, *value;
    for (size_t i = 0; ag_http_header_at(req, i, &at, &value); i++)
        if (strcasecmp(at, name) == 0)
            found = found ? "twice" : value;
    return found;
}

static void caller_of(ag_http_request *req, ag_debug_caller *c) {
    static const char *const forwarded[] = {"Forwarded", "X-Forwarded-For", "Via"};
    *c = (ag_debug_caller){.method = ag_http_method(req),
                           .remote = ag_http_remote(req),
                           .host = only(req, "Host"),
                           .origin = only(req, "Origin"),
                           .fetch_site = only(req, "Sec-Fetch-Site"),
                           .authorization = only(req, "Authorization")};
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded && !c->forwarded; i++)
        c->forwarded = ag_http_header(req, forwarded[i]);
}

void ag_http_debug(ag_http_request *req, ag_http_response *res) {
    ag_debug_caller caller;
    const char *why, *name, *value, *query = ag_http_query(req);
    for (size_t i = 0; ag_debug_header_at(i, &name, &value); i++)
        (void)ag_http_set(res, name, value);
    caller_of(req, &caller);
    int status = ag_debug_admit(&caller, &why);
    if (status == 401)
        (void)ag_http_set(res, "WWW-Authenticate", "Basic realm=\"aglet\"");
    if (status != 0) {
        (void)ag_http_text(res, status, why);
        return;
    }
    char target[2100];
    int n =
        snprintf(target, sizeof target, "%s%s%s", ag_http_path(req), query[0] ? "?" : "", query);
    if ((size_t)n >= sizeof target) {
        (void)ag_http_text(res, 400, "the question is too long\n");
        return;
    }
    struct way way = {req, res, false};
    const ag_debug_client client = {&way, begin, go_on, is_gone};
    int r = ag_debug_answer_to(target, ag_http_header(req, "Accept"), &client);
    if (r == -ENOMEM && ag_http_bytes_so_far(res) == 0)
        (void)ag_http_text(res, 503, "there is no memory for the answer\n");
    else if (r < 0 && !way.is_lost)
        ag_panic("the answer to %.200s broke off: error %d", target, -r);
}
