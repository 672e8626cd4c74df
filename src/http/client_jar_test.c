/* SPDX-License-Identifier: MIT */
/* Cookies (RFC 6265) and proxies of the environment, white box. */
#include "ag_test.h"
#include "http/client.h"

#include <aglet/run.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Cookies -------------------------------------------------------------------------------- */

static ag_http_jar *jar;

static void set(const char *url, const char *cookie) {
    ag__url u;
    const char *why;
    ag_check_int(ag__url_parse(url, &u, &why), 0);
    ag__jar_take(jar, &u, (ag__http_text){cookie, strlen(cookie)});
    ag__url_done(&u);
}

static void check_sent(const char *url, const char *expected) {
    ag__url u;
    const char *why;
    ag_check_int(ag__url_parse(url, &u, &why), 0);
    char *sent = ag__jar_cookies(jar, &u);
    ag_check_str(sent ? sent : "-", expected);
    free(sent);
    ag__url_done(&u);
}

static void fresh(void) {
    ag_http_jar_free(jar);
    jar = ag_http_jar_new();
}

AG_TEST_RUN(jar_cookie_belongs_to_its_host) {
    fresh();
    set("http://a.example/", "x=1");
    check_sent("http://a.example:81/y", "x=1");
    check_sent("http://b.a.example/", "-");
    check_sent("http://example/", "-");
    check_sent("http://ba.example/", "-");
    set("http://a.example/", "y=2; Domain=.A.Example");
    check_sent("http://b.a.example/", "y=2");
    check_sent("http://a.example/", "x=1; y=2");
    check_sent("http://ba.example/", "-");
    ag_http_jar_free(jar);
}

AG_TEST_RUN(jar_refuses_other_domains) {
    fresh();
    set("http://a.example/", "x=1; domain=b.example");
    set("http://a.example/", "x=1; domain=x.a.example");
    set("http://a.example/", "x=1; domain=example");
    set("http://a.example/", "x=1; domain=.com");
    set("http://127.0.0.1/", "x=1; domain=0.0.1");
    set("http://127.0.0.1/", "x=1; domain=1");
    ag_check_int(ag_http_jar_count(jar), 0);
    set("http://127.0.0.1/", "x=1; domain=127.0.0.1");
    check_sent("http://127.0.0.1/", "x=1");
    set("http://localhost/", "x=1; domain=localhost");
    check_sent("http://localhost/", "x=1");
    check_sent("http://a.localhost/", "x=1");
    ag_http_jar_free(jar);
}

AG_TEST_RUN(jar_paths_are_whole_segments) {
    fresh();
    set("http://h/a/b", "x=1");
    set("http://h/a/b", "y=2; path=/a/b/");
    set("http://h/a/b", "z=3; path=nonsense");
    set("http://h", "r=4");
    check_sent("http://h/a", "x=1; z=3; r=4");
    check_sent("http://h/a/b", "x=1; z=3; r=4");
    check_sent("http://h/a/b/c", "y=2; x=1; z=3; r=4");
    check_sent("http://h/ab", "r=4");
    ag_http_jar_free(jar);
}

AG_TEST_RUN(jar_secure_is_for_tls) {
    fresh();
    set("https://h/", "x=1; Secure");
    check_sent("https://h/", "x=1");
    check_sent("http://h/", "-");
    set("http://h/", "x=2"); /* must not take its place */
    check_sent("https://h/", "x=1");
    set("http://h/", "y=1; Secure");
    set("https://h/", "__Secure-a=1");
    set("https://h/", "__Host-a=1; Secure; Path=/; Domain=h");
    set("https://h/", "__Host-a=1; Secure");
    ag_check_int(ag_http_jar_count(jar), 1);
    set("https://h/x/y", "__Host-a=1; Secure; Path=/");
    check_sent("https://h/", "x=1; __Host-a=1");
    ag_http_jar_free(jar);
}

AG_TEST_RUN(jar_cookies_expire) {
    fresh();
    static const char *const past[] = {
        "Max-Age=0",
        "Max-Age=-1",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "expires=Sunday, 06-Nov-94 08:49:37 GMT",
        "Expires=Sun Nov  6 08:49:37 1994",
        "Expires=06 Nov 1994 08:49:37; Max-Age=x",
        "Max-Age=0; Expires=Fri, 31 Dec 2900 23:59:59 GMT",
    };
    static const char *const future[] = {
        "Max-Age=100",
        "Max-Age=99999999999999999999",
        "Expires=Fri, 31 Dec 2200 23:59:59 GMT",
        "Expires=Fri, 31 Dec 9999 23:59:59 GMT",
        "Expires=nonsense",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=100",
        "Expires=Thu, 01 Jan 1970 25:00:00 GMT",
        "Expires=Thu, 41 Jan 1970 00:00:00 GMT",
        "Max-Age=",
        "HttpOnly; SameSite=Strict",
    };
    char cookie[128];
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        set("http://h/", "x=1");
        snprintf(cookie, sizeof cookie, "x=2; %s", past[i]);
        set("http://h/", cookie);
        if (ag_http_jar_count(jar) != 0)
            ag_fail("not expired: %s", past[i]);
    }
    for (size_t i = 0; i < sizeof future / sizeof *future; i++) {
        snprintf(cookie, sizeof cookie, "x=2; %s", future[i]);
        set("http://h/", cookie);
        check_sent("http://h/", "x=2");
        set("http://h/", "x=; Max-Age=0");
    }
    ag_http_jar_free(jar);
}

