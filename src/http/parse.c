/* SPDX-License-Identifier: MIT */
/*
 * The head of a request or of a reply: lines, first line, header fields.
 *
 * Idea: a line is parsed when it is complete, never before. memchr finds its end; what was searched
 * in vain is remembered, so that bytes that drip in one by one cost no more than bytes that come
 * together, and the verdict cannot depend on how they came. For the same reason a limit is judged
 * before the content of the line that crosses it: with small steps it is seen first.
 *
 * Values are looked at eight bytes at a time; a word without a control byte, and nearly all are,
 * costs a handful of operations. Names go through the byte table and then through one hash
 * (field.c), so that later nobody compares names again.
 *
 * Strict, because every kindness of a recipient is a way to smuggle requests past another one: CRLF
 * only, no folding, no space before a colon, one space in the request line, and so on; verdict.def
 * is the list. One kindness is asked for by RFC 9112 2.2: up to two empty lines before the request.
 *
 * Invariant: nothing at or behind buf + len is read, not even a part of a word.
 *
 * Refused: a parser that works byte by byte through a state machine (it resumes anywhere, but costs
 * three times as much); slices as pointers (the buffer could not move between two calls).
 */
#include "http/parse.h"

#include <errno.h>

enum { STATE_REQUEST, STATE_FIELDS, STATE_DONE, STATE_REFUSED };

enum { LINE_MAX_DEFAULT = 8192, HEAD_MAX_DEFAULT = 65536, HEAD_MAX = 1 << 30, EMPTY_LINES_MAX = 2 };

static int take_request_line(ag__http_head *h, const char *buf, uint32_t end);
static int take_status_line(ag__http_head *h, const char *buf, uint32_t end);
static int take_field(ag__http_head *h, const char *buf, uint32_t end);

void ag__http_head_init(ag__http_head *h, ag__http_field *fields, uint32_t field_max,
                        const ag__http_limits *limits) {
    h->fields = fields;
    h->field_max = field_max < UINT16_MAX ? field_max : UINT16_MAX - 1;
    h->limits = limits ? *limits : (ag__http_limits){0};
    if (!h->limits.line_max)
        h->limits.line_max = LINE_MAX_DEFAULT;
    if (!h->limits.head_max)
        h->limits.head_max = HEAD_MAX_DEFAULT;
    if (h->limits.head_max > HEAD_MAX)
        h->limits.head_max = HEAD_MAX;
    if (h->limits.line_max > h->limits.head_max)
        h->limits.line_max = h->limits.head_max;
    if (!h->limits.body_max)
        h->limits.body_max = INT64_MAX;
    h->is_reply = false;
    ag__http_head_reset(h);
}

void ag__http_reply_init(ag__http_head *h, ag__http_field *fields, uint32_t field_max,
                         const ag__http_limits *limits) {
    ag__http_head_init(h, fields, field_max, limits);
    h->is_reply = true;
}

void ag__http_head_reset(ag__http_head *h) {
    size_t results = offsetof(ag__http_head, method);
    memset((char *)h + results, 0, sizeof *h - results);
    h->content_length = -1;
}

static int refuse(ag__http_head *h, int verdict) {
    h->state = STATE_REFUSED;
    h->verdict = verdict;
    return verdict;
}

/* A request starts with a letter, or with an empty line. Anything else, a TLS handshake for one, is
   refused at its first byte; and so is what does not begin as a reply. */
static int check_first_byte(const ag__http_head *h, char c) {
    if (h->is_reply)
        return c == 'H' ? 0 : AG__BAD_STATUS_LINE;
    if (ag__http_is(c, AG__CH_TOKEN) || c == '\r')
        return 0;
    return c == '\n' ? AG__BAD_BARE_LF : AG__BAD_METHOD;
}

/* One line, complete, without its CRLF, from h->line_at to `end`. Returns 0, a verdict, or 1 after
   the last line. */
static int take_line(ag__http_head *h, const char *buf, uint32_t end) {
    if (h->state == STATE_FIELDS) {
        if (end > h->line_at)
            return take_field(h, buf, end);
        int bad = ag__http_fields_end(h);
        return bad ? bad : 1;
    }
    if (end == h->line_at)
        return ++h->empty_lines > EMPTY_LINES_MAX ? AG__BAD_EMPTY_LINES : 0;
    h->state = STATE_FIELDS;
    return h->is_reply ? take_status_line(h, buf, end) : take_request_line(h, buf, end);
}

