/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1.x request, or of an answer, read strictly (RFC 9112), without allocation
 * and without I/O.
 *
 *     ag__http_field fields[64];
 *     ag__http_head head;
 *     ag__http_head_init(&head, fields, 64, NULL);
 *     while ((n = ag__http_parse(&head, buf, len)) == -EAGAIN)
 *         len += more bytes, read behind the others; buf may have moved meanwhile
 *
 * A positive n is the length of the head: the body starts at buf + n, and its framing is in the
 * results. Any other n is a verdict: answer ag__http_status(n), say ag__http_reason(n), close.
 * Results are slices, offsets into the buffer of the call, so that the buffer may grow and move
 * between two calls; ag__http_at() turns one into text.
 */
#ifndef AG_HTTP_PARSE_H
#define AG_HTTP_PARSE_H

#include "http/chars.h"

/* Why a message is refused: AG__BAD_HOST_MISSING and so on, see verdict.def. All are below every
   negative error number. */
enum ag__http_verdict {
    AG__BAD_FIRST = -2000,
#define AG__HTTP_VERDICT(name, status, text) AG__BAD_##name,
#include "http/verdict.def"
#undef AG__HTTP_VERDICT
    AG__BAD_END
};

/* The fields that are recognised, see fields.def: AG__FIELD_HOST and so on. */
enum ag__http_field_id {
    AG__FIELD_UNKNOWN,
#define AG__HTTP_FIELD(id, name, length, first, last) AG__FIELD_##id,
#include "http/fields.def"
#undef AG__HTTP_FIELD
    AG__FIELD_IDS
};

enum ag__http_method {
    AG__METHOD_OTHER,
    AG__METHOD_GET,
    AG__METHOD_HEAD,
    AG__METHOD_POST,
    AG__METHOD_PUT,
    AG__METHOD_DELETE,
    AG__METHOD_CONNECT,
    AG__METHOD_OPTIONS,
    AG__METHOD_TRACE,
    AG__METHOD_PATCH,
};

/* The four forms of a request target, RFC 9112 3.2. */
enum ag__http_form {
    AG__FORM_ORIGIN,    /* /path?query */
    AG__FORM_ABSOLUTE,  /* http://host/path?query */
    AG__FORM_AUTHORITY, /* host:port, CONNECT only */
    AG__FORM_ASTERISK,  /* *, OPTIONS only */
};

/* A part of the buffer. Empty: len 0. May be copied. */
typedef struct ag__http_slice {
    uint32_t at, len;
} ag__http_slice;

typedef struct ag__http_field {
    ag__http_slice name, value; /* value without the white space around it */
    uint32_t id;                /* enum ag__http_field_id */
} ag__http_field;

/* A zero means the default. */
typedef struct ag__http_limits {
    uint32_t line_max; /* bytes of the first line with its CRLF: 8192 */
    uint32_t head_max; /* bytes of the whole head: 65536, at most 1 GiB */
    int64_t body_max;  /* Content-Length: no limit */
} ag__http_limits;

/*
 * One request head. Not usable before ag__http_head_init; may be copied between two calls;
 * one thread at a time; nothing to free.
 *
 *   state       results                                     next call
 *   REQUEST     none                                        goes on
 *   FIELDS      those of the first line                     goes on
 *   DONE        all                                         returns the same length
 *   REFUSED     those of the state in which it was refused  returns the same verdict
 */
