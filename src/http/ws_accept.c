/* SPDX-License-Identifier: MIT */
/*
 * The server's side of the handshake, RFC 6455 4.2.
 *
 * Origin. A browser lets every page open a WebSocket to every server, and sends the user's cookies
 * along; only the server can refuse a foreign page (10.2). So the default is the strict one, and
 * who wants to be open has to say so: only an Origin whose host and port are those of Host may. A
 * client without Origin is no browser, and could write whatever it likes there.
 *
 * What came behind the handshake is the beginning of the WebSocket: it becomes the reader's first
 * buffer.
 */
#include "http/ws.h"
#include "http/ws_names.h"

#include <errno.h>

enum { KEY_N = 24 }; /* base64 of 16 bytes */

/* ---- Origin --------------------------------------------------------------------------------- */

/* "https://host:port" without the scheme. */
static ag__http_text host_of(ag__http_text origin) {
    const char *sep = origin.n ? memmem(origin.p, origin.n, "://", 3) : NULL;
    if (!sep)
        return origin;
    size_t before = (size_t)(sep + 3 - origin.p);
    return (ag__http_text){origin.p + before, origin.n - before};
}

static bool matches(ag__http_text pattern, ag__http_text origin) {
    if (pattern.n == 1 && pattern.p[0] == '*')
        return true;
    if (!memmem(pattern.p, pattern.n, "://", 3))
        origin = host_of(origin);
    if (pattern.n > 2 && pattern.p[0] == '*' && pattern.p[1] == '.') { /* a part of the name */
        pattern = (ag__http_text){pattern.p + 1, pattern.n - 1};
        if (origin.n <= pattern.n)
            return false;
        origin = (ag__http_text){origin.p + origin.n - pattern.n, pattern.n};
    }
    return ag__ws_same(pattern, origin);
}

static bool may_come(ag_http_request *req, const char *origins) {
    const char *origin = ag_http_header(req, "Origin"), *host = ag_http_header(req, "Host");
    if (!origin)
        return true;
    ag__http_text from = ag__ws_text(origin), pattern;
    if (!origins)
        return host && memmem(from.p, from.n, "://", 3) &&
               ag__ws_same(host_of(from), ag__ws_text(host));
    ag__http_text list = ag__ws_text(origins);
    while (ag__http_next_element(&list, &pattern))
        if (pattern.n && matches(pattern, from))
            return true;
    return false;
}

/* ---- Handshake ------------------------------------------------------------------------------ */

static int refuse(ag_http_response *res, int status, const char *why, int error) {
    int r = ag_http_error(res, status, "%s", why);
    return r == -EALREADY ? r : error;
}

static int want_upgrade(ag_http_response *res, const char *why) {
    ag_http_set(res, "Sec-WebSocket-Version", "13");
    ag_http_set(res, "Upgrade", "websocket");
    ag_http_set(res, "Connection", "upgrade");
    return refuse(res, 426, why, -EPROTO);
}

static bool is_key(const char *key) {
    if (!key || strlen(key) != KEY_N || key[KEY_N - 1] != '=' || key[KEY_N - 2] != '=')
        return false;
    for (size_t i = 0; i < KEY_N - 2; i++)
        if (!ag__http_is(key[i], AG__CH_TOKEN) && key[i] != '/')
            return false;
    return true;
}

/* Whether a field with this name, perhaps of several, has the word in its list. */
static bool field_has(ag_http_request *req, const char *name, const char *lower) {
    const char *n, *value;
    for (size_t i = 0; ag_http_header_at(req, i, &n, &value); i++)
        if (ag__http_same(ag__ws_text(n), name) && ag__ws_list_has_word(ag__ws_text(value), lower))
            return true;
    return false;
}

