/* SPDX-License-Identifier: MIT */
/*
 * What the files of the server share: the server, a connection, and the work of one that is being
 * served.
 *
 *     server --- wheel of connections (conn_wheel.c), by the time at which to look at them
 *        |          connection: small, lives from accept to close
 *        |              |
 *        |            work: buffers, parser, request, response; borrowed while a connection
 *        +--- pool ----/      has something to read, until nothing is buffered any more
 *
 * A connection's state, and who may touch what:
 *
 *     WAITING   a wish is pending, or its goroutine tries to read. Whoever wins the change to
 *               ENDING (the wheel, an eviction, a stop) closes the socket, under the server's
 *               lock, and lets go.
 *     RUNNING   its goroutine owns all of it; a stop may close the socket under the server's lock.
 *     ENDING    its goroutine, started by the closing, frees it.
 *     UPGRADED  a handler has taken it over (hijack.c): it is in the wheel's last list, which does
 *               not turn. It goes when both the handler and who took it have let go of it.
 *
 * In every other state exactly one wish or goroutine will run ag__http_conn_run and then either arm
 * the next wish or free the connection; unlinking it takes the server's lock, so who holds that
 * lock may use every connection in the wheel.
 */
#ifndef AG_HTTP_SERVER_H
#define AG_HTTP_SERVER_H

#include "http/bytes.h"
#include "http/chunk.h"
#include "http/parse.h"
#include "http/route.h"

#include <aglet/defer.h>
#include <aglet/http.h>
#include <aglet/sync.h>
#include <aglet/time.h>
#include <stdatomic.h>

#define AG__RELAXED memory_order_relaxed

#ifdef AG_TINY
enum { AG__HTTP_IN = 256, AG__HTTP_OUT = 4096, AG__HTTP_ARENA = 64, AG__HTTP_USER_FIELDS = 1024 };
enum { AG__HTTP_SLOTS = 1, AG__HTTP_SPARE = 1, AG__WHEEL = 8 };
#else
enum {
    AG__HTTP_IN = 8192,          /* bytes of a work's input buffer; grows up to head_max */
    AG__HTTP_OUT = 16384,        /* bytes of its output buffer: a head, a tail and some body fit */
    AG__HTTP_ARENA = 1024,       /* bytes of request memory before malloc */
    AG__HTTP_USER_FIELDS = 8192, /* bytes of a response's own fields */
    AG__HTTP_SLOTS = 16,         /* of the pool's fast part */
    AG__HTTP_SPARE = 64,         /* works kept in its slow part */
    AG__WHEEL = 256,             /* buckets of the wheel */
};
#endif
enum { AG__SHUT_READING = 0, AG__SHUT_SENDING = 1 }; /* SHUT_RD, SHUT_WR of shutdown(2) */
enum {
    AG__HTTP_TAIL = 128, /* room for the framing fields between head and body */
    AG__HTTP_TYPE = 256, /* bytes of a Content-Type */
    AG__HTTP_FILTERS = 16,
    AG__HTTP_AWAY = 256,         /* at once; who comes then is not told why */
    AG__HTTP_DRAIN = 256 * 1024, /* bytes of an unread body that are worth keeping a connection */
};

#define AG__HTTP_LINGER (2 * AG_SEC)      /* a refused client may still send that long */
#define AG__HTTP_BODY_GRACE (10 * AG_SEC) /* before body_rate counts */

typedef struct ag__http_conn ag__http_conn;
typedef struct ag__http_work ag__http_work;
typedef struct ag__http_h2 ag__http_h2;

/* ---- Connection ----------------------------------------------------------------------------- */

enum { AG__CONN_WAITING, AG__CONN_RUNNING, AG__CONN_ENDING, AG__CONN_UPGRADED };

/* What a WAITING one waits for; its limit. */
enum {
    AG__CONN_FRESH,  /* the first byte: head_ns */
    AG__CONN_IDLE,   /* the next request: idle_ns */
    AG__CONN_LINGER, /* the client's end, what it sends is dropped: AG__HTTP_LINGER */
    AG__CONN_AWAY,   /* likewise; it was one too many, and doesn't count among them */
    AG__CONN_KINDS
};

