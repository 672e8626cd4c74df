/* SPDX-License-Identifier: MIT */
/*
 * What one request head costs: the shortest one a load generator sends, a browser's, the browser's
 * byte by byte, and the routing of a path. Prints the best of many rounds in nanoseconds.
 */
#include "http/parse.h"
#include "http/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 40, FIELDS = 64 };

static const char short_head[] = "GET /ok HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

static const char browser_head[] =
    "GET /articles/2024/03/concurrency?ref=front&page=2 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "sec-ch-ua: \"Chromium\";v=\"122\", \"Not(A:Brand\";v=\"24\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/122.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Referer: https://www.example.com/articles/\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=5f2c9a7be1d04c53; theme=dark; consent=1\r\n"
    "If-None-Match: \"5e1f-60a\"\r\n"
    "\r\n";

static ag__http_field fields[FIELDS];

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "parse_bench: %s\n", what);
    exit(1);
}

static void parse_once(ag__http_head *h, const char *text, size_t n) {
    ag__http_head_reset(h);
    if (ag__http_parse(h, text, n) != (int)n)
        fail("head refused");
    __asm__ volatile("" ::"r"(h) : "memory");
}

static void measure_head(const char *label, const char *text, size_t n, int times) {
    ag__http_head h;
    int64_t best = INT64_MAX;
    ag__http_head_init(&h, fields, FIELDS, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin = now_ns();
        for (int i = 0; i < times; i++)
            parse_once(&h, text, n);
        int64_t took = now_ns() - begin;
        best = took < best ? took : best;
    }
    printf("%-28s %4zu bytes %8.1f ns\n", label, n, (double)best / times);
}

static void measure_drip(const char *label, const char *text, size_t n, int times) {
    ag__http_head h;
    int64_t best = INT64_MAX;
    ag__http_head_init(&h, fields, FIELDS, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin = now_ns();
        for (int i = 0; i < times; i++) {
            ag__http_head_reset(&h);
            for (size_t have = 1; have < n; have++)
                if (ag__http_parse(&h, text, have) != -EAGAIN)
                    fail("head complete too early");
            if (ag__http_parse(&h, text, n) != (int)n)
                fail("head refused");
        }
        int64_t took = now_ns() - begin;
        best = took < best ? took : best;
    }
    printf("%-28s %4zu bytes %8.1f ns\n", label, n, (double)best / times);
}

static void measure_route(const char *label, const char *path, int times) {
    ag__http_router *r = ag__http_router_new(64);
    char pattern[64], scratch[256];
    ag__http_match m;
    int64_t best = INT64_MAX;
    for (int i = 0; r && i < 40; i++) {
        snprintf(pattern, sizeof pattern, "GET /service%d/{id}/items/{item}", i);
        ag__http_router_add(r, pattern, r);
    }
    if (!r || ag__http_router_add(r, "/", r) || ag__http_router_add(r, "GET /ok", r))
        fail("no router");
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin = now_ns();
        for (int i = 0; i < times; i++)
            if (ag__http_route(r, (ag__http_text){"GET", 3}, (ag__http_text){"localhost", 9},
                               (ag__http_text){path, strlen(path)}, scratch, sizeof scratch,
                               &m) != AG__ROUTE_FOUND)
                fail("no route");
        int64_t took = now_ns() - begin;
        best = took < best ? took : best;
    }
    printf("%-28s %4zu bytes %8.1f ns\n", label, strlen(path), (double)best / times);
    ag__http_router_free(r);
}

int main(void) {
    measure_head("head, short", short_head, sizeof short_head - 1, 20000);
    measure_head("head, browser", browser_head, sizeof browser_head - 1, 5000);
    measure_drip("head, browser, byte by byte", browser_head, sizeof browser_head - 1, 200);
    measure_route("route, /ok", "/ok", 20000);
    measure_route("route, two wildcards", "/service17/42/items/4711", 20000);
    return 0;
}
