/* SPDX-License-Identifier: MIT */
/*
 * The server: making it, routes, accepting, stopping.
 *
 * Life. A server is counted: its creator, each connection, each ag_http_serve call and the armed
 * timer of the wheel hold it, so that ag_http_server_free may be called while handlers still run.
 *
 * Stopping goes by what has arrived: first the accepting goroutines get a moment to take what waits
 * in the queues, then the listeners close. From the first moment on every response says
 * "Connection: close", so busy keep-alive connections end by themselves, without a request lost;
 * only those that stay idle for a while are closed from our side. A request may be on its way to
 * such a one: so its reading ends first, which starts its goroutine, and that answers what is there
 * before it closes. What is left at the end of the limit is cut. Connections that handlers have
 * taken over are told, and waited for likewise.
 *
 * Lock order: only one, s->lock. Nothing waits for a client while it is held.
 */
#include "http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <aglet/ctx.h>

/* A stop leaves an idle connection QUIET_MAX for a last request, but no longer than one of
   QUIET_PART parts of its limit; the contexts of handlers end LAST_MAX before the end, but no
   longer than one of LAST_PART parts. */
#define QUIET_MAX (1 * AG_SEC)
#define QUIET_PART 20
#define LAST_MAX (5 * AG_SEC)
#define LAST_PART 4
#define SETTLE_NS (5 * AG_MS) /* a stop leaves the accepting goroutines that long */
#define PAUSE_MIN (1 * AG_MS) /* after an accept that failed for lack of something */
#define PAUSE_MAX (200 * AG_MS)

/* ---- Life ----------------------------------------------------------------------------------- */

static ag_time time_or(ag_time given, ag_time usual) {
    return given > 0 ? given : usual;
}

static uint32_t size_or(uint32_t given, uint32_t usual, uint32_t min, uint32_t max) {
    uint32_t n = given ? given : usual;
    return n < min ? min : n > max ? max : n;
}

static void take_options(ag_http_options *o, const ag_http_options *given) {
    if (given)
        *o = *given;
    o->head_ns = time_or(o->head_ns, 10 * AG_SEC);
    o->idle_ns = time_or(o->idle_ns, 75 * AG_SEC);
    o->body_ns = time_or(o->body_ns, 5 * AG_MIN);
    o->body_rate = o->body_rate > 0 ? o->body_rate : 500;
    o->write_ns = time_or(o->write_ns, 30 * AG_SEC);
    o->body_max = o->body_max > 0 ? o->body_max : (int64_t)10 << 20;
    o->head_max = size_or(o->head_max, 64 << 10, 1 << 10, 1 << 20);
    o->fields_max = size_or(o->fields_max, 100, 1, 1000);
    o->routes_max = size_or(o->routes_max, 1000, 1, 1 << 20);
    o->streams_max = size_or(o->streams_max, 100, 1, 10000);
    o->conns_max = size_or(o->conns_max, 100000, 1, UINT32_MAX);
    o->slow_ns = time_or(o->slow_ns, INT64_MAX);
}

ag_http_server *ag_http_server_new(const ag_http_options *options) {
    ag_http_server *s = NULL;
    if (posix_memalign((void **)&s, 64, sizeof *s) != 0)
        return NULL;
    memset(s, 0, sizeof *s);
    take_options(&s->opt, options);
    s->refs = 1;
    s->router = ag__http_router_new(s->opt.routes_max);
    s->gone = (ag_chan(char))ag__chan_try_new(1, 0);
    s->stopped = (ag_chan(char))ag__chan_try_new(1, 0);
    s->ctx = ag_ctx_with_cancel(NULL);
    s->until_stop = ag_ctx_with_cancel(NULL);
    if (!s->router || !s->gone || !s->stopped || !s->ctx || !s->until_stop) {
        ag__http_server_unref(s);
        return NULL;
    }
    ag_time longest = s->opt.idle_ns > s->opt.head_ns ? s->opt.idle_ns : s->opt.head_ns;
    if (longest < AG__HTTP_LINGER)
        longest = AG__HTTP_LINGER;
    s->tick_ns = longest / (AG__WHEEL - 2) + 1;
    s->tick = ag_now() / s->tick_ns;
    return s;
}

void ag__http_server_ref(ag_http_server *s) {
    atomic_fetch_add_explicit(&s->refs, 1, AG__RELAXED);
}

