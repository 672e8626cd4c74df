/* SPDX-License-Identifier: MIT */
/*
 * One request: from its parsed head to the end of its response.
 *
 * The route is looked up, the filters and the handler run, what is left of the body is dropped or
 * the connection ends, and what was asked to run after the response runs. Responses are collected
 * in the output buffer; they are sent before a handler that is not known to be fast, so that no
 * client waits for the answer to its first request until its second is done. Known means: the last
 * AG__HTTP_FAST_RUNS times; a handler that waits now and then never gets there.
 *
 * Clock: one look when the request has been read, one when it is answered; of requests that came
 * together, the second look is the next one's first.
 */
#include "http/server.h"

#include <aglet/defer.h>
#include <aglet/run.h>
#include <aglet/trace.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Handlers for what no route has --------------------------------------------------------- */

static void not_found(ag_http_request *req, ag_http_response *res) {
    if (req->w->head.form == AG__FORM_ASTERISK)
        ag_http_status(res, 204);
    else
        ag_http_error(res, 404, "404 page not found");
}

static void bad_method(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "Allow", req->last_arg);
    ag_http_error(res, 405, "Method Not Allowed");
}

static void unclean(ag_http_request *req, ag_http_response *res) {
    ag_http_redirect(res, 307, req->last_arg);
}

static void no_memory(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_error(res, 500, "out of memory");
}

/* ---- Routing -------------------------------------------------------------------------------- */

enum { ALLOW_MAX = 256 };

static char *allowed(ag__http_work *w, ag__http_text host, ag__http_text path, char *scratch) {
    char *allow = ag__http_arena(w, ALLOW_MAX);
    if (!allow)
        return NULL;
    int64_t n =
        ag__http_router_allow(w->s->router, host, path, scratch, path.n + 2, allow, ALLOW_MAX - 1);
    allow[n < 0 ? 0 : n] = 0;
    return allow;
}

/* The clean path with the query of the request. */
static char *redirected(ag__http_work *w, ag__http_text location) {
    ag__http_text query = ag__http_at(w->req.base, w->head.query);
    char *to = ag__http_arena(w, location.n + query.n + 2);
    if (!to)
        return NULL;
    memcpy(to, location.p, location.n);
    size_t n = location.n;
    if (w->head.has_query) {
        to[n++] = '?';
        memcpy(to + n, query.p, query.n);
        n += query.n;
    }
    to[n] = 0;
    return to;
}

static void set_last(ag_http_request *req, ag_http_handler handler, void *arg) {
    req->last = arg ? handler : no_memory;
    req->last_arg = arg;
}

/* Finds what is to run. Returns: the route's entry, NULL if there is none. */
static ag__http_route_entry *find_route(ag__http_work *w) {
    ag_http_request *req = &w->req;
    ag__http_text method = ag__http_at(req->base, w->head.method);
    ag__http_text host = ag__http_at(req->base, w->head.host);
    ag__http_text path = ag__http_route_path(&w->head, req->base);
    char *scratch = ag__http_arena(w, path.n + 2);
    req->pattern = "";
    if (!scratch) {
        set_last(req, no_memory, NULL);
        return NULL;
    }
    switch (ag__http_route(w->s->router, method, host, path, scratch, path.n + 2, &req->match)) {
    case AG__ROUTE_FOUND: {
        ag__http_route_entry *e = req->match.handler;
        req->pattern = req->match.pattern->source;
        req->last = e->handler;
        req->last_arg = e->arg;
        return e;
    }
    case AG__ROUTE_REDIRECT:
        set_last(req, unclean, redirected(w, req->match.location));
        break;
    case AG__ROUTE_BAD_METHOD:
        set_last(req, bad_method, allowed(w, host, path, scratch));
        break;
    default:
        req->last = not_found;
        req->last_arg = NULL;
    }
    req->match.value_count = 0;
    req->match.pattern = NULL;
    return NULL;
}

/* ---- Running -------------------------------------------------------------------------------- */

void ag_http_next(ag_http_request *req, ag_http_response *res) {
    const ag_http_server *s = req->w->s;
    void *outer = req->arg;
    if (req->filter < s->filter_count) {
        uint32_t i = req->filter++;
        req->arg = s->filters[i].arg;
        s->filters[i].fn(req, res);
    } else if (req->last) {
        ag_http_handler last = req->last;
        req->last = NULL; /* a filter that calls next twice */
        req->arg = req->last_arg;
        last(req, res);
    }
    req->arg = outer;
}

/* What the client did wrong with its body, if the handler has left that to us. What it has made of
   half a body is no success. */