struct ag__http_conn {
    ag_conn *c;                 /* Constant. One reference. */
    ag_http_server *s;          /* Constant. One reference. */
    ag__http_conn *prev, *next; /* Guarded by s->lock: its bucket's list. */
    _Atomic int64_t since;      /* Atomic; when it began to wait. Owner writes before WAITING. */
    ag_time write_set;          /* Owner. When the write deadline was set. */
    ag_ctx *ctx;                /* Owner. Of its requests, with a reference; see context.c. */
    uint32_t lingered;          /* Owner. Bytes dropped. */
    ag__http_h2 *h2;            /* Owner and s->lock write. NULL: HTTP/1. */
    ag_time noticed_at;         /* Guarded by s->lock. HTTP/2: when a stop was announced, or 0. */
    uint16_t bucket;            /* Guarded by s->lock. */
    bool told;                  /* Guarded by s->lock: a stop has ended its reading. */
    _Atomic uint8_t kind;       /* Owner writes before WAITING; the wheel looks. */
    _Atomic uint8_t state;      /* Atomic; see above. */
    _Atomic uint8_t holders;    /* Atomic; UPGRADED: 2, 1 when one has let go. */
    ag_http_upgraded *upgraded; /* Guarded by s->lock: while somebody has it. */
};

/* ---- Request and response ------------------------------------------------------------------- */

typedef struct ag__http_route_entry {
    ag_http_handler handler; /* Constant. */
    void *arg;               /* Constant. */
    struct ag__http_route_entry *link;
    _Atomic uint8_t fast; /* Atomic, a hint: its last runs, no longer than AG__HTTP_FAST each */
} ag__http_route_entry;

/* Responses wait for the next handler's, to go out in one write, only if that one has been so fast
   so many times in a row. */
#define AG__HTTP_FAST (50 * AG_US)
#define AG__HTTP_FAST_RUNS 32

/* A block of request memory beyond the work's own. */
typedef struct ag__http_block {
    struct ag__http_block *link;
    size_t at, size;
} ag__http_block;

/* Something to run after the response. */
typedef struct ag__http_later {
    struct ag__http_later *link;
    ag__fn fn;
    intptr_t args[6];
} ag__http_later;

/* A stream of HTTP/2, see h2.h. Guarded by the lock of the connection, but for what head.c fills.
 */
typedef struct ag__http_stream {
    struct ag__http_stream *prev, *next, *ready_next;
    struct ag__http_h2 *h2; /* NULL: the work serves HTTP/1 */
    int32_t id;
    ag_time turn; /* when its handler was begun */

    /* The head, as it comes in. */
    ag__http_text method, path, authority;
    uint32_t cookie_end; /* in the input buffer: behind the last crumb, or 0 */
    uint32_t crumbs;
    int verdict; /* 0, or why the request is refused */
    bool has_line;

    bool runs;    /* its handler was started */
    bool closed;  /* nghttp2 knows it no more */
    bool in_vain; /* its client does not want the response any more */
    bool waits;   /* the handler, for `event` */
    ag_sem event; /* of size 1, taken; a release wakes the handler */

    ag__http_bytes body; /* of the request */
    bool in_ended;       /* the client has sent all */
    char *trailers;      /* "name: value\r\n"…, of the request */
    uint32_t trailers_n;
    ag_ctx *ctx; /* of the request */

    /* The response: what is to be taken into frames. */
    struct iovec out[2];
    bool out_last; /* with it the body ends */
    bool out_deferred, out_begun, out_ended;
} ag__http_stream;

/* Owner only, as all of the work. */
struct ag_http_request {
    ag__http_work *w;
    char *base;      /* where the head's slices count from */
    uint32_t head_n; /* its length */
    ag__http_match match;
    const char *pattern;
    void *arg, *user;
    ag_http_handler last; /* what the last filter's next runs */
    void *last_arg;
    uint32_t filter; /* the next one */
    ag_time received_at;
    ag_ctx *ctx; /* the handler's, which its connection or stream owns; NULL: none runs */

    /* The body. */
    int64_t left; /* of Content-Length: bytes not yet read by the handler */
    int64_t body_max;
    ag_time body_ns, body_began; /* 0: not yet waited for */
    int64_t body_bytes;          /* taken from the client, decoded */
    int body_error;              /* sticky; 0 none */
    int body_verdict;            /* of the decoder */
    bool chunked, body_done;
    bool must_continue;             /* "100 Continue" is due before the body is waited for */
    uint32_t decoded_at, decoded_n; /* chunked: decoded bytes in the input buffer */
    ag__http_chunked chunks;
    char *trailers; /* "Name: value\r\n"…, request memory */
    uint32_t trailers_n, trailers_size;
    ag__http_later *later, **later_end;
};

