/* SPDX-License-Identifier: MIT */
/*
 * The request target: which of the four forms it has (RFC 9112 3.2), path, query, host.
 *
 * A target that is none of them is refused, and so is one with bytes that should have been
 * percent-encoded; chars.c says which. Percent signs are checked in the path, where every escape
 * must be two hexadecimal digits and not NUL, so that decoding it later cannot fail; in the query
 * they are left alone, because "100%" is common there and harmless.
 *
 * The host is checked against the grammar, IPv6 addresses included: hosts end up in redirects, in
 * logs and in the tables of other servers.
 */
#include "http/parse.h"

enum { PORT_MAX = 65535 };

/* ---- Path and query ------------------------------------------------------------------------- */

/* Splits buf[at..end) into path and query. Returns 0 or a verdict. */
static int take_path(ag__http_head *h, const char *buf, uint32_t at, uint32_t end) {
    uint32_t i = at;
    for (; i < end && buf[i] != '?'; i++) {
        if (!ag__http_is(buf[i], AG__CH_PATH))
            return AG__BAD_TARGET_BYTE;
        if (buf[i] != '%')
            continue;
        if (end - i < 3 || ag__http_hex(buf[i + 1]) < 0 || ag__http_hex(buf[i + 2]) < 0)
            return AG__BAD_TARGET_ESCAPE;
        if (buf[i + 1] == '0' && buf[i + 2] == '0')
            return AG__BAD_TARGET_NUL;
    }
    h->path = (ag__http_slice){at, i - at};
    if (i == end)
        return 0;
    h->has_query = true;
    h->query = (ag__http_slice){i + 1, end - i - 1};
    for (i++; i < end; i++)
        if (!ag__http_is(buf[i], AG__CH_TARGET))
            return AG__BAD_TARGET_BYTE;
    return 0;
}

/* ---- Host ----------------------------------------------------------------------------------- */

/* IPv4address of RFC 3986: four numbers up to 255, without leading zeros. */
static bool is_ipv4(ag__http_text s) {
    for (int part = 0; part < 4; part++) {
        size_t i = 0;
        int value = 0;
        while (i < s.n && i < 3 && ag__http_is(s.p[i], AG__CH_DIGIT))
            value = value * 10 + (s.p[i++] - '0');
        if (i == 0 || value > 255 || (i > 1 && s.p[0] == '0'))
            return false;
        if (part == 3)
            return i == s.n;
        if (i == s.n || s.p[i] != '.')
            return false;
        s = (ag__http_text){s.p + i + 1, s.n - i - 1};
    }
    return false;
}

/* IPv6address of RFC 3986: eight groups, one run of zero groups as "::", the last two groups
   perhaps as an IPv4 address. No zone. */
static bool is_ipv6(ag__http_text s) {
    int groups = 0;
    bool gap = false;
    size_t i = 0;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
        gap = true;
        i = 2;
    }
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && ag__http_is(s.p[i], AG__CH_HEX))
            i++;
        if (i < s.n && s.p[i] == '.') {
            groups += 2;
            return is_ipv4((ag__http_text){s.p + from, s.n - from}) &&
                   (gap ? groups < 8 : groups == 8);
        }
        if (i == from || i - from > 4 || ++groups > 8)
            return false;
        if (i == s.n)
            break;
        if (s.p[i++] != ':' || i == s.n)
            return false;
        if (s.p[i] == ':') {
            if (gap)
                return false;
            gap = true;
            i++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

/* reg-name of RFC 3986, not empty; an IPv4 address is one, too. Without escapes and without empty
   labels, but for one dot at the end: no name that can be looked up has either, and who decodes
   the first finds anything behind it, a line break for one. */
static bool is_reg_name(ag__http_text s) {
    bool label_is_empty = true;
    for (size_t i = 0; i < s.n; i++) {
        if (!ag__http_is(s.p[i], AG__CH_HOST) || (s.p[i] == '.' && label_is_empty))
            return false;
        label_is_empty = s.p[i] == '.';
    }
    return s.n > 0;
}

bool ag__http_authority_apply(ag__http_head *h, const char *buf, ag__http_slice s) {
    ag__http_text all = ag__http_at(buf, s);
    size_t host_len;
    if (all.n && all.p[0] == '[') {
        const char *close = memchr(all.p, ']', all.n);
        if (!close || !is_ipv6((ag__http_text){all.p + 1, (size_t)(close - all.p) - 1}))
            return false;
        host_len = (size_t)(close - all.p) + 1;
    } else {
        const char *colon = all.n ? memchr(all.p, ':', all.n) : NULL;
        host_len = colon ? (size_t)(colon - all.p) : all.n;
        if (!is_reg_name((ag__http_text){all.p, host_len}))
            return false;
    }
    uint32_t port = 0;
    if (host_len < all.n && all.p[host_len] != ':')
        return false;
    for (size_t i = host_len + 1; i < all.n; i++) {
        if (!ag__http_is(all.p[i], AG__CH_DIGIT))
            return false;
        port = port * 10 + (uint32_t)(all.p[i] - '0');
        if (port > PORT_MAX)
            return false;
    }
    h->host = (ag__http_slice){s.at, (uint32_t)host_len};
    h->port = (uint16_t)port;
    return true;
}

/* ---- The four forms ------------------------------------------------------------------------- */

/* `rest` is where the authority starts, behind "http://". */
static int take_absolute(ag__http_head *h, const char *buf, uint32_t rest) {
    uint32_t end = h->target.at + h->target.len, i = rest;
    while (i < end && buf[i] != '/' && buf[i] != '?')
        i++;
    h->form = AG__FORM_ABSOLUTE;
    h->authority = (ag__http_slice){rest, i - rest};
    if (!ag__http_authority_apply(h, buf, h->authority))
        return AG__BAD_TARGET_HOST;
    return take_path(h, buf, i, end);
}

/* Length of "http://" or "https://" at the start of `s`, or 0. */
static uint32_t scheme_length(ag__http_text s) {
    if (s.n >= 7 && ag__http_same((ag__http_text){s.p, 7}, "http://"))
        return 7;
    if (s.n >= 8 && ag__http_same((ag__http_text){s.p, 8}, "https://"))
        return 8;
    return 0;
}

static bool has_scheme(ag__http_text s) {
    const char *colon = memchr(s.p, ':', s.n);
    return colon && s.p + s.n - colon >= 3 && colon[1] == '/' && colon[2] == '/';
}

int ag__http_target_apply(ag__http_head *h, const char *buf) {
    ag__http_text target = ag__http_at(buf, h->target);
    uint32_t at = h->target.at;
    if (h->method_id == AG__METHOD_CONNECT) {
        h->form = AG__FORM_AUTHORITY;
        h->authority = h->target;
        return ag__http_authority_apply(h, buf, h->target) && h->port ? 0 : AG__BAD_TARGET_CONNECT;
    }
    if (target.p[0] == '/') {
        h->form = AG__FORM_ORIGIN;
        return take_path(h, buf, at, at + h->target.len);
    }
    if (target.p[0] == '*' && target.n == 1) {
        h->form = AG__FORM_ASTERISK;
        return h->method_id == AG__METHOD_OPTIONS ? 0 : AG__BAD_TARGET_ASTERISK;
    }
    uint32_t scheme = scheme_length(target);
    if (scheme)
        return take_absolute(h, buf, at + scheme);
    return has_scheme(target) ? AG__BAD_TARGET_SCHEME : AG__BAD_TARGET_FORM;
}