static void answer_body_error(ag__http_work *w) {
    const ag_http_request *req = &w->req;
    if (!req->body_error || w->res.mode > AG__MODE_BUFFER || w->res.status >= 300)
        return;
    switch (req->body_error) {
    case -EMSGSIZE:
        ag_http_error(&w->res, 413, "%s", ag__http_reason(AG__BAD_BODY_TOO_LARGE));
        break;
    case -EPROTO:
        ag_http_error(&w->res, ag__http_status(req->body_verdict), "%s",
                      ag__http_reason(req->body_verdict));
        break;
    case -ETIMEDOUT:
        ag_http_error(&w->res, 408, "the body did not come in time");
        break;
    default:
        w->res.close = true;
    }
}

bool ag__http_must_close(const ag__http_work *w) {
    return ag_http_stopping(w->s) || (w->answering && ag__http_body_is_long(w));
}

/* Also when the client has gone: what it has asked for was done, and is to be followed up. */
static void run_later(ag__http_work *w) {
    /* The end of our side may be the end of the response. */
    if (w->wire->flush(w) == 0 && w->res.close && w->wire->major == 1)
        ag_conn_shutdown(w->hc->c, AG__SHUT_SENDING);
    for (ag__http_later *l = w->req.later; l; l = l->link) {
        typedef void (*six)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t);
        ((six)l->fn)(l->args[0], l->args[1], l->args[2], l->args[3], l->args[4], l->args[5]);
    }
}

static void request_begin(ag__http_work *w, uint32_t head_n) {
    ag_http_request *req = &w->req;
    req->base = w->in + w->at;
    req->head_n = head_n;
    req->user = req->arg = NULL;
    req->filter = 0;
    req->received_at = w->now;
    req->later = NULL;
    req->later_end = &req->later;
    ag__http_body_begin(w, head_n);
    ag__http_response_begin(w);
    w->answering = true;
    atomic_store_explicit(&w->goroutine, ag_id(), AG__RELAXED);
}

/* After the response: the body's rest, and where the next request begins. */
static void request_end(ag__http_work *w) {
    ag_http_request *req = &w->req;
    w->answering = false;
    if (req->later)
        run_later(w);
    atomic_store_explicit(&w->goroutine, 0, AG__RELAXED);
    if (!req->body_done)
        w->wire->end(w);
    ag__http_arena_reset(w);
}

/* Its writing takes some milliseconds, for which the client has not to wait. */
static void tell_slow(ag__http_work *w, ag_time ns) {
    const char *pattern = w->req.pattern;
    if (w->wire->flush(w) == 0)
        ag_trace_keep("slow request: %s took %lld ms", *pattern ? pattern : "(no route)",
                      (long long)(ns / AG_MS));
}

static void account(ag__http_work *w, ag_time ns) {
    ag__http_count_request(w, w->res.status, ns);
    if (ns > w->s->opt.slow_ns)
        tell_slow(w, ns);
}

static void note_speed(ag__http_route_entry *e, bool fast) {
    uint8_t runs = atomic_load_explicit(&e->fast, AG__RELAXED);
    uint8_t now = !fast ? 0 : runs < AG__HTTP_FAST_RUNS ? runs + 1 : runs;
    if (now != runs)
        atomic_store_explicit(&e->fast, now, AG__RELAXED);
}

void ag__http_answer(ag__http_work *w, uint32_t head_n) {
    ag_http_request *req = &w->req;
    request_begin(w, head_n);
    ag__http_route_entry *e = find_route(w);
    /* A stream may have waited for its turn. */
    ag_time began = w->wire->major == 1 ? req->received_at : w->stream.turn;
    w->fast = !e || atomic_load_explicit(&e->fast, AG__RELAXED) >= AG__HTTP_FAST_RUNS;
    if (w->out_n && !w->fast)
        ag__http_flush_out(w);
    ag__http_run(w);
    answer_body_error(w);
    w->now = ag_now();
    ag__http_response_end(w);
    ag_time ns = w->now - req->received_at;
    if (!w->taken)
        account(w, ns);
    if (e)
        note_speed(e, w->now - began <= AG__HTTP_FAST);
    request_end(w);
}

void ag__http_refuse(ag__http_work *w, int status, const char *reason) {
    ag_http_response *res = &w->res;
    if (!w->answering) {
        w->head.method_id = AG__METHOD_OTHER;
        w->head.minor = 1;
        w->head.keep_alive = false;
        ag__http_response_begin(w);
    }
    w->fast = true;
    res->close = true;
    res->head_only = false;
    w->answering = false;
    ag_http_error(res, status, "%s", reason);
    ag__http_response_end(w);
    ag__http_count_request(w, status, 0);
    ag__http_flush_out(w);
    w->then = AG__THEN_LINGER;
}
