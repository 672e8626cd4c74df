/* SPDX-License-Identifier: MIT */
/*
 * One call: redirects around attempts around request and answer.
 *
 *     do:       check; exchange, as long as the answer is a redirect that can be followed
 *     exchange: take a link, send, read the head; once more on a fresh link if the one from the
 *               pool was dead and nothing can be done twice by it
 *
 * A second attempt. A server may close an idle connection at any time, and the request may cross
 * with that. If not a byte of it went out, nothing has happened. If it went out and not a byte came
 * back, the server may have acted on it: sent again is only what may be done twice. A fresh
 * connection that fails has said something about the server: that is an error.
 *
 * A server of HTTP/2 can say that it has not looked at a request: by the last one it has, when it
 * ends the connection, or of a single one that is too many. Such a request is sent again whatever
 * it asks for, a few times, at once and then with pauses of 20 to 160 ms.
 *
 * Errors of a request that was refused while it was still being sent: the answer is looked for
 * first. It is worth more than "broken pipe".
 */
#include "http/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSALS = 6 };
#define PAUSE (5 * AG_MS)

static void count(_Atomic int64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- One attempt ---------------------------------------------------------------------------- */

static bool is_gone(int e) {
    return e == -ECONNRESET || e == -EPIPE;
}

static void say_why(ag_http_reply *r, char *why, const char *usual) {
    const char *more = r->wire->why(r);
    snprintf(why, AG__CLIENT_WHY, "%s", more ? more : usual);
}

/* Sends the request and reads the answer's head. Returns: 0 or the error; `why` may say more. */
static int attempt(ag_http_reply *r, const ag__client_route *route, char *why) {
    int64_t n = ag__client_head_write(r, route);
    if (n < 0) {
        snprintf(why, AG__CLIENT_WHY, "the request");
        return (int)n;
    }
    int64_t before = r->wire->sent(r);
    int e = ag__client_send(r, (size_t)n);
    if (e == 0 || (is_gone(e) && r->wire->sent(r) > before)) {
        r->broken = e != 0;
        if (r->broken)
            r->wire->read_until(r, ag_now() + AG__CLIENT_LATE);
        int got = ag__reply_head(r, why);
        e = got == 0 || e == 0 ? got : e;
        if (e != 0 && !*why)
            say_why(r, why, "waiting for the answer");
    } else {
        say_why(r, why, "sending the request");
    }
    ag__client_sender *s = r->sender;
    if (e != 0 && s && s->is_done && s->error &&
        (s->own_error || e == -ECANCELED || e == -ETIMEDOUT)) {
        e = s->error;
        snprintf(why, AG__CLIENT_WHY,
                 s->own_error ? "reading the request's body" : "sending the request");
    }
    return e;
}

static bool is_idempotent(const ag_http_reply *r) {
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(r->ask.method, methods[i]) == 0)
            return true;
    return ag__client_field(r->req, "idempotency-key") ||
           ag__client_field(r->req, "x-idempotency-key");
}

/* Back to the beginning of the body, if it was read. Returns: 0, or why that can't be. */
static int rewind_body(ag_http_reply *r) {
    if (r->ask.body_dropped || !r->req->read || !r->body_started)
        return 0;
    return r->req->rewind ? r->req->rewind(r->req->arg) : -ESPIPE;
}

/* Whether it may be done again; then the body is at its beginning. Gives the link back. */
static bool again(ag_http_reply *r, int e, int64_t before, bool *ret_refused) {
    bool own = r->sender && r->sender->is_done && r->sender->own_error;
    bool lost = r->was_reused && !r->any_byte && is_gone(e) &&
                (r->wire->sent(r) == before || is_idempotent(r));
    *ret_refused = r->wire->is_refused(r);
    bool may = !own && (lost || *ret_refused);
    ag__reply_release(r, false);
    return may && rewind_body(r) == 0;
}

/* The first time at once: it may have been meant for that connection only. Returns: false if the
   context ends. */
static bool pause_for(int refusals) {
    return refusals < 2 || ag_sleep(PAUSE << refusals) == 0;
}

static int exchange(ag_http_reply *r) {
    ag_http_client *client = r->client;
    ag__client_route route;
    char why[AG__CLIENT_WHY];
    ag__client_route_find(&client->proxies, &r->url, &route);
    bool fresh = false, refused;
    for (int refusals = 0;;) {
        int e = ag__client_take(client, &route, fresh, &r->link, &r->was_reused, why);
        if (e != 0)
            return ag__reply_fail(r, e, "%s", *why ? why : "making a connection");
        r->wire = r->link->h2 ? &ag__client_wire_2 : &ag__client_wire_1;
        int64_t before = r->wire->sent(r);
        why[0] = 0;
        e = attempt(r, &route, why);
        if (e == 0)
            return 0;
        bool may = again(r, e, before, &refused);
        if (!may || (refused ? ++refusals == REFUSALS || !pause_for(refusals) : fresh))
            return ag__reply_fail(r, e, "%s", why);
        fresh = fresh || !refused;
        ag__reply_reset(r);
        count(&client->retried);
    }
}

