/* SPDX-License-Identifier: MIT */
/*
 * Proxies: which one a URL is asked through. The environment is read once, when the client is made,
 * in the way Go reads it; the differences to curl are: no ALL_PROXY, and HTTP_PROXY in upper case
 * counts, except in a CGI program, where "Proxy: x" of a request would set it.
 *
 * An entry of NO_PROXY without a dot in front means the host and what is below it, with one only
 * what is below. Networks are compared as 16 bytes, IPv4 mapped into IPv6.
 */
#include "http/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- From the environment ------------------------------------------------------------------- */

static const char *from_environment(const char *upper, const char *lower) {
    const char *value = getenv(upper);
    if (!value || !*value)
        value = getenv(lower);
    return value && *value ? value : NULL;
}

/* "host:port" means http. Only that is spoken to proxies. */
static int take_proxy(const char *s, ag__url *ret_url, char **ret_basic) {
    const char *why;
    char *whole = NULL;
    if (!strstr(s, "://")) {
        whole = malloc(strlen(s) + 8);
        if (!whole)
            return -ENOMEM;
        memcpy(whole, "http://", 7);
        memcpy(whole + 7, s, strlen(s) + 1);
    }
    int r = ag__url_parse(whole ? whole : s, ret_url, &why);
    free(whole);
    if (r == 0 && ret_url->tls)
        r = -EPROTONOSUPPORT;
    if (r == 0 && ret_url->user.p && !(*ret_basic = ag__url_basic(ret_url->user)))
        r = -ENOMEM;
    if (r != 0)
        ag__url_done(ret_url);
    return r;
}

int ag__client_proxies_init(ag__client_proxies *p, const char *option) {
    const char *http = option, *https = option;
    if (!option) {
        p->from_environment = true;
        http = getenv("REQUEST_METHOD") ? getenv("http_proxy")
                                        : from_environment("HTTP_PROXY", "http_proxy");
        https = from_environment("HTTPS_PROXY", "https_proxy");
        const char *no_proxy = from_environment("NO_PROXY", "no_proxy");
        if (no_proxy && !(p->no_proxy = strdup(no_proxy)))
            return -ENOMEM;
    }
    int r = http && *http ? take_proxy(http, &p->http, &p->http_basic) : 0;
    if (r == 0 && https && *https)
        r = take_proxy(https, &p->https, &p->https_basic);
    return r;
}

void ag__client_proxies_done(ag__client_proxies *p) {
    ag__url_done(&p->http);
    ag__url_done(&p->https);
    free(p->http_basic);
    free(p->https_basic);
    free(p->no_proxy);
}

/* ---- Addresses ------------------------------------------------------------------------------ */

/* Four numbers up to 255. */
static bool read_ipv4(ag__http_text s, uint8_t *dst) {
    for (int part = 0; part < 4; part++) {
        int value = 0;
        size_t i = 0;
        while (i < s.n && i < 3 && ag__http_is(s.p[i], AG__CH_DIGIT))
            value = value * 10 + (s.p[i++] - '0');
        if (!i || value > 255 || (part < 3 ? i == s.n || s.p[i] != '.' : i != s.n))
            return false;
        dst[part] = (uint8_t)value;
        if (part < 3)
            s = (ag__http_text){s.p + i + 1, s.n - i - 1};
    }
    return true;
}

/* Without brackets and zone. */
static bool read_ipv6(ag__http_text s, uint8_t dst[16]) {
    uint8_t tail[16] = {0};
    int n = 0, gap = -1;
    size_t i = 0;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
        gap = 0;
        i = 2;
    }
    while (i < s.n) {
        uint32_t value = 0;
        size_t from = i;
        for (int digit; i < s.n && (digit = ag__http_hex(s.p[i])) >= 0; i++)
            value = value << 4 | (uint32_t)digit;
        if (i < s.n && s.p[i] == '.') {
            if (n > 12 || !read_ipv4((ag__http_text){s.p + from, s.n - from}, tail + n))
                return false;
            n += 4;
            break;
        }
        if (i == from || i - from > 4 || n == 16)
            return false;
        tail[n++] = (uint8_t)(value >> 8);
        tail[n++] = (uint8_t)value;
        if (i == s.n)
            break;
        if (s.p[i++] != ':' || i == s.n)
            return false;
        if (s.p[i] == ':') {
            if (gap >= 0)
                return false;
            gap = n;
            i++;
        }
    }
    if (gap < 0 ? n != 16 : n == 16)
        return false;
    if (gap < 0)
        gap = n;
    memset(dst, 0, 16);
    memcpy(dst, tail, (size_t)gap);
    memcpy(dst + 16 - (n - gap), tail + gap, (size_t)(n - gap));
    return true;
}