AG_TEST_RUN(jar_has_limits) {
    fresh();
    char cookie[64], url[64];
    for (int i = 0; i < 60; i++) {
        snprintf(cookie, sizeof cookie, "c%d=1", i);
        set("http://h/", cookie);
    }
    ag_check_int(ag_http_jar_count(jar), 50);
    for (int i = 0; i < 3100; i++) {
        snprintf(url, sizeof url, "http://h%d.example/", i);
        set(url, "x=1");
    }
    ag_check_int(ag_http_jar_count(jar), 3000);
    check_sent("http://h/", "-");
    check_sent("http://h3099.example/", "x=1");
    char *large = malloc(5000);
    memset(large, 'x', 4999);
    memcpy(large, "big=", 4);
    large[4999] = 0;
    set("http://large/", large);
    check_sent("http://large/", "-");
    free(large);
    set("http://none/", "novalue");
    set("http://none/", "=x");
    set("http://none/", "");
    check_sent("http://none/", "-");
    set("http://none/", "a=");
    check_sent("http://none/", "a=");
    ag_http_jar_free(jar);
}

/* ---- Proxies -------------------------------------------------------------------------------- */

static ag__client_proxies proxies;

static void environment(const char *http, const char *https, const char *no) {
    static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY",   "https_proxy",
                                        "NO_PROXY",   "no_proxy",   "REQUEST_METHOD"};
    ag__client_proxies_done(&proxies);
    memset(&proxies, 0, sizeof proxies);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    if (http)
        setenv("http_proxy", http, 1);
    if (https)
        setenv("HTTPS_PROXY", https, 1);
    if (no)
        setenv("NO_PROXY", no, 1);
    ag_check_int(ag__client_proxies_init(&proxies, NULL), 0);
}

static void check_route(const char *url, const char *proxy) {
    ag__url u;
    const char *why;
    ag__client_route r;
    ag_check_int(ag__url_parse(url, &u, &why), 0);
    ag__client_route_find(&proxies, &u, &r);
    if (strcmp(r.proxy ? r.proxy->text : "-", proxy) != 0)
        ag_fail("%s: by %s instead of %s", url, r.proxy ? r.proxy->text : "-", proxy);
    ag_check_int(r.tunnel, r.proxy && u.tls);
    ag__url_done(&u);
}

AG_TEST(proxy_is_found_in_the_environment) {
    environment(NULL, NULL, NULL);
    check_route("http://h/", "-");
    environment("p:3128", "http://q", NULL);
    check_route("http://h/", "http://p:3128/");
    check_route("https://h/", "http://q/");
    check_route("http://localhost/", "-");
    check_route("http://127.1.2.3:8080/", "-");
    check_route("http://[::1]/", "-");
    check_route("http://128.0.0.1/", "http://p:3128/");
    setenv("HTTP_PROXY", "other", 1);
    setenv("REQUEST_METHOD", "GET", 1); /* a CGI program: the client could have said it */
    ag__client_proxies_done(&proxies);
    memset(&proxies, 0, sizeof proxies);
    ag_check_int(ag__client_proxies_init(&proxies, NULL), 0);
    check_route("http://h/", "http://p:3128/");
    environment(NULL, NULL, NULL);
    setenv("HTTP_PROXY", "socks5://h", 1);
    ag_check(ag__client_proxies_init(&proxies, NULL) < 0);
    unsetenv("HTTP_PROXY");
    ag__client_proxies_done(&proxies);
}

AG_TEST(no_proxy_says_what_is_asked_directly) {
    environment("p", "p",
                " a.example, .b.example,*.c.example,10.0.0.0/8, d:81,192.0.2.7,"
                "[2001:db8::1]:8080,2001:db8:1::/48,,::ffff:1.2.3.4");
    static const char *const direct[] = {
        "http://a.example/",
        "http://A.Example:99/",
        "http://x.a.example/",
        "https://a.example/",
        "http://x.b.example/",
        "http://x.c.example/",
        "http://10.1.2.3/",
        "http://d:81/",
        "http://x.d:81/",
        "http://192.0.2.7/",
        "http://[2001:db8::1]:8080/",
        "http://[2001:db8:1:2::3]/",
    };
    static const char *const by_proxy[] = {
        "http://xa.example/",     "http://example/",   "http://b.example/", "http://c.example/",
        "http://11.0.0.0/",       "http://d/",         "http://192.0.2.8/", "http://[2001:db8::1]/",
        "http://[2001:db8:2::]/", "http://ten.0.0.0/",
    };
    for (size_t i = 0; i < sizeof direct / sizeof *direct; i++)
        check_route(direct[i], "-");
    for (size_t i = 0; i < sizeof by_proxy / sizeof *by_proxy; i++)
        check_route(by_proxy[i], "http://p/");
    environment("p", NULL, "*");
    check_route("http://h/", "-");
    environment("p", NULL, "0.0.0.0/0");
    check_route("http://9.9.9.9/", "-");
    check_route("http://[::9]/", "http://p/");
    environment("p", NULL, "1.2.3.4/33,1.2.3.4/x,1.2.3/8,/,1:2:3::/200,:,:80,[],[::1");
    check_route("http://1.2.3.4/", "http://p/");
    check_route("http://h/", "http://p/");
    environment(NULL, NULL, NULL);
    ag__client_proxies_done(&proxies);
}

AG_TEST(proxy_of_the_options_is_for_everything) {
    setenv("NO_PROXY", "*", 1);
    ag_check_int(ag__client_proxies_init(&proxies, "http://u:p@[::1]:1/"), 0);
    check_route("http://localhost/", "http://[::1]:1/");
    check_route("https://localhost/", "http://[::1]:1/");
    ag_check_str(proxies.http_basic, "Basic dTpw");
    ag__client_proxies_done(&proxies);
    memset(&proxies, 0, sizeof proxies);
    setenv("http_proxy", "http://x/", 1);
    ag_check_int(ag__client_proxies_init(&proxies, ""), 0);
    check_route("http://h/", "-");
    ag__client_proxies_done(&proxies);
}
