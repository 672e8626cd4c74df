/* SPDX-License-Identifier: MIT */
/*
 * Connections that a handler takes over from the server.
 *
 *     RUNNING --upgrade--> UPGRADED --handler returned, and closed--> lingers like a refused one
 *
 * The connection stays in a list of the server's, so that a stop can tell whoever has it, wait and
 * cut; the server touches nothing else of it. Two hold it: the run whose handler took it, because
 * the request is valid until that returns, and the taker. Who lets go last gives it back.
 *
 * Bytes that were read with the request's head are copied: the work's buffers go back to the pool
 * when the handler returns.
 *
 * A stop starts the taker's function in a goroutine. The memory that it uses is the taker's, so
 * giving the connection up waits until it has returned.
 */
#include "http/server.h"

#include <aglet/defer.h>
#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ag_http_upgraded {
    ag__http_conn *hc; /* Constant. */
    /* Guarded by the server's lock. */
    ag__fn fn; /* NULL: nothing to tell */
    bool told; /* it was started; once */
    intptr_t args[6];
    const struct ag__site *site;
    ag_wg telling; /* The function that runs; nothing is added once hc->upgraded is NULL. */
    /* Owner only. */
    size_t at, n; /* early[at..n): not read yet */
    char early[];
};

/* ---- Taking --------------------------------------------------------------------------------- */

/* A protocol name as in RFC 9110 7.8: token, perhaps "/" and a version. */
static bool is_protocol(const char *name) {
    size_t n = strlen(name);
    if (!n || n > 64)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!ag__http_is(name[i], AG__CH_TOKEN) && (name[i] != '/' || i == 0 || i == n - 1))
            return false;
    return true;
}

static bool same_protocol(ag__http_text offered, const char *name) {
    if (offered.n != strlen(name))
        return false;
    for (size_t i = 0; i < offered.n; i++)
        if (ag__http_lower(offered.p[i]) != ag__http_lower(name[i]))
            return false;
    return true;
}

/* A server must not switch to what it was not asked for. */
static bool asks_for(const ag_http_request *req, const char *name) {
    const ag__http_head *h = &req->w->head;
    for (uint32_t i = 0; h->upgrade && i < h->field_count; i++) {
        if (h->fields[i].id != AG__FIELD_UPGRADE)
            continue;
        ag__http_text offered, list = ag__http_at(req->base, h->fields[i].value);
        while (ag__http_next_element(&list, &offered))
            if (same_protocol(offered, name))
                return true;
    }
    return false;
}

static int may_upgrade(const ag_http_request *req, const ag_http_response *res,
                       const char *protocol) {
    if (res->error)
        return res->error;
    if (res->mode != AG__MODE_EMPTY)
        return -EALREADY;
    if (req->w->wire->major != 1)
        return -EOPNOTSUPP;
    if (!protocol)
        return req->body_done ? 0 : -EPROTO;
    if (!is_protocol(protocol))
        return -EINVAL;
    if (req->w->head.minor == 0)
        return -EOPNOTSUPP;
    return req->body_done && asks_for(req, protocol) ? 0 : -EPROTO;
}

static char *put(char *to, const char *from) {
    size_t n = strlen(from);
    memcpy(to, from, n);
    return to + n;
}

/* Earlier responses and, with a protocol, the 101. */
static int switch_protocols(ag__http_work *w, const char *protocol) {
    ag_http_response *res = &w->res;
    int r = ag__http_flush_out(w);
    if (r != 0 || !protocol)
        return r;
    res->status = 101;
    res->type = NULL;
    res->head_at = 0;
    ag__http_head_write(res);
    char *to = put(w->out + res->head_end, "Upgrade: ");
    to = put(to, protocol);
    to = put(to, "\r\nConnection: Upgrade\r\n\r\n");
    w->out_n = (uint32_t)(to - w->out);
    return ag__http_flush_out(w);
}

static ag_http_upgraded *upgraded_new(ag__http_work *w) {
    size_t n = w->in_n - w->at;
    ag_http_upgraded *u = malloc(sizeof *u + n);
    if (!u)
        return NULL;
    memset(u, 0, sizeof *u);
    u->hc = w->hc;
    u->n = n;
    memcpy(u->early, w->in + w->at, n);
    return u;
}

