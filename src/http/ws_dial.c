/* SPDX-License-Identifier: MIT */
/*
 * The client's side of the handshake, RFC 6455 4.1.
 *
 * The answer is read into what becomes the reader's first buffer, so a message that comes right
 * behind it is not lost. It is checked strictly: what the server agrees on must have been offered,
 * and the answer to the key proves that it is no ordinary server that echoes.
 *
 * wss:// needs TLS, which is another library's: the caller gives the function that puts it on.
 */
#include "http/ws.h"
#include "http/ws_names.h"

#include <aglet/ctx.h>
#include <aglet/defer.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 8192, KEY_N = 24 };

/* ---- Address -------------------------------------------------------------------------------- */

typedef struct target {
    bool secure;
    ag__http_text authority; /* host[:port] as it was given */
    ag__http_text path;      /* with the query; may be empty, or begin with '?' */
    char host[256];          /* without brackets */
    char addr[270];          /* "host:port" for ag_dial */
} target;

static bool is_visible(ag__http_text s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#')
            return false;
    return true;
}

static bool begins(const char **s, const char *lower) {
    size_t n = strlen(lower);
    for (size_t i = 0; i < n; i++)
        if (ag__http_lower((*s)[i]) != lower[i])
            return false;
    *s += n;
    return true;
}

/* Splits t->authority. Returns: false if it is malformed. */
static bool take_authority(target *t) {
    const char *p = t->authority.p, *end = p + t->authority.n, *host = p, *port = end;
    size_t host_n = t->authority.n;
    if (*p == '[') {
        const char *close = memchr(p, ']', t->authority.n);
        if (!close)
            return false;
        host = p + 1;
        host_n = (size_t)(close - host);
        port = close + 1;
    } else if ((port = memchr(p, ':', t->authority.n))) {
        host_n = (size_t)(port - host);
    } else {
        port = end;
    }
    ag__http_text digits = {port + 1, port < end ? (size_t)(end - port - 1) : 0};
    if (!host_n || host_n >= sizeof t->host || digits.n > 5 ||
        (port < end && (*port != ':' || !digits.n)))
        return false;
    for (size_t i = 0; i < digits.n; i++)
        if (!ag__http_is(digits.p[i], AG__CH_DIGIT))
            return false;
    memcpy(t->host, host, host_n);
    t->host[host_n] = 0;
    snprintf(t->addr, sizeof t->addr, *p == '[' ? "[%s]:%.*s" : "%s:%.*s", t->host,
             digits.n    ? (int)digits.n
             : t->secure ? 3
                         : 2,
             digits.n    ? digits.p
             : t->secure ? "443"
                         : "80");
    return true;
}

static int take_url(const char *url, target *t) {
    if (begins(&url, "wss://"))
        t->secure = true;
    else if (!begins(&url, "ws://"))
        return -EINVAL;
    size_t n = strcspn(url, "/?");
    t->authority = (ag__http_text){url, n};
    t->path = ag__ws_text(url + n);
    bool ok = n && !memchr(url, '@', n) && is_visible(t->authority) && is_visible(t->path) &&
              take_authority(t);
    return ok ? 0 : -EINVAL;
}

/* ---- Request -------------------------------------------------------------------------------- */

typedef struct text {
    char *p; /* NULL: out of memory */
    size_t n, size;
} text;

static void add(text *t, const char *s, size_t n) {
    if (t->p && t->n + n > t->size) {
        size_t size = (t->n + n) * 2;
        char *p = realloc(t->p, size);
        if (!p)
            free(t->p);
        t->p = p;
        t->size = size;
    }
    if (t->p)
        memcpy(t->p + t->n, s, n);
    t->n += n;
}

static void add_all(text *t, const char *s) {
    add(t, s, strlen(s));
}

