/* SPDX-License-Identifier: MIT */
/* URLs: what is read, what is refused, how references are resolved. */
#include "ag_test.h"
#include "http/client_url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void check_url(const char *s, const char *text) {
    ag__url u;
    const char *why;
    ag_check_int(ag__url_parse(s, &u, &why), 0);
    ag_check_str(why, "");
    ag_check_str(u.text, text);
    /* What was written is read the same way. */
    ag__url again;
    ag_check_int(ag__url_parse(u.text, &again, &why), 0);
    ag_check_str(again.text, text);
    ag_check_int(again.port, u.port);
    ag__url_done(&again);
    ag__url_done(&u);
}

static void check_refused(const char *s, int error, const char *words) {
    ag__url u;
    const char *why;
    ag_check_int(ag__url_parse(s, &u, &why), error);
    ag_check_contains(why, words);
    ag_check(!u.text);
}

static void check_resolved(const char *base, const char *ref, const char *text) {
    ag__url b, u;
    const char *why;
    ag_check_int(ag__url_parse(base, &b, &why), 0);
    ag_check_int(ag__url_resolve(&b, ref, &u, &why), 0);
    ag_check_str(u.text, text);
    ag__url_done(&u);
    ag__url_done(&b);
}

AG_TEST(client_url_is_written_anew) {
    check_url("http://example.com", "http://example.com/");
    check_url("HTTP://EXAMPLE.com:80/A?b#c", "http://example.com/A?b");
    check_url("https://h:443", "https://h/");
    check_url("https://h:80/", "https://h:80/");
    check_url("http://h:/x", "http://h/x");
    check_url("http://[::1]:8080/x?y=1&z", "http://[::1]:8080/x?y=1&z");
    check_url("http://192.0.2.1?q", "http://192.0.2.1/?q");
    check_url("http://u:p@h/", "http://h/");
    check_url("http://h/a b/\xc3\xa9?q=\xc3\xa9 \"", "http://h/a%20b/%C3%A9?q=%C3%A9%20%22");
    check_url("http://h/%41%2f?100%", "http://h/%41%2f?100%");
    check_url("http://h/a/./b/../c//d/..", "http://h/a/c//");
    check_url("http://h/../../x", "http://h/x");
    check_url("http://h/?", "http://h/?");
    check_url("http://a_b-c.d/", "http://a_b-c.d/");
}

AG_TEST(client_url_gives_its_parts) {
    ag__url u;
    const char *why;
    ag_check_int(ag__url_parse("https://U%3a:p%40x@[2001:DB8::1]:8443/a/b?c=d#e", &u, &why), 0);
    ag_check(u.tls);
    ag_check_int(u.port, 8443);
    ag_check_mem(u.host.p, "[2001:db8::1]", u.host.n);
    ag_check_mem(u.authority.p, "[2001:db8::1]:8443", u.authority.n);
    ag_check_mem(u.path.p, "/a/b", u.path.n);
    ag_check_int(u.path.n, 4);
    ag_check_mem(u.target.p, "/a/b?c=d", u.target.n);
    ag_check_int(u.target.n, 8);
    ag_check_mem(u.user.p, "U%3a:p%40x", u.user.n);
    ag__url_done(&u);
}