/*
 * How a response goes out and a request's body comes in: HTTP/1 (response_h1.c) or a stream of
 * HTTP/2 (h2_response.c). Constant. All are called by the owner of the work.
 */
typedef struct ag__http_wire {
    /* The response. Errors are sticky: they go through ag__http_broken. */
    int (*begin)(ag_http_response *res); /* leaves EMPTY: sets body_at and body_n. 0 or an error */
    /* BUFFER: the head, the body so far, and `data`. Returns: n, or an error. */
    ssize_t (*start)(ag_http_response *res, const void *data, size_t n);
    /* CHUNKS, PLAIN: what is buffered and `data`; with the end of the body if `last`. */
    ssize_t (*emit)(ag_http_response *res, const void *data, size_t n, bool last);
    /* After begin: a body that is known whole. Returns: 0, or an error. */
    int (*whole)(ag_http_response *res, const void *data, size_t n);
    void (*complete)(ag_http_response *res); /* after begin: the body that is buffered is all */

    /* Bytes of body, decoded; not called at its end or after an error. Returns: as
       ag_http_body_read; sets body_done. */
    ssize_t (*body_read)(ag_http_request *req, char *buf, size_t n);
    int (*flush)(ag__http_work *w); /* what is complete goes out now. 0 or w->broken */
    void (*end)(ag__http_work *w);  /* after the response: what becomes of the body's rest */
    bool (*is_gone)(const ag__http_work *w);
    /* The request's context, and its end; see context.c. NULL when out of memory. */
    ag_ctx *(*context)(ag__http_work *w);
    void (*context_end)(ag__http_work *w);
    int major; /* the version of HTTP */
} ag__http_wire;

extern const ag__http_wire ag__http_wire_1;

enum ag__http_mode {
    AG__MODE_EMPTY,  /* nothing yet */
    AG__MODE_BUFFER, /* head and body in the output buffer, nothing of them sent */
    AG__MODE_CHUNKS, /* head sent; body goes out in chunks */
    AG__MODE_PLAIN,  /* head sent; body goes out as it is, up to `declared` or the end */
    AG__MODE_DONE,   /* complete, in the output buffer or sent */
};

/* What stands between a handler and its response; see filter_gzip.c. */
typedef struct ag__http_encoder ag__http_encoder;
struct ag__http_encoder {
    ssize_t (*write)(ag__http_encoder *e, const void *data, size_t n);
    int (*flush)(ag__http_encoder *e);
    int (*send)(ag__http_encoder *e, int status, const char *type, const void *data, size_t n);
};

struct ag_http_response {
    ag__http_work *w;
    ag__http_encoder *encoder; /* NULL: none */
    int status;
    int error;               /* sticky: the connection is broken */
    uint8_t mode;            /* enum ag__http_mode */
    bool close;              /* the connection ends after it */
    bool asked_close;        /* because the handler wants it */
    bool head_only;          /* HEAD: the body is counted */
    bool has_type, has_date; /* among `fields` */
    const char *type;        /* Content-Type unless has_type; NULL: none */
    uint32_t head_at;        /* where it begins in the output buffer */
    uint32_t head_end;       /* BUFFER: where the framing fields go */
    uint32_t body_at;        /* where the buffered body begins */
    uint32_t body_n;         /* buffered bytes of body */
    int64_t declared;        /* Content-Length set by the handler, or -1 */
    int64_t body_bytes;      /* of body in all */
    uint32_t trailers_n;
    char *trailers; /* "Name: value\r\n"… for the end, request memory; NULL: none */
    uint32_t fields_n;
    char *fields; /* "Name: value\r\n"…; AG__HTTP_USER_FIELDS once there is one */
};

/* ---- Work ----------------------------------------------------------------------------------- */

/* Written by the owner only, read by anybody: relaxed. */
typedef struct ag__http_counters {
    _Atomic int64_t requests[6], latency[AG_HTTP_BUCKETS], latency_ns;
    _Atomic int64_t body_bytes_in, body_bytes_out, bad_requests, panics, timed_out, streams;
} ag__http_counters;

/* What becomes of the connection when its work is given back. */
enum { AG__THEN_WAIT, AG__THEN_LINGER, AG__THEN_CLOSE, AG__THEN_H2 };