typedef struct ag__http_head {
    /* Constant. */
    ag__http_field *fields; /* the caller's array; field_count of them are results */
    uint32_t field_max;
    ag__http_limits limits;
    bool is_reply;

    /* Results. */
    ag__http_slice method, target;
    ag__http_slice path;      /* escaped; empty for * and CONNECT, and for http://host, where it
                                 means "/" */
    ag__http_slice query;     /* what follows the first '?' */
    ag__http_slice authority; /* host[:port], of the target or else of the field Host */
    ag__http_slice host;      /* without the port; an IPv6 address keeps its brackets */
    int64_t content_length;   /* -1: none was given */
    uint32_t field_count;
    uint16_t port;           /* 0: none was given */
    uint16_t status;         /* of a reply: 100 to 999 */
    uint8_t method_id, form; /* enum ag__http_method, enum ag__http_form */
    uint8_t minor;           /* the version is HTTP/1.minor: 0 or 1 */
    bool has_query;
    bool chunked;                  /* the body is chunked; otherwise content_length bytes, if any */
    bool keep_alive;               /* the connection may carry another request after this one */
    bool expect_continue;          /* the client waits for 100 before it sends the body */
    bool upgrade;                  /* asks for another protocol, named in the field Upgrade */
    uint16_t known[AG__FIELD_IDS]; /* by id: index + 1 of the first such field, or 0 */

    /* State. Invariant: line_at <= scanned; no LF in [line_at, scanned). */
    uint8_t state, empty_lines, connection;
    int verdict;      /* what a call in the state DONE or REFUSED returns */
    uint32_t line_at; /* where the first line that is not yet parsed starts */
    uint32_t scanned; /* where the search for its end goes on */
} ag__http_head;

/* `limits` NULL: the defaults. Limit: field_max <= 65534. */
void ag__http_head_init(ag__http_head *h, ag__http_field *fields, uint32_t field_max,
                        const ag__http_limits *limits);

/* The same for the head of a reply: `status`, fields and framing are results. A body that has
   neither length nor chunks goes on to the connection's end, which is the caller's to know. */
void ag__http_reply_init(ag__http_head *h, ag__http_field *fields, uint32_t field_max,
                         const ag__http_limits *limits);

/* Ready for the next message; array and limits stay. */
void ag__http_head_reset(ag__http_head *h);

/*
 * Parses what it can of buf[0..len). A later call gets the same bytes again, at whatever address,
 * and more behind them; each line is parsed once and each byte searched once, however small the
 * steps are. The verdict does not depend on the steps either.
 * Returns: the length of the head, -EAGAIN for more bytes, or enum ag__http_verdict.
 */
int ag__http_parse(ag__http_head *h, const char *buf, size_t len);

static inline ag__http_text ag__http_at(const char *buf, ag__http_slice s) {
    return (ag__http_text){buf + s.at, s.len};
}

/* The value of the first field with this id. Returns: false if there is none. */
static inline bool ag__http_known_value(const ag__http_head *h, const char *buf,
                                        enum ag__http_field_id id, ag__http_text *ret_value) {
    if (!h->known[id])
        return false;
    *ret_value = ag__http_at(buf, h->fields[h->known[id] - 1].value);
    return true;
}

/* The path to route by: "/" where an absolute target has none. */
static inline ag__http_text ag__http_route_path(const ag__http_head *h, const char *buf) {
    if (h->form == AG__FORM_ABSOLUTE && !h->path.len)
        return (ag__http_text){"/", 1};
    return ag__http_at(buf, h->path);
}

/* HTTP status, sentence and short name (HOST_MISSING) of a verdict; 500 for what is none. */
int ag__http_status(int verdict);
const char *ag__http_reason(int verdict);
const char *ag__http_verdict_name(int verdict);

/* ---- Between the files of the parser -------------------------------------------------------- */

/* field.c: which field this is; `n` bytes of tchar. */
enum ag__http_field_id ag__http_field_find(const char *name, size_t n);

/* field.c: what the last field of `h` means for the message. Returns 0 or a verdict. */
int ag__http_field_apply(ag__http_head *h, const char *buf);

/* field.c: what all fields together mean. Returns 0 or a verdict. */
int ag__http_fields_end(ag__http_head *h);

/* target.c: takes h->target apart. Returns 0 or a verdict. */
int ag__http_target_apply(ag__http_head *h, const char *buf);

/* target.c: splits host[:port] in buf[at..at+len) into h->host and h->port. Returns: false if it
   is malformed. */
bool ag__http_authority_apply(ag__http_head *h, const char *buf, ag__http_slice s);

#endif