int ag__http_parse(ag__http_head *h, const char *buf, size_t len) {
    const uint32_t head_max = h->limits.head_max;
    if (h->state >= STATE_DONE)
        return h->verdict;
    if (len > head_max)
        len = (size_t)head_max + 1; /* enough to see that it is too much */
    while (h->line_at < len) {
        uint32_t line_end_max = head_max;
        int too_long = AG__BAD_HEAD_TOO_LARGE;
        if (h->state == STATE_REQUEST) {
            int bad = check_first_byte(h, buf[h->line_at]);
            if (bad)
                return refuse(h, bad);
            if (h->limits.line_max < head_max - h->line_at) {
                line_end_max = h->line_at + h->limits.line_max;
                too_long = AG__BAD_REQUEST_LINE_TOO_LONG;
            }
        }
        const char *lf = memchr(buf + h->scanned, '\n', len - h->scanned);
        uint32_t end = lf ? (uint32_t)(lf - buf) + 1 : (uint32_t)len;
        if (end > line_end_max)
            return refuse(h, too_long);
        h->scanned = end;
        if (!lf)
            return -EAGAIN;
        if (end - h->line_at < 2 || buf[end - 2] != '\r')
            return refuse(h, AG__BAD_BARE_LF);
        int got = take_line(h, buf, end - 2);
        if (got < 0)
            return refuse(h, got);
        h->line_at = end;
        if (got > 0) {
            h->state = STATE_DONE;
            h->verdict = (int)end;
            return (int)end;
        }
    }
    return -EAGAIN;
}

/* ---- Request line --------------------------------------------------------------------------- */

static uint8_t method_find(const char *p, uint32_t n) {
    static const struct {
        char name[8];
        uint8_t length, id;
    } methods[] = {
        {"GET", 3, AG__METHOD_GET},       {"POST", 4, AG__METHOD_POST},
        {"HEAD", 4, AG__METHOD_HEAD},     {"PUT", 3, AG__METHOD_PUT},
        {"DELETE", 6, AG__METHOD_DELETE}, {"OPTIONS", 7, AG__METHOD_OPTIONS},
        {"PATCH", 5, AG__METHOD_PATCH},   {"CONNECT", 7, AG__METHOD_CONNECT},
        {"TRACE", 5, AG__METHOD_TRACE},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].length == n && memcmp(methods[i].name, p, n) == 0)
            return methods[i].id;
    return AG__METHOD_OTHER;
}

/* `verdict`, unless a CR is in the line, which says more about what went wrong. */
static int blame(const char *buf, uint32_t at, uint32_t end, int verdict) {
    return memchr(buf + at, '\r', end - at) ? AG__BAD_BARE_CR : verdict;
}

/* The version in buf[at..end). Returns 0 or a verdict. */
static int take_version(ag__http_head *h, const char *buf, uint32_t at, uint32_t end) {
    const char *v = buf + at;
    uint32_t n = end - at;
    if (n != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || !ag__http_is(v[5], AG__CH_DIGIT) ||
        !ag__http_is(v[7], AG__CH_DIGIT))
        return memchr(v, ' ', n) ? AG__BAD_REQUEST_LINE : AG__BAD_VERSION;
    if (v[5] != '1' || v[7] > '1')
        return AG__BAD_VERSION_UNSUPPORTED;
    h->minor = (uint8_t)(v[7] - '0');
    return 0;
}

static int take_request_line(ag__http_head *h, const char *buf, uint32_t end) {
    uint32_t at = h->line_at, i = at;
    while (i < end && ag__http_is(buf[i], AG__CH_TOKEN))
        i++;
    if (i == end)
        return AG__BAD_REQUEST_LINE;
    if (buf[i] != ' ')
        return blame(buf, at, end, AG__BAD_METHOD);
    h->method = (ag__http_slice){at, i - at};
    h->method_id = method_find(buf + at, i - at);

    uint32_t target = i + 1;
    const char *space = memchr(buf + target, ' ', end - target);
    if (!space || space == buf + target)
        return blame(buf, at, end, AG__BAD_REQUEST_LINE);
    uint32_t target_end = (uint32_t)(space - buf);
    h->target = (ag__http_slice){target, target_end - target};

    int bad = take_version(h, buf, target_end + 1, end);
    if (!bad)
        bad = ag__http_target_apply(h, buf);
    return bad ? blame(buf, at, end, bad) : 0;
}

/* ---- Status line ---------------------------------------------------------------------------- */

