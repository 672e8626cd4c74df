/* SPDX-License-Identifier: MIT */
/*
 * The chunked coding, decoded by a table.
 *
 *     5;name="value"\r\n      SIZE, extensions, SIZE_LF
 *     hello\r\n               DATA, DATA_CR, DATA_LF
 *     0\r\n                   SIZE, SIZE_LF
 *     Name: value\r\n         FIELD, NAME, VALUE, FIELD_LF
 *     \r\n                    FIELD, END_LF
 *
 * Idea: a byte between the data has a class, a state and a class give the next state, and a hole in
 * the table is a refusal whose reason belongs to the state. The grammar is the table; the code only
 * counts. Data is moved in one piece.
 *
 * Strict: a size has one to sixteen digits and fits into 63 bits; extensions follow the grammar,
 * with the white space that RFC 9110 5.6.3 wants accepted around ';' and '='; lines end with CRLF,
 * because a server that takes a bare LF here sees other chunks than a proxy that takes it as part
 * of an extension. Extensions and trailers carry no body, so their sum is limited, not their
 * number.
 *
 * Refused: merging trailers into the header. They arrive after the decisions were made, and that is
 * how requests are forged. Who wants them gets them apart (trailer.c).
 */
#include "http/chunk.h"

enum { EXTENSION_MAX_DEFAULT = 4096, TRAILER_MAX_DEFAULT = 8192, DIGITS_MAX = 16 };

enum byte_class {
    C_BAD, /* controls */
    C_CR,
    C_LF,
    C_WS, /* SP, HTAB */
    C_SEMI,
    C_EQUAL,
    C_QUOTE,
    C_BACK,
    C_COLON,
    C_TOKEN, /* tchar, the hexadecimal digits among them */
    C_TEXT,  /* what else may stand in a field value or in quotes */
    CLASSES
};

enum state {
    REFUSE, /* no state: the hole in the table */
    SIZE,
    SIZE_GAP, /* white space behind the size or a value: only ';' may follow */
    NAME_START,
    EXT_NAME,
    NAME_GAP,
    VALUE_START,
    EXT_VALUE,
    QUOTED,
    ESCAPED,
    QUOTE_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    FIELD,
    NAME,
    VALUE,
    FIELD_LF,
    END_LF,
    STATES
};

/* clang-format off */
static const uint8_t next_state[STATES][CLASSES] = {
    [SIZE]        = {[C_CR] = SIZE_LF, [C_WS] = SIZE_GAP, [C_SEMI] = NAME_START},
    [SIZE_GAP]    = {[C_WS] = SIZE_GAP, [C_SEMI] = NAME_START},
    [NAME_START]  = {[C_WS] = NAME_START, [C_TOKEN] = EXT_NAME},
    [EXT_NAME]    = {[C_TOKEN] = EXT_NAME, [C_WS] = NAME_GAP, [C_EQUAL] = VALUE_START,
                     [C_SEMI] = NAME_START, [C_CR] = SIZE_LF},
    [NAME_GAP]    = {[C_WS] = NAME_GAP, [C_EQUAL] = VALUE_START, [C_SEMI] = NAME_START},
    [VALUE_START] = {[C_WS] = VALUE_START, [C_TOKEN] = EXT_VALUE, [C_QUOTE] = QUOTED},
    [EXT_VALUE]   = {[C_TOKEN] = EXT_VALUE, [C_WS] = SIZE_GAP, [C_SEMI] = NAME_START,
                     [C_CR] = SIZE_LF},
    [QUOTED]      = {[C_WS] = QUOTED, [C_SEMI] = QUOTED, [C_EQUAL] = QUOTED, [C_COLON] = QUOTED,
                     [C_TOKEN] = QUOTED, [C_TEXT] = QUOTED, [C_BACK] = ESCAPED,
                     [C_QUOTE] = QUOTE_END},
    [ESCAPED]     = {[C_WS] = QUOTED, [C_SEMI] = QUOTED, [C_EQUAL] = QUOTED, [C_COLON] = QUOTED,
                     [C_TOKEN] = QUOTED, [C_TEXT] = QUOTED, [C_BACK] = QUOTED,
                     [C_QUOTE] = QUOTED},
    [QUOTE_END]   = {[C_WS] = SIZE_GAP, [C_SEMI] = NAME_START, [C_CR] = SIZE_LF},
    [SIZE_LF]     = {[C_LF] = DATA},
    [DATA_CR]     = {[C_CR] = DATA_LF},
    [DATA_LF]     = {[C_LF] = SIZE},
    [FIELD]       = {[C_TOKEN] = NAME, [C_CR] = END_LF},
    [NAME]        = {[C_TOKEN] = NAME, [C_COLON] = VALUE},
    [VALUE]       = {[C_WS] = VALUE, [C_SEMI] = VALUE, [C_EQUAL] = VALUE, [C_QUOTE] = VALUE,
                     [C_BACK] = VALUE, [C_COLON] = VALUE, [C_TOKEN] = VALUE, [C_TEXT] = VALUE,
                     [C_CR] = FIELD_LF},
    [FIELD_LF]    = {[C_LF] = FIELD},
    [END_LF]      = {[C_LF] = DATA},
};
/* clang-format on */

