/* SPDX-License-Identifier: MIT */
/*
 * Server-sent events.
 *
 * Two goroutines write: the handler's (or those that it lets send), and one that keeps the
 * connection alive; a mutex makes each event whole. Writes run in the request's context, not in the
 * stream's: a stop ends the stream between two events, and never in the middle of one.
 */
#include "http/server.h"

#include <aglet/defer.h>
#include <aglet/http_events.h>
#include <aglet/run.h>
#include <errno.h>
#include <stdio.h>

#define KEEP_ALIVE (15 * AG_SEC)

/* ---- Writing -------------------------------------------------------------------------------- */

static bool has_break(const char *text) {
    return text && strpbrk(text, "\r\n") != NULL;
}

static int put(ag_http_response *res, const char *field, const char *text, size_t n) {
    ssize_t r = ag_http_write(res, field, strlen(field));
    if (r >= 0)
        r = ag_http_write(res, text, n);
    if (r >= 0)
        r = ag_http_write(res, "\n", 1);
    return r < 0 ? (int)r : 0;
}

/* One field for each line; "\r\n", "\n" and "\r" end one. */
static int put_lines(ag_http_response *res, const char *field, const char *text) {
    for (;;) {
        size_t n = strcspn(text, "\r\n");
        int r = put(res, field, text, n);
        if (r != 0 || !text[n])
            return r;
        text += n + (text[n] == '\r' && text[n + 1] == '\n' ? 2 : 1);
    }
}

struct event {
    const char *id, *event, *data, *comment, *retry;
};

static int write_event(ag_http_response *res, const struct event *v) {
    int r = v->comment ? put_lines(res, ": ", v->comment) : 0;
    if (r == 0 && v->retry)
        r = put(res, "retry: ", v->retry, strlen(v->retry));
    if (r == 0 && v->id)
        r = put(res, "id: ", v->id, strlen(v->id));
    if (r == 0 && v->event)
        r = put(res, "event: ", v->event, strlen(v->event));
    if (r == 0 && v->data)
        r = put_lines(res, "data: ", v->data);
    if (r == 0) {
        ssize_t n = ag_http_write(res, "\n", 1);
        r = n < 0 ? (int)n : ag_http_flush(res);
    }
    return r;
}

/* In the request's context: the stream's may have ended for a stop. */
static int write_outside(ag_http_events *e, const struct event *v) {
    ag_ctx_enter(ag_http_ctx(e->ag__req));
    return write_event(e->ag__res, v);
}

static int send_event(ag_http_events *e, const struct event *v) {
    int r = ag_ctx_err(e->ctx);
    if (r != 0)
        return r;
    ag_mutex_lock(&e->ag__lock);
    ag_defer(ag_mutex_unlock, &e->ag__lock);
    if (e->ag__error == 0)
        e->ag__error = write_outside(e, v);
    e->ag__sent = ag_now();
    return e->ag__error;
}

int ag_http_events_send(ag_http_events *e, const char *id, const char *event, const char *data) {
    const struct event v = {.id = id, .event = event, .data = data};
    return has_break(id) || has_break(event) ? -EINVAL : send_event(e, &v);
}

int ag_http_events_comment(ag_http_events *e, const char *text) {
    const struct event v = {.comment = text};
    return send_event(e, &v);
}

int ag_http_events_retry(ag_http_events *e, ag_time ns) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)(ns > 0 ? ns / AG_MS : 0));
    const struct event v = {.retry = text};
    return send_event(e, &v);
}

/* ---- The stream ----------------------------------------------------------------------------- */

static void keep_alive(ag_http_events *e) {
    ag_defer(ag_wg_done, &e->ag__wg);
    for (;;) {
        ag_mutex_lock(&e->ag__lock);
        ag_time left = e->ag__sent + e->ag__keep_alive - ag_now();
        ag_mutex_unlock(&e->ag__lock);
        if (left > 0 ? ag_sleep(left) != 0 : ag_http_events_comment(e, "") != 0)
            return;
    }
}

static void end_stream(ag_ctx *c) {
    ag_ctx_cancel_cause(c, -ESHUTDOWN);
    ag_unref(c);
}

static int send_head(ag_http_response *res) {
    int r = ag_http_set(res, "Content-Type", "text/event-stream");
    if (r == 0)
        r = ag_http_set(res, "Cache-Control", "no-store");
    if (r == 0)
        r = ag_http_set(res, "X-Accel-Buffering", "no");
    return r != 0 ? r : ag_http_flush(res);
}

void ag__http_events_begin(ag_http_events *e, ag_http_request *req, ag_http_response *res,
                           ag_time keep_alive_ns) {
    const char *last = ag_http_header(req, "Last-Event-ID");
    *e = (ag_http_events){.last_id = last ? last : "",
                          .ctx = ag_ctx_with_cancel(ag_ctx_current()),
                          .ag__req = req,
                          .ag__res = res,
                          .ag__lock = AG_MUTEX_INIT,
                          .ag__wg = AG_WG_INIT,
                          .ag__keep_alive = keep_alive_ns > 0 ? keep_alive_ns : KEEP_ALIVE};
    if (!e->ctx)
        ag_panic("http: out of memory");
    ag__ctx_enter(&e->ag__block, e->ctx);
    e->ag__call = ag_ctx_after(req->w->s->until_stop, end_stream, ag_ref(e->ctx));
    if (!e->ag__call)
        ag_unref(e->ctx);
    e->ag__error = e->ag__call ? send_head(res) : -ENOMEM;
    e->ag__sent = ag_now();
    if (e->ag__error == 0) {
        ag_wg_add(&e->ag__wg, 1);
        if (ag_go(keep_alive, e) < 0) {
            ag_wg_done(&e->ag__wg);
            e->ag__error = -ENOMEM;
        }
    }
}

void ag__http_events_end(ag_http_events *e) {
    if (ag_ctx_call_stop(e->ag__call))
        ag_unref(e->ctx); /* the call's; else it runs, and drops it */
    ag_unref(e->ag__call);
    ag_ctx_cancel(e->ctx);
    ag_wg_wait(&e->ag__wg);
    ag__ctx_leave(&e->ag__block);
    ag_unref(e->ctx);
}
