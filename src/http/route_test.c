/* SPDX-License-Identifier: MIT */
/*
 * Patterns and the router. A handler is here the pattern itself, so that a test can say which
 * pattern it expects.
 */
#include "ag_test.h"
#include "http/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUTES = 32 };

static ag__http_router *router(const char *const *patterns) {
    ag__http_router *r = ag__http_router_new(ROUTES);
    for (; *patterns; patterns++)
        if (ag__http_router_add(r, *patterns, (void *)*patterns))
            ag_fail("\"%s\": %s", *patterns, ag__http_router_message(r));
    return r;
}

static ag__http_text text(const char *s) {
    return (ag__http_text){s, strlen(s)};
}

/* "METHOD [HOST]/path" leads to `expected`: a pattern, optionally with " name=value" for each of
   its values; "-> location"; "404"; or "405 methods". */
static void check_route(const ag__http_router *r, const char *request, const char *expected) {
    char got[500], allow[100];
    size_t method_len = strcspn(request, " "), host_len = strcspn(request + method_len + 1, "/");
    ag__http_text method = {request, method_len}, host = {request + method_len + 1, host_len};
    ag__http_text path = text(host.p + host_len);
    size_t size = path.n + 2;
    char *scratch = malloc(size); /* exactly as much as is asked for */
    ag__http_match m;
    int result = ag__http_route(r, method, host, path, scratch, size, &m);
    if (result == AG__ROUTE_FOUND) {
        int n = snprintf(got, sizeof got, "%s", (const char *)m.handler);
        uint32_t k = 0;
        for (uint32_t i = 0; i < m.pattern->segment_count; i++) {
            const ag__http_segment *s = &m.pattern->segments[i];
            ag__http_text value;
            if (s->kind == AG__SEGMENT_LITERAL || !s->n)
                continue;
            ag_check(ag__http_match_value(&m, s->text, &value));
            ag_check_ptr(value.p, m.values[k++].p);
            n += snprintf(got + n, sizeof got - (size_t)n, " %s=%.*s", s->text, (int)value.n,
                          value.p);
        }
        ag_check_int(m.value_count, k);
    } else if (result == AG__ROUTE_REDIRECT) {
        snprintf(got, sizeof got, "-> %.*s", (int)m.location.n, m.location.p);
    } else if (result == AG__ROUTE_BAD_METHOD) {
        int64_t n = ag__http_router_allow(r, host, path, scratch, size, allow, sizeof allow);
        snprintf(got, sizeof got, "405 %.*s", (int)n, allow);
    } else {
        ag_check_int(result, AG__ROUTE_NOT_FOUND);
        snprintf(got, sizeof got, "404");
        ag_check_int(ag__http_router_allow(r, host, path, scratch, size, allow, sizeof allow), 0);
    }
    free(scratch);
    if (strcmp(got, expected) != 0)
        ag_fail("%s leads to \"%s\", expected \"%s\"", request, got, expected);
}

static void check_routes(const char *const *patterns, const char *const (*cases)[2]) {
    ag__http_router *r = router(patterns);
    for (; (*cases)[0]; cases++)
        check_route(r, (*cases)[0], (*cases)[1]);
    ag__http_router_free(r);
}