struct ag__http_work {
    ag_http_server *s;                  /* Constant. */
    ag__http_work *all_prev, *all_next; /* Guarded by s->lock. */
    ag__http_work *spare;               /* Guarded by s->lock. */
    _Atomic bool busy;                  /* Owner writes; counters look. */
    _Atomic int64_t goroutine;          /* Owner writes: where a handler runs now, or 0. */
    ag__http_counters counters;

    /* Owner only, from here. */
    const ag__http_wire *wire;
    ag__http_conn *hc;
    bool finished;         /* its goroutine got to the end by itself */
    bool answering;        /* a request is between head and end of response */
    bool waits_for_client; /* the read deadline is set */
    bool taken;            /* the connection is no longer ours; its request was counted */
    bool fast;             /* `now` is near enough for the date */
    uint8_t then;          /* AG__THEN_* */
    int broken;            /* why nothing can be written any more */
    ag_time now;           /* the latest look at the clock */

    char *in;     /* in_own, or a larger one from malloc */
    char *in_old; /* holds the head of the request; freed after it */
    uint32_t in_size;
    uint32_t at, in_n; /* unparsed bytes: in[at..in_n) */
    uint32_t out_n;    /* bytes to send: out[0..out_n) */

    ag_time date_until; /* `date` is right before that point of ag_now() */
    char date[40];      /* "Date: …\r\n" */

    ag__http_head head;
    ag_http_request req;
    ag_http_response res;
    ag__http_stream stream;

    uint32_t arena_at;
    ag__http_block *blocks;
    ag__http_field *fields; /* s->opt.fields_max of them, behind this struct */
    _Alignas(16) char arena[AG__HTTP_ARENA];
    char in_own[AG__HTTP_IN];
    char out[AG__HTTP_OUT];
};

/* ---- Server --------------------------------------------------------------------------------- */

typedef struct ag__http_serving {
    struct ag__http_serving *prev, *next;
    ag_listener *l;
} ag__http_serving;

typedef struct ag__http_slot {
    _Alignas(64) _Atomic(ag__http_work *) work;
} ag__http_slot;

struct ag_http_server {
    /* Constant once it serves. */
    ag_http_options opt;
    ag__http_router *router;
    ag__http_route_entry *entries;
    ag__http_block *owned; /* memory that goes with the server */
    struct {
        ag_http_handler fn;
        void *arg;
    } filters[AG__HTTP_FILTERS];
    uint32_t filter_count;

    ag_ctx *ctx;        /* Constant. Above those of all requests; ended by a stop. */
    ag_ctx *until_stop; /* Constant. Ends when `lame` is set. */

    _Atomic int64_t refs;  /* the creator's, one for each connection, serve call, armed timer */
    _Atomic bool served;   /* ag_http_serve was called */
    _Atomic bool lame;     /* every response ends its connection; a stop sets `stopping` first */
    _Atomic bool stopping; /* Set under lock, before anybody is told. */
    ag_chan(char) gone;    /* closed when stopping and nothing is left */
    ag_chan(char) stopped; /* closed when a stop is complete */

    ag_mutex lock;
    /* Guarded by lock. */
    bool gone_closed, stopped_closed;
    ag__http_serving *servings;
    ag__http_conn *wheel[AG__WHEEL + 1]; /* the last list: UPGRADED ones */
    ag_time tick_ns;                     /* Constant. */
    int64_t tick;                        /* buckets up to this tick have been looked at */
    ag_timer *timer;
    bool armed;
    int64_t open, accepted, evicted, refused, timed_out;
    int64_t away; /* of `open`: kind AWAY */
    int64_t upgrades, upgraded, h2_open, h2_accepted;
    ag__http_work *all; /* all works */
    ag__http_work *spare;
    uint32_t spare_count;
    ag__http_counters retired; /* of works that were freed */

    /* Of HTTP/2; atomic. */
    _Atomic int64_t h2_streams, h2_busy; /* handlers that run; connections with such */
    _Atomic int64_t h2_resets, h2_ended; /* by clients; connections with an error */

    ag__http_slot slots[AG__HTTP_SLOTS]; /* Atomic; a work belongs to who exchanges it out. */
};

/* server.c */
void ag__http_server_ref(ag_http_server *s);
void ag__http_server_unref(ag_http_server *s);
/* Closes s->gone if nothing is left. With the lock. */
void ag__http_server_check_gone(ag_http_server *s);

/* Memory for as long as the server lives, before it serves; zeroed. NULL when out of memory. */
void *ag__http_server_alloc(ag_http_server *s, size_t n);