static enum byte_class class_of(char c) {
    switch (c) {
    case '\r':
        return C_CR;
    case '\n':
        return C_LF;
    case ' ':
    case '\t':
        return C_WS;
    case ';':
        return C_SEMI;
    case '=':
        return C_EQUAL;
    case '"':
        return C_QUOTE;
    case '\\':
        return C_BACK;
    case ':':
        return C_COLON;
    default:
        if (ag__http_is(c, AG__CH_TOKEN))
            return C_TOKEN;
        return ag__http_is(c, AG__CH_VALUE) ? C_TEXT : C_BAD;
    }
}

void ag__http_chunked_init(ag__http_chunked *d, const ag__http_chunk_limits *limits) {
    memset(d, 0, sizeof *d);
    if (limits)
        d->limits = *limits;
    if (!d->limits.body_max)
        d->limits.body_max = INT64_MAX;
    if (!d->limits.extension_max)
        d->limits.extension_max = EXTENSION_MAX_DEFAULT;
    if (!d->limits.trailer_max)
        d->limits.trailer_max = TRAILER_MAX_DEFAULT;
    d->state = SIZE;
}

/* One byte that the table has no next state for. */
static int why_refused(const ag__http_chunked *d, char c) {
    switch (d->state) {
    case SIZE_LF:
    case FIELD_LF:
    case END_LF:
        return AG__BAD_BARE_CR;
    case DATA_CR:
    case DATA_LF:
        return AG__BAD_CHUNK_END;
    default:
        break;
    }
    if (c == '\n')
        return AG__BAD_BARE_LF;
    if (d->state == SIZE)
        return AG__BAD_CHUNK_SIZE;
    return d->state >= FIELD ? AG__BAD_TRAILER : AG__BAD_CHUNK_EXTENSION;
}

/* One byte in the state SIZE. Returns 1 if it was a digit, 0 if the table has to say, a verdict. */
static int take_digit(ag__http_chunked *d, char c) {
    int digit = ag__http_hex(c);
    if (digit >= 0) {
        if (++d->digits > DIGITS_MAX || d->left > INT64_MAX >> 4)
            return AG__BAD_CHUNK_OVERFLOW;
        d->left = d->left << 4 | digit;
        return 1;
    }
    if (!d->digits)
        return c == '\n' ? AG__BAD_BARE_LF : AG__BAD_CHUNK_SIZE;
    return d->left > d->limits.body_max - d->body ? AG__BAD_BODY_TOO_LARGE : 0;
}

/* One byte that is not data. Returns 0 or a verdict. */
static int take_byte(ag__http_chunked *d, char c) {
    if (d->state == SIZE) {
        int got = take_digit(d, c);
        if (got)
            return got < 0 ? got : 0;
    }
    enum state from = (enum state)d->state, to = (enum state)next_state[from][class_of(c)];
    if (to == REFUSE)
        return why_refused(d, c);
    d->state = (uint8_t)to;
    if (to >= SIZE_GAP && to <= QUOTE_END && ++d->extensions > d->limits.extension_max)
        return AG__BAD_EXTENSIONS_TOO_LARGE;
    if (from >= FIELD && from <= FIELD_LF && to != END_LF) {
        if (++d->trailers > d->limits.trailer_max || (d->keep && !d->keep(d->keep_arg, c)))
            return AG__BAD_TRAILERS_TOO_LARGE;
    }
    if (from == SIZE_LF) {
        d->state = d->left ? DATA : FIELD;
        d->digits = 0;
    } else if (from == END_LF) {
        d->done = true;
    }
    return 0;
}

int64_t ag__http_chunked_decode(ag__http_chunked *d, char *buf, size_t len, size_t *ret_consumed) {
    size_t from = 0, to = 0;
    if (d->verdict)
        return d->verdict;
    while (from < len && !d->done) {
        if (d->state == DATA) {
            size_t n = len - from;
            if ((uint64_t)d->left < n)
                n = (size_t)d->left;
            if (from != to)
                memmove(buf + to, buf + from, n);
            from += n;
            to += n;
            d->body += (int64_t)n;
            d->left -= (int64_t)n;
            if (!d->left)
                d->state = DATA_CR;
            continue;
        }
        int bad = take_byte(d, buf[from]);
        if (bad) {
            d->verdict = bad;
            return bad;
        }
        from++;
    }
    *ret_consumed = from;
    return (int64_t)to;
}

size_t ag__http_chunk_head(char ret_head[AG__CHUNK_HEAD_MAX], uint64_t size) {
    int digits = 1;
    for (uint64_t rest = size >> 4; rest; rest >>= 4)
        digits++;
    for (int i = 0; i < digits; i++)
        ret_head[i] = "0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
    memcpy(ret_head + digits, "\r\n", 2);
    return (size_t)digits + 2;
}