#define PATTERNS(...)                                                                              \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }
#define CASES(...)                                                                                 \
    (const char *const[][2]) {                                                                     \
        __VA_ARGS__, {                                                                             \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

/* ---- Searching ------------------------------------------------------------------------------ */

AG_TEST(route_finds_the_most_specific_pattern) {
    check_routes(PATTERNS("/", "/a", "/a/{x}", "/a/b", "/a/{x}/c", "/d/e/", "/{p}/y/z",
                          "/files/f/{path...}"),
                 CASES({"GET /", "/"}, {"GET /q", "/"}, {"GET /q/r/s", "/"}, {"GET /a", "/a"},
                       {"GET /a/", "/"}, {"GET /a/b", "/a/b"}, {"GET /a/q", "/a/{x} x=q"},
                       {"GET /a/q/c", "/a/{x}/c x=q"}, {"GET /a/b/c", "/a/{x}/c x=b"},
                       {"GET /a/q/d", "/"}, {"GET /d/e/f", "/d/e/"}, {"GET /d/e/", "/d/e/"},
                       {"GET /d/y/z", "/{p}/y/z p=d"},
                       {"GET /files/f/", "/files/f/{path...} path="},
                       {"GET /files/f/x", "/files/f/{path...} path=x"},
                       {"GET /files/f/x/y/", "/files/f/{path...} path=x/y/"}));
}

AG_TEST(route_leaves_a_branch_that_leads_nowhere) {
    check_routes(PATTERNS("/a/b/z", "/a/{x}/c", "/{w}/b/q/{r...}"),
                 CASES({"GET /a/b/c", "/a/{x}/c x=b"}, {"GET /a/b/z", "/a/b/z"},
                       {"GET /a/b/q/1/2", "/{w}/b/q/{r...} w=a r=1/2"}, {"GET /a/b/y", "404"}));
}

AG_TEST(route_prefers_host_and_method) {
    check_routes(PATTERNS("/x", "GET /x", "example.com/x", "POST example.com/x", "HEAD /x",
                          "example.com/only"),
                 CASES({"GET /x", "GET /x"}, {"HEAD /x", "HEAD /x"}, {"PUT /x", "/x"},
                       {"GET example.com/x", "example.com/x"},
                       {"POST Example.COM/x", "POST example.com/x"},
                       {"GET example.com/only", "example.com/only"}, {"GET /only", "404"},
                       {"GET other.com/x", "GET /x"}));
}

AG_TEST(route_falls_back_to_patterns_without_host) {
    check_routes(PATTERNS("/", "POST example.com/x"),
                 CASES({"POST example.com/x", "POST example.com/x"}, {"GET example.com/x", "/"}));
}

AG_TEST(route_serves_head_by_get) {
    check_routes(PATTERNS("GET /x", "POST /x"),
                 CASES({"HEAD /x", "GET /x"}, {"get /x", "405 GET, HEAD, POST"}));
}

AG_TEST(route_end_matches_the_slash_alone) {
    check_routes(PATTERNS("/{$}", "/a/{$}", "/b/{x}", "/c/{$}", "/c/"),
                 CASES({"GET /", "/{$}"}, {"GET /x", "404"}, {"GET /a/", "/a/{$}"},
                       {"GET /a/b", "404"}, {"GET /a", "-> /a/"}, {"GET /b/", "404"},
                       {"GET /c/", "/c/{$}"}, {"GET /c/d", "/c/"}, {"GET /%2F", "404"}));
}

AG_TEST(route_redirects_to_the_slash) {
    check_routes(PATTERNS("/tree/", "/both", "/both/", "/{x}/", "POST /p/"),
                 CASES({"GET /tree", "-> /tree/"}, {"GET /both", "/both"}, {"GET /q", "-> /q/"},
                       {"GET /tree/x", "/tree/"}, {"GET /p", "-> /p/"}, {"POST /p", "-> /p/"}));
}

AG_TEST(route_redirects_to_the_clean_path) {
    check_routes(PATTERNS("/", "/a/b", "/tree/"),
                 CASES({"GET //a/b", "-> /a/b"}, {"GET /a/../a/b", "-> /a/b"},
                       {"GET /x/./y", "-> /x/y"}, {"GET /..", "-> /"}, {"GET //tree", "-> /tree/"},
                       {"GET /a/%2e%2E/x", "-> /x"}));
    check_routes(PATTERNS("GET /a"), CASES({"GET /b/../a", "-> /a"}, {"GET /b//c", "-> /b/c"}));
}

AG_TEST(route_answers_405_with_the_methods) {
    check_routes(
        PATTERNS("GET /x", "PUT /x", "DELETE /{any}", "POST /x/", "LINK h/x", "HEAD h/y"),
        CASES({"BREW /x", "405 DELETE, GET, HEAD, POST, PUT"}, {"BREW /y", "405 DELETE"},
              {"BREW /x/", "405 POST"}, {"BREW h/x", "405 DELETE, GET, HEAD, LINK, POST, PUT"},
              {"BREW h/y", "405 DELETE, HEAD"}, {"BREW /x/y/z", "405 POST"}, {"BREW /a/b", "404"}));
}

AG_TEST(route_decodes_segments_to_find_literals) {
    check_routes(PATTERNS("/a%20b/{x}", "/a%2Fb/c", "/%7Euser"),
                 CASES({"GET /a%20b/c%2fd", "/a%20b/{x} x=c%2fd"}, {"GET /a%2fb/c", "/a%2Fb/c"},
                       {"GET /a/b/c", "404"}, {"GET /~user", "/%7Euser"},
                       {"GET /%7euser", "/%7Euser"}));
}

AG_TEST(route_copes_with_long_segments) {
    char request[3000] = "GET /", pattern[300] = "/";
    memset(pattern + 1, 'a', AG__SEGMENT_MAX);
    ag__http_router *r = router(PATTERNS(pattern));
    memset(request + 5, 'a', AG__SEGMENT_MAX);
    check_route(r, request, pattern);
    for (size_t i = 0; i < AG__SEGMENT_MAX; i++)
        memcpy(request + 5 + 3 * i, "%61", 3);
    check_route(r, request, pattern);
    memcpy(request + 5 + 3 * AG__SEGMENT_MAX, "%61", 3);
    check_route(r, request, "404");
    ag__http_router_free(r);
}

AG_TEST(route_needs_room_for_the_location) {
    ag__http_router *r = router(PATTERNS("/a/"));
    char scratch[4];
    ag__http_match m;
    ag_check_int(ag__http_route(r, text("GET"), text(""), text("/a"), scratch, 3, &m), -ENOBUFS);
    ag_check_int(ag__http_route(r, text("GET"), text(""), text("/a"), scratch, 4, &m),
                 AG__ROUTE_REDIRECT);
    ag_check_int(ag__http_route(r, text("CONNECT"), text("a"), text(""), scratch, 4, &m),
                 AG__ROUTE_NOT_FOUND);
    ag_check_int(ag__http_router_allow(r, text(""), text("/a"), scratch, 3, scratch, 0), -ENOBUFS);
    ag__http_router_free(r);
}

AG_TEST(route_allow_cuts_the_list_between_methods) {
    ag__http_router *r = router(PATTERNS("GET /a", "POST /a"));
    char scratch[8], list[20];
    ag_check_int(ag__http_router_allow(r, text(""), text("/a"), scratch, 8, list, 14), 9);
    ag_check_mem(list, "GET, HEAD", 9);
    ag_check_int(ag__http_router_allow(r, text(""), text("/a"), scratch, 8, list, 15), 15);
    ag__http_router_free(r);
}

AG_TEST(route_without_patterns_finds_nothing) {
    ag__http_router *r = ag__http_router_new(0);
    check_route(r, "GET a/b", "404");
    ag_check_int(ag__http_router_add(r, "/", r), -ENOSPC);
    ag_check_contains(ag__http_router_message(r), "more than 0 patterns");
    ag__http_router_free(r);
    ag__http_router_free(NULL);
}

/* ---- Registering ---------------------------------------------------------------------------- */

AG_TEST(malformed_patterns_are_refused) {
    static const char *const cases[][2] = {
        {"", "no path"},
        {"a", "no path"},
        {"GET", "no path"},
        {"GET ", "no path"},
        {" /a", "no method"},
        {"G(T /a", "not a token"},
        {"GET a{b}/", "wildcard in the host"},
        {"a:80/", "a port is not part of it"},
        {"//", "not clean"},
        {"/a/../b", "not clean"},
        {"GET /a/./b", "not clean"},
        {"/a{b}", "must be a whole segment"},
        {"/{a}b", "must be a whole segment"},
        {"/{a", "must be a whole segment"},
        {"/{", "must be a whole segment"},
        {"/{}", "is not a name"},
        {"/{...}", "is not a name"},
        {"/{1a}", "is not a name"},
        {"/{a-b}", "is not a name"},
        {"/{a}/{a}", "two wildcards have the name \"a\""},
        {"/{a}/{a...}", "two wildcards have the name \"a\""},
        {"/{a...}/b", "{...} is not at the end"},
        {"/{a...}/", "{...} is not at the end"},
        {"/{$}/a", "{$} is not at the end"},
        {"/{$}/", "{$} is not at the end"},
        {"/%zz", "malformed escape"},
        {"/%00", "malformed escape"},
        {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}", "more than 16"},
    };
    ag__http_router *r = ag__http_router_new(ROUTES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ag_check_int(ag__http_router_add(r, cases[i][0], r), -EINVAL);
        ag_check_contains(ag__http_router_message(r), cases[i][1]);
        if (*cases[i][0])
            ag_check_contains(ag__http_router_message(r), cases[i][0]);
    }
    char deep[200] = "", longer[1100] = "/";
    for (int i = 0; i < 65; i++)
        memcpy(deep + 2 * i, "/a", 2);
    memset(longer + 1, 'a', sizeof longer - 2);
    ag_check_int(ag__http_router_add(r, deep, r), -EINVAL);
    ag_check_int(ag__http_router_add(r, longer, r), -EINVAL);
    longer[300] = 0;
    ag_check_int(ag__http_router_add(r, longer, r), -EINVAL);
    ag_check_contains(ag__http_router_message(r), "longer than 255 bytes");
    ag_check_int(ag__http_router_add(r, deep + 2, r), 0);
    ag__http_router_free(r);
}

/* How two patterns relate; the first is registered, then the second. */
static void check_pair(const char *first, const char *second, const char *why) {
    ag__http_router *r = router(PATTERNS(first));
    int got = ag__http_router_add(r, second, r);
    if (got != (why ? -EEXIST : 0))
        ag_fail("\"%s\" after \"%s\": %d %s", second, first, got, ag__http_router_message(r));
    if (why) {
        char named[300];
        snprintf(named, sizeof named, "pattern \"%s\" is in conflict with \"%s\"", second, first);
        ag_check_contains(ag__http_router_message(r), named);
        ag_check_contains(ag__http_router_message(r), why);
    }
    ag__http_router_free(r);
}

AG_TEST(conflicting_patterns_are_refused_with_both_names) {
    check_pair("/a", "/a", "the same requests");
    check_pair("/a", "/%61", "the same requests");
    check_pair("/{x}", "/{y}", "the same requests");
    check_pair("/a/", "/a/{x...}", "the same requests");
    check_pair("GET /a", "GET /a", "the same requests");
    check_pair("H/a", "h/a", "the same requests");
    check_pair("/{x}/b", "/a/{y}", "both match /a/b, and neither is more specific");
    check_pair("/a/{x}/{y}", "/{x}/b/c", "both match /a/b/c, and neither");
    check_pair("/{x}/{$}", "/a/{y...}", "both match /a/, and neither");
    check_pair("/{x}/", "/a/{y}/{z}", NULL);
    check_pair("GET /", "/a", "more methods, but fewer paths");
    check_pair("/a", "GET /", "fewer methods, but more paths");
    check_pair("GET /{x}", "HEAD /{x}/", NULL);
    check_pair("GET /a/{x}", "HEAD /{x}/{y}", "fewer methods, but more paths");
}

AG_TEST(patterns_of_which_one_is_more_specific_go_together) {
    static const char *const pairs[][2] = {
        {"/", "/a"},           {"/a", "/a/"},           {"/a/{$}", "/a/"},    {"/a/{$}", "/a/{x}"},
        {"/{x}", "/a"},        {"/{x}", "/{x}/"},       {"GET /a", "/a"},     {"GET /a", "HEAD /a"},
        {"GET /a", "POST /a"}, {"GET /{x}", "POST /a"}, {"/a/b", "/{x...}"},  {"/a/{x}/", "/a/b/c"},
        {"h/{x}/b", "/a/{y}"}, {"h/a", "i/a"},          {"/a/{x}", "/b/{x}"}, {"GET /a", "GET /a/"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        check_pair(pairs[i][0], pairs[i][1], NULL);
        check_pair(pairs[i][1], pairs[i][0], NULL);
    }
}

AG_TEST(refused_patterns_change_nothing) {
    ag__http_router *r = router(PATTERNS("/a/{x}"));
    ag_check_int(ag__http_router_add(r, "/{y}/b", r), -EEXIST);
    ag_check_int(ag__http_router_add(r, "/c/{", r), -EINVAL);
    check_route(r, "GET /c/b", "404");
    check_route(r, "GET /a/b", "/a/{x} x=b");
    ag__http_router_free(r);
}
