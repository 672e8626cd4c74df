/* SPDX-License-Identifier: MIT */
/*
 * The client against our own server: requests and what it tells of answers, redirects, cookies.
 */
#include "ag_test.h"

#include "http/client_site_test.h"

/* ---- Requests ------------------------------------------------------------------------------- */

AG_TEST_RUN(client_get_has_the_usual_fields) {
    ag_http_client *client = begin(NULL);
    ag_http_client_request q = {.url = at("/describe?a=b#c")};
    ag_check_int(do_text(client, &q), 200);
    ag_check_contains(text, "GET /describe?a=b\n");
    check_field("User-Agent: aglet\n");
    check_field("Host: 127.0.0.1:");
    check_no_field("Content-Length");
    check_no_field("Connection");
    check_no_field("Authorization");
    end(client);
}

AG_TEST_RUN(client_fields_replace_the_usual_ones) {
    ag_http_client *client = begin(&(ag_http_client_options){.user_agent = "mine/1"});
    ag_http_client_request q = {.url = at("/describe")};
    ag_check_int(do_text(client, &q), 200);
    check_field("User-Agent: mine/1\n");
    ag_http_client_field fields[] = {{"user-agent", ""},  {"Accept-Encoding", "br"},
                                     {"host", "else:81"}, {"X-Thing", " a b "},
                                     {"X-Thing", ""},     {NULL, NULL}};
    q.fields = fields;
    ag_check_int(do_text(client, &q), 200);
    check_no_field("User-Agent");
    check_field("Accept-Encoding: br\n");
    check_field("Host: else:81\n");
    check_field("X-Thing: a b\n");
    check_field("X-Thing: \n");
    end(client);
}