/* Answers what is no handshake. Returns: 0 if it is one. */
static int check(ag_http_request *req, ag_http_response *res, const ag_ws_options *o) {
    const char *version = ag_http_header(req, "Sec-WebSocket-Version");
    if (strcmp(ag_http_method(req), "GET") != 0) {
        ag_http_set(res, "Allow", "GET");
        return refuse(res, 405, "Method Not Allowed", -EPROTO);
    }
    if (ag_http_minor_version(req) == 0 || !field_has(req, "connection", "upgrade") ||
        !field_has(req, "upgrade", "websocket"))
        return want_upgrade(res, "this is a WebSocket");
    if (!version || strcmp(version, "13") != 0)
        return want_upgrade(res, "WebSocket version 13 is spoken");
    if (!is_key(ag_http_header(req, "Sec-WebSocket-Key")))
        return refuse(res, 400, "malformed Sec-WebSocket-Key", -EPROTO);
    if (ag_http_content_length(req) != 0)
        return refuse(res, 400, "a WebSocket handshake has no body", -EPROTO);
    if (!may_come(req, o ? o->origins : NULL))
        return refuse(res, 403, "the origin is not allowed", -EACCES);
    return 0;
}

/* The first of ours that the client offers, too; n 0: none. */
static ag__http_text choose(ag_http_request *req, const char *ours) {
    ag__http_text e, list = ag__ws_text(ours ? ours : "");
    const char *name, *value;
    while (ag__http_next_element(&list, &e))
        for (size_t i = 0; e.n && ag_http_header_at(req, i, &name, &value); i++)
            if (ag__http_same(ag__ws_text(name), "sec-websocket-protocol") &&
                ag__ws_list_has(ag__ws_text(value), e))
                return e;
    return (ag__http_text){NULL, 0};
}

static bool wants_deflate(ag_http_request *req, const ag_ws_options *o) {
    const char *name, *value;
    for (size_t i = 0; o && o->compress && ag_http_header_at(req, i, &name, &value); i++)
        if (ag__http_same(ag__ws_text(name), "sec-websocket-extensions") &&
            ag__ws_offers_deflate(value, strlen(value)))
            return ag__ws_can_deflate();
    return false;
}

static int say_accept(ag_http_request *req, ag_http_response *res, ag__http_text protocol,
                      bool deflates) {
    char accept[29], name[256];
    const char *key = ag_http_header(req, "Sec-WebSocket-Key");
    if (protocol.n >= sizeof name)
        return -EINVAL;
    ag__ws_accept_key(key, strlen(key), accept);
    int r = ag_http_set(res, "Sec-WebSocket-Accept", accept);
    if (r == 0 && deflates)
        r = ag_http_set(res, "Sec-WebSocket-Extensions", AG__WS_DEFLATE);
    if (r != 0 || !protocol.n)
        return r;
    memcpy(name, protocol.p, protocol.n);
    name[protocol.n] = 0;
    return ag_http_set(res, "Sec-WebSocket-Protocol", name);
}

/* The bytes behind the request, with room for more. Returns: false when out of memory. */
static bool take_early(ag_ws *ws) {
    size_t n = ag_http_upgraded_buffered(ws->upgraded);
    if (!n)
        return true;
    if (!ag__ws_borrow(ws, n))
        return false;
    ws->in_n = (uint32_t)ag_http_upgraded_read(ws->upgraded, ws->in, n);
    return true;
}

static void say_good_bye(ag_ws *ws) {
    ag_ws_close(ws, AG_WS_GOING_AWAY, NULL);
}

int ag_ws_accept(ag_http_request *req, ag_http_response *res, const ag_ws_options *options,
                 ag_ws **ret_ws) {
    ag_http_upgraded *u;
    int r = check(req, res, options);
    if (r != 0)
        return r;
    ag__http_text protocol = choose(req, options ? options->protocols : NULL);
    bool deflates = wants_deflate(req, options);
    r = say_accept(req, res, protocol, deflates);
    if (r == 0)
        r = ag_http_upgrade(req, res, "websocket", &u);
    if (r == -ECANCELED)
        return refuse(res, 503, "the server is stopping", r);
    if (r == -ENOMEM || r == -E2BIG || r == -EINVAL)
        return refuse(res, 500, "no room for the answer", r);
    if (r != 0)
        return r;
    ag_ws *ws = ag__ws_new(ag_http_upgraded_conn(u), u, options, protocol.p, protocol.n);
    if (!ws) {
        ag_http_upgraded_close(u);
        return -ENOMEM;
    }
    if (!take_early(ws)) {
        ag_ws_unref(ws);
        return -ENOMEM;
    }
    ws->deflates = deflates;
    ag_http_upgraded_on_stop(u, say_good_bye, ws);
    *ret_ws = ws;
    return 0;
}