void ag__http_server_unref(ag_http_server *s) {
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    ag__http_work_free_all(s);
    for (ag__http_route_entry *next, *e = s->entries; e; e = next) {
        next = e->link;
        free(e);
    }
    for (ag__http_block *next, *b = s->owned; b; b = next) {
        next = b->link;
        free(b);
    }
    ag__http_router_free(s->router);
    ag_unref(s->ctx);
    ag_unref(s->gone);
    ag_unref(s->stopped);
    ag_unref(s->timer);
    ag_unref(s->until_stop);
    free(s);
}

void *ag__http_server_alloc(ag_http_server *s, size_t n) {
    size_t head = (sizeof(ag__http_block) + 15) & ~(size_t)15;
    ag__http_block *b = calloc(1, head + n);
    if (!b)
        return NULL;
    b->link = s->owned;
    s->owned = b;
    return (char *)b + head;
}

void ag_http_server_free(ag_http_server *s) {
    if (!s)
        return;
    ag_http_stop(s, 0);
    ag__http_server_unref(s);
}

/* ---- Routes --------------------------------------------------------------------------------- */

static void check_not_served(ag_http_server *s, const char *what) {
    if (atomic_load(&s->served))
        ag_panic("http: %s after ag_http_serve", what);
}

void ag_http_handle(ag_http_server *s, const char *pattern, ag_http_handler handler, void *arg) {
    check_not_served(s, "ag_http_handle");
    if (!handler)
        ag_panic("http: nil handler");
    ag__http_route_entry *e = calloc(1, sizeof *e);
    if (!e)
        ag_panic("http: out of memory");
    e->handler = handler;
    e->arg = arg;
    int r = ag__http_router_add(s->router, pattern, e);
    if (r != 0) {
        free(e);
        ag_panic("http: %s", ag__http_router_message(s->router));
    }
    e->link = s->entries;
    s->entries = e;
}

void ag_http_use(ag_http_server *s, ag_http_handler filter, void *arg) {
    check_not_served(s, "ag_http_use");
    if (!filter)
        ag_panic("http: nil handler");
    if (s->filter_count == AG__HTTP_FILTERS)
        ag_panic("http: more than %d filters", AG__HTTP_FILTERS);
    s->filters[s->filter_count].fn = filter;
    s->filters[s->filter_count++].arg = arg;
}

/* ---- Accepting ------------------------------------------------------------------------------ */

/* Returns: false when the server is stopping. */
static bool serving_begin(ag_http_server *s, ag__http_serving *v) {
    ag_mutex_lock(&s->lock);
    bool ok = !atomic_load(&s->stopping);
    if (ok) {
        v->next = s->servings;
        if (v->next)
            v->next->prev = v;
        s->servings = v;
    }
    ag_mutex_unlock(&s->lock);
    return ok;
}

static void serving_end(ag_http_server *s, ag__http_serving *v) {
    ag_mutex_lock(&s->lock);
    if (v->prev)
        v->prev->next = v->next;
    else
        s->servings = v->next;
    if (v->next)
        v->next->prev = v->prev;
    ag__http_server_check_gone(s);
    ag_mutex_unlock(&s->lock);
}

/* Something ran out: an idle connection gives its share back, and the queue may wait. */
static void pause_accepting(ag_http_server *s, ag_time *pause) {
    ag_mutex_lock(&s->lock);
    ag__http_wheel_evict(s);
    ag_mutex_unlock(&s->lock);
    ag_sleep(*pause);
    *pause = *pause * 2 < PAUSE_MAX ? *pause * 2 : PAUSE_MAX;
}

static int accept_all(ag_http_server *s, ag_listener *l) {
    ag_time pause = PAUSE_MIN;
    for (;;) {
        ag_conn *c;
        int r = ag_accept(l, &c);
        switch (r) {
        case 0:
            pause = PAUSE_MIN;
            ag__http_conn_admit(s, c);
            break;
        case -EMFILE:
        case -ENFILE:
        case -ENOMEM:
        case -ENOBUFS:
        case -ENOSPC: /* of the poller */
            pause_accepting(s, &pause);
            break;
        case -ECONNABORTED: /* the client has left the queue */
        case -EPROTO:
        case -EPERM: /* a firewall */
            break;
        default:
            return r;
        }
    }
}

