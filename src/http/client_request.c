/* SPDX-License-Identifier: MIT */
/*
 * The request: what the program may ask for, and how it is written.
 *
 * Everything is looked at before a connection is taken: method, URL, names and values of fields. So
 * nothing of a request can be sent that another reader would take for more than one request. Fields
 * that belong to the connection are the client's own; the program's are refused, not overruled.
 */
#include "http/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST_MAX = 1 << 20 };

/* What a redirect to another place must not carry, and what belongs to a body. */
enum { F_PLAIN, F_REFUSED, F_OWN, F_SECRET, F_BODY };

static bool same_name(const char *name, const char *lower) {
    return ag__http_same((ag__http_text){name, strlen(name)}, lower);
}

/* What kind of field this is. */
static int kind_of(const char *name) {
    static const struct {
        const char *name;
        int kind;
    } kinds[] = {
        {"host", F_OWN},
        {"user-agent", F_OWN},
        {"accept-encoding", F_OWN},
        {"connection", F_OWN},
        {"authorization", F_SECRET},
        {"cookie", F_SECRET},
        {"cookie2", F_SECRET},
        {"www-authenticate", F_SECRET},
        {"content-length", F_REFUSED},
        {"transfer-encoding", F_REFUSED},
        {"upgrade", F_REFUSED},
        {"te", F_REFUSED},
        {"trailer", F_REFUSED},
        {"keep-alive", F_REFUSED},
        {"proxy-connection", F_REFUSED},
        {"proxy-authorization", F_REFUSED},
        {"http2-settings", F_REFUSED},
        {"expect", F_BODY},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (same_name(name, kinds[i].name))
            return kinds[i].kind;
    return strlen(name) > 8 && ag__http_same((ag__http_text){name, 8}, "content-") ? F_BODY
                                                                                   : F_PLAIN;
}

const char *ag__client_field(const ag_http_client_request *req, const char *lower) {
    for (const ag_http_client_field *f = req->fields; f && f->name; f++)
        if (same_name(f->name, lower))
            return f->value;
    return NULL;
}

int64_t ag__client_body_length(const ag_http_reply *r) {
    const ag_http_client_request *q = r->req;
    if (r->ask.body_dropped)
        return 0;
    if (q->read)
        return q->read_n > 0 ? q->read_n : -1;
    return q->body ? (int64_t)q->body_n : 0;
}

/* ---- Checking ------------------------------------------------------------------------------- */

static int check_method(ag_http_reply *r) {
    ag__client_ask *a = &r->ask;
    const char *m = r->req->method;
    if (!m)
        m = r->req->body || r->req->read ? "POST" : "GET";
    for (const char *p = m; *p; p++)
        if (!ag__http_is(*p, AG__CH_TOKEN))
            return ag__reply_fail(r, -EINVAL, "the method is not a token");
    if (!*m || strcmp(m, "CONNECT") == 0)
        return ag__reply_fail(r, -EINVAL, "the method can't be sent");
    a->method = m;
    snprintf(a->shown, sizeof a->shown, "%s", m);
    a->is_head = strcmp(m, "HEAD") == 0;
    if (r->req->body && r->req->read)
        return ag__reply_fail(r, -EINVAL, "there are two bodies");
    return 0;
}

static bool is_value(const char *v) {
    for (; *v; v++)
        if (!ag__http_is(*v, AG__CH_VALUE))
            return false;
    return true;
}

static bool is_authority(const char *s) {
    ag__http_head h;
    ag__http_head_init(&h, NULL, 0, NULL);
    return ag__http_authority_apply(&h, s, (ag__http_slice){0, (uint32_t)strlen(s)});
}

static int check_field(ag_http_reply *r, const ag_http_client_field *f) {
    const char *p = f->name;
    while (ag__http_is(*p, AG__CH_TOKEN))
        p++;
    if (p == f->name || *p)
        return ag__reply_fail(r, -EINVAL, "a field's name is not a token");
    if (!f->value || !is_value(f->value) || strlen(f->value) > REQUEST_MAX)
        return ag__reply_fail(r, -EINVAL, "the field %.60s has a value that can't be sent",
                              f->name);
    if (kind_of(f->name) == F_REFUSED)
        return ag__reply_fail(r, -EINVAL, "the field %.60s is the client's own", f->name);
    if (same_name(f->name, "host") && !is_authority(f->value))
        return ag__reply_fail(r, -EINVAL, "the field Host is not a host with an optional port");
    if (same_name(f->name, "connection")) {
        if (!same_name(f->value, "close"))
            return ag__reply_fail(r, -EINVAL, "of Connection only \"close\" is understood");
        r->ask.closes = true;
    }
    if (same_name(f->name, "expect")) {
        if (!same_name(f->value, "100-continue"))
            return ag__reply_fail(r, -EINVAL, "of Expect only \"100-continue\" is understood");
        r->ask.expects = true;
    }
    return 0;
}

int ag__client_check(ag_http_reply *r) {
    ag__client_ask *a = &r->ask;
    const char *why;
    int e = ag__url_parse(r->req->url, &r->url, &why);
    a->method = "";
    if (e != 0)
        return ag__reply_fail(r, e, "the URL can't be used: %s", why);
    if (r->url.tls && !ag__client_has_tls())
        return ag__reply_fail(r, -EPROTONOSUPPORT, "https: this build has no TLS");
    if (r->client->opt.http2_in_clear && !ag__client_has_h2())
        return ag__reply_fail(r, -EPROTONOSUPPORT, "this build has no HTTP/2");
    e = check_method(r);
    for (const ag_http_client_field *f = r->req->fields; e == 0 && f && f->name; f++)
        e = check_field(r, f);
    if (e != 0)
        return e;
    if (r->url.user.p && !(a->basic = ag__url_basic(r->url.user)))
        return ag__reply_fail(r, -ENOMEM, "the request");
    a->expects = a->expects && ag__client_body_length(r) != 0;
    a->wants_gzip = ag__client_has_gzip() && !r->client->opt.no_gzip && !a->is_head &&
                    !ag__client_field(r->req, "accept-encoding") &&
                    !ag__client_field(r->req, "range");
    return 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Text at the end of what there is. */
struct pen {
    ag_http_reply *r;
    size_t n;
    int error;
};

static bool make_room(struct pen *pen, size_t more) {
    ag_http_reply *r = pen->r;
    if (more > 2 * REQUEST_MAX - pen->n)
        pen->error = -E2BIG;
    else if (!ag__http_grow(&r->in, &r->in_size, r->in_own, pen->n, more))
        pen->error = -ENOMEM;
    return pen->error == 0;
}

static void put(struct pen *pen, const char *s, size_t n) {
    if (pen->error || (pen->r->in_size - pen->n < n && !make_room(pen, n)))
        return;
    memcpy(pen->r->in + pen->n, s, n);
    pen->n += n;
}

static void put_text(struct pen *pen, const char *s) {
    put(pen, s, strlen(s));
}

static void put_field(struct pen *pen, const char *name, const char *value) {
    put_text(pen, name);
    put(pen, ": ", 2);
    put_text(pen, value);
    put(pen, "\r\n", 2);
}

/* The value of one of the fields that the client has a value for, too; NULL to leave it out. */
static const char *own_or(const ag_http_reply *r, const char *lower, const char *usual) {
    const char *given = ag__client_field(r->req, lower);
    return !given ? usual : *given ? given : NULL;
}

static void put_first_line(struct pen *pen, const ag__client_route *route) {
    ag_http_reply *r = pen->r;
    const char *host = r->ask.secrets_dropped ? NULL : ag__client_field(r->req, "host");
    put_text(pen, r->ask.method);
    put(pen, " ", 1);
    if (route->proxy && !route->tunnel)
        put_text(pen, r->url.text);
    else
        put(pen, r->url.target.p, r->url.target.n);
    put_text(pen, " HTTP/1.1\r\nHost: ");
    put(pen, host ? host : r->url.authority.p, host ? strlen(host) : r->url.authority.n);
    put(pen, "\r\n", 2);
}

static void put_body_fields(struct pen *pen) {
    ag_http_reply *r = pen->r;
    int64_t n = ag__client_body_length(r);
    const char *m = r->ask.method;
    char number[24];
    if (n < 0) {
        put_text(pen, "Transfer-Encoding: chunked\r\n");
    } else if (n > 0 || strcmp(m, "POST") == 0 || strcmp(m, "PUT") == 0 ||
               strcmp(m, "PATCH") == 0) {
        snprintf(number, sizeof number, "%lld", (long long)n);
        put_field(pen, "Content-Length", number);
    }
}

/* The jar's cookies go behind the program's, in one field. */
static void put_cookies(struct pen *pen) {
    ag_http_reply *r = pen->r;
    const char *given = r->ask.secrets_dropped ? NULL : ag__client_field(r->req, "cookie");
    char *kept = r->client->opt.jar ? ag__jar_cookies(r->client->opt.jar, &r->url) : NULL;
    if (given || kept) {
        put_text(pen, "Cookie: ");
        put_text(pen, given ? given : "");
        put_text(pen, given && kept ? "; " : "");
        put_text(pen, kept ? kept : "");
        put(pen, "\r\n", 2);
    }
    free(kept);
}

static void put_given(struct pen *pen) {
    const ag__client_ask *a = &pen->r->ask;
    for (const ag_http_client_field *f = pen->r->req->fields; f && f->name; f++) {
        int kind = kind_of(f->name);
        if (kind == F_OWN || (kind == F_BODY && a->body_dropped))
            continue;
        if (kind == F_SECRET && (a->secrets_dropped || same_name(f->name, "cookie") || !*f->value))
            continue;
        put_field(pen, f->name, f->value);
    }
}

int64_t ag__client_head_write(ag_http_reply *r, const ag__client_route *route) {
    struct pen pen = {.r = r};
    const ag__client_ask *a = &r->ask;
    const ag_http_client_request *q = r->req;
    put_first_line(&pen, route);
    const char *agent = own_or(r, "user-agent", r->client->user_agent);
    if (agent)
        put_field(&pen, "User-Agent", agent);
    const char *codings = own_or(r, "accept-encoding", a->wants_gzip ? "gzip" : NULL);
    if (codings)
        put_field(&pen, "Accept-Encoding", codings);
    put_body_fields(&pen);
    put_given(&pen);
    if (a->basic && (a->secrets_dropped || !ag__client_field(q, "authorization")))
        put_field(&pen, "Authorization", a->basic);
    if (a->referer && !ag__client_field(q, "referer"))
        put_field(&pen, "Referer", a->referer);
    put_cookies(&pen);
    if (route->proxy && !route->tunnel && route->proxy_basic)
        put_field(&pen, "Proxy-Authorization", route->proxy_basic);
    if (a->closes)
        put_text(&pen, "Connection: close\r\n");
    put(&pen, "\r\n", 2);
    if (!pen.error && pen.n > REQUEST_MAX)
        pen.error = -E2BIG;
    return pen.error ? pen.error : (int64_t)pen.n;
}