AG_TEST_RUN(client_request_is_checked_before_anything_is_sent) {
    ag_http_client *client = begin(NULL);
    static const ag_http_client_field bad[] = {
        {"X\r\nY", "1"},
        {"", "1"},
        {"X Y", "1"},
        {"X", "a\r\nY: 1"},
        {"X", "a\nb"},
        {"X", NULL},
        {"Content-Length", "1"},
        {"transfer-encoding", "chunked"},
        {"Connection", "keep-alive"},
        {"Upgrade", "h2c"},
        {"Expect", "200-ok"},
        {"Host", "a b"},
        {"Host", ""},
        {"TE", "trailers"},
        {"Proxy-Authorization", "x"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ag_http_client_field fields[] = {bad[i], {NULL, NULL}};
        ag_http_client_request q = {.url = at("/describe"), .fields = fields};
        ag_check_int(do_text(client, &q), -EINVAL);
        ag_check_contains(text, "GET http://127.0.0.1:");
    }
    static const char *const methods[] = {"", "G T", "GET\r\n", "CONNECT"};
    for (size_t i = 0; i < 4; i++) {
        ag_http_client_request q = {.url = at("/describe"), .method = methods[i]};
        ag_check_int(do_text(client, &q), -EINVAL);
    }
    ag_http_client_request q = {.url = "http://h/\r\n"};
    ag_check_int(do_text(client, &q), -EINVAL);
    ag_check_contains(text, "control");
    q.url = "gopher://h/";
    ag_check_int(do_text(client, &q), -EPROTONOSUPPORT);
    ag_check_int(stats_of_client(client).dialed, 0);
    ag_check_int(stats_of_client(client).failed, stats_of_client(client).requests);
    end(client);
}

AG_TEST_RUN(client_user_in_the_url_becomes_authorization) {
    ag_http_client *client = begin(NULL);
    char url[128];
    snprintf(url, sizeof url, "http://me:pass%%21@%s/describe", site.url + 7);
    ag_http_client_request q = {.url = url};
    ag_check_int(do_text(client, &q), 200);
    check_field("Authorization: Basic bWU6cGFzcyE=\n");
    ag_http_client_field fields[] = {{"Authorization", "Bearer x"}, {NULL, NULL}};
    q.fields = fields;
    ag_check_int(do_text(client, &q), 200);
    check_field("Authorization: Bearer x\n");
    ag_check(!strstr(text, "Basic"));
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ag_check(!strstr(ag_http_reply_url(r), "me"));
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_methods_and_lengths) {
    ag_http_client *client = begin(NULL);
    ag_http_client_request q = {.url = at("/describe"), .method = "POST"};
    ag_check_int(do_text(client, &q), 200);
    check_field("Content-Length: 0\n");
    q.method = "DELETE";
    ag_check_int(do_text(client, &q), 200);
    check_no_field("Content-Length");
    q = (ag_http_client_request){.url = at("/describe"), .body = "abc", .body_n = 3};
    ag_check_int(do_text(client, &q), 200);
    ag_check_contains(text, "POST /describe");
    check_field("Content-Length: 3\n");
    ag_http_reply *r;
    ag_check_int(ag_http_head(client, at("/fill?n=1000&counted=1"), &r), 0);
    ag_check_int(ag_http_reply_status(r), 200);
    ag_check_int(ag_http_reply_content_length(r), 1000);
    ag_check_int(ag_http_reply_read(r, text, 10), 0);
    ag_http_reply_close(r);
    ag_check_int(ag_http_get(client, at("/204"), &r), 0);
    ag_check_int(ag_http_reply_status(r), 204);
    ag_check_int(ag_http_reply_content_length(r), 0);
    ag_check_int(ag_http_reply_read(r, text, 10), 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_reply_tells_its_fields) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    const char *name, *value;
    bool type = false;
    ag_check_int(ag_http_get(client, at("/fill?n=3"), &r), 0);
    ag_check_str(ag_http_reply_header(r, "CONTENT-TYPE"), "text/plain; charset=utf-8");
    ag_check_str(ag_http_reply_header(r, "content-length"), "3");
    ag_check(!ag_http_reply_header(r, "None"));
    for (size_t i = 0; ag_http_reply_header_at(r, i, &name, &value); i++)
        type = type || strcmp(name, CLIENT_HTTP2 ? "content-type" : "Content-Type") == 0;
    ag_check(type);
    ag_check_str(ag_http_reply_url(r), at("/fill?n=3"));
    ag_check(!ag_http_reply_was_reused(r));
    ag_check(!ag_http_reply_trailer(r, "X"));
    ag_http_reply_close(r);
    ag_http_reply_close(NULL);
    ag_check_str(ag_http_reply_error(NULL), "out of memory");
    ag_check_int(ag_http_reply_status(NULL), 0);
    end(client);
}

/* ---- Redirects ------------------------------------------------------------------------------ */

AG_TEST_RUN(client_redirects_change_the_method_as_go_does) {
    ag_http_client *client = begin(NULL);
    static const int statuses[] = {301, 302, 303, 307, 308};
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};
    for (int i = 0; i < 25; i++) {
        int status = statuses[i / 5];
        const char *method = methods[i % 5];
        bool has_body = i % 5 == 2 || i % 5 == 3, same = status >= 307;
        char path[64], want[160];
        snprintf(path, sizeof path, "/to/%d?l=/describe/x", status);
        ag_http_client_field fields[] = {{"Content-Type", "x/y"}, {"X-Kept", "1"}, {NULL, NULL}};
        ag_http_client_request q = {
            .url = at(path), .method = method, .body = has_body ? "abc" : NULL, .body_n = 3};
        q.fields = fields;
        ag_check_int(do_text(client, &q), 200);
        if (i % 5 == 1)
            continue;
        snprintf(want, sizeof want, "%s /describe/x?\n", same ? method : "GET");
        ag_check_contains(text, want);
        check_field("X-Kept: 1");
        ag_check_int(strstr(text, as_sent("Content-Length: 3")) != NULL, same && has_body);
        ag_check_int(strstr(text, as_sent("Content-Type")) != NULL, same);
        snprintf(want, sizeof want, "Referer: %s%s\n", site.url, path);
        check_field(want);
    }
    ag_check_int(stats_of_client(client).redirected, 25);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_redirects_are_counted) {
    ag_http_client *client = begin(&(ag_http_client_options){.redirects_max = 3});
    ag_http_client_request q = {.url = at("/to/302?l=%2Fto%2F302%3Fl%3D%252Fdescribe")};
    ag_check_int(do_text(client, &q), 200);
    q.url = at("/loop");
    ag_check_int(do_text(client, &q), -ELOOP);
    ag_check_contains(text, "3 redirects");
    end(client);
}

