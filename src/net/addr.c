/* SPDX-License-Identifier: MIT */
/*
 * addr.c - what the words of ag_listen and ag_dial mean: "tcp" and "host:port", "unix" and a path.
 *
 * Numbers never go to the resolver, so they are parsed without waiting and work where there is no
 * name service. The last colon divides host and port; a host with colons stands in brackets.
 *
 * An empty host is every address of the machine for a listener, and the machine itself for a
 * connection; there IPv4 is tried first, because a server on IPv4 alone is the common one.
 */
#include "net/net.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int copy(char *to, size_t size, const char *from, size_t n) {
    if (n >= size)
        return -EINVAL;
    memcpy(to, from, n);
    to[n] = 0;
    return 0;
}

/* A number up to 65535, or a name: letters, digits and hyphens, one letter at least. */
static int parse_port(const char *text, ag__host_port *p) {
    size_t n = strlen(text), digits = strspn(text, "0123456789");
    if (n == 0)
        return -EINVAL;
    if (digits == n) {
        if (n > 5)
            return -EINVAL;
        p->port = (int)strtol(text, NULL, 10);
        return p->port <= 65535 ? 0 : -EINVAL;
    }
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    if (strspn(text, allowed) != n || text[0] == '-')
        return -EINVAL;
    return copy(p->port_name, sizeof p->port_name, text, n);
}

int ag__host_port_parse(const char *addr, ag__host_port *ret_parts) {
    ag__host_port p = {.port = 0};
    const char *colon = strrchr(addr, ':');
    if (!colon)
        return -EINVAL;
    size_t n = (size_t)(colon - addr);
    int r;
    if (addr[0] == '[') {
        if (n < 3 || addr[n - 1] != ']' || memchr(addr + 1, '[', n - 2) ||
            memchr(addr + 1, ']', n - 2) || !memchr(addr + 1, ':', n - 2))
            return -EINVAL;
        r = copy(p.host, sizeof p.host, addr + 1, n - 2);
    } else {
        if (memchr(addr, ':', n) || memchr(addr, ']', n) || memchr(addr, '/', n))
            return -EINVAL;
        r = copy(p.host, sizeof p.host, addr, n);
    }
    if (r == 0)
        r = parse_port(colon + 1, &p);
    if (r == 0)
        *ret_parts = p;
    return r;
}

/* --- Targets. --- */

static int parse_net(const char *net, ag__target *t) {
    static const struct {
        const char *name;
        int kind;
        bool datagram;
    } nets[] = {{"tcp", AG__ADDR_NONE, false},     {"tcp4", AG__ADDR_IP4, false},
                {"tcp6", AG__ADDR_IP6, false},     {"unix", AG__ADDR_UNIX, false},
                {"unixgram", AG__ADDR_UNIX, true}, {"udp", AG__ADDR_NONE, true}};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        if (strcmp(net, nets[i].name) == 0) {
            t->kind = nets[i].kind;
            t->datagram = nets[i].datagram;
            return 0;
        }
    }
    return -EINVAL;
}

static void add_empty_host(ag__target *t, int port, bool listens) {
    void (*make)(int, int, ag__addr *) = listens ? ag__addr_wildcard : ag__addr_loopback;
    if (t->kind != AG__ADDR_NONE) {
        make(t->kind, port, &t->addrs[t->count++]);
        return;
    }
    t->both = listens;
    make(listens ? AG__ADDR_IP6 : AG__ADDR_IP4, port, &t->addrs[t->count++]);
    make(listens ? AG__ADDR_IP4 : AG__ADDR_IP6, port, &t->addrs[t->count++]);
}

/* A listener on a name takes one address: an IPv4 one if there is any. */
static void prefer_ip4(ag__target *t) {
    for (int i = 0; i < t->count; i++) {
        if (ag__addr_kind(&t->addrs[i]) == AG__ADDR_IP4) {
            t->addrs[0] = t->addrs[i];
            break;
        }
    }
    t->count = 1;
}

int ag__target_find(const char *net, const char *addr, bool listens, ag__target *ret_target) {
    ag__target *t = ret_target;
    ag__host_port p;
    if (!net || !addr)
        return -EINVAL;
    memset(t, 0, sizeof *t);
    int r = parse_net(net, t);
    if (r != 0)
        return r;
    if (t->kind == AG__ADDR_UNIX) {
        t->count = 1;
        return ag__addr_unix(addr, &t->addrs[0]);
    }
    r = ag__host_port_parse(addr, &p);
    if (r != 0)
        return r;
    if (!p.port_name[0] && !p.host[0]) {
        add_empty_host(t, p.port, listens);
        return 0;
    }
    if (!p.port_name[0] && ag__addr_number(p.host, t->kind, p.port, &t->addrs[0]) == 0) {
        t->count = 1;
        t->both = listens && t->kind == AG__ADDR_NONE && ag__addr_is_wildcard(&t->addrs[0]);
        return 0;
    }
    /* An address of the other family is no name. */
    ag__addr other;
    if (strchr(p.host, ':') || ag__addr_number(p.host, AG__ADDR_NONE, 0, &other) == 0) {
        if (!p.port_name[0])
            return -EINVAL;
    }
    t->count = ag__dns_look_up(&p, t->kind, t->datagram, listens, t->addrs, AG__TARGETS);
    if (t->count <= 0)
        return t->count < 0 ? t->count : -ENOENT;
    if (listens)
        prefer_ip4(t);
    return 0;
}