static bool read_address(ag__http_text s, uint8_t dst[16], bool *ret_v4) {
    if (s.n && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = (ag__http_text){s.p + 1, s.n - 2};
    memset(dst, 0, 16);
    dst[10] = dst[11] = 0xff;
    *ret_v4 = read_ipv4(s, dst + 12);
    return *ret_v4 || read_ipv6(s, dst);
}

static bool is_this_machine(ag__http_text host) {
    static const uint8_t loopback[16] = {[15] = 1};
    uint8_t a[16];
    bool v4;
    if (ag__http_same(host, "localhost"))
        return true;
    return read_address(host, a, &v4) && (v4 ? a[12] == 127 : memcmp(a, loopback, 16) == 0);
}

/* ---- NO_PROXY ------------------------------------------------------------------------------- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits) {
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8) == 0;
}

/* "10.0.0.0/8". Returns: false if `entry` is no network, or not the one of `host`. */
static bool network_has(ag__http_text entry, ag__http_text host) {
    uint8_t net[16], a[16];
    bool net_v4, v4;
    const char *slash = memchr(entry.p, '/', entry.n);
    if (!slash)
        return false;
    ag__http_text number = {slash + 1, (size_t)(entry.p + entry.n - slash - 1)};
    unsigned bits = 0;
    if (!number.n || number.n > 3)
        return false;
    for (size_t i = 0; i < number.n; i++) {
        if (!ag__http_is(number.p[i], AG__CH_DIGIT))
            return false;
        bits = bits * 10 + (unsigned)(number.p[i] - '0');
    }
    if (!read_address((ag__http_text){entry.p, (size_t)(slash - entry.p)}, net, &net_v4) ||
        !read_address(host, a, &v4) || v4 != net_v4 || bits > (v4 ? 32 : 128))
        return false;
    return same_bits(net, a, bits + (v4 ? 96 : 0));
}

static bool ends_with(ag__http_text s, ag__http_text end) {
    if (s.n < end.n)
        return false;
    for (size_t i = 0; i < end.n; i++)
        if (ag__http_lower(s.p[s.n - end.n + i]) != ag__http_lower(end.p[i]))
            return false;
    return true;
}

/* Takes ":port" off a name or an address in brackets. Returns: false if it is another port. */
static bool take_port(ag__http_text *entry, uint16_t port) {
    size_t at = entry->n;
    while (at > 0 && ag__http_is(entry->p[at - 1], AG__CH_DIGIT))
        at--;
    if (at == entry->n || at == 0 || entry->p[at - 1] != ':' ||
        (memchr(entry->p, ':', at - 1) && entry->p[at - 2] != ']'))
        return true;
    unsigned long given = 0;
    for (size_t i = at; i < entry->n && given <= 65535; i++)
        given = given * 10 + (unsigned long)(entry->p[i] - '0');
    entry->n = at - 1;
    return given == port;
}

static bool entry_has(ag__http_text entry, ag__http_text host, uint16_t port) {
    uint8_t a[16], b[16];
    bool a_v4, b_v4;
    if (!entry.n)
        return false;
    if (entry.n == 1 && entry.p[0] == '*')
        return true;
    if (network_has(entry, host))
        return true;
    if (!take_port(&entry, port) || !entry.n)
        return false;
    if (read_address(entry, a, &a_v4))
        return read_address(host, b, &b_v4) && memcmp(a, b, 16) == 0;
    if (entry.n > 2 && entry.p[0] == '*' && entry.p[1] == '.')
        entry = (ag__http_text){entry.p + 1, entry.n - 1};
    if (!ends_with(host, entry))
        return false;
    if (entry.p[0] == '.')
        return host.n > entry.n;
    return host.n == entry.n || host.p[host.n - entry.n - 1] == '.';
}

static bool goes_direct(const ag__client_proxies *p, ag__http_text host, uint16_t port) {
    if (!p->from_environment)
        return false;
    if (is_this_machine(host))
        return true;
    if (!p->no_proxy)
        return false;
    ag__http_text list = {p->no_proxy, strlen(p->no_proxy)}, entry;
    while (ag__http_next_element(&list, &entry))
        if (entry_has(entry, host, port))
            return true;
    return false;
}

void ag__client_route_find(const ag__client_proxies *p, const ag__url *u, ag__client_route *ret) {
    ag__http_text host = u->host;
    if (host.p[0] == '[')
        host = (ag__http_text){host.p + 1, host.n - 2};
    *ret = (ag__client_route){.tls = u->tls, .host = host, .port = u->port};
    const ag__url *proxy = u->tls ? &p->https : &p->http;
    if (!proxy->text || goes_direct(p, host, u->port))
        return;
    ret->proxy = proxy;
    ret->proxy_basic = u->tls ? p->https_basic : p->http_basic;
    ret->tunnel = u->tls;
}