/* Returns: false when the server is stopping. */
static bool leave_wheel(ag_http_server *s, ag_http_upgraded *u) {
    ag_mutex_lock(&s->lock);
    bool ok = !atomic_load(&s->stopping);
    if (ok) {
        u->hc->holders = 2;
        u->hc->upgraded = u;
        ag__http_wheel_upgrade(s, u->hc);
    }
    ag_mutex_unlock(&s->lock);
    return ok;
}

/* Nobody is told after this. */
static void disown(ag_http_upgraded *u) {
    ag_http_server *s = u->hc->s;
    ag_mutex_lock(&s->lock);
    u->hc->upgraded = NULL;
    ag_mutex_unlock(&s->lock);
}

int ag_http_upgrade(ag_http_request *req, ag_http_response *res, const char *protocol,
                    ag_http_upgraded **ret_upgraded) {
    ag__http_work *w = req->w;
    int r = may_upgrade(req, res, protocol);
    if (r != 0)
        return r;
    if (ag__http_head_size_max(res) + AG__HTTP_TAIL > AG__HTTP_OUT)
        return -E2BIG;
    ag_http_upgraded *u = upgraded_new(w);
    if (!u)
        return -ENOMEM;
    if (!leave_wheel(w->s, u)) {
        free(u);
        return -ECANCELED;
    }
    ag_conn_cancel_when_gone(w->hc->c, NULL); /* who reads from now on learns it by that */
    r = switch_protocols(w, protocol);
    if (r != 0) { /* the connection is broken: it ends with this run */
        disown(u);
        free(u);
        res->close = true;
        return res->error = r;
    }
    ag_set_deadline(w->hc->c, 0);
    w->taken = true;
    atomic_store_explicit(&w->busy, false, AG__RELAXED); /* counted as upgraded instead */
    w->at = w->in_n = 0;
    res->status = 101;
    res->mode = AG__MODE_DONE;
    res->error = -EALREADY;
    w->now = ag_now();
    ag__http_count_request(w, 101, w->now - req->received_at);
    *ret_upgraded = u;
    return 0;
}

/* ---- For the taker -------------------------------------------------------------------------- */

ag_conn *ag_http_upgraded_conn(ag_http_upgraded *u) {
    return u->hc->c;
}

size_t ag_http_upgraded_buffered(const ag_http_upgraded *u) {
    return u->n - u->at;
}

ssize_t ag_http_upgraded_read(ag_http_upgraded *u, void *buf, size_t n) {
    size_t here = u->n - u->at;
    if (!here)
        return ag_read(u->hc->c, buf, n);
    if (n > here)
        n = here;
    memcpy(buf, u->early + u->at, n);
    u->at += n;
    return (ssize_t)n;
}

void ag_http_upgraded_close(ag_http_upgraded *u) {
    ag__http_conn *hc = u->hc;
    disown(u);
    ag_conn_shutdown(hc->c, 1); /* SHUT_WR */
    ag_wg_wait(&u->telling);
    free(u);
    ag__http_conn_let_go(hc);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

static void tell(ag_http_upgraded *u) {
    typedef void (*six)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t);
    const intptr_t *a = u->args; /* constant once it is told */
    ag_defer(ag_wg_done, &u->telling);
    ((six)u->fn)(a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* With the lock. */
static void start_telling(ag_http_upgraded *u) {
    if (!u->fn)
        return;
    u->told = true;
    ag_wg_add(&u->telling, 1);
    if (ag__go(u->site, (ag__fn)tell, (intptr_t)u, 0, 0, 0, 0, 0) < 0) {
        ag_wg_done(&u->telling);
        ag_conn_close(u->hc->c);
    }
}

void ag__http_tell_upgraded(ag_http_server *s) {
    for (ag__http_conn *hc = s->wheel[AG__WHEEL]; hc; hc = hc->next)
        if (hc->upgraded)
            start_telling(hc->upgraded);
}

void ag__http_upgraded_on_stop(ag_http_upgraded *u, const struct ag__site *site, ag__fn fn,
                               const intptr_t args[6]) {
    ag_http_server *s = u->hc->s;
    ag_mutex_lock(&s->lock);
    if (!u->told) {
        u->site = site;
        u->fn = fn;
        memcpy(u->args, args, sizeof u->args);
        if (atomic_load(&s->stopping))
            start_telling(u);
    }
    ag_mutex_unlock(&s->lock);
}
