/* SPDX-License-Identifier: MIT */
/*
 * ask_guard.c - who may look into a program over HTTP: a table of requests, without and with a
 * token.
 */
#include "common.h"

struct row {
    int status;
    ag_debug_caller caller;
};
static void judge(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *why = NULL;
        const ag_debug_caller *c = &rows[i].caller;
        int status = ag_debug_admit(c, &why);
        if (status != rows[i].status)
            ag_fail("row %zu (host %s, remote %s): %d, expected %d: %s", i,
                    c->host ? c->host : "none", c->remote ? c->remote : "none", status,
                    rows[i].status, why ? why : "");
        ag_check(status == 0 || (why && strchr(why, '\n')));
    }
}
#define HERE .method = "GET", .remote = "127.0.0.1:50000"

AG_TEST(without_a_token_this_machine_is_answered_under_names_that_no_page_can_have) {
    static const struct row rows[] = {
        {0, {HERE, .host = "localhost:6060"}},
        {0, {HERE, .host = "LOCALHOST"}},
        {0, {HERE, .host = "app.localhost:6060"}},
        {0, {HERE, .host = "127.0.0.1:6060"}},
        {0, {HERE, .host = "192.168.1.7"}},
        {0, {HERE, .host = "[::1]:6060"}},
        {0, {.method = "GET", .remote = "[::1]:50000", .host = "[::1]"}},
        {0, {.method = "GET", .remote = "[::ffff:127.0.0.1]:50000", .host = "localhost"}},
        /* DNS rebinding: the page's own name */
        {403, {HERE, .host = "evil.example:6060"}},
        {403, {HERE, .host = "localhost.evil.example"}},
        {403, {HERE, .host = "evillocalhost"}},
        {403, {HERE, .host = "127.0.0.1.evil.example"}},
        {403, {HERE, .host = "127.0.0.1.example"}},
        {403, {HERE, .host = "1.2.3"}},
        {403, {HERE, .host = "::1"}},
        {403, {HERE, .host = "[evil.example]"}},
        {403, {HERE, .host = ""}},
        {403, {HERE, .host = ":6060"}},
        {403, {HERE}},
        /* other machines, and proxies for them */
        {403, {.method = "GET", .remote = "192.168.1.7:50000", .host = "localhost"}},
        {403, {.method = "GET", .remote = "[fe80::1%eth0]:50000", .host = "localhost"}},
        {403, {.method = "GET", .remote = "", .host = "localhost"}},
        {403, {.method = "GET", .host = "localhost"}},
        {403, {HERE, .host = "localhost", .forwarded = "10.0.0.1"}},
    };
    judge(rows, COUNT(rows));
}

AG_TEST(pages_of_other_sites_and_other_methods_are_refused) {
    static const struct row rows[] = {
        {0, {HERE, .host = "localhost:6060", .origin = "http://localhost:6060"}},
        {0, {HERE, .host = "localhost:6060", .fetch_site = "same-origin"}},
        {0, {HERE, .host = "localhost:6060", .fetch_site = "none"}},
        {403, {HERE, .host = "localhost:6060", .fetch_site = "cross-site"}},
        {403, {HERE, .host = "localhost:6060", .fetch_site = "same-site"}},
        {403, {HERE, .host = "localhost:6060", .fetch_site = "Same-Origin"}},
        {403, {HERE, .host = "localhost:6060", .origin = "http://localhost:8080"}},
        {403, {HERE, .host = "localhost:6060", .origin = "http://evil.example"}},
        {403, {HERE, .host = "localhost:6060", .origin = "null"}},
        {403, {HERE, .host = "localhost:6060", .origin = ""}},
        {405, {.method = "POST", .remote = "127.0.0.1:1", .host = "localhost"}},
        {405, {.method = "HEAD", .remote = "127.0.0.1:1", .host = "localhost"}},
        {405, {.method = "get", .remote = "127.0.0.1:1", .host = "localhost"}},
        {405, {.remote = "127.0.0.1:1", .host = "localhost"}},
    };
    judge(rows, COUNT(rows));
}

AG_TEST(with_a_token_who_has_it_is_answered_from_anywhere_and_nobody_else) {
    setenv("AGLET_DEBUG_TOKEN", "correct horse", 1);
    static const struct row rows[] = {
        {0, {HERE, .host = "localhost", .authorization = "Bearer correct horse"}},
        {0,
         {.method = "GET",
          .remote = "192.0.2.1:50000",
          .host = "app.example",
          .forwarded = "10.0.0.1",
          .authorization = "Bearer correct horse"}},
        /* "me:correct horse", ":correct horse" */
        {0, {HERE, .host = "x", .authorization = "Basic bWU6Y29ycmVjdCBob3JzZQ=="}},
        {0, {HERE, .host = "x", .authorization = "Basic OmNvcnJlY3QgaG9yc2U="}},
        {401, {HERE, .host = "localhost"}},
        {401, {HERE, .host = "localhost", .authorization = ""}},
        {401, {HERE, .host = "localhost", .authorization = "Bearer "}},
        {401, {HERE, .host = "localhost", .authorization = "Bearer correct"}},
        {401, {HERE, .host = "localhost", .authorization = "Bearer correct horsf"}},
        {401, {HERE, .host = "localhost", .authorization = "Bearer correct horse "}},
        {401, {HERE, .host = "localhost", .authorization = "Bearer correct horsecorrect horse"}},
        {401, {HERE, .host = "localhost", .authorization = "correct horse"}},
        {401, {HERE, .host = "localhost", .authorization = "Basic correct horse"}},
        {401, {HERE, .host = "localhost", .authorization = "Basic Y29ycmVjdCBob3JzZQ=="}},
        {401, {HERE, .host = "localhost", .authorization = "Basic bWU6"}},
        {403,
         {HERE, .host = "a", .fetch_site = "cross-site", .authorization = "Bearer correct horse"}},
        {403, {HERE, .host = "a", .origin = "http://b", .authorization = "Bearer correct horse"}},
        {405, {.method = "POST", .authorization = "Bearer correct horse"}},
    };
    judge(rows, COUNT(rows));
    setenv("AGLET_DEBUG_TOKEN", "", 1); /* read once */
    judge(rows, COUNT(rows));
}

AG_TEST(a_token_that_is_too_long_is_nobody_s) {
    char token[400], bearer[420];
    memset(token, 'x', sizeof token);
    token[sizeof token - 1] = 0;
    setenv("AGLET_DEBUG_TOKEN", token, 1);
    snprintf(bearer, sizeof bearer, "Bearer %s", token);
    for (size_t n = strlen(bearer); n >= 7; n--) { /* nor what is left of it when it is cut */
        bearer[n] = 0;
        const struct row row = {401, {HERE, .host = "localhost", .authorization = bearer}};
        judge(&row, 1);
    }
}

AG_TEST(every_answer_forbids_what_comes_from_outside) {
    const char *name, *value;
    bool has_policy = false, is_stored = true;
    for (size_t i = 0; ag_debug_header_at(i, &name, &value); i++) {
        has_policy |= strcmp(name, "Content-Security-Policy") == 0 &&
                      strstr(value, "default-src 'none'") && !strstr(value, "unsafe");
        is_stored &= strcmp(name, "Cache-Control") != 0 || strcmp(value, "no-store") != 0;
    }
    ag_check(has_policy && !is_stored);
}
