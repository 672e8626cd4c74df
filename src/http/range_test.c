/* SPDX-License-Identifier: MIT */
/*
 * Ranges, dates and types, as functions.
 */
#include "ag_test.h"

#include "http/content.h"
#include "http/date.h"
#include "http/range.h"

#include <stdio.h>
#include <time.h>

#define TEXT(s) ((ag__http_text){(s), strlen(s)})

/* "first+length ..." of 100 bytes, or the error. */
static const char *ranges(const char *field) {
    static char text[512];
    ag__http_range r[AG__RANGES_MAX];
    size_t n = 0;
    int count = ag__http_ranges(TEXT(field), 100, r);
    text[0] = 0;
    if (count < 0)
        return "416";
    for (int i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld+%lld", i ? " " : "",
                              (long long)r[i].at, (long long)r[i].n);
    return text;
}

AG_TEST(ranges_are_cut_to_what_there_is) {
    ag_check_str(ranges("bytes=0-0"), "0+1");
    ag_check_str(ranges("bytes=0-99"), "0+100");
    ag_check_str(ranges("bytes=99-"), "99+1");
    ag_check_str(ranges("BYTES=10-19"), "10+10");
    ag_check_str(ranges("bytes=90-1000"), "90+10");
    ag_check_str(ranges("bytes=-1"), "99+1");
    ag_check_str(ranges("bytes=-1000"), "0+100");
    ag_check_str(ranges("bytes=0-1, 4-5 ,,-3"), "0+2 4+2 97+3");
    ag_check_str(ranges("bytes=0-1,200-300"), "0+2");
    ag_check_str(ranges("bytes=5-99999999999999999999999999"), "5+95");
}

AG_TEST(ranges_of_which_nothing_is_there_or_that_are_none_are_416) {
    static const char *const bad[] = {"bytes=100-",  "bytes=-0",      "bytes=100-200,300-",
                                      "bytes=5-4",   "bytes=a-b",     "bytes=1",
                                      "bytes=--1",   "bytes=-",       "bytes=0-1;",
                                      "bytes=0-1,x", "bytes=0x0-1",   "bytes=1- 2 3",
                                      "bytes=+1-2",  "bytes=\"0-1\"", "bytes=99999999999999999999-",
                                      "bytes= = 0-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (strcmp(ranges(bad[i]), "416") != 0)
            ag_fail("%s gives %s", bad[i], ranges(bad[i]));
}

AG_TEST(ranges_that_would_make_a_huge_answer_are_ignored) {
    ag_check_str(ranges("bytes=0-,0-"), "");
    ag_check_str(ranges("bytes=0-60,50-99"), "");
    ag_check_str(ranges("bytes=0-49,50-99"), "0+50 50+50");
    ag_check_str(ranges("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,"
                        "14-14,15-15,16-16"),
                 "");
    ag_check_str(ranges("items=0-1"), "");
    ag_check_str(ranges("bytes"), "");
    ag_check_str(ranges("bytes="), "");
    ag_check_str(ranges(""), "");
    ag__http_range r[AG__RANGES_MAX];
    ag_check_int(ag__http_ranges(TEXT("bytes=0-"), 0, r), 0);
}

/* ---- Dates ---------------------------------------------------------------------------------- */

static int64_t parsed(const char *text) {
    int64_t t;
    return ag__http_date_parse(TEXT(text), &t) ? t : -1;
}

AG_TEST(the_three_forms_of_dates_are_read) {
    ag_check_int(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    ag_check_int(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    ag_check_int(parsed("Sun Nov  6 08:49:37 1994"), 784111777);
    ag_check_int(parsed("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    ag_check_int(parsed("Thu, 29 Feb 2024 23:59:60 GMT"), 1709251200);
}

AG_TEST(what_is_no_date_is_refused) {
    static const char *const bad[] = {"",
                                      "now",
                                      "784111777",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 nov 1994 08:49:37 GMT",
                                      "Son, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 31 Nov 1994 08:49:37 GMT",
                                      "Sun, 29 Feb 2023 08:49:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1969 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:61 GMT",
                                      "Sun, 06 Nov 1994 08.49.37 GMT",
                                      "Sun, -6 Nov 1994 08:49:37 GMT",
                                      "Sunday, 06-Nov-1994 08:49:37 GMT",
                                      "Sun, 06-Nov-94 08:49:37 GMT",
                                      "Sun Nov 06 08:49:37 94",
                                      "Sun Nov  6 08:49:37 1994 GMT"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parsed(bad[i]) != -1)
            ag_fail("%s is %lld", bad[i], (long long)parsed(bad[i]));
}

AG_TEST(dates_are_written_as_the_library_does_and_read_back) {
    for (int64_t t = 0; t < INT64_C(253402300800); t += 86399 * 97) {
        char ours[AG__HTTP_DATE + 1] = {0}, theirs[64];
        time_t time = t;
        ag__http_date_write(ours, t);
        strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&time));
        ag_check_str(ours, theirs);
        ag_check_int(parsed(ours), t);
        strftime(theirs, sizeof theirs, "%a %b %e %H:%M:%S %Y", gmtime(&time));
        ag_check_int(parsed(theirs), t);
    }
}

/* ---- Types and tags ------------------------------------------------------------------------- */

AG_TEST(the_extension_tells_the_type) {
    ag_check_str(ag_http_type_of("/a.b/x.HTML"), "text/html; charset=utf-8");
    ag_check_str(ag_http_type_of("x.tar.gz"), "application/gzip");
    ag_check_str(ag_http_type_of("x.wasm"), "application/wasm");
    ag_check(!ag_http_type_of("/a.html/x"));
    ag_check(!ag_http_type_of("html"));
    ag_check(!ag_http_type_of("x."));
    ag_check(!ag_http_type_of(""));
    ag_check(ag__http_type_is_text(TEXT("text/anything; charset=x")));
    ag_check(ag__http_type_is_text(TEXT("application/problem+json")));
    ag_check(ag__http_type_is_text(TEXT("Application/JSON")));
    ag_check(ag__http_type_is_text(TEXT("image/svg+xml")));
    ag_check(!ag__http_type_is_text(TEXT("image/png")));
    ag_check(!ag__http_type_is_text(TEXT("application/octet-stream")));
    ag_check(!ag__http_type_is_text(TEXT("")));
}

AG_TEST(entity_tags_are_compared_strongly_and_weakly) {
    /* RFC 9110 8.8.3.2, its table. */
    ag_check(!ag__http_etags_match(TEXT("W/\"1\""), TEXT("W/\"1\""), false));
    ag_check(ag__http_etags_match(TEXT("W/\"1\""), TEXT("W/\"1\""), true));
    ag_check(!ag__http_etags_match(TEXT("W/\"1\""), TEXT("W/\"2\""), true));
    ag_check(!ag__http_etags_match(TEXT("W/\"1\""), TEXT("\"1\""), false));
    ag_check(ag__http_etags_match(TEXT("W/\"1\""), TEXT("\"1\""), true));
    ag_check(ag__http_etags_match(TEXT("\"1\""), TEXT("\"1\""), false));
    ag_check(ag__http_etags_match(TEXT("\"1\""), TEXT("\"1\""), true));
    ag_check(!ag__http_etags_match(TEXT(""), TEXT(""), true));
}
