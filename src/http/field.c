/* SPDX-License-Identifier: MIT */
/*
 * Header fields: recognising those of fields.def, and what the few that frame a message mean.
 *
 * Idea: a field is looked up once, when it is parsed, in a table whose hash takes the length, the
 * first and the last letter and has no collisions (a collision is a compiler warning: two
 * initialisers for one slot). A hit is compared, word by word, with the name.
 *
 * The meaning of Host, Content-Length, Transfer-Encoding, Connection and Expect is settled here, so
 * that the server reads results and never strings. Framing is refused whenever two readers could
 * disagree on it (RFC 9112 6.3): both lengths, a repeated length even if it is the same, a list of
 * codings that holds anything but one `chunked`, any coding in HTTP/1.0, a body of CONNECT or
 * TRACE, which some take for the tunnel's first bytes and some for the next request.
 */
#include "http/parse.h"

enum { HASH_SLOTS = 128, NAME_ROOM = 32 };

enum { CONNECTION_CLOSE = 1, CONNECTION_KEEP_ALIVE = 2, CONNECTION_UPGRADE = 4 };

/* ---- Recognising ---------------------------------------------------------------------------- */

/* Letters count in either case: both have the same low five bits. */
#define HASH(n, first, last)                                                                       \
    (((unsigned)(n) + ((unsigned)(first)&31) * 5 + ((unsigned)(last)&31) * 39) % HASH_SLOTS)

static const uint8_t slots[HASH_SLOTS] = {
#define AG__HTTP_FIELD(id, name, length, first, last) [HASH(length, first, last)] = AG__FIELD_##id,
#include "http/fields.def"
#undef AG__HTTP_FIELD
};

static const struct {
    char name[NAME_ROOM];
    uint32_t length;
} known[AG__FIELD_IDS] = {
#define AG__HTTP_FIELD(id, name, length, first, last) {name, length},
    {"", 0},
#include "http/fields.def"
#undef AG__HTTP_FIELD
};

#define AG__HTTP_FIELD(id, name, length, first, last)                                              \
    _Static_assert(sizeof(name) == (length) + 1 && (length) >= 4 && (length) < NAME_ROOM, name);
#include "http/fields.def"
#undef AG__HTTP_FIELD

static inline uint64_t lower8(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w | UINT64_C(0x2020202020202020);
}

static inline uint32_t lower4(const char *p) {
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w | UINT32_C(0x20202020);
}

/* True if `n` >= 4 bytes of tchar at `p` are `lower`. Setting bit 5 makes a letter lower case, and
   maps no other tchar onto a letter, a digit or '-'. */
static inline bool same_name(const char *p, const char *lower, size_t n) {
    if (n < 8)
        return lower4(p) == lower4(lower) && lower4(p + n - 4) == lower4(lower + n - 4);
    for (size_t i = 0; i + 8 < n; i += 8)
        if (lower8(p + i) != lower8(lower + i))
            return false;
    return lower8(p + n - 8) == lower8(lower + n - 8);
}

enum ag__http_field_id ag__http_field_find(const char *name, size_t n) {
    if (n < 4 || n >= NAME_ROOM)
        return AG__FIELD_UNKNOWN;
    unsigned id = slots[HASH(n, (unsigned char)name[0], (unsigned char)name[n - 1])];
    if (known[id].length != n || !same_name(name, known[id].name, n))
        return AG__FIELD_UNKNOWN;
    return (enum ag__http_field_id)id;
}

/* ---- Framing -------------------------------------------------------------------------------- */

static int apply_length(ag__http_head *h, ag__http_text v) {
    if (h->chunked)
        return AG__BAD_LENGTH_AND_CODING;
    if (h->content_length >= 0)
        return AG__BAD_LENGTH_REPEATED;
    if (!v.n)
        return AG__BAD_LENGTH_INVALID;
    for (size_t i = 0; i < v.n; i++)
        if (!ag__http_is(v.p[i], AG__CH_DIGIT))
            return AG__BAD_LENGTH_INVALID;
    int64_t length = 0;
    for (size_t i = 0; i < v.n; i++) {
        int digit = v.p[i] - '0';
        if (length > (INT64_MAX - digit) / 10)
            return AG__BAD_LENGTH_OVERFLOW;
        length = length * 10 + digit;
    }
    if (length > h->limits.body_max)
        return AG__BAD_BODY_TOO_LARGE;
    h->content_length = length;
    return 0;
}

/* One `chunked` and nothing else is accepted. With other codings before it the message is well
   formed, but not for us: 501. */