static bool are_fields(const char *const *fields) {
    for (; fields && fields[0]; fields += 2) {
        ag__http_text name = ag__ws_text(fields[0]);
        if (!fields[1] || memchr(name.p, ',', name.n) || !ag__ws_is_list(name))
            return false;
        for (const char *v = fields[1]; *v; v++)
            if (!ag__http_is(*v, AG__CH_VALUE))
                return false;
    }
    return true;
}

static text request(const target *t, const ag_ws_options *o, const char *key) {
    text r = {malloc(512), 0, 512};
    add_all(&r, "GET ");
    if (!t->path.n || t->path.p[0] == '?')
        add_all(&r, "/");
    add(&r, t->path.p, t->path.n);
    add_all(&r, " HTTP/1.1\r\nHost: ");
    add(&r, t->authority.p, t->authority.n);
    add_all(&r, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: ");
    add_all(&r, key);
    add_all(&r, "\r\n");
    if (o && o->protocols) {
        add_all(&r, "Sec-WebSocket-Protocol: ");
        add_all(&r, o->protocols);
        add_all(&r, "\r\n");
    }
    if (o && o->compress && ag__ws_can_deflate())
        add_all(&r, "Sec-WebSocket-Extensions: " AG__WS_DEFLATE "\r\n");
    for (const char *const *f = o ? o->fields : NULL; f && f[0]; f += 2) {
        add_all(&r, f[0]);
        add_all(&r, ": ");
        add_all(&r, f[1]);
        add_all(&r, "\r\n");
    }
    add_all(&r, "\r\n");
    return r;
}

/* ---- Answer --------------------------------------------------------------------------------- */

typedef struct answer {
    char *buf; /* ANSWER_MAX + 1 bytes */
    size_t n, head_n;
    ag__http_text accept, protocol;
    bool upgrade, connection, bad;
    bool offered, deflates; /* permessage-deflate: by us, and agreed to */
} answer;

static int read_answer(ag_conn *c, answer *a) {
    for (;;) {
        ssize_t n = ag_read(c, a->buf + a->n, ANSWER_MAX - a->n);
        if (n <= 0)
            return n ? (int)n : -ECONNRESET;
        size_t from = a->n > 3 ? a->n - 3 : 0;
        a->n += (size_t)n;
        const char *end = memmem(a->buf + from, a->n - from, "\r\n\r\n", 4);
        if (end) {
            a->head_n = (size_t)(end - a->buf) + 4;
            return 0;
        }
        if (a->n == ANSWER_MAX)
            return -EPROTO;
    }
}

static void take_extension(answer *a, ag__http_text value) {
    if (a->offered && !a->deflates && ag__ws_agrees_to_deflate(value.p, value.n))
        a->deflates = true;
    else
        a->bad |= value.n > 0;
}

static void take_field(answer *a, ag__http_text name, ag__http_text value) {
    if (ag__http_same(name, "upgrade"))
        a->upgrade |= ag__ws_list_has_word(value, "websocket");
    else if (ag__http_same(name, "connection"))
        a->connection |= ag__ws_list_has_word(value, "upgrade");
    else if (ag__http_same(name, "sec-websocket-extensions"))
        take_extension(a, value);
    else if (ag__http_same(name, "sec-websocket-accept") && !a->accept.p)
        a->accept = value;
    else if (ag__http_same(name, "sec-websocket-protocol") && !a->protocol.p)
        a->protocol = value;
    else if (ag__http_same(name, "sec-websocket-accept") ||
             ag__http_same(name, "sec-websocket-protocol"))
        a->bad = true; /* twice */
}

static void take_fields(answer *a, size_t at) {
    while (at + 2 < a->head_n) {
        const char *line = a->buf + at, *end = memmem(line, a->head_n - at, "\r\n", 2);
        size_t n = (size_t)(end - line);
        const char *colon = memchr(line, ':', n);
        if (!colon || colon == line) {
            a->bad = true;
            return;
        }
        size_t name_n = (size_t)(colon - line);
        take_field(a, (ag__http_text){line, name_n},
                   ag__http_trim((ag__http_text){colon + 1, n - name_n - 1}));
        at += n + 2;
    }
}

/* Returns: 0; the status of a server that refuses; -EPROTO. */
static int check_answer(answer *a, const ag_ws_options *o, const char *key) {
    static const char version[] = "HTTP/1.1 ";
    char accept[29];
    const char *digits = a->buf + sizeof version - 1;
    if (a->head_n < 16 || memcmp(a->buf, version, sizeof version - 1) != 0)
        return -EPROTO;
    int status = 0;
    for (int i = 0; i < 3; i++) {
        if (!ag__http_is(digits[i], AG__CH_DIGIT))
            return -EPROTO;
        status = status * 10 + digits[i] - '0';
    }
    if (status != 101)
        return status >= 200 ? status : -EPROTO;
    take_fields(a, (size_t)((char *)memchr(a->buf, '\n', a->head_n) + 1 - a->buf));
    ag__ws_accept_key(key, KEY_N, accept);
    ag__http_text offered = ag__ws_text(o && o->protocols ? o->protocols : "");
    bool ok = !a->bad && a->upgrade && a->connection && a->accept.n == strlen(accept) &&
              memcmp(a->accept.p, accept, a->accept.n) == 0 &&
              (!a->protocol.p || ag__ws_list_has(offered, a->protocol));
    return ok ? 0 : -EPROTO;
}

/* ---- Dialling ------------------------------------------------------------------------------- */

/* On a connection that is made. Returns: as ag_ws_dial. */
static int shake_hands(ag_conn *c, const target *t, const ag_ws_options *o, answer *a) {
    uint8_t nonce[16];
    char key[KEY_N + 1];
    ag__http_random(nonce, sizeof nonce);
    ag__ws_base64(nonce, sizeof nonce, key);
    text ask = request(t, o, key);
    if (!ask.p)
        return -ENOMEM;
    ssize_t n = ag_write(c, ask.p, ask.n);
    free(ask.p);
    if (n < 0)
        return (int)n;
    int r = read_answer(c, a);
    return r != 0 ? r : check_answer(a, o, key);
}

static int connect_to(const target *t, const ag_ws_options *o, answer *a, ag_conn **ret_conn) {
    ag_within(o && o->handshake_ns > 0 ? o->handshake_ns : 10 * AG_SEC);
    ag_conn *c;
    int r = ag_dial("tcp", t->addr, &c);
    if (r != 0)
        return r;
    if (t->secure)
        r = o->secure(c, t->host, o->secure_arg);
    if (r == 0)
        r = shake_hands(c, t, o, a);
    if (r == 0)
        *ret_conn = c;
    else
        ag_unref(c);
    return r;
}

int ag_ws_dial(const char *url, const ag_ws_options *options, ag_ws **ret_ws) {
    target t = {.secure = false};
    answer a = {.n = 0};
    ag_conn *c = NULL;
    int r = take_url(url, &t);
    if (r != 0)
        return r;
    if (options && ((options->protocols && !ag__ws_is_list(ag__ws_text(options->protocols))) ||
                    !are_fields(options->fields)))
        return -EINVAL;
    if (t.secure && !(options && options->secure))
        return -EPROTONOSUPPORT;
    a.offered = options && options->compress && ag__ws_can_deflate();
    a.buf = malloc(ANSWER_MAX + 1);
    if (!a.buf)
        return -ENOMEM;
    r = connect_to(&t, options, &a, &c);
    ag_ws *ws = NULL;
    if (r == 0) {
        ws = ag__ws_new(c, NULL, options, a.protocol.p, a.protocol.n);
        if (!ws) {
            ag_unref(c);
            r = -ENOMEM;
        }
    }
    if (r != 0) {
        free(a.buf);
        return r;
    }
    ws->deflates = a.deflates;
    ws->in = (uint8_t *)a.buf;
    ws->in_size = ANSWER_MAX;
    ws->in_at = (uint32_t)a.head_n;
    ws->in_n = (uint32_t)a.n;
    *ret_ws = ws;
    return 0;
}
