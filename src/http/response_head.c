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
#include "http/date.h"
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

/* The whole field; always as long. */
static void write_date(char *to, int64_t seconds) {
    to = PUT(to, "Date: ");
    ag__http_date_write(to, seconds);
    PUT(to + AG__HTTP_DATE, "\r\n");
}

enum { DATE_N = sizeof "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" - 1 };
_Static_assert(DATE_N <= sizeof(((ag__http_work *)0)->date), "room for the date");

static inline void look_at_date(ag__http_work *w) {
    ag_time now = w->fast ? w->now : ag_now();
    if (now >= w->date_until) {
        ag_time wall = ag_wall();
        write_date(w->date, wall / AG_SEC);
        w->date_until = now + AG_SEC - wall % AG_SEC;
    }
}

static char *put_date(char *to, ag__http_work *w) {
    look_at_date(w);
    return put(to, w->date, DATE_N);
}

const char *ag__http_date(ag__http_work *w) {
    look_at_date(w);
    return w->date + sizeof "Date: " - 1;
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
