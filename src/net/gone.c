/* SPDX-License-Identifier: MIT */
/*
 * gone.c - a context that ends when the peer of a connection goes.
 *
 * The poller watches every connection for its end anyway, so this costs a pointer in its record
 * and nothing while nothing happens. TCP does not tell a peer that has closed from one that has
 * only ended its sending; what tells them apart as well as anything can is whether the end came
 * with data that was still to be answered.
 *
 * The record owns a reference of the context; the event that takes the context out, or the close,
 * drops it.
 */
#include "ctx/ctx.h"
#include "net/net.h"
#include <errno.h>

enum { GOODBYE_MAX = 40 };

static bool is_over(int fd, bool before) {
    return ag__sock_peer_is_gone(fd, false) || (!before && ag__sock_peek(fd) == 0);
}

static void over(ag__m *m, void *ctx) {
    ag__ctx_end(m, ctx, -ECANCELED, -ECONNRESET);
    ag_unref(ctx);
}

static const ag__pd_end end = {is_over, over};

/* The same with a layer, whose goodbye comes before the end and is not read yet. What a program
 * sends is hardly that short: an empty request of HTTP/1.0 is not, an alert of TLS is. */
static bool is_over_layered(int fd, bool before) {
    char bytes[GOODBYE_MAX + 1];
    return ag__sock_peer_is_gone(fd, false) ||
           (!before && ag__sock_look(fd, bytes, sizeof bytes) <= GOODBYE_MAX);
}

static const ag__pd_end end_layered = {is_over_layered, over};

void ag__conn_forget_gone(ag_conn *c) {
    ag_unref(ag__pd_on_end(c->pd, &end, NULL));
}

int ag_conn_cancel_when_gone(ag_conn *c, ag_ctx *ctx) {
    int r = ag__gate_enter(&c->gate);
    if (r != 0)
        return r;
    const ag__pd_end *which = ag__conn_layer(c) ? &end_layered : &end;
    ag_unref(ag__pd_on_end(c->pd, which, ctx == ag_ctx_background() ? NULL : ag_ref(ctx)));
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return 0;
}
