/* SPDX-License-Identifier: MIT */
/* Percent-decoding, path cleaning, query look-up. */
#include "ag_test.h"
#include "http/path.h"

#include <errno.h>
#include <stdlib.h>

static ag__http_text text(const char *s) {
    return (ag__http_text){s, strlen(s)};
}

static void check_decoded(const char *escaped, enum ag__http_decode how, const char *plain) {
    char buf[100];
    size_t n = strlen(escaped);
    memcpy(buf, escaped, n);
    int64_t got = ag__http_decode(buf, (ag__http_text){buf, n}, how);
    ag_check_int(got, strlen(plain));
    ag_check_mem(buf, plain, (size_t)got);
    ag_check(ag__http_decodes_to(text(escaped), how, plain, strlen(plain)));
    ag_check(!ag__http_decodes_to(text(escaped), how, plain, strlen(plain) + 1));
    if (*plain)
        ag_check(!ag__http_decodes_to(text(escaped), how, plain, strlen(plain) - 1));
}

AG_TEST(decode_replaces_escapes_in_place) {
    check_decoded("", AG__DECODE_PATH, "");
    check_decoded("plain", AG__DECODE_PATH, "plain");
    check_decoded("a%20b+c", AG__DECODE_PATH, "a b+c");
    check_decoded("a%20b+c%2B", AG__DECODE_FORM, "a b c+");
    check_decoded("%2f%2F%41", AG__DECODE_PATH, "//A");
    check_decoded("%2541", AG__DECODE_PATH, "%41");
    check_decoded("%e2%82%AC", AG__DECODE_PATH, "\xe2\x82\xac");
}

AG_TEST(decode_refuses_malformed_escapes_and_nul) {
    static const char *const bad[] = {"%", "%4", "%4g", "%g4", "a%", "%%41", "%00", "a%00b"};
    char buf[16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ag_check_int(ag__http_decode(buf, text(bad[i]), AG__DECODE_PATH), -EINVAL);
}

AG_TEST(paths_are_cleaned) {
    static const char *const cases[][2] = {
        {"", "/"},
        {"/", "/"},
        {"//", "/"},
        {"///", "/"},
        {"a", "/a"},
        {"a/", "/a/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a//b", "/a/b"},
        {"//a", "/a"},
        {"/a//", "/a/"},
        {"/./a", "/a"},
        {"/a/.", "/a/"},
        {"/a/./", "/a/"},
        {"/a/./b", "/a/b"},
        {"/..", "/"},
        {"/../a", "/a"},
        {"/../../a", "/a"},
        {"/a/..", "/"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/b/../../..", "/"},
        {"/a/b/../c/./../d", "/a/d"},
        {"..", "/"},
        {"../a", "/a"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/a/%2e/b", "/a/b"},
        {"/a/...", "/a/..."},
        {"/.a/..b/c.", "/.a/..b/c."},
        {"/a/%2e%2e%2e", "/a/%2e%2e%2e"},
        {"/a%2f..%2fb", "/a%2f..%2fb"},
        {"/%2e%2e%2f", "/%2e%2e%2f"},
        {"/a%2f/../b", "/b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = cases[i][0], *clean = cases[i][1];
        /* Exactly the room that is promised to be enough. */
        char *dst = malloc(strlen(path) + 1);
        size_t n = ag__http_path_clean(dst, text(path));
        if (n != strlen(clean) || memcmp(dst, clean, n) != 0)
            ag_fail("\"%s\" is cleaned to \"%.*s\", expected \"%s\"", path, (int)n, dst, clean);
        free(dst);
        if (ag__http_path_is_clean(text(path)) != (strcmp(path, clean) == 0))
            ag_fail("\"%s\" is wrongly said to be %sclean", path, strcmp(path, clean) ? "" : "un");
        ag_check(ag__http_path_is_clean(text(clean)));
    }
}

AG_TEST(query_pairs_come_in_order) {
    static const char *const expected[][2] = {
        {"a", "1"}, {"b", ""}, {"c", ""}, {"", "v"}, {"d=", "x=y"}, {"a", "2"},
    };
    ag__http_text query = text("a=1&b&&c=&=v&d%3d=x=y&a=2&");
    ag__http_pair pair;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ag_check(ag__http_query_next(&query, &pair));
        ag_check(
            ag__http_decodes_to(pair.key, AG__DECODE_FORM, expected[i][0], strlen(expected[i][0])));
        ag_check(ag__http_decodes_to(pair.value, AG__DECODE_FORM, expected[i][1],
                                     strlen(expected[i][1])));
    }
    ag_check(!ag__http_query_next(&query, &pair));
}

AG_TEST(query_find_compares_decoded_keys) {
    ag__http_text query = text("na+me=one&n%61%20me2=two&%zz=three"), value;
    ag_check(ag__http_query_find(query, "na me", &value));
    ag_check_int(value.n, 3);
    ag_check_mem(value.p, "one", 3);
    ag_check(ag__http_query_find(query, "na me2", &value));
    ag_check_mem(value.p, "two", 3);
    ag_check(ag__http_query_find(query, "%zz", &value));
    ag_check_mem(value.p, "three", 5);
    ag_check(!ag__http_query_find(query, "na", &value));
    ag_check(!ag__http_query_find(text(""), "", &value));
    ag_check(!ag__http_query_find((ag__http_text){NULL, 0}, "a", &value));
}
