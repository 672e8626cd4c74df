/* SPDX-License-Identifier: MIT */
/*
 * A connection: from accept to close.
 *
 *     admit --> WAITING --readable--> run: read, parse, answer … until nothing is buffered
 *                  ^                    |
 *                  +---- wish ----------+--> linger --> close
 *                                       +--> taken over by a handler: hijack.c
 *
 * run reads once and answers every request that came with it; their responses are collected and go
 * out in one write. Then the connection asks to be started again when there is more to read
 * (ag_conn_when_readable), and the goroutine with its stack and the work with its buffers are gone.
 * Only a request that came in part is waited for, by head_ns at most.
 *
 * Measured against a goroutine that stays and reads again: no difference in the processor time of a
 * request, so nothing is kept for the sake of busy connections.
 *
 * Whatever way a handler leaves - by returning, a panic, ag_goexit - the deferred `leave` decides
 * what becomes of the connection. A panic that arrives there is printed with the stack on which it
 * was raised, which still stands below.
 *
 * A client that was refused may still be sending. Closing at once would reset the connection, and
 * the refusal would be lost with it, so its direction stays open for a while (RFC 9112 9.6), and
 * what it sends is dropped. The same goes for a connection that is one too many.
 */
#include "http/server.h"

#include <aglet/debug.h>
#include <aglet/defer.h>
#include <aglet/layer.h>
#include <aglet/run.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WRITE_PIECE = 64 * 1024, /* more of response gets more time */
    WRITE_RATE = 4096,       /* bytes a second */
};

static const char busy_answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                  "Content-Type: text/plain; charset=utf-8\r\n"
                                  "Content-Length: 21\r\n"
                                  "Connection: close\r\n"
                                  "\r\n"
                                  "too many connections\n";

/* ---- Beginning and end ---------------------------------------------------------------------- */

void ag__http_conn_free(ag__http_conn *hc) {
    ag_http_server *s = hc->s;
    ag_conn_close(hc->c);
    ag__http_context_done(hc);
    ag_mutex_lock(&s->lock);
    ag__http_wheel_remove(s, hc);
    ag_mutex_unlock(&s->lock);
    ag_unref(hc->c);
    free(hc);
    ag__http_server_unref(s);
}

int ag__http_conn_wish(ag__http_conn *hc) {
    return ag_conn_when_readable(hc->c, ag__http_conn_run, hc);
}

/* Waits for the next bytes without holding anything. `hc` is somebody else's afterwards. */
static void wish(ag__http_conn *hc) {
    if (ag__http_conn_wish(hc) != 0)
        ag__http_conn_free(hc);
}

static void wait_for_more(ag__http_conn *hc) {
    atomic_store_explicit(&hc->state, AG__CONN_WAITING, memory_order_release);
    wish(hc);
}

/* What a connection that has just come is to be; AG__CONN_KINDS: closed. With a layer it can't be
   told anything without waiting for its client. With the lock. */
static uint8_t kind_of(ag_http_server *s, ag_conn *c) {
    if (s->open - s->away < s->opt.conns_max || ag__http_wheel_evict(s))
        return AG__CONN_FRESH;
    s->refused++;
    return s->away < AG__HTTP_AWAY && !ag_layer_of(c) ? AG__CONN_AWAY : AG__CONN_KINDS;
}

/* Its client may be about to send a request, so it stays until that has come, and for the end. */
static void turn_away(ag__http_conn *hc) {
    ag_set_write_deadline(hc->c, ag_now() + AG_SEC); /* an empty buffer takes it at once */
    ag_write(hc->c, busy_answer, sizeof busy_answer - 1);
    ag_conn_shutdown(hc->c, AG__SHUT_SENDING);
}

void ag__http_conn_admit(ag_http_server *s, ag_conn *c) {
    ag__http_conn *hc = calloc(1, sizeof *hc);
    ag_time now = ag_now();
    ag_mutex_lock(&s->lock);
    uint8_t kind = hc ? kind_of(s, c) : AG__CONN_KINDS;
    bool ok = kind != AG__CONN_KINDS;
    if (ok) {
        hc->c = c;
        hc->s = s;
        hc->since = now;
        hc->write_set = INT64_MIN / 2;
        hc->kind = kind;
        hc->state = AG__CONN_RUNNING;
        ok = ag__http_wheel_add(s, hc, now);
    }
    if (ok)
        ag__http_server_ref(s);
    ag_mutex_unlock(&s->lock);
    if (!ok) {
        free(hc);
        ag_conn_close(c);
        ag_unref(c);
        return;
    }
    if (kind == AG__CONN_AWAY)
        turn_away(hc);
    wait_for_more(hc);
}

/* ---- Reading and writing -------------------------------------------------------------------- */

/* Room for at least one more byte behind in[in_n). */
static bool make_room(ag__http_work *w) {
    if (w->in_n < w->in_size)
        return true;
    if (w->at > 0) {
        memmove(w->in, w->in + w->at, w->in_n - w->at);
        w->in_n -= w->at;
        w->at = 0;
        return true;
    }
    return ag__http_grow(&w->in, &w->in_size, w->in_own, w->in_n, 1);
}