/* server_work.c: never waits for anything but memory; NULL when there is none. */
ag__http_work *ag__http_work_take(ag_http_server *s);
void ag__http_work_put(ag__http_work *w);
void ag__http_work_free_all(ag_http_server *s);
/* Request memory, not zeroed. NULL when there is none. */
void *ag__http_arena(ag__http_work *w, size_t n);
void ag__http_arena_reset(ag__http_work *w);

/* conn_wheel.c: all with the lock. */
/* Returns: false when out of memory for the timer: without it no limit would hold. */
bool ag__http_wheel_add(ag_http_server *s, ag__http_conn *hc, ag_time now);
void ag__http_wheel_remove(ag_http_server *s, ag__http_conn *hc);
/* Again, because its time has come nearer. */
void ag__http_wheel_move(ag_http_server *s, ag__http_conn *hc, ag_time now);
/* Closes the one that has been idle for longest, more or less. Returns: false if none is. */
bool ag__http_wheel_evict(ag_http_server *s);
/* Ends the reading of those that wait since `before` or longer: what has come is still answered.
   Asked again it closes them. Returns: the first point of time since when another one waits,
   INT64_MAX if none does. */
ag_time ag__http_wheel_close_idle(ag_http_server *s, ag_time before);
/* Into the list of UPGRADED ones, which it is from now on. */
void ag__http_wheel_upgrade(ag_http_server *s, ag__http_conn *hc);
/* Closes all. Returns: how many were served just then. */
int64_t ag__http_wheel_cut(ag_http_server *s);

/* conn.c */
/* A new connection, whose reference it takes. */
void ag__http_conn_admit(ag_http_server *s, ag_conn *c);
void ag__http_conn_run(ag__http_conn *hc);
/* One of the two that hold an UPGRADED connection lets go; the last one lingers and closes. */
void ag__http_conn_let_go(ag__http_conn *hc);
/* Reads behind in[in_n) what fits. Returns: as ag_read. */
ssize_t ag__http_fill(ag__http_work *w, ag_time deadline);
/* The deadline for the next write of so many bytes. */
void ag__http_write_deadline(ag__http_work *w, size_t bytes);
/* Sends out[0..out_n) and `more`. Returns: 0, or w->broken. */
int ag__http_send_out(ag__http_work *w, const struct iovec *more, int count);
static inline int ag__http_flush_out(ag__http_work *w) {
    return w->out_n ? ag__http_send_out(w, NULL, 0) : w->broken;
}

/* No wish is pending: makes the next one. `hc` is somebody else's afterwards, unless it fails. */
int ag__http_conn_wish(ag__http_conn *hc);
void ag__http_conn_free(ag__http_conn *hc);
/* Shuts our direction down; in the state WAITING it is closed after a while. Without the lock. */
void ag__http_conn_linger(ag__http_conn *hc);
/* How long `bytes` may take to be written, beyond write_ns. */
ag_time ag__http_write_extra(size_t bytes);
/* What is due before the answer to a handler that did not get to its end: its context is left; its
   panic, NULL if there was none, is told, by the options. */
void ag__http_cut_short(ag__http_work *w, const ag_panic_info *info);
enum { AG__LINGER_BYTES = 1024 * 1024 }; /* dropped before we give up */

/* h2.c, or h2_none.c: a connection that speaks HTTP/2. */
/* Whether what it says first is HTTP/2's preface, as far as it has come. */
bool ag__http_h2_is_preface(const char *bytes, size_t n);
/* The connection of `w`, which has read something, is one of HTTP/2 from now on. */
void ag__http_h2_begin(ag__http_work *w);
/* A run: w->in has `n` bytes, or what ag_try_read said. */
void ag__http_h2_read(ag__http_conn *hc, ag__http_work *w, ssize_t n);
/* With s->lock: says GOAWAY, finishes what there is, closes. Returns: false when out of memory. */
bool ag__http_h2_goodbye(ag__http_conn *hc);
/* With s->lock: says that this will come soon. */
bool ag__http_h2_notice(ag__http_conn *hc);

/* conn_request.c: from a parsed head to the end of its response. */
void ag__http_answer(ag__http_work *w, uint32_t head_n);
/* Whether the connection can't go on after this response. */
bool ag__http_must_close(const ag__http_work *w);
/* Answers what could not be parsed. */
void ag__http_refuse(ag__http_work *w, int status, const char *reason);

