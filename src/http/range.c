/* SPDX-License-Identifier: MIT */
/*
 * Ranges. What is beyond the end is cut or dropped; a field that asks for more than there is in
 * all, or in too many pieces, is ignored, so that no request of some bytes makes an answer many
 * times the size of the file. Malformed ones are refused, as Go and nginx do, though RFC 9110 14.2
 * would let us ignore them, too; units that are not bytes must be ignored.
 */
#include "http/range.h"

#include <errno.h>

static bool take_prefix(ag__http_text *s) {
    ag__http_text unit = {s->p, 0};
    while (unit.n < s->n && s->p[unit.n] != '=')
        unit.n++;
    if (unit.n == s->n || !ag__http_same(unit, "bytes"))
        return false;
    s->p += unit.n + 1;
    s->n -= unit.n + 1;
    return true;
}

/* Digits, as large as can be. Returns: false for none, or another byte. */
static bool number(ag__http_text s, int64_t *ret) {
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!ag__http_is(s.p[i], AG__CH_DIGIT))
            return false;
        int digit = s.p[i] - '0';
        n = n > (INT64_MAX - digit) / 10 ? INT64_MAX : n * 10 + digit;
    }
    *ret = n;
    return s.n > 0;
}

/* One range; n 0: there is nothing of it. Returns: false if it is malformed. */
static bool parse_one(ag__http_text s, int64_t size, ag__http_range *ret) {
    const char *dash = memchr(s.p, '-', s.n);
    int64_t first, last = INT64_MAX;
    if (!dash)
        return false;
    ag__http_text from = ag__http_trim((ag__http_text){s.p, (size_t)(dash - s.p)});
    ag__http_text to = ag__http_trim((ag__http_text){dash + 1, (size_t)(s.p + s.n - dash - 1)});
    if (!from.n) {
        int64_t n;
        if (!number(to, &n))
            return false;
        *ret = (ag__http_range){n < size ? size - n : 0, n < size ? n : size};
        return true;
    }
    if (!number(from, &first) || (to.n && !number(to, &last)) || last < first)
        return false;
    if (first >= size)
        *ret = (ag__http_range){0, 0};
    else
        *ret = (ag__http_range){first, (last < size ? last + 1 : size) - first};
    return true;
}

int ag__http_ranges(ag__http_text field, int64_t size, ag__http_range ret[AG__RANGES_MAX]) {
    ag__http_text one;
    int count = 0, asked = 0;
    int64_t sum = 0;
    if (size == 0 || !take_prefix(&field))
        return 0;
    while (ag__http_next_element(&field, &one)) {
        ag__http_range r;
        if (!one.n)
            continue;
        if (!parse_one(one, size, &r))
            return -ERANGE;
        if (++asked > AG__RANGES_MAX)
            return 0;
        if (r.n)
            ret[count++] = r;
        sum += r.n;
    }
    if (sum > size)
        return 0;
    return count || !asked ? count : -ERANGE;
}
