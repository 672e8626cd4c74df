/* SPDX-License-Identifier: MIT */
/*
 * What is said about permessage-deflate in a handshake, RFC 7692 7.1.
 *
 * We keep nothing from one message to the next, and say so for both ends: that is what the answer
 * "no context takeover" means, which every client has to accept. An offer that wants our window
 * to be smaller is passed over, because zlib can't make the smallest one.
 */
#include "http/ws_names.h"
#include "http/ws.h"

/* Takes what is before `separator` off the list. Returns: false at the end. */
static bool next(ag__http_text *list, char separator, ag__http_text *ret_part) {
    if (!list->p)
        return false;
    const char *at = list->n ? memchr(list->p, separator, list->n) : NULL;
    size_t n = at ? (size_t)(at - list->p) : list->n;
    *ret_part = ag__http_trim((ag__http_text){list->p, n});
    *list = at ? (ag__http_text){at + 1, list->n - n - 1} : (ag__http_text){NULL, 0};
    return true;
}

/* A window of 8 to 15 bits, perhaps in quotes; 0 for anything else. */
static int window(ag__http_text v) {
    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
        v = (ag__http_text){v.p + 1, v.n - 2};
    if (v.n == 1 && (v.p[0] == '8' || v.p[0] == '9'))
        return v.p[0] - '0';
    return v.n == 2 && v.p[0] == '1' && v.p[1] >= '0' && v.p[1] <= '5' ? 10 + v.p[1] - '0' : 0;
}

typedef struct parameters {
    bool bad;
    int seen, server_window; /* 0: not given */
} parameters;

enum { SERVER_NONE = 1, CLIENT_NONE = 2, SERVER_WINDOW = 4, CLIENT_WINDOW = 8 };

static void take(parameters *p, ag__http_text part) {
    ag__http_text name, value = part;
    next(&value, '=', &name);
    bool has_value = value.p != NULL;
    value = ag__http_trim(value);
    int which = ag__http_same(name, "server_no_context_takeover")   ? SERVER_NONE
                : ag__http_same(name, "client_no_context_takeover") ? CLIENT_NONE
                : ag__http_same(name, "server_max_window_bits")     ? SERVER_WINDOW
                : ag__http_same(name, "client_max_window_bits")     ? CLIENT_WINDOW
                                                                    : 0;
    int bits = has_value ? window(value) : -1;
    p->bad |= !which || (p->seen & which) || bits == 0;
    p->bad |= (which & (SERVER_NONE | CLIENT_NONE)) && has_value;
    p->bad |= which == SERVER_WINDOW && !has_value;
    p->seen |= which;
    if (which == SERVER_WINDOW)
        p->server_window = bits;
}

/* Returns: false if it is another extension. */
static bool parse(ag__http_text extension, parameters *ret) {
    ag__http_text part;
    *ret = (parameters){.bad = false};
    next(&extension, ';', &part);
    if (!ag__http_same(part, "permessage-deflate"))
        return false;
    while (next(&extension, ';', &part))
        take(ret, part);
    return true;
}

bool ag__ws_offers_deflate(const char *value, size_t n) {
    ag__http_text e, list = {value, n};
    parameters p;
    while (ag__http_next_element(&list, &e))
        if (parse(e, &p) && !p.bad && (!p.server_window || p.server_window == 15))
            return true;
    return false;
}

bool ag__ws_agrees_to_deflate(const char *value, size_t n) {
    parameters p;
    return parse((ag__http_text){value, n}, &p) && !p.bad && (p.seen & SERVER_NONE) &&
           !(p.seen & CLIENT_WINDOW);
}