/* hijack.c: starts what was asked for with ag_http_upgraded_on_stop. With the lock. */
void ag__http_tell_upgraded(ag_http_server *s);

/* context.c */
/* Runs filters and handler in the request's context. */
void ag__http_run(ag__http_work *w);
/* After a handler that was left by a panic or ag_goexit; else nothing. */
void ag__http_context_leave(ag__http_work *w);
ag_ctx *ag__http_context_1(ag__http_work *w);
void ag__http_context_end_1(ag__http_work *w);
/* Of a connection that ends. */
void ag__http_context_done(ag__http_conn *hc);
/* A write of `iov` failed with `error` after `sent` bytes: if the end of the request's context was
   the reason, sends the rest all the same. Returns: 0, or why that failed. */
ssize_t ag__http_write_on(ag__http_work *w, struct iovec *iov, int count, int64_t sent,
                          ssize_t error);

/* body.c */
void ag__http_body_begin(ag__http_work *w, uint32_t head_n);
/* Remembers why the body can't be read. Returns: the error. */
int ag__http_body_fail(ag_http_request *req, int error);
/* Until when the next bytes of the body must be there. */
ag_time ag__http_body_deadline(ag_http_request *req);
ssize_t ag__http_read_1(ag_http_request *req, char *buf, size_t n);
void ag__http_end_1(ag__http_work *w);
bool ag__http_is_gone_1(const ag__http_work *w);
/* Whether the client has more of the body to send than will be dropped. */
bool ag__http_body_is_long(const ag__http_work *w);

/* trailer.c: takes the next field of `text`, lines as in trailers. Returns: false behind the last
   one. */
bool ag__http_trailer_next(char *text, uint32_t n, uint32_t *at, ag__http_text *ret_name,
                           ag__http_text *ret_value);
void ag__http_trailers_begin(ag_http_request *req);

/* response.c */
void ag__http_response_begin(ag__http_work *w);
/* Completes it; what is left is in the output buffer. */
void ag__http_response_end(ag__http_work *w);
/* ag_http_write, _flush and _send without the encoder. */
ssize_t ag__http_plain_write(ag_http_response *res, const void *data, size_t n);
int ag__http_plain_flush(ag_http_response *res);
int ag__http_plain_send(ag_http_response *res, int status, const char *type, const void *data,
                        size_t n);
void ag__http_remove_field(ag_http_response *res, const char *name);
/* Takes back what was not sent. Returns: false if something was. */
bool ag__http_response_rewind(ag_http_response *res);

/* response_h1.c */
/* Sends the responses before this one. Returns: 0, or w->broken. */
int ag__http_flush_earlier(ag__http_work *w);
/* Nothing of this response goes out any more. Returns: the error. */
int ag__http_broken(ag_http_response *res, int error);

/* response_head.c: writes the head without framing fields at res->head_at, sets head_end. */
uint32_t ag__http_head_size_max(const ag_http_response *res);
void ag__http_head_write(ag_http_response *res);
/* The framing fields and the empty line; `length` of the body or AG__LENGTH_*. Returns: their
   length, at most AG__HTTP_TAIL less a chunk's head. */
enum { AG__LENGTH_CHUNKED = -1, AG__LENGTH_NONE = -2 };
uint32_t ag__http_tail_write(const ag_http_response *res, char *dst, int64_t length);
/* A status that has no body: 1xx, 204, 304. */
static inline bool ag__http_bodyless(int status) {
    return status < 200 || status == 204 || status == 304;
}
size_t ag__http_decimal(char dst[20], uint64_t n);
/* "Thu, 01 Jan 1970 00:00:00 GMT", of now; AG__DATE_N bytes, not ended by a NUL. */
enum { AG__DATE_N = 29 };
const char *ag__http_date(ag__http_work *w);

/* filter_id.c */
/* The value of a field that is there once. Returns: false if it is not, or more often. */
bool ag__http_only_field(ag_http_request *req, enum ag__http_field_id id, ag__http_text *ret);
/* Two digits a byte, and a NUL. */
void ag__http_hex_write(char *to, const uint8_t *bytes, size_t n);

/* server_stats.c */
void ag__http_counters_add(ag__http_counters *to, const ag__http_counters *from);
void ag__http_count_request(ag__http_work *w, int status, ag_time ns);

static inline void ag__http_count(_Atomic int64_t *counter, int64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, AG__RELAXED) + n, AG__RELAXED);
}

#endif