AG_TEST(client_url_refuses_what_could_be_read_otherwise) {
    check_refused(NULL, -EINVAL, "NULL");
    check_refused("", -EINVAL, "http://");
    check_refused("example.com/x", -EINVAL, "http://");
    check_refused("/x", -EINVAL, "http://");
    check_refused("http:/h/", -EPROTONOSUPPORT, "http://");
    check_refused("ftp://h/", -EPROTONOSUPPORT, "http://");
    check_refused("file:///etc/passwd", -EPROTONOSUPPORT, "http://");
    check_refused("http:///x", -EINVAL, "no host");
    check_refused("http://:80/", -EINVAL, "no host");
    check_refused("http://u@/", -EINVAL, "no host");
    check_refused("http://h/\r\nX: 1", -EINVAL, "control");
    check_refused("http://h/?a\nb", -EINVAL, "control");
    check_refused("http://h/\x7f", -EINVAL, "control");
    check_refused("http://h\r\n/", -EINVAL, "character");
    check_refused("http://h h/", -EINVAL, "character");
    check_refused("http://a,b/", -EINVAL, "character");
    check_refused("http://h:1\r\n/", -EINVAL, "malformed");
    check_refused("http://h:65536/", -EINVAL, "malformed");
    check_refused("http://h:-1/", -EINVAL, "malformed");
    check_refused("http://h:0/", -EINVAL, "port 0");
    check_refused("http://b\xc3\xbc"
                  "cher.example/",
                  -EINVAL, "punycode");
    check_refused("http://h%41/", -EINVAL, "percent");
    check_refused("http://[fe80::1%25eth0]/", -EINVAL, "zone");
    check_refused("http://[::1/", -EINVAL, "malformed");
    check_refused("http://[::1]x/", -EINVAL, "malformed");
    check_refused("http://[1:2]/", -EINVAL, "malformed");
    check_refused("http://h\\@evil/", -EINVAL, "backslash");
    check_refused("http://h/%", -EINVAL, "escape");
    check_refused("http://h/%zz", -EINVAL, "escape");
    check_refused("http://h/%00", -EINVAL, "NUL");
    check_refused("http://u%@h/", -EINVAL, "user");
    check_refused("http://u\n@h/", -EINVAL, "user");
    char *large = malloc(AG__URL_MAX + 100);
    memset(large, 'a', AG__URL_MAX + 99);
    memcpy(large, "http://h/", 9);
    large[AG__URL_MAX + 99] = 0;
    check_refused(large, -EINVAL, "long");
    free(large);
}

/* RFC 3986 5.4, those that are about http. */
AG_TEST(client_url_resolves_references) {
    static const char *const cases[][2] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {"..g", "http://a/b/c/..g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/../h", "http://a/b/c/h"},
        {";x", "http://a/b/c/;x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"http://x/y", "http://x/y"},
        {"//u@g:81/x", "http://g:81/x"},
        {"\xc3\xa9", "http://a/b/c/%C3%A9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_resolved("http://a/b/c/d;p?q", cases[i][0], cases[i][1]);
    check_resolved("https://a:8443", "//b/c", "https://b/c");
    check_resolved("https://a:8443/x", "y", "https://a:8443/y");
}

AG_TEST(client_url_resolves_nothing_else) {
    ag__url b, u;
    const char *why;
    ag_check_int(ag__url_parse("http://h/", &b, &why), 0);
    ag_check_int(ag__url_resolve(&b, "ftp://x/", &u, &why), -EPROTONOSUPPORT);
    ag_check_int(ag__url_resolve(&b, "javascript:alert(1)", &u, &why), -EPROTONOSUPPORT);
    ag_check_int(ag__url_resolve(&b, "//", &u, &why), -EINVAL);
    ag_check_int(ag__url_resolve(&b, "/x\r\ny", &u, &why), -EINVAL);
    ag__url_done(&b);
}

static bool trusts(const char *from, const char *to) {
    ag__url f, t;
    const char *why;
    ag_check_int(ag__url_parse(from, &f, &why), 0);
    ag_check_int(ag__url_parse(to, &t, &why), 0);
    bool yes = ag__url_trusts(&f, &t);
    ag__url_done(&f);
    ag__url_done(&t);
    return yes;
}

AG_TEST(client_url_trusts_the_same_host_only) {
    ag_check(trusts("http://h/a", "http://H:80/b"));
    ag_check(trusts("http://h/", "https://h/"));
    ag_check(!trusts("https://h/", "http://h/"));
    ag_check(!trusts("http://h/", "http://h:8080/"));
    ag_check(!trusts("http://h/", "https://h:8443/"));
    ag_check(!trusts("http://h/", "http://x.h/"));
    ag_check(!trusts("http://x.h/", "http://h/"));
    ag_check(!trusts("http://h/", "http://hh/"));
}

static void check_basic(const char *user, const char *expected) {
    char *got = ag__url_basic((ag__http_text){user, strlen(user)});
    ag_check_str(got, expected);
    free(got);
}

AG_TEST(client_url_user_becomes_basic) {
    check_basic("Aladdin:open%20sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    check_basic("a", "Basic YTo=");
    check_basic("ab:", "Basic YWI6");
    check_basic("a%40b:c", "Basic YUBiOmM=");
    check_basic("", "Basic Og==");
}
