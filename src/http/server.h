/* SPDX-License-Identifier: MIT */
/*
 * What the files of the server share: the server, a connection, and the work of one that is being
 * served.
 *
 *     server --- wheel of connections (idle_wheel.c), by the time at which to look at them
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
 *
 * In every state exactly one wish or goroutine will run ag__http_conn_run and then either arm the
 * next wish or free the connection; unlinking it takes the server's lock, so who holds that lock
 * may use every connection in the wheel.
 */
#ifndef AG_HTTP_SERVER_H
#define AG_HTTP_SERVER_H

#include "http/chunk.h"
#include "http/parse.h"
#include "http/route.h"

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
enum {
    AG__HTTP_TAIL = 128, /* room for the framing fields between head and body */
    AG__HTTP_TYPE = 256, /* bytes of a Content-Type */
    AG__HTTP_FILTERS = 16,
    AG__HTTP_DRAIN = 256 * 1024, /* bytes of an unread body that are worth keeping a connection */
};

#define AG__HTTP_LINGER (2 * AG_SEC)      /* a refused client may still send that long */
#define AG__HTTP_BODY_GRACE (10 * AG_SEC) /* before body_rate counts */

typedef struct ag__http_conn ag__http_conn;
typedef struct ag__http_work ag__http_work;

/* ---- Connection ----------------------------------------------------------------------------- */

enum { AG__CONN_WAITING, AG__CONN_RUNNING, AG__CONN_ENDING };

/* What a WAITING one waits for; its limit. */
enum {
    AG__CONN_FRESH,  /* the first byte: head_ns */
    AG__CONN_IDLE,   /* the next request: idle_ns */
    AG__CONN_LINGER, /* the client's end, what it sends is dropped: AG__HTTP_LINGER */
};

struct ag__http_conn {
    ag_conn *c;                 /* Constant. One reference. */
    ag_http_server *s;          /* Constant. One reference. */
    ag__http_conn *prev, *next; /* Guarded by s->lock: its bucket's list. */
    _Atomic int64_t since;      /* Atomic; when it began to wait. Owner writes before WAITING. */
    ag_time write_set;          /* Owner. When the write deadline was set. */
    uint32_t lingered;          /* Owner. Bytes dropped. */
    uint16_t bucket;            /* Guarded by s->lock. */
    _Atomic uint8_t kind;       /* Owner writes before WAITING; the wheel looks. */
    _Atomic uint8_t state;      /* Atomic; see above. */
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
    ag__http_later *later, **later_end;
};

enum ag__http_mode {
    AG__MODE_EMPTY,  /* nothing yet */
    AG__MODE_BUFFER, /* head and body in the output buffer, nothing of them sent */
    AG__MODE_CHUNKS, /* head sent; body goes out in chunks */
    AG__MODE_PLAIN,  /* head sent; body goes out as it is, up to `declared` or the end */
    AG__MODE_DONE,   /* complete, in the output buffer or sent */
};

struct ag_http_response {
    ag__http_work *w;
    int status;
    int error;               /* sticky: the connection is broken */
    uint8_t mode;            /* enum ag__http_mode */
    bool close;              /* the connection ends after it */
    bool head_only;          /* HEAD: the body is counted */
    bool has_type, has_date; /* among `fields` */
    const char *type;        /* Content-Type unless has_type; NULL: none */
    uint32_t head_at;        /* where it begins in the output buffer */
    uint32_t head_end;       /* BUFFER: where the framing fields go */
    uint32_t body_at;        /* where the buffered body begins */
    uint32_t body_n;         /* buffered bytes of body */
    int64_t declared;        /* Content-Length set by the handler, or -1 */
    int64_t body_bytes;      /* of body in all */
    uint32_t fields_n;
    char *fields; /* "Name: value\r\n"…; AG__HTTP_USER_FIELDS once there is one */
};

/* ---- Work ----------------------------------------------------------------------------------- */

/* Written by the owner only, read by anybody: relaxed. */
typedef struct ag__http_counters {
    _Atomic int64_t requests[6], latency[AG_HTTP_BUCKETS], latency_ns;
    _Atomic int64_t body_bytes_in, body_bytes_out, bad_requests, panics, timed_out;
} ag__http_counters;

/* What becomes of the connection when its work is given back. */
enum { AG__THEN_WAIT, AG__THEN_LINGER, AG__THEN_CLOSE };

