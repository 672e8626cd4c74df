/* SPDX-License-Identifier: MIT */
/*
 * Dates of HTTP, written in the one form that may be sent and read in the three that may come (RFC
 * 9110 5.6.7). Names are compared exactly, numbers have all their digits, and a day that no month
 * has is no date; the name of the weekday is not checked against it. Years of two digits are those
 * that are not more than 50 years ahead.
 */
#include "http/date.h"

#include <aglet/time.h>

static const char weekdays[] = "SunMonTueWedThuFriSat",
                  months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* ---- Writing -------------------------------------------------------------------------------- */

static char *put_two(char *to, int n) {
    *to++ = (char)('0' + n / 10);
    *to++ = (char)('0' + n % 10);
    return to;
}

static char *put(char *to, const char *from, size_t n) {
    memcpy(to, from, n);
    return to + n;
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

void ag__http_date_write(char to[AG__HTTP_DATE], int64_t seconds) {
    int year, month, day, of_day = (int)(seconds % 86400);
    civil(seconds / 86400, &year, &month, &day);
    to = put(to, weekdays + (seconds / 86400 + 4) % 7 * 3, 3);
    to = put(to, ", ", 2);
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
    put(to, " GMT", 4);
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* The inverse of civil. */
static int64_t days_of(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct date {
    int year, month, day, hour, minute, second;
};

static bool valid(const struct date *d) {
    int year, month, day;
    if (d->year < 1970 || d->month < 1 || d->day < 1 || d->day > 31 || d->hour > 23 ||
        d->minute > 59 || d->second > 60)
        return false;
    civil(days_of(d->year, d->month, d->day), &year, &month, &day);
    return day == d->day;
}

/* Two digits, or with `blank` a blank and one; -1 if they are none. */
static int two(const char *p, bool blank) {
    if (!ag__http_is(p[1], AG__CH_DIGIT) ||
        !(ag__http_is(p[0], AG__CH_DIGIT) || (blank && p[0] == ' ')))
        return -1000;
    return (p[0] == ' ' ? 0 : p[0] - '0') * 10 + p[1] - '0';
}

static int month_of(const char *p) {
    for (int i = 0; i < 12; i++)
        if (memcmp(p, months + 3 * i, 3) == 0)
            return i + 1;
    return 0;
}

static bool clock_of(const char *p, struct date *d) {
    d->hour = two(p, false);
    d->minute = two(p + 3, false);
    d->second = two(p + 6, false);
    return p[2] == ':' && p[5] == ':' && d->hour >= 0 && d->minute >= 0 && d->second >= 0;
}

/* How long the weekday's name is: 3, or whole; 0 if it is none. */
static size_t weekday(ag__http_text s, bool whole) {
    static const char *const rest[] = {"day", "day", "sday", "nesday", "rsday", "day", "urday"};
    for (int i = 0; i < 7 && s.n > 3; i++) {
        size_t n = whole ? strlen(rest[i]) : 0;
        if (memcmp(s.p, weekdays + 3 * i, 3) == 0 && s.n > 3 + n &&
            (!whole || memcmp(s.p + 3, rest[i], n) == 0))
            return 3 + n;
    }
    return 0;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool fixdate(ag__http_text s, struct date *d) {
    if (s.n != AG__HTTP_DATE || !weekday(s, false) || memcmp(s.p + 3, ", ", 2) != 0 ||
        s.p[7] != ' ' || s.p[11] != ' ' || s.p[16] != ' ' || memcmp(s.p + 25, " GMT", 4) != 0)
        return false;
    d->day = two(s.p + 5, false);
    d->month = month_of(s.p + 8);
    int century = two(s.p + 12, false), year = two(s.p + 14, false);
    d->year = century < 0 || year < 0 ? -1 : century * 100 + year;
    return clock_of(s.p + 17, d);
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool rfc850(ag__http_text s, struct date *d) {
    size_t n = weekday(s, true);
    if (!n || s.n != n + 24)
        return false;
    const char *p = s.p + n;
    if (memcmp(p, ", ", 2) != 0 || p[4] != '-' || p[8] != '-' || p[11] != ' ' ||
        memcmp(p + 20, " GMT", 4) != 0)
        return false;
    int year = two(p + 9, false), now, month, day;
    civil(ag_wall() / AG_SEC / 86400, &now, &month, &day);
    d->day = two(p + 2, false);
    d->month = month_of(p + 5);
    d->year = now / 100 * 100 + 100 + year;
    while (d->year > now + 50)
        d->year -= 100;
    return year >= 0 && clock_of(p + 12, d);
}

/* Sun Nov  6 08:49:37 1994 */
static bool asctime(ag__http_text s, struct date *d) {
    if (s.n != 24 || !weekday(s, false) || s.p[3] != ' ' || s.p[7] != ' ' || s.p[10] != ' ' ||
        s.p[19] != ' ')
        return false;
    d->month = month_of(s.p + 4);
    d->day = two(s.p + 8, true);
    int century = two(s.p + 20, false), year = two(s.p + 22, false);
    d->year = century < 0 || year < 0 ? -1 : century * 100 + year;
    return clock_of(s.p + 11, d);
}

bool ag__http_date_parse(ag__http_text s, int64_t *ret_seconds) {
    struct date d;
    if (!(fixdate(s, &d) || rfc850(s, &d) || asctime(s, &d)) || !valid(&d))
        return false;
    *ret_seconds =
        days_of(d.year, d.month, d.day) * 86400 + d.hour * 3600 + d.minute * 60 + d.second;
    return true;
}
