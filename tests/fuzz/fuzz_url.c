/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the client's URLs (clang -fsanitize=fuzzer,address; seeds in corpus/url). The first
 * line is a URL, the rest a reference.
 *
 * Whatever the bytes are: what is accepted is written as one word of visible ASCII that reads the
 * same again, its parts are parts of it, and it is a request target that our server accepts.
 */
#include "http/client_url.h"
#include "http/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_url.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(const ag__url *u, ag__http_text part) {
    return part.p >= u->text && part.p + part.n <= u->text + strlen(u->text);
}

/* As a server reads it; one that is too long may be refused. */
static void check_served(const ag__url *u) {
    ag__http_field fields[4];
    ag__http_limits limits = {.line_max = 1 << 20, .head_max = 1 << 20};
    ag__http_head h;
    size_t size = 2 * strlen(u->text) + 64;
    char *head = malloc(size);
    MUST(head);
    int n = snprintf(head, size, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\n\r\n", (int)u->target.n,
                     u->target.p, (int)u->authority.n, u->authority.p);
    ag__http_head_init(&h, fields, 4, &limits);
    MUST(ag__http_parse(&h, head, (size_t)n) == n);
    MUST(h.host.len == u->host.n);
    free(head);
}

static void check_url(const ag__url *u) {
    const char *why;
    ag__url again;
    for (const char *p = u->text; *p; p++)
        MUST(*p > ' ' && *p < 0x7f);
    MUST(is_inside(u, u->host) && is_inside(u, u->authority) && is_inside(u, u->path) &&
         is_inside(u, u->target));
    MUST(u->host.n > 0 && u->port > 0 && u->path.n > 0 && u->path.p[0] == '/');
    MUST(u->target.p == u->path.p && u->target.p + u->target.n == u->text + strlen(u->text));
    MUST(ag__url_parse(u->text, &again, &why) == 0);
    MUST(strcmp(again.text, u->text) == 0 && again.port == u->port && again.tls == u->tls);
    MUST(ag__url_trusts(u, &again));
    MUST(!again.user.p);
    ag__url_done(&again);
    check_served(u);
    if (u->user.p)
        free(ag__url_basic(u->user));
}

static void check_refused(const ag__url *u, int error, const char *why) {
    MUST(error == -EINVAL || error == -EPROTONOSUPPORT);
    MUST(!u->text && *why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *why;
    ag__url u, next;
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    char *line = strchr(text, '\n');
    if (line)
        *line++ = 0;
    int e = ag__url_parse(text, &u, &why);
    if (e != 0) {
        check_refused(&u, e, why);
    } else {
        check_url(&u);
        if (line && (e = ag__url_resolve(&u, line, &next, &why)) == 0)
            check_url(&next);
        else if (line)
            check_refused(&next, e, why);
        if (line)
            ag__url_done(&next);
    }
    ag__url_done(&u);
    free(text);
    return 0;
}