/* "HTTP/1.1 200 reason". The space behind the number is often left out with the reason. */
static int take_status_line(ag__http_head *h, const char *buf, uint32_t end) {
    const char *p = buf + h->line_at;
    uint32_t n = end - h->line_at;
    if (n < 12 || p[8] != ' ')
        return blame(buf, h->line_at, end, AG__BAD_STATUS_LINE);
    int bad = take_version(h, buf, h->line_at, h->line_at + 8);
    if (bad)
        return bad;
    for (int i = 9; i < 12; i++) {
        if (!ag__http_is(p[i], AG__CH_DIGIT))
            return AG__BAD_STATUS_LINE;
        h->status = (uint16_t)(h->status * 10 + (p[i] - '0'));
    }
    if (h->status < 100 || (n > 12 && p[12] != ' '))
        return AG__BAD_STATUS_LINE;
    for (uint32_t i = 12; i < n; i++)
        if (!ag__http_is(p[i], AG__CH_VALUE))
            return blame(buf, h->line_at, end, AG__BAD_STATUS_LINE);
    return 0;
}

/* ---- Header fields -------------------------------------------------------------------------- */

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* False: the eight bytes at `p` hold no control byte. True: they may hold one; HTAB is one here. */
static inline bool word_may_have_control(const char *p) {
    uint64_t w, del;
    memcpy(&w, p, sizeof w);
    uint64_t low = (w - EACH_BYTE(0x20)) & ~w;
    del = w ^ EACH_BYTE(0x7f);
    del = (del - EACH_BYTE(1)) & ~del;
    return ((low | del) & EACH_BYTE(0x80)) != 0;
}

static bool bytes_have_control(const char *p, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!ag__http_is(p[i], AG__CH_VALUE))
            return true;
    return false;
}

/* True if a byte is not allowed in a field value. */
static bool value_has_control(const char *p, uint32_t n) {
    if (n < 8)
        return bytes_have_control(p, n);
    for (uint32_t i = 0; i + 8 <= n; i += 8)
        if (word_may_have_control(p + i) && bytes_have_control(p + i, 8))
            return true;
    /* The last word overlaps the one before. */
    return word_may_have_control(p + n - 8) && bytes_have_control(p + n - 8, 8);
}

/* What is wrong with a line whose name ends at `i` without a colon. */
static int blame_name(const char *buf, uint32_t at, uint32_t i, uint32_t end) {
    if (i < end && i == at && (buf[i] == ' ' || buf[i] == '\t'))
        return AG__BAD_FOLDED;
    if (!memchr(buf + at, ':', end - at))
        return blame(buf, at, end, AG__BAD_NO_COLON);
    uint32_t k = i;
    while (buf[k] == ' ' || buf[k] == '\t')
        k++;
    return k > i && buf[k] == ':' ? AG__BAD_NAME_SPACE : blame(buf, at, end, AG__BAD_NAME_BYTE);
}

static int take_field(ag__http_head *h, const char *buf, uint32_t end) {
    uint32_t at = h->line_at, i = at;
    while (i < end && ag__http_is(buf[i], AG__CH_TOKEN))
        i++;
    if (i == end || buf[i] != ':')
        return blame_name(buf, at, i, end);
    if (i == at)
        return AG__BAD_NAME_EMPTY;
    if (h->field_count == h->field_max)
        return AG__BAD_TOO_MANY_FIELDS;

    ag__http_field *f = &h->fields[h->field_count];
    f->name = (ag__http_slice){at, i - at};
    uint32_t from = i + 1, to = end;
    while (from < to && (buf[from] == ' ' || buf[from] == '\t'))
        from++;
    while (to > from && (buf[to - 1] == ' ' || buf[to - 1] == '\t'))
        to--;
    f->value = (ag__http_slice){from, to - from};
    if (value_has_control(buf + from, to - from))
        return blame(buf, from, to, AG__BAD_VALUE_BYTE);

    f->id = ag__http_field_find(buf + at, i - at);
    h->field_count++;
    return f->id ? ag__http_field_apply(h, buf) : 0;
}

/* ---- Verdicts ------------------------------------------------------------------------------- */

static const struct {
    int status;
    const char *name, *text;
} verdicts[] = {
#define AG__HTTP_VERDICT(name, status, text) {status, #name, text},
#include "http/verdict.def"
#undef AG__HTTP_VERDICT
};

static bool is_verdict(int v) {
    return v > AG__BAD_FIRST && v < AG__BAD_END;
}

int ag__http_status(int v) {
    return is_verdict(v) ? verdicts[v - AG__BAD_FIRST - 1].status : 500;
}

const char *ag__http_reason(int v) {
    return is_verdict(v) ? verdicts[v - AG__BAD_FIRST - 1].text : "internal error";
}

const char *ag__http_verdict_name(int v) {
    return is_verdict(v) ? verdicts[v - AG__BAD_FIRST - 1].name : "NONE";
}