ssize_t ag__http_fill(ag__http_work *w, ag_time deadline) {
    ag_conn *c = w->hc->c;
    ag_set_read_deadline(c, deadline);
    w->waits_for_client = true;
    ssize_t n = ag_read(c, w->in + w->in_n, w->in_size - w->in_n);
    if (n > 0)
        w->in_n += (uint32_t)n;
    else if (n == -ETIMEDOUT)
        ag__http_count(&w->counters.timed_out, 1);
    return n;
}

ag_time ag__http_write_extra(size_t bytes) {
    return bytes > WRITE_PIECE ? (ag_time)((bytes - WRITE_PIECE) / WRITE_RATE) * AG_SEC : 0;
}

/* The deadline of a small write comes up to a second too late, and is set once in that time. */
void ag__http_write_deadline(ag__http_work *w, size_t bytes) {
    ag__http_conn *hc = w->hc;
    ag_time limit = w->s->opt.write_ns, slack = limit < 4 * AG_SEC ? limit / 4 : AG_SEC;
    bool large = bytes > WRITE_PIECE;
    ag_time now = w->answering || large ? ag_now() : w->now;
    if (!large && now - hc->write_set < slack)
        return;
    ag_set_write_deadline(hc->c, now + limit + slack + ag__http_write_extra(bytes));
    /* The time of a large write must not stay for the next small one. */
    hc->write_set = large ? INT64_MIN / 2 : now;
}

int ag__http_send_out(ag__http_work *w, const struct iovec *more, int count) {
    struct iovec iov[6];
    size_t bytes = w->out_n;
    ssize_t n = w->broken;
    if (n != 0)
        return (int)n;
    for (int i = 0; i < count; i++) {
        iov[i + 1] = more[i];
        bytes += more[i].iov_len;
    }
    if (bytes == 0)
        return 0;
    ag__http_write_deadline(w, bytes);
    iov[0] = (struct iovec){w->out, w->out_n};
    int64_t before = ag_conn_sent(w->hc->c);
    n = count ? ag_writev(w->hc->c, iov, count + 1) : ag_write(w->hc->c, w->out, w->out_n);
    if (n == -ECANCELED || n == -ETIMEDOUT)
        n = ag__http_write_on(w, iov, count + 1, ag_conn_sent(w->hc->c) - before, n);
    w->out_n = 0;
    if (n == -ETIMEDOUT) {
        ag__http_count(&w->counters.timed_out, 1);
        ag_conn_reset(w->hc->c); /* nor shall the kernel keep for minutes what it does not take */
    }
    return w->broken = n < 0 ? (int)n : 0;
}

/* ---- Serving -------------------------------------------------------------------------------- */

/* Drops what a refused client has sent. */
static void linger(ag__http_work *w) {
    w->hc->lingered += w->in_n;
    w->then = w->hc->lingered < AG__LINGER_BYTES ? AG__THEN_WAIT : AG__THEN_CLOSE;
}

/* The rest of a head, or its first part behind other requests. Returns: false at the end. */
static bool read_more(ag__http_work *w, ag_time *head_end) {
    if (ag__http_flush_out(w) != 0 || !make_room(w))
        return false;
    if (!*head_end)
        *head_end = w->now + w->s->opt.head_ns;
    ag_yield(); /* who sends without end must not keep the processor */
    ssize_t n = ag__http_fill(w, *head_end);
    if (n == -ETIMEDOUT)
        ag__http_refuse(w, 408, "the request did not come in time");
    return n > 0;
}

/* Whether a connection is new and one of HTTP/2: TLS has agreed on that, or it begins with the
   preface. */
static bool turns_to_h2(const ag__http_work *w) {
    return w->hc->kind == AG__CONN_FRESH && w->at == 0 &&
           (ag__http_h2_is_preface(w->in, w->in_n) ||
            strcmp(ag_conn_protocol(w->hc->c), "h2") == 0);
}

/* Answers everything that is buffered. */
static void serve(ag__http_work *w) {
    ag_time head_end = 0;
    w->then = AG__THEN_CLOSE;
    ag__http_head_reset(&w->head);
    for (;;) {
        if (turns_to_h2(w)) {
            w->then = AG__THEN_H2;
            return;
        }
        int n = ag__http_parse(&w->head, w->in + w->at, w->in_n - w->at);
        if (n > 0) {
            ag__http_answer(w, (uint32_t)n);
            if (w->taken)
                break;
            if (w->broken || w->res.close) {
                if (w->at < w->in_n)
                    w->then = AG__THEN_LINGER;
                break;
            }
            if (w->at == w->in_n) {
                w->then = AG__THEN_WAIT;
                break;
            }
            head_end = 0;
            ag__http_head_reset(&w->head);
        } else if (n != -EAGAIN) {
            ag__http_count(&w->counters.bad_requests, 1);
            ag__http_refuse(w, ag__http_status(n), ag__http_reason(n));
            break;
        } else if (!read_more(w, &head_end)) {
            break;
        }
    }
    ag__http_flush_out(w);
    if (w->broken)
        w->then = AG__THEN_CLOSE;
}