AG_TEST_RUN(client_redirects_can_be_left_to_the_program) {
    ag_http_client *client = begin(&(ag_http_client_options){.redirects_max = -1});
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, at("/to/302?l=/describe"), &r), 0);
    ag_check_int(ag_http_reply_status(r), 302);
    ag_check_str(ag_http_reply_header(r, "Location"), "/describe");
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_redirect_to_another_host_takes_no_secrets_along) {
    ag_http_client *client = begin(NULL);
    start(&other);
    char url[256];
    ag_http_client_field fields[] = {{"Authorization", "secret"},
                                     {"Cookie", "secret=1"},
                                     {"Host", "name"},
                                     {"X-Kept", "1"},
                                     {NULL, NULL}};
    snprintf(url, sizeof url, "http://me:secret@%s/to/307?l=%s/describe", site.url + 7, other.url);
    ag_http_client_request q = {.url = url, .fields = fields};
    ag_check_int(do_text(client, &q), 200);
    check_field("X-Kept: 1");
    check_field("Host: 127.0.0.1:");
    ag_check(!strstr(text, "secret"));
    ag_check(!strstr(text, "Basic"));
    ag_check(!strstr(text, "me:"));
    /* Not even when it comes back. */
    snprintf(url, sizeof url, "%s/to/307?l=%s/to/307%%3Fl%%3D%s/describe", site.url, other.url,
             site.url);
    ag_check_int(do_text(client, &q), 200);
    ag_check(!strstr(text, "secret=1"));
    /* On the same host they stay. */
    q.url = at("/to/307?l=/describe");
    ag_check_int(do_text(client, &q), 200);
    check_field("Authorization: secret\n");
    check_field("Cookie: secret=1\n");
    check_field("Host: name\n");
    client_end(client);
    stop(&other);
    stop(&site);
}

/* ---- Cookies -------------------------------------------------------------------------------- */

static void check_cookie(ag_http_client *client, const char *path, const char *sent) {
    ag_http_client_request q = {.url = at(path)};
    ag_check_int(do_text(client, &q), 200);
    ag_check_str(text, sent);
}

AG_TEST_RUN(client_keeps_no_cookies_unless_asked) {
    ag_http_client *client = begin(NULL);
    check_cookie(client, "/cookies/?set=a=1", "-");
    check_cookie(client, "/cookies/", "-");
    end(client);
}

AG_TEST_RUN(client_jar_sends_cookies_where_they_belong) {
    ag_http_jar *jar = ag_http_jar_new();
    ag_http_client *client = begin(&(ag_http_client_options){.jar = jar});
    check_cookie(client, "/cookies/?set=a%3D1", "-");
    check_cookie(client, "/cookies/x/y?set=b%3D2", "a=1");
    check_cookie(client, "/cookies/x/z", "b=2; a=1"); /* the longer path first */
    check_cookie(client, "/cookies/xx", "a=1");
    check_cookie(client, "/cookies/?set=c%3D3%3B+Path%3D/cookies/x", "a=1");
    check_cookie(client, "/cookies/x", "b=2; c=3; a=1");
    check_cookie(client, "/cookies/?set=a%3D4%3B+Max-Age%3D100", "a=1");
    check_cookie(client, "/cookies/", "a=4");
    check_cookie(client, "/cookies/?set=a%3D%3B+Max-Age%3D0", "a=4");
    check_cookie(client, "/cookies/", "-");
    check_cookie(client, "/cookies/?set=s%3D1%3B+Secure", "-");
    check_cookie(client, "/cookies/?set=d%3D1%3B+Domain%3Dexample.com", "-");
    check_cookie(client, "/cookies/?set=nonsense", "-");
    check_cookie(client, "/cookies/", "-");
    ag_check_int(ag_http_jar_count(jar), 2);
    /* With one of the program's. */
    ag_http_client_field fields[] = {{"Cookie", "own=1"}, {NULL, NULL}};
    ag_http_client_request q = {.url = at("/cookies/x/y"), .fields = fields};
    ag_check_int(do_text(client, &q), 200);
    ag_check_str(text, "own=1; b=2; c=3");
    end(client);
    ag_http_jar_free(jar);
    ag_http_jar_free(NULL);
}