struct ag__http_work {
    ag_http_server *s;                  /* Constant. */
    ag__http_work *all_prev, *all_next; /* Guarded by s->lock. */
    ag__http_work *spare;               /* Guarded by s->lock. */
    _Atomic bool busy;                  /* Owner writes; counters look. */
    ag__http_counters counters;

    /* Owner only, from here. */
    ag__http_conn *hc;
    bool finished;         /* its goroutine got to the end by itself */
    bool answering;        /* a request is between head and end of response */
    bool waits_for_client; /* the read deadline is set */
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
    struct {
        ag_http_handler fn;
        void *arg;
    } filters[AG__HTTP_FILTERS];
    uint32_t filter_count;

    _Atomic int64_t refs;  /* the creator's, one for each connection, serve call, armed timer */
    _Atomic bool served;   /* ag_http_serve was called */
    _Atomic bool stopping; /* Set under lock. */
    ag_chan(char) gone;    /* closed when stopping and nothing is left */
    ag_chan(char) stopped; /* closed when a stop is complete */

    ag_mutex lock;
    /* Guarded by lock. */
    bool gone_closed, stopped_closed;
    ag__http_serving *servings;
    ag__http_conn *wheel[AG__WHEEL];
    ag_time tick_ns; /* Constant. */
    int64_t tick;    /* buckets up to this tick have been looked at */
    ag_timer *timer;
    bool armed;
    int64_t open, accepted, evicted, refused, timed_out;
    ag__http_work *all; /* all works */
    ag__http_work *spare;
    uint32_t spare_count;
    ag__http_counters retired; /* of works that were freed */

    ag__http_slot slots[AG__HTTP_SLOTS]; /* Atomic; a work belongs to who exchanges it out. */
};

/* server.c */
void ag__http_server_ref(ag_http_server *s);
void ag__http_server_unref(ag_http_server *s);
/* Closes s->gone if nothing is left. With the lock. */
void ag__http_server_check_gone(ag_http_server *s);

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
/* Closes those that wait since `before` or longer. Returns: the first point of time since when
   another one waits, INT64_MAX if none does. */
ag_time ag__http_wheel_close_idle(ag_http_server *s, ag_time before);
/* Closes all. Returns: how many were served just then. */
int64_t ag__http_wheel_cut(ag_http_server *s);

/* conn.c */
/* A new connection, whose reference it takes. */
void ag__http_conn_admit(ag_http_server *s, ag_conn *c);
void ag__http_conn_run(ag__http_conn *hc);
/* Reads behind in[in_n) what fits. Returns: as ag_read. */
ssize_t ag__http_fill(ag__http_work *w, ag_time deadline);
/* Sends out[0..out_n) and `more`. Returns: 0, or w->broken. */
int ag__http_send_out(ag__http_work *w, const struct iovec *more, int count);
static inline int ag__http_flush_out(ag__http_work *w) {
    return w->out_n ? ag__http_send_out(w, NULL, 0) : w->broken;
}

/* conn_request.c: from a parsed head to the end of its response. */
void ag__http_answer(ag__http_work *w, uint32_t head_n);
/* Whether the connection can't go on after this response. */
bool ag__http_must_close(const ag__http_work *w);
/* Answers what could not be parsed. */
void ag__http_refuse(ag__http_work *w, int status, const char *reason);

/* body.c */
void ag__http_body_begin(ag__http_work *w, uint32_t head_n);
/* Reads and drops the rest. Returns: false if that is not worth it or failed. */
bool ag__http_body_drain(ag__http_work *w);
/* Whether the client has more of the body to send than will be dropped. */
bool ag__http_body_is_long(const ag__http_work *w);

/* response.c */
void ag__http_response_begin(ag__http_work *w);
/* Completes it; what is left is in the output buffer. */
void ag__http_response_end(ag__http_work *w);
/* Sends the responses before this one. Returns: 0, or w->broken. */
int ag__http_flush_earlier(ag__http_work *w);
/* Takes back what was not sent. Returns: false if something was. */
bool ag__http_response_rewind(ag_http_response *res);

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

/* server_stats.c */
void ag__http_counters_add(ag__http_counters *to, const ag__http_counters *from);
void ag__http_count_request(ag__http_work *w, int status, ag_time ns);

static inline void ag__http_count(_Atomic int64_t *counter, int64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, AG__RELAXED) + n, AG__RELAXED);
}

#endif