/* ---- Redirects ------------------------------------------------------------------------------ */

static void take_cookies(ag_http_reply *r) {
    for (uint32_t i = 0; i < r->head.field_count; i++) {
        const ag__http_field *f = &r->head.fields[i];
        ag__http_text name = ag__http_at(r->in + r->head_at, f->name);
        if (ag__http_same(name, "set-cookie"))
            ag__jar_take(r->client->opt.jar, &r->url, ag__http_at(r->in + r->head_at, f->value));
    }
}

/* Whether the status asks for another request, and whether with the same method and body. */
static bool is_redirect(int status, bool *ret_same) {
    *ret_same = status == 307 || status == 308;
    return *ret_same || status == 301 || status == 302 || status == 303;
}

/* The URL of `r`, for the next one's Referer; NULL where that must not be told. */
static char *referer_for(const ag_http_reply *r, const ag__url *next) {
    return r->url.tls && !next->tls ? NULL : strdup(r->url.text);
}

/* Becomes the request of `next`, which it takes. Returns: 0 or the reply's error. */
static int turn(ag_http_reply *r, ag__url *next, bool same) {
    ag__client_ask *a = &r->ask;
    if (!ag__url_trusts(&r->url, next)) {
        a->secrets_dropped = true;
        free(a->basic);
        a->basic = NULL;
    }
    free(a->referer);
    a->referer = referer_for(r, next);
    if (next->user.p) {
        free(a->basic);
        a->basic = ag__url_basic(next->user);
    }
    ag__reply_finish(r);
    ag__url_done(&r->url);
    r->url = *next;
    if (!same) {
        a->method = a->is_head ? "HEAD" : "GET";
        a->body_dropped = true;
        a->expects = false;
    }
    int e = rewind_body(r);
    if (e == 0 && r->url.user.p && !a->basic)
        e = -ENOMEM;
    if (e != 0)
        return ag__reply_fail(r, e, "following a redirect");
    ag__reply_reset(r);
    return 0;
}

/* Returns: 1 to ask again, 0 if this is the answer, or the reply's error. */
static int follow(ag_http_reply *r, int32_t *hops) {
    int32_t max = r->client->opt.redirects_max;
    bool same;
    const char *why;
    if (max < 0 || !is_redirect(r->head.status, &same))
        return 0;
    const char *location = ag_http_reply_header(r, "Location");
    if (!location)
        return 0;
    if (same && !r->ask.body_dropped && r->req->read && r->body_started && !r->req->rewind)
        return 0;
    if (++*hops > max) {
        ag__reply_release(r, false);
        return ag__reply_fail(r, -ELOOP, "stopped after %d redirects", (int)max);
    }
    ag__url next;
    int e = ag__url_resolve(&r->url, location, &next, &why);
    if (e == 0 && next.tls && !ag__client_has_tls()) {
        ag__url_done(&next);
        e = -EPROTONOSUPPORT;
        why = "https: this build has no TLS";
    }
    if (e != 0) {
        ag__reply_release(r, false);
        return ag__reply_fail(r, e, "a redirect's Location can't be used: %s", why);
    }
    count(&r->client->redirected);
    e = turn(r, &next, same);
    return e ? e : 1;
}

/* ---- For the program ------------------------------------------------------------------------ */

int ag_http_client_do(ag_http_client *client, const ag_http_client_request *request,
                      ag_http_reply **ret_reply) {
    int32_t hops = 0;
    ag_http_reply *r = ag__reply_new(client);
    count(&client->requests);
    *ret_reply = r;
    if (!r) {
        count(&client->failed);
        return -ENOMEM;
    }
    r->req = request;
    int e = ag__client_check(r);
    while (e == 0) {
        e = exchange(r);
        if (e == 0 && client->opt.jar)
            take_cookies(r);
        if (e == 0)
            e = follow(r, &hops);
        if (e <= 0)
            break;
        e = 0;
    }
    if (e == 0)
        return 0;
    r->answered = false;
    count(&client->failed);
    return e;
}

int ag_http_get(ag_http_client *client, const char *url, ag_http_reply **ret_reply) {
    ag_http_client_request q = {.url = url};
    return ag_http_client_do(client, &q, ret_reply);
}

int ag_http_head(ag_http_client *client, const char *url, ag_http_reply **ret_reply) {
    ag_http_client_request q = {.method = "HEAD", .url = url};
    return ag_http_client_do(client, &q, ret_reply);
}

int ag_http_post(ag_http_client *client, const char *url, const char *type, const void *body,
                 size_t n, ag_http_reply **ret_reply) {
    ag_http_client_field fields[] = {{"Content-Type", type}, {NULL, NULL}};
    ag_http_client_request q = {
        .method = "POST", .url = url, .fields = fields, .body = n ? body : NULL, .body_n = n};
    return ag_http_client_do(client, &q, ret_reply);
}