/* ---- A run ---------------------------------------------------------------------------------- */

void ag__http_conn_linger(ag__http_conn *hc) {
    ag_time now = ag_now();
    ag_conn_shutdown(hc->c, AG__SHUT_SENDING);
    hc->since = now;
    hc->kind = AG__CONN_LINGER;
    ag_mutex_lock(&hc->s->lock);
    ag__http_wheel_move(hc->s, hc, now);
    ag_mutex_unlock(&hc->s->lock);
}

void ag__http_conn_let_go(ag__http_conn *hc) {
    if (atomic_fetch_sub(&hc->holders, 1) > 1)
        return;
    ag__http_conn_linger(hc);
    wait_for_more(hc);
}

static void give_back(ag__http_work *w) {
    ag__http_conn *hc = w->hc;
    uint8_t then = w->then;
    if (w->taken) {
        ag__http_work_put(w);
        ag__http_conn_let_go(hc);
        return;
    }
    if (then != AG__THEN_CLOSE && w->waits_for_client)
        ag_set_read_deadline(hc->c, 0);
    if (then == AG__THEN_H2) {
        ag__http_h2_begin(w);
        return;
    }
    if (then != AG__THEN_CLOSE) {
        if (hc->kind == AG__CONN_FRESH)
            hc->kind = AG__CONN_IDLE;
        if (hc->kind == AG__CONN_IDLE)
            atomic_store_explicit(&hc->since, w->now, AG__RELAXED);
    }
    if (then == AG__THEN_LINGER)
        ag__http_conn_linger(hc);
    ag__http_work_put(w);
    if (then == AG__THEN_CLOSE)
        ag__http_conn_free(hc);
    else
        wait_for_more(hc);
}

static void write_panic(FILE *out, ag__http_work *w, const ag_panic_info *info) {
    const ag__http_head *h = &w->head;
    ag__http_text method = {"", 0}, target = {"(no request)", 12};
    if (w->answering) {
        method = ag__http_at(w->req.base, h->method);
        target = ag__http_at(w->req.base, h->path);
    }
    fprintf(out, "http: panic serving %s: %.*s %.*s: %s (%s:%d)\n", ag_conn_remote(w->hc->c),
            (int)method.n, method.p, (int)target.n, target.p, info->msg, info->file, info->line);
    ag_dump_goroutine(out, ag_id());
}

/* In one piece if there is memory for that. */
static void print_panic(ag__http_work *w, const ag_panic_info *info) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    bool whole = out != NULL;
    if (out) {
        write_panic(out, w, info);
        whole = !ferror(out);
        whole = fclose(out) == 0 && whole && text;
    }
    if (whole)
        fwrite(text, 1, n, stderr);
    else
        write_panic(stderr, w, info);
    free(text);
}

static void tell_panic(ag__http_work *w, const ag_panic_info *info) {
    const ag_http_options *opt = &w->s->opt;
    if (opt->on_panic)
        opt->on_panic(w->answering ? &w->req : NULL, info);
    else
        print_panic(w, info);
    if (opt->panic == AG_HTTP_PANIC_ABORT)
        ag_panic("http: a handler panicked: %s", info->msg);
}

void ag__http_cut_short(ag__http_work *w, const ag_panic_info *info) {
    ag__http_context_leave(w);
    w->finished = true;
    w->now = ag_now();
    if (info) {
        ag__http_count(&w->counters.panics, 1);
        tell_panic(w, info);
    }
}

/* The end of every run, whatever way it ended. */
static void leave(ag__http_work *w) {
    const ag_panic_info *info = ag_recover();
    if (!w->finished) {
        ag__http_cut_short(w, info);
        w->then = AG__THEN_CLOSE;
        if (w->answering && ag__http_response_rewind(&w->res))
            ag__http_refuse(w, 500, "internal server error");
        else
            ag__http_flush_out(w);
    }
    give_back(w);
}

static void run_with(ag__http_work *w) {
    ag_defer(leave, w);
    if (w->hc->kind >= AG__CONN_LINGER)
        linger(w);
    else
        serve(w);
    w->finished = true;
}

void ag__http_conn_run(ag__http_conn *hc) {
    uint8_t waiting = AG__CONN_WAITING;
    ag__http_work *w = ag__http_work_take(hc->s);
    if (!w) {
        ag__http_conn_free(hc);
        return;
    }
    ssize_t n = ag_try_read(hc->c, w->in, w->in_size);
    if (hc->h2) {
        ag__http_h2_read(hc, w, n);
        return;
    }
    if (n == -EAGAIN) { /* started for nothing: the last read has taken what the event was for */
        ag__http_work_put(w);
        wish(hc);
        return;
    }
    /* The state changes only now: until there is something, the wheel may end it. */
    if (n <= 0 || !atomic_compare_exchange_strong_explicit(&hc->state, &waiting, AG__CONN_RUNNING,
                                                           memory_order_acquire, AG__RELAXED)) {
        ag__http_work_put(w);
        ag__http_conn_free(hc);
        return;
    }
    w->hc = hc;
    w->in_n = (uint32_t)n;
    w->now = ag_now();
    run_with(w);
}
