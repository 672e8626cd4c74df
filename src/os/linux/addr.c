/* SPDX-License-Identifier: MIT */
/*
 * addr.c (Linux) - socket addresses: from numbers, from names, to text.
 *
 * An ag__addr is a sockaddr with its size. Names of the top-level domain "invalid" are never
 * looked up (RFC 6761, 6.4): the answer is known, and without a name server it would come late
 * and wrong.
 */
#include "os/sock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

static void from_ip4(struct in_addr ip, int port, ag__addr *a) {
    struct sockaddr_in s = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = ip};
    memcpy(a->raw, &s, sizeof s);
    a->size = sizeof s;
}

static void from_ip6(struct in6_addr ip, uint32_t scope, int port, ag__addr *a) {
    struct sockaddr_in6 s = {.sin6_family = AF_INET6,
                             .sin6_port = htons((uint16_t)port),
                             .sin6_addr = ip,
                             .sin6_scope_id = scope};
    memcpy(a->raw, &s, sizeof s);
    a->size = sizeof s;
}

static sa_family_t family(const ag__addr *a) {
    sa_family_t f = AF_UNSPEC;
    if (a->size >= sizeof f)
        memcpy(&f, a->raw, sizeof f);
    return f;
}

int ag__addr_kind(const ag__addr *a) {
    switch (family(a)) {
    case AF_UNSPEC:
        return AG__ADDR_NONE;
    case AF_INET:
        return AG__ADDR_IP4;
    case AF_INET6:
        return AG__ADDR_IP6;
    case AF_UNIX:
        return AG__ADDR_UNIX;
    default:
        return AG__ADDR_OTHER;
    }
}

static uint32_t scope_of(const char *name) {
    char *end;
    unsigned long n = strtoul(name, &end, 10);
    return *name && !*end ? (uint32_t)n : if_nametoindex(name);
}