int ag_http_serve(ag_http_server *s, ag_listener *l) {
    ag__http_serving v = {NULL, NULL, l};
    int r = 0;
    atomic_store(&s->served, true);
    ag__http_server_ref(s);
    if (serving_begin(s, &v)) {
        r = accept_all(s, l);
        serving_end(s, &v);
    }
    ag_listener_close(l);
    if (atomic_load(&s->stopping)) {
        ag_recv(s->stopped, NULL);
        r = 0;
    }
    ag__http_server_unref(s);
    return r;
}

/* ---- Stopping ------------------------------------------------------------------------------- */

void ag__http_server_check_gone(ag_http_server *s) {
    if (atomic_load(&s->stopping) && s->open == 0 && !s->servings && !s->gone_closed) {
        s->gone_closed = true;
        ag_close(s->gone);
    }
}

bool ag_http_stopping(const ag_http_server *s) {
    return atomic_load_explicit(&s->lame, AG__RELAXED);
}

ag_ctx *ag_http_until_stop(ag_http_server *s) {
    return s->until_stop;
}

void ag_http_lame_duck(ag_http_server *s) {
    atomic_store(&s->lame, true);
    ag_ctx_cancel(s->until_stop);
}

void ag_http_cancel(ag_http_server *s) {
    ag_ctx_cancel(s->ctx);
}

/* Who has come is served, unless it is `at_once`: a close resets those that wait to be accepted. */
static void stop_listeners(ag_http_server *s, bool at_once) {
    ag_mutex_lock(&s->lock);
    for (ag__http_serving *v = s->servings; v; v = v->next)
        at_once ? ag_listener_close(v->l) : ag_listener_stop(v->l);
    ag__http_server_check_gone(s);
    ag_mutex_unlock(&s->lock);
}

/* Waits until all is gone or `end` comes; closes what is idle meanwhile. Returns: whether it is. */
static bool drain(ag_http_server *s, ag_time end, ag_time quiet) {
    for (;;) {
        ag_time now = ag_now();
        ag_mutex_lock(&s->lock);
        ag_time since = ag__http_wheel_close_idle(s, now - quiet);
        ag__http_server_check_gone(s);
        ag_mutex_unlock(&s->lock);
        /* One that was answered just before the stop becomes idle only now: look again. */
        ag_time next = since < now ? since + quiet : now + quiet;
        if (next > end)
            next = end;
        int got = ag_select_ordered(AG_RECV(s->gone, NULL), AG_AFTER(next - now));
        if (got <= 0) /* below 0: the context has ended */
            return got == 0;
        if (ag_now() >= end)
            return false;
    }
}

int64_t ag_http_stop(ag_http_server *s, ag_time limit_ns) {
    ag_time limit = limit_ns > 0 ? limit_ns : 0, now = ag_now();
    ag_time end = limit > INT64_MAX - now ? INT64_MAX : now + limit;
    ag__http_server_ref(s); /* another stop may be the last one to go */
    ag_mutex_lock(&s->lock);
    atomic_store(&s->stopping, true); /* first: who has heard of the stop takes no connection */
    atomic_store(&s->lame, true);
    ag__http_tell_upgraded(s);
    ag_mutex_unlock(&s->lock);
    ag_http_lame_duck(s);
    if (limit)
        ag_sleep(limit / 4 < SETTLE_NS ? limit / 4 : SETTLE_NS);
    stop_listeners(s, limit == 0);
    if (limit) {
        ag_time quiet = limit / QUIET_PART < QUIET_MAX ? limit / QUIET_PART : QUIET_MAX;
        ag_time last = limit / LAST_PART < LAST_MAX ? limit / LAST_PART : LAST_MAX;
        if (!drain(s, end - last, quiet) && ag_ctx_err(ag_ctx_current()) == 0) {
            ag_ctx_cancel_cause(s->ctx, -ESHUTDOWN);
            drain(s, end, quiet);
        }
    }
    ag_mutex_lock(&s->lock);
    int64_t cut = ag__http_wheel_cut(s);
    if (!s->stopped_closed) {
        s->stopped_closed = true;
        ag_close(s->stopped);
    }
    ag_mutex_unlock(&s->lock);
    ag_ctx_cancel_cause(s->ctx, -ESHUTDOWN);
    ag__http_server_unref(s);
    return cut;
}
