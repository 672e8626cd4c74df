/* SPDX-License-Identifier: MIT */
/*
 * aglet/http_events.h - server-sent events (WHATWG HTML 9.2): a response that goes on. Link with
 * -laglet-http as well.
 *
 *     static void news(ag_http_request *req, ag_http_response *res) {
 *         ag_http_events e;
 *         char text[200];
 *         ag_http_events_begin(&e, req, res, 0);          // until the block ends
 *         while (next_news(e.last_id, text))              // waits; ends with the client
 *             ag_http_events_send(&e, NULL, "news", text);
 *     }
 */
#ifndef AGLET_HTTP_EVENTS_H
#define AGLET_HTTP_EVENTS_H

#include <aglet/http.h>
#include <aglet/sync.h>

AG__BEGIN

/** A stream of events, for the time of its block. Usable when zero: no. Copyable: no. Threads: any
 * goroutine may send while the block lasts. Freed by: the end of the block. */
typedef struct ag_http_events {
    const char *last_id; /* Last-Event-ID: where a client that comes back goes on; "": anew */
    ag_ctx *ctx;         /* the context of the block */
    ag_http_request *ag__req;
    ag_http_response *ag__res;
    ag_mutex ag__lock; /* guards the response */
    ag_ctx_call *ag__call;
    ag_wg ag__wg;
    ag_time ag__sent, ag__keep_alive;
    int ag__error;
    struct ag__ctx_block ag__block;
} ag_http_events;

/**
 * Begins the stream until the enclosing block ends, by whatever way, as for ag_defer: sends the
 * head (text/event-stream, no-store, X-Accel-Buffering: no), and then, whenever nothing was sent
 * for `keep_alive_ns` (0 or less: 15 s), a comment, so that no proxy takes the connection for a
 * dead one and a client that is gone is noticed. In the block the current context is one below the
 * request's that also ends, with -ESHUTDOWN, when the server begins to stop: so every wait ends
 * when there is nobody to send to any more. Waits: for the client. What goes wrong is what the
 * first send returns. Panics: when out of memory for the context.
 */
#define ag_http_events_begin(e, req, res, keep_alive_ns)                                           \
    AG__STATIC_ASSERT(1, "so that it can't be the body of an if or a loop without braces");        \
    ag__http_events_begin((e), (req), (res), (keep_alive_ns));                                     \
    ag_defer(ag__http_events_end, (e))

/**
 * Sends an event at once. `id`: what Last-Event-ID says to get what follows it; `event`: its type;
 * `data`: a text of one or more lines. Each may be NULL: not sent.
 * Waits: for the client. Returns: 0; -EINVAL for a line break in an id or a type; -ECANCELED when
 * the stream's context has ended; ag_http_write's errors.
 */
AG_API int ag_http_events_send(ag_http_events *e, const char *id, const char *event,
                               const char *data);
/** Sends a comment, which clients ignore. Returns: as ag_http_events_send. */
AG_API int ag_http_events_comment(ag_http_events *e, const char *text);
/** Tells the client how long to wait before it comes back. Returns: the same. */
AG_API int ag_http_events_retry(ag_http_events *e, ag_time ns);

/* What the macro uses. */
AG_API void ag__http_events_begin(ag_http_events *e, ag_http_request *req, ag_http_response *res,
                                  ag_time keep_alive_ns);
AG_API void ag__http_events_end(ag_http_events *e);

AG__END
#endif