int ag__addr_number(const char *host, int kind, int port, ag__addr *ret_addr) {
    char ip[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    size_t n = strcspn(host, "%");
    if (n >= sizeof ip)
        return -EINVAL;
    memcpy(ip, host, n);
    ip[n] = 0;
    if (kind != AG__ADDR_IP6 && !host[n] && inet_pton(AF_INET, ip, &v4) == 1) {
        from_ip4(v4, port, ret_addr);
        return 0;
    }
    if (kind == AG__ADDR_IP4 || inet_pton(AF_INET6, ip, &v6) != 1)
        return -EINVAL;
    int saved = errno;
    uint32_t scope = host[n] ? scope_of(host + n + 1) : 0;
    errno = saved;
    if (host[n] && scope == 0)
        return -EINVAL;
    from_ip6(v6, scope, port, ret_addr);
    return 0;
}

void ag__addr_wildcard(int kind, int port, ag__addr *ret_addr) {
    if (kind == AG__ADDR_IP6)
        from_ip6(in6addr_any, 0, port, ret_addr);
    else
        from_ip4((struct in_addr){htonl(INADDR_ANY)}, port, ret_addr);
}

void ag__addr_loopback(int kind, int port, ag__addr *ret_addr) {
    if (kind == AG__ADDR_IP6)
        from_ip6(in6addr_loopback, 0, port, ret_addr);
    else
        from_ip4((struct in_addr){htonl(INADDR_LOOPBACK)}, port, ret_addr);
}

bool ag__addr_is_wildcard(const ag__addr *a) {
    struct sockaddr_in6 s;
    if (ag__addr_kind(a) != AG__ADDR_IP6)
        return false;
    memcpy(&s, a->raw, sizeof s);
    return memcmp(&s.sin6_addr, &in6addr_any, sizeof in6addr_any) == 0;
}

int ag__addr_unix(const char *path, ag__addr *ret_addr) {
    struct sockaddr_un s = {.sun_family = AF_UNIX};
    size_t n = strlen(path), at = offsetof(struct sockaddr_un, sun_path);
    bool abstract = path[0] == '@';
    if (n == 0 || n + !abstract > sizeof s.sun_path)
        return -EINVAL;
    memcpy(s.sun_path, path, n);
    if (abstract)
        s.sun_path[0] = 0;
    memcpy(ret_addr->raw, &s, sizeof s);
    ret_addr->size = (uint32_t)(at + n + !abstract);
    return 0;
}

static void text_of_unix(const ag__addr *a, char *buf, size_t size) {
    struct sockaddr_un s;
    size_t at = offsetof(struct sockaddr_un, sun_path);
    memcpy(&s, a->raw, sizeof s);
    int n = a->size > at ? (int)(a->size - at) : 0;
    if (n > 0 && !s.sun_path[0])
        snprintf(buf, size, "@%.*s", n - 1, s.sun_path + 1);
    else
        snprintf(buf, size, "%.*s", n, s.sun_path);
}

void ag__addr_host_text(const ag__addr *a, char *buf, size_t size) {
    char ip[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int saved = errno;
    buf[0] = 0;
    switch (ag__addr_kind(a)) {
    case AG__ADDR_IP4:
        memcpy(&v4, a->raw, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, ip, sizeof ip);
        snprintf(buf, size, "%s", ip);
        break;
    case AG__ADDR_IP6:
        memcpy(&v6, a->raw, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, ip, sizeof ip);
        if (v6.sin6_scope_id) {
            scope[0] = '%';
            if (!if_indextoname(v6.sin6_scope_id, scope + 1))
                snprintf(scope + 1, sizeof scope - 1, "%u", (unsigned)v6.sin6_scope_id);
        }
        /* A peer of a socket for both families is known by its own address. */
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
            snprintf(buf, size, "%s", ip + 7);
        else
            snprintf(buf, size, "%s%s", ip, scope);
        break;
    default:
        break;
    }
    errno = saved;
}

static int port_of(const ag__addr *a) {
    struct sockaddr_in6 s; /* the port lies in the same place in both families */
    memcpy(&s, a->raw, sizeof s);
    return ntohs(s.sin6_port);
}

void ag__addr_text(const ag__addr *a, char *buf, size_t size) {
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    int kind = ag__addr_kind(a);
    buf[0] = 0;
    if (kind == AG__ADDR_UNIX)
        text_of_unix(a, buf, size);
    if (kind != AG__ADDR_IP4 && kind != AG__ADDR_IP6)
        return;
    ag__addr_host_text(a, host, sizeof host);
    snprintf(buf, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port_of(a));
}

static int error_of(int gai) {
    switch (gai) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SERVICE:
        return -EINVAL;
    case EAI_SYSTEM:
        return errno ? -errno : -ENOENT;
    default:
        return -ENOENT;
    }
}

static bool is_invalid_domain(const char *host) {
    size_t n = strlen(host);
    if (n > 0 && host[n - 1] == '.')
        n--;
    return n >= 7 && strncasecmp(host + n - 7, "invalid", 7) == 0 && (n == 7 || host[n - 8] == '.');
}

_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
               "the port lies in the same place in both families");

void ag__addr_set_port(ag__addr *a, int port) {
    in_port_t p = htons((uint16_t)port);
    memcpy(a->raw + offsetof(struct sockaddr_in, sin_port), &p, sizeof p);
}

int ag__addr_look_up(const char *host, const char *port_name, int port, int kind, bool datagram,
                     bool listens, ag__addr *ret_addrs, int max) {
    struct addrinfo hints = {.ai_socktype = datagram ? SOCK_DGRAM : SOCK_STREAM}, *list = NULL;
    hints.ai_family = kind == AG__ADDR_IP4 ? AF_INET : kind == AG__ADDR_IP6 ? AF_INET6 : AF_UNSPEC;
    hints.ai_flags = listens ? AI_PASSIVE : 0;
    if (host && is_invalid_domain(host))
        return -ENOENT;
    int saved = errno, n = 0;
    int gai = getaddrinfo(host, port_name, &hints, &list);
    if (gai != 0)
        n = error_of(gai);
    for (struct addrinfo *i = list; i && n < max; i = i->ai_next) {
        if ((i->ai_family != AF_INET && i->ai_family != AF_INET6) ||
            i->ai_addrlen > sizeof ret_addrs->raw)
            continue;
        memcpy(ret_addrs[n].raw, i->ai_addr, i->ai_addrlen);
        ret_addrs[n].size = i->ai_addrlen;
        if (!port_name)
            ag__addr_set_port(&ret_addrs[n], port);
        n++;
    }
    if (list)
        freeaddrinfo(list);
    errno = saved;
    return n != 0 ? n : -ENOENT;
}
