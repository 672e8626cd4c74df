/* SPDX-License-Identifier: MIT */
/*
 * The context of a request: what ends a handler's waits when nobody wants its answer any more.
 *
 *     the server's --- ended by a stop, some time before it cuts
 *        |
 *     a connection's --- ended by the poller when the client goes (ag_conn_cancel_when_gone)
 *        |
 *     current in the handler, one after the other
 *
 * It belongs to the connection, not to the request, so that a request costs no allocation and no
 * word with the poller: it is made and registered by the first request, and each one only borrows
 * it. Measured by cachegrind: 143 instructions, of about 5,000 in user mode that a request costs
 * whose client waits for each answer; ag_ctx_enter, a block with a reference of its own, would be
 * 316. Between requests it stays with its connection.
 *
 * Who has got it from a handler - a goroutine that was started, a context below - may keep it
 * longer than the request. Then the connection lets go of it, and the next request makes a new one:
 * nothing that belongs to a later request ends what an earlier one has left behind. References
 * tell: one is the connection's, one the poller's.
 *
 * The answer must get through even when the context has ended: a half-closed client reads it, and a
 * stop wants it. So a write of the response that is ended by this context goes on without it; the
 * time limits of writes are the socket's.
 *
 * A stream of HTTP/2, which may end before its connection, has a context of its own (h2_stream.c).
 *
 * Refused: a context for each request (an allocation, two list operations in its parent, a call to
 * the poller); a goroutine that reads ahead while the handler runs, as Go has it (a stack for each
 * request); looking at connections from time to time (nothing for short handlers, but a system call
 * for each long one at each look, and the end comes late); making it only when a handler waits (no
 * single place where waits begin, and some hold locks there).
 */
#include "http/server.h"

#include <aglet/ctx.h>
#include <errno.h>

enum { OWN_REFS = 2 };

ag_ctx *ag__http_context_1(ag__http_work *w) {
    ag__http_conn *hc = w->hc;
    if (!hc->ctx) {
        hc->ctx = ag_ctx_with_cancel(hc->s->ctx);
        if (hc->ctx)
            ag_conn_cancel_when_gone(hc->c, hc->ctx);
    }
    return hc->ctx;
}

void ag__http_context_done(ag__http_conn *hc) {
    if (!hc->ctx)
        return;
    ag_conn_cancel_when_gone(hc->c, NULL);
    ag_unref(hc->ctx);
    hc->ctx = NULL;
}

void ag__http_run(ag__http_work *w) {
    w->req.ctx = w->wire->context(w);
    if (!w->req.ctx) {
        ag_http_error(&w->res, 500, "out of memory");
        return;
    }
    ag__ctx_borrow(w->req.ctx);
    ag_http_next(&w->req, &w->res);
    ag__http_context_leave(w);
}

void ag__http_context_leave(ag__http_work *w) {
    if (!w->req.ctx)
        return;
    w->req.ctx = NULL;
    ag__ctx_borrow(NULL);
    w->wire->context_end(w);
}

void ag__http_context_end_1(ag__http_work *w) {
    if (ag__ctx_refs(w->hc->ctx) != OWN_REFS)
        ag__http_context_done(w->hc);
}

ag_ctx *ag_http_ctx(ag_http_request *req) {
    return req->ctx ? req->ctx : ag_ctx_background();
}

/* ---- Writes --------------------------------------------------------------------------------- */

ssize_t ag__http_write_on(ag__http_work *w, struct iovec *iov, int count, int64_t sent,
                          ssize_t error) {
    if (!w->req.ctx || ag_ctx_err(w->req.ctx) == 0)
        return error;
    while (count && (uint64_t)sent >= iov->iov_len) {
        sent -= (int64_t)iov->iov_len;
        iov++;
        count--;
    }
    if (!count)
        return 0;
    iov->iov_base = (char *)iov->iov_base + sent;
    iov->iov_len -= (size_t)sent;
    ag_ctx_enter(NULL);
    return ag_writev(w->hc->c, iov, count);
}
