/* SPDX-License-Identifier: MIT */
/*
 * The head of a response, put together from prepared pieces.
 *
 *     HTTP/1.1 200 OK            \
 *     Date: …                     | head, written when the body begins
 *     Content-Type: …             |
 *     own fields                 /
 *     Content-Length: … or       \
 *     Transfer-Encoding: chunked  | tail, written when it is known how the body is framed
 *     Connection: …              /
 *
 * The date is made anew once a second for each work, so a request costs no look at the wall clock.
 */
#include "http/server.h"

#include <stdio.h>
#include <string.h>

/* ---- Status --------------------------------------------------------------------------------- */

const char *ag_http_status_text(int status) {
    switch (status) {
#define AG__HTTP_STATUS(number, text)                                                              \
    case number:                                                                                   \
        return text;
#include "http/status.def"
#undef AG__HTTP_STATUS
    default:
        return "";
    }
}

static char *put(char *to, const char *from, size_t n) {
    memcpy(to, from, n);
    return to + n;
}

#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

static char *put_status(char *to, int status) {
    if (status == 200)
        return PUT(to, "HTTP/1.1 200 OK\r\n");
    const char *text = ag_http_status_text(status);
    to = PUT(to, "HTTP/1.1 ");
    *to++ = (char)('0' + status / 100);
    *to++ = (char)('0' + status / 10 % 10);
    *to++ = (char)('0' + status % 10);
    *to++ = ' ';
    to = put(to, text, strlen(text));
    return PUT(to, "\r\n");
}

/* ---- Date ----------------------------------------------------------------------------------- */

static char *put_two(char *to, int n) {
    *to++ = (char)('0' + n / 10);
    *to++ = (char)('0' + n % 10);
    return to;
}

/* Days since 1970-01-01 to year, month and day: Gregorian, from the era's first of March. */
static void civil(int64_t days, int *ret_year, int *ret_month, int *ret_day) {
    int64_t since = days + 719468, era = since / 146097;
    int day = (int)(since - era * 146097);
    int year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int of_year = day - (365 * year + year / 4 - year / 100);
    int month = (5 * of_year + 2) / 153;
    *ret_day = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(year + era * 400) + (*ret_month <= 2);
}

/* IMF-fixdate of RFC 9110 5.6.7; always as long. */
static void write_date(char *to, int64_t seconds) {
    static const char days[] = "ThuFriSatSunMonTueWed",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int year, month, day, of_day = (int)(seconds % 86400);
    civil(seconds / 86400, &year, &month, &day);
    to = PUT(to, "Date: ");
    to = put(to, days + seconds / 86400 % 7 * 3, 3);
    to = PUT(to, ", ");
    to = put_two(to, day);
    *to++ = ' ';
    to = put(to, months + (month - 1) * 3, 3);
    *to++ = ' ';
    to = put_two(to, year / 100 % 100);
    to = put_two(to, year % 100);
    *to++ = ' ';
    to = put_two(to, of_day / 3600);
    *to++ = ':';
    to = put_two(to, of_day / 60 % 60);
    *to++ = ':';
    to = put_two(to, of_day % 60);
    PUT(to, " GMT\r\n");
}

enum { DATE_N = sizeof "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" - 1 };
_Static_assert(DATE_N <= sizeof(((ag__http_work *)0)->date), "room for the date");

static char *put_date(char *to, ag__http_work *w) {
    ag_time now = w->fast ? w->now : ag_now();
    if (now >= w->date_until) {
        ag_time wall = ag_wall();
        write_date(w->date, wall / AG_SEC);
        w->date_until = now + AG_SEC - wall % AG_SEC;
    }
    return put(to, w->date, DATE_N);
}

/* ---- Head and tail -------------------------------------------------------------------------- */

uint32_t ag__http_head_size_max(const ag_http_response *res) {
    return 64 + DATE_N + 32 + AG__HTTP_TYPE + res->fields_n;
}

void ag__http_head_write(ag_http_response *res) {
    ag__http_work *w = res->w;
    char *begin = w->out + res->head_at;
    char *to = put_status(begin, res->status);
    if (!res->has_date)
        to = put_date(to, w);
    if (!res->has_type && res->type) {
        to = PUT(to, "Content-Type: ");
        to = put(to, res->type, strlen(res->type));
        to = PUT(to, "\r\n");
    }
    if (res->fields_n)
        to = put(to, res->fields, res->fields_n);
    res->head_end = res->head_at + (uint32_t)(to - begin);
}

size_t ag__http_decimal(char dst[20], uint64_t n) {
    char digits[20];
    size_t i = sizeof digits;
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(dst, digits + i, sizeof digits - i);
    return sizeof digits - i;
}

uint32_t ag__http_tail_write(const ag_http_response *res, char *dst, int64_t length) {
    char *to = dst;
    if (length >= 0) {
        to = PUT(to, "Content-Length: ");
        to += ag__http_decimal(to, (uint64_t)length);
        to = PUT(to, "\r\n");
    } else if (length == AG__LENGTH_CHUNKED) {
        to = PUT(to, "Transfer-Encoding: chunked\r\n");
    }
    if (res->close)
        to = PUT(to, "Connection: close\r\n");
    else if (res->w->head.minor == 0)
        to = PUT(to, "Connection: keep-alive\r\n");
    to = PUT(to, "\r\n");
    return (uint32_t)(to - dst);
}