static int apply_coding(ag__http_head *h, ag__http_text v) {
    if (h->minor == 0)
        return AG__BAD_CODING_IN_1_0;
    if (h->chunked)
        return AG__BAD_CODING_REPEATED;
    if (h->content_length >= 0)
        return AG__BAD_LENGTH_AND_CODING;
    h->chunked = true;
    if (ag__http_same(v, "chunked"))
        return 0;
    ag__http_text element = {NULL, 0};
    bool last_is_chunked = false;
    while (ag__http_next_element(&v, &element)) {
        if (last_is_chunked || !element.n || !ag__http_is(element.p[0], AG__CH_TOKEN))
            return AG__BAD_CODING_NOT_CHUNKED;
        last_is_chunked = ag__http_same(element, "chunked");
    }
    return last_is_chunked ? AG__BAD_CODING_UNKNOWN : AG__BAD_CODING_NOT_CHUNKED;
}

/* ---- Host, Connection, Expect --------------------------------------------------------------- */

/* The host of an absolute target wins (RFC 9112 3.2.2), but the field must be valid all the same.
 */
static int apply_host(ag__http_head *h, const char *buf, ag__http_slice value) {
    if (h->known[AG__FIELD_HOST] != h->field_count)
        return AG__BAD_HOST_REPEATED;
    bool from_target = h->form == AG__FORM_ABSOLUTE || h->form == AG__FORM_AUTHORITY;
    ag__http_slice host = h->host;
    uint16_t port = h->port;
    if (!ag__http_authority_apply(h, buf, value))
        return AG__BAD_HOST_INVALID;
    if (from_target) {
        h->host = host;
        h->port = port;
    } else {
        h->authority = value;
    }
    return 0;
}

static void apply_connection(ag__http_head *h, ag__http_text v) {
    ag__http_text option;
    while (ag__http_next_element(&v, &option)) {
        if (ag__http_same(option, "close"))
            h->connection |= CONNECTION_CLOSE;
        else if (ag__http_same(option, "keep-alive"))
            h->connection |= CONNECTION_KEEP_ALIVE;
        else if (ag__http_same(option, "upgrade"))
            h->connection |= CONNECTION_UPGRADE;
    }
}

static int apply_expect(ag__http_head *h, ag__http_text v) {
    ag__http_text expectation;
    while (ag__http_next_element(&v, &expectation)) {
        if (!expectation.n)
            continue;
        if (!ag__http_same(expectation, "100-continue"))
            return AG__BAD_EXPECTATION;
        h->expect_continue = h->minor > 0; /* RFC 9110 10.1.1: HTTP/1.0 cannot ask for it */
    }
    return 0;
}

int ag__http_field_apply(ag__http_head *h, const char *buf) {
    const ag__http_field *f = &h->fields[h->field_count - 1];
    if (!h->known[f->id])
        h->known[f->id] = (uint16_t)h->field_count;
    ag__http_text value = ag__http_at(buf, f->value);
    switch (f->id) {
    case AG__FIELD_HOST:
        return h->is_reply ? 0 : apply_host(h, buf, f->value);
    case AG__FIELD_CONTENT_LENGTH:
        return apply_length(h, value);
    case AG__FIELD_TRANSFER_ENCODING:
        return apply_coding(h, value);
    case AG__FIELD_CONNECTION:
        apply_connection(h, value);
        return 0;
    case AG__FIELD_EXPECT:
        return h->is_reply ? 0 : apply_expect(h, value);
    case AG__FIELD_AUTHORIZATION:
        return h->known[AG__FIELD_AUTHORIZATION] != h->field_count ? AG__BAD_AUTHORIZATION_REPEATED
                                                                   : 0;
    default:
        return 0;
    }
}

int ag__http_fields_end(ag__http_head *h) {
    if (!h->is_reply && h->minor > 0 && !h->known[AG__FIELD_HOST])
        return AG__BAD_HOST_MISSING;
    if (!h->is_reply && (h->method_id == AG__METHOD_CONNECT || h->method_id == AG__METHOD_TRACE) &&
        (h->chunked || h->content_length > 0))
        return AG__BAD_BODY_UNEXPECTED;
    h->keep_alive = !(h->connection & CONNECTION_CLOSE) &&
                    (h->minor > 0 || (h->connection & CONNECTION_KEEP_ALIVE));
    h->upgrade =
        h->minor > 0 && (h->connection & CONNECTION_UPGRADE) && h->known[AG__FIELD_UPGRADE] != 0;
    return 0;
}
