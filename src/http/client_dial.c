/* SPDX-License-Identifier: MIT */
/*
 * A fresh connection: dial, through the proxy if there is one, TLS.
 *
 * Each step has its own bound, inside the current context's. A tunnel is asked for with CONNECT;
 * the proxy's answer has a head and nothing behind it, for the server does not speak first. A
 * refusal is an error with the proxy's status in its text.
 */
#include "http/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TUNNEL_HEAD = 8192, TUNNEL_FIELDS = 64, ADDR_MAX = 280 };

static void say(char *why, const char *what) {
    snprintf(why, AG__CLIENT_WHY, "%s", what);
}

/* "host:port", with brackets around an IPv6 address. */
static int write_address(char addr[ADDR_MAX], ag__http_text host, uint16_t port) {
    bool v6 = memchr(host.p, ':', host.n) && host.p[0] != '[';
    int n =
        snprintf(addr, ADDR_MAX, v6 ? "[%.*s]:%u" : "%.*s:%u", (int)host.n, host.p, (unsigned)port);
    return n < ADDR_MAX ? 0 : -ENAMETOOLONG;
}

static int connect_to(const ag__client_route *route, ag_time ns, ag_conn **ret_conn, char *why) {
    char addr[ADDR_MAX];
    const ag__url *p = route->proxy;
    int r =
        p ? write_address(addr, p->host, p->port) : write_address(addr, route->host, route->port);
    if (r == 0) {
        ag_within(ns);
        r = ag_dial("tcp", addr, ret_conn);
    }
    if (r != 0)
        snprintf(why, AG__CLIENT_WHY, p ? "connecting to the proxy %.200s" : "connecting to %.200s",
                 addr);
    return r;
}

/* Reads the proxy's answer into buf; nothing may be behind it. */
static int read_answer(ag_conn *c, char *buf, char *why) {
    ag__http_field fields[TUNNEL_FIELDS];
    ag__http_limits limits = {.head_max = TUNNEL_HEAD};
    ag__http_head h;
    size_t n = 0, at = 0;
    ag__http_reply_init(&h, fields, TUNNEL_FIELDS, &limits);
    for (;;) {
        int got = ag__http_parse(&h, buf + at, n - at);
        if (got > 0 && h.status < 200 && h.status != 101) {
            at += (size_t)got;
            ag__http_head_reset(&h);
        } else if (got > 0 && h.status / 100 == 2) {
            return at + (size_t)got == n ? 0 : -EPROTO;
        } else if (got > 0) {
            snprintf(why, AG__CLIENT_WHY, "the proxy answered CONNECT with %d", h.status);
            return -ECONNREFUSED;
        } else if (got != -EAGAIN || n == TUNNEL_HEAD) {
            snprintf(why, AG__CLIENT_WHY, "the proxy's answer: %s",
                     got != -EAGAIN ? ag__http_reason(got) : "too large");
            return -EPROTO;
        } else {
            ssize_t more = ag_read(c, buf + n, TUNNEL_HEAD - n);
            if (more <= 0)
                return more ? (int)more : -ECONNRESET;
            n += (size_t)more;
        }
    }
}

static int open_tunnel(ag_conn *c, const ag__client_route *route, ag_time ns, char *why) {
    char addr[ADDR_MAX];
    int r = write_address(addr, route->host, route->port);
    char *buf = r == 0 ? malloc(TUNNEL_HEAD) : NULL;
    if (!buf)
        return r ? r : -ENOMEM;
    const char *basic = route->proxy_basic;
    int n = snprintf(buf, TUNNEL_HEAD, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", addr, addr,
                     basic ? "Proxy-Authorization: " : "", basic ? basic : "", basic ? "\r\n" : "");
    say(why, "asking the proxy for a tunnel");
    if (n >= TUNNEL_HEAD) {
        r = -E2BIG;
    } else {
        ag_within(ns);
        ssize_t put = ag_write(c, buf, (size_t)n);
        r = put < 0 ? (int)put : read_answer(c, buf, why);
    }
    free(buf);
    return r;
}

static int shake_hands(ag_http_client *client, ag_conn *c, const ag__client_route *route,
                       char *why) {
    char name[256];
    if (route->host.n >= sizeof name)
        return -ENAMETOOLONG;
    memcpy(name, route->host.p, route->host.n);
    name[route->host.n] = 0;
    ag_within(client->opt.tls_ns);
    return ag__client_tls(client, c, name, why);
}

bool ag__client_may_share(const ag_http_client *client, const ag__client_route *route) {
    const ag_http_client_options *o = &client->opt;
    return ag__client_has_h2() && !o->no_http2 &&
           (route->tls || (o->http2_in_clear && !route->proxy));
}

int ag__client_dial(ag_http_client *client, const ag__client_route *route, ag_conn **ret_conn,
                    bool *ret_h2, char *why) {
    ag_conn *c;
    int r = connect_to(route, client->opt.dial_ns, &c, why);
    if (r != 0)
        return r;
    if (route->tunnel)
        r = open_tunnel(c, route, client->opt.head_ns, why);
    if (r == 0 && route->tls) {
        say(why, "shaking hands");
        r = shake_hands(client, c, route, why);
    }
    if (r == 0) {
        *ret_conn = c;
        *ret_h2 = ag__client_may_share(client, route) &&
                  (!route->tls || strcmp(ag_conn_protocol(c), "h2") == 0);
    } else {
        ag_unref(c);
    }
    return r;
}
