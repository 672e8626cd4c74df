/* SPDX-License-Identifier: MIT */
/*
 * What the files of the client share.
 *
 *     client --- pool (client_pool.c): hosts, each with its idle connections and its waiters
 *        |
 *      reply: one call of ag_http_client_do, from the request's head to the end of the body
 *        |          (client_do.c: redirects and attempts; client_reply.c: head and body)
 *        +-- link: a connection, lent by the pool while a reply has it
 *        +-- sender: the goroutine that sends a body, if it is not sent with the head
 *
 * A link of HTTP/1.1 and who may touch it; one of HTTP/2 is shared, and client_h2.h says how:
 *
 *     LENT    the reply that has it, and its sender, which writes only: both by its wire
 *     IDLE    whoever holds the client's lock
 *
 * A link holds no bytes between two requests: what is left over behind an answer is nobody's, and
 * the connection ends.
 */
#ifndef AG_HTTP_CLIENT_INTERNAL_H
#define AG_HTTP_CLIENT_INTERNAL_H

#include "http/bytes.h"
#include "http/chunk.h"
#include "http/client_url.h"
#include "http/parse.h"

#include <aglet/ctx.h>
#include <aglet/http_client.h>
#include <aglet/sync.h>
#include <aglet/time.h>
#include <stdatomic.h>

#ifdef AG_TINY
enum { AG__CLIENT_IN = 512, AG__CLIENT_PIECE = 512, AG__CLIENT_BUCKETS = 2 };
#else
enum {
    AG__CLIENT_IN = 8192,     /* bytes of a reply's buffer; grows up to head_max */
    AG__CLIENT_PIECE = 16384, /* of a body that is read from a callback */
    AG__CLIENT_BUCKETS = 64,  /* of the table of hosts */
};
#endif
enum {
    AG__CLIENT_WITH_HEAD = 16384, /* bytes of a body that goes out with the head: the peer's buffers
                                     take it, so nobody waits for anybody */
    AG__CLIENT_ROOM = AG__CLIENT_IN / 2, /* behind a head, for body */
    AG__CLIENT_DRAIN = 16384,            /* bytes of body worth keeping a connection */
    AG__CLIENT_TRAILER = 8192,
    AG__CLIENT_WHY = 256,
};

/* How long to look for the answer of a server that has stopped reading the request. What it has
   sent is there: a connection that can't be written to any more has been reset. */
#define AG__CLIENT_LATE (50 * AG_MS)

/* ---- Pool ----------------------------------------------------------------------------------- */

/* Where connections go: to a server, or to a proxy on its behalf. */
typedef struct ag__client_route {
    bool tls;                /* to the server */
    bool tunnel;             /* CONNECT through the proxy first */
    ag__http_text host;      /* of the server, without brackets */
    uint16_t port;           /* of the server */
    const ag__url *proxy;    /* NULL: none */
    const char *proxy_basic; /* what the proxy is told about us, or NULL */
} ag__client_route;

typedef struct ag__client_h2 ag__client_h2;

typedef struct ag__client_link {
    ag_conn *c;                  /* Constant. One reference. */
    struct ag__client_host *h;   /* Constant. */
    ag__client_h2 *h2;           /* Constant. NULL: HTTP/1.1 */
    bool reused;                 /* of HTTP/1.1 */
    ag_time read_set, write_set; /* when the deadlines were set … */
    ag_time read_ns, write_ns;   /* … and how far ahead */
    ag_time idle_ns;             /* for which it may be idle */

    /* Guarded by the client's lock; while IDLE. */
    struct ag__client_link *prev, *next;           /* of all idle ones, oldest first */
    struct ag__client_link *host_prev, *host_next; /* of its host, newest first */
    ag_time until;
    bool is_idle;

    /* Of HTTP/2. Guarded by the client's lock. */
    struct ag__client_link *shared_next; /* of its host, while it takes requests */
    uint32_t streams, streams_max;       /* requests that have it, and how many may */
    uint32_t held;                       /* that were given up, and the server may still count */
    bool settled;                        /* the server has said how many may */
    bool retired;                        /* it takes no more requests */
    bool closed;                         /* it is none of the pool's any more */
    bool awaited;                        /* its end counts in client->ending */
} ag__client_link;

/* Somebody who waits for a link, or for leave to make one. On its stack. Guarded by the lock. */
typedef struct ag__client_waiter {
    struct ag__client_waiter *prev, *next;
    ag_sem turn; /* free once it is out of the queue, and the lock is, too */
    bool granted;
    ag__client_link *link; /* what was granted; NULL: leave to make one, which is counted already */
    bool alone;            /* a link of HTTP/2 was idle */
    int error;             /* or why the connection that it waited for was not made … */
    char *why;             /* … AG__CLIENT_WHY bytes, its own */
    int64_t number;        /* in the order of arrival */
} ag__client_waiter;

/* Lives while it has links or waiters. Guarded by the client's lock. */
typedef struct ag__client_host {
    struct ag__client_host *link;                  /* of its bucket */
    struct ag__client_host *wait_prev, *wait_next; /* of those that have waiters */
    uint32_t open;                                 /* links, lent or idle, and leaves */
    uint32_t idle_count;
    ag__client_link *idle;
    ag__client_link *shared; /* those of HTTP/2 that take requests */
    ag__client_waiter *first, *last;
    uint32_t bucket;
    uint32_t making; /* connections that are made, and those of HTTP/2 that are not settled */
    bool may_share;  /* the next connection may turn out to speak HTTP/2 */
    char key[];      /* Constant. */
} ag__client_host;

/* ---- Client --------------------------------------------------------------------------------- */

typedef struct ag__client_proxies {
    ag__url http, https; /* text NULL: none */
    char *http_basic, *https_basic;
    char *no_proxy;
    bool from_environment;
} ag__client_proxies;

struct ag_http_client {
    ag_http_client_options opt; /* Constant. */
    char *user_agent;           /* Constant; NULL: none is sent. */
    ag__client_proxies proxies; /* Constant. */
    _Atomic int64_t refs;       /* the owner's, one for each reply, one for an armed timer */
    _Atomic int64_t requests, failed, retried, redirected;
    ag_pool replies;
    ag_pool h2_buffers; /* of readers */
    ag_wg ending;       /* connections of HTTP/2 that ag_http_client_free waits for */
    ag_once tls_once;   /* opt.tls is made, if the program gave none, by the first who needs it */

    ag_mutex lock;
    /* Guarded by lock. */
    ag__client_host *hosts[AG__CLIENT_BUCKETS];
    ag__client_host *wait_first, *wait_last;
    ag__client_link *oldest, *newest; /* idle */
    ag__client_link *making_room;     /* of HTTP/2: retired because somebody waits for its place */
    uint32_t open, idle, waiting;
    int64_t dialed, reused, arrivals;
    ag_timer *timer;
    bool armed, freed;
};

void ag__client_unref(ag_http_client *client);

/* client_pool.c */
/* A link to this route; a fresh one if it has to be. Waits for its turn, dials, speaks to the
   proxy, shakes hands. Returns: 0, or an error with `why`, AG__CLIENT_WHY bytes. */
int ag__client_take(ag_http_client *client, const ag__client_route *route, bool fresh,
                    ag__client_link **ret_link, bool *ret_reused, char *why);
/* Gives it back; closes it unless it is to be kept. One of HTTP/2 that is not to be kept is
   retired, and closed by the last who has it. */
void ag__client_give(ag_http_client *client, ag__client_link *link, bool keep);
/* Of HTTP/2, any number of times: how many requests may have it. */
void ag__client_settle(ag_http_client *client, ag__client_link *link, uint32_t streams_max);
/* Of HTTP/2: so many more or less that were given up, and the server may still count. */
void ag__client_hold(ag_http_client *client, ag__client_link *link, int32_t more);
/* Of HTTP/2: it takes no more requests. */
void ag__client_retire(ag_http_client *client, ag__client_link *link);
/* Closes all that is idle, or, with a time, what has been idle for too long by then. */
void ag__client_close_idle(ag_http_client *client, ag_time now);

/* client_dial.c: connects, through the proxy if there is one, and puts TLS on. */
int ag__client_dial(ag_http_client *client, const ag__client_route *route, ag_conn **ret_conn,
                    bool *ret_h2, char *why);
/* Whether a connection to there may speak HTTP/2. */
bool ag__client_may_share(const ag_http_client *client, const ag__client_route *route);

/* client_h2.c, or client_h2_none.c */
bool ag__client_has_h2(void);
/* On a connection that nobody has used yet, and that this makes the link's own. Returns: NULL when
   out of memory. */
ag__client_h2 *ag__client_h2_new(ag_http_client *client, ag__client_link *link);
/* Says hello; from now on it can end by itself. */
void ag__client_h2_start(ag__client_h2 *h2);
/* Whether it is worth a request. If not, it has been ended. */
bool ag__client_h2_is_alive(ag__client_h2 *h2, bool was_idle);
/* The pool's reference. */
void ag__client_h2_unref(ag__client_h2 *h2);

/* client_tls.c */
/* TLS on `c`, with its handshake. Returns: 0; -EPROTONOSUPPORT in a build without. */
int ag__client_tls(ag_http_client *client, ag_conn *c, const char *host, char *why);
/* Whether https can be spoken. */
bool ag__client_has_tls(void);
void ag__client_tls_ref(ag_tls_config *config);
void ag__client_tls_unref(ag_tls_config *config);

/* client_proxy.c */
int ag__client_proxies_init(ag__client_proxies *p, const char *option);
void ag__client_proxies_done(ag__client_proxies *p);
/* How to get to `u`. */
void ag__client_route_find(const ag__client_proxies *p, const ag__url *u, ag__client_route *ret);

/* ---- Reply ---------------------------------------------------------------------------------- */

/*
 * What carries a request and its answer, beneath the logic that both versions of HTTP share. The
 * answer's head comes as HTTP/1.1 would have written it, its body behind that.
 */
typedef struct ag__client_wire {
    /* ---- The reply's goroutine. */
    /* Sends the head, r->in[0..n) as ag__client_head_write has made it, and `body` with it;
       `whole`: that is all of the request. Returns: 0 or an error. */
    int (*send)(ag_http_reply *r, size_t n, const void *body, size_t body_n, bool whole);
    /* Bytes of the answer. Waits. Returns: > 0, 0 at the end, or an error. */
    ssize_t (*read)(ag_http_reply *r, void *buf, size_t n);
    /* The next read waits for so long at most; until then; 0: without end. */
    void (*bound_read)(ag_http_reply *r, ag_time ns);
    void (*read_until)(ag_http_reply *r, ag_time t);
    /* Whether bytes of the request may have left: more than 0. */
    int64_t (*sent)(ag_http_reply *r);
    /* The answer is at its end, or nobody wants the rest: gives the link back. */
    void (*release)(ag_http_reply *r, bool keep);
    /* ---- The sender's. */
    int (*write)(ag_http_reply *r, const void *p, size_t n);
    /* Nothing follows. Returns: 0 or an error. */
    int (*end)(ag_http_reply *r);
    /* As read_until, for the reply's next read. */
    void (*sender_until)(ag_http_reply *r, ag_time t);
    /* ---- Either's. */
    /* Wakes who reads or writes, with -ECANCELED. */
    void (*cut)(ag_http_reply *r);
    /* More about the error that read or send has returned; NULL: nothing. */
    const char *(*why)(ag_http_reply *r);
    /* Whether the server has said that it did not look at the request. */
    bool (*is_refused)(ag_http_reply *r);
    bool chunks; /* a body of unknown length goes in chunks */
} ag__client_wire;

/* A body on its way, by a goroutine of its own, for which the reply waits before it frees this. */
typedef struct ag__client_sender {
    ag_wg wg;         /* the goroutine */
    ag_http_reply *r; /* Constant. It uses the wire's functions for senders, nothing else. */
    ag_ctx *ctx;      /* Constant. Ends with the reply. */
    ag_sem done;      /* free at its end; without memory of its own */
    _Atomic bool is_done;
    ag_http_client_request req; /* Constant. */
    int error;                  /* 0, or what it failed with; of the sender until is_done */
    bool own_error;             /* likewise: it was the program's `read` that failed */
    ag_mutex lock;
    bool head_came; /* Guarded by lock: the read deadline is the reply's now. */
} ag__client_sender;

/* A goroutine that waits for something to happen to a stream. */
typedef struct ag__client_event {
    ag_sem sem; /* free once it has happened */
    bool waits;
} ag__client_event;

/* A request on a connection of HTTP/2; client_h2.h says more. */
typedef struct ag__client_stream {
    ag__client_h2 *h2; /* NULL: there is none */
    ag_time bound;     /* the reply's: for how long the next read waits; 0: `until` counts */
    bool at_end;       /* the reply's: the whole answer was read */

    /* Guarded by the connection's lock. */
    int32_t id; /* 0: it was never begun */
    struct ag__client_stream *prev, *next;
    ag__client_event read, written; /* of the reply, of the sender */
    ag_time until;
    ag__http_bytes in;               /* of the answer */
    uint32_t head_n;                 /* bytes of heads in it, for which no window is given back */
    bool head_done, in_ended;        /* the head has come, all of the answer has */
    bool begun;                      /* the request's head is in a frame */
    bool closed;                     /* it is no more */
    bool refused;                    /* by the server, which did not look at the request */
    bool was_reset, is_lost, is_cut; /* by the server; with the connection; by us */
    int status, error;
    uint32_t code; /* of RST_STREAM */
    uint64_t fed;  /* what the connection had read when it was begun */
    const char *out;
    size_t out_n;
    bool out_last, out_ended, out_deferred;
    char *trailers; /* AG__CLIENT_TRAILER + 1 bytes, or NULL */
    uint32_t trailers_n;
} ag__client_stream;

enum ag__client_body {
    AG__BODY_NONE,   /* at its end */
    AG__BODY_LENGTH, /* `left` bytes to come */
    AG__BODY_CHUNKS,
    AG__BODY_END, /* up to the connection's end */
};

typedef struct ag__client_gzip ag__client_gzip;

/* The strings of a request, made once and changed by redirects. */
typedef struct ag__client_ask {
    const char *method; /* the program's, until ag_http_client_do returns */
    char shown[24];     /* of the method, for messages */
    bool is_head;
    bool body_dropped;    /* by a redirect */
    bool secrets_dropped; /* likewise Authorization and Cookie */
    bool expects, closes; /* "Expect: 100-continue", "Connection: close" */
    bool wants_gzip;      /* we have asked for it, not the program */
    char *basic;          /* Authorization from a URL, malloc'ed */
    char *referer;        /* malloc'ed */
} ag__client_ask;

struct ag_http_reply {
    ag_http_client *client;      /* One reference. */
    ag__client_link *link;       /* NULL once given back; constant while there is a sender */
    const ag__client_wire *wire; /* of the link; likewise */
    ag__client_sender *sender;
    const ag_http_client_request *req; /* until ag_http_client_do returns */
    ag__client_ask ask;
    ag__url url;
    int error; /* sticky */
    char why[AG__CLIENT_WHY];

    ag__http_head head; /* of the answer, in `in` */
    uint32_t head_at;   /* where it begins: behind 1xx answers */
    uint32_t body_from; /* where body bytes may be put */
    bool answered;      /* there is an answer */
    bool was_reused, any_byte;
    bool body_started; /* a sender was started: the body is, or may be, not at its beginning */
    bool broken;       /* the request could not be sent */
    bool keeps;        /* the connection may serve another request */
    bool is_hidden;    /* gzip: Content-Encoding and Content-Length are not shown */

    uint8_t body; /* enum ag__client_body */
    int64_t left;
    ag__http_chunked chunks;
    uint32_t decoded_at, decoded_n; /* chunks: decoded bytes in `in` */
    char *trailers;                 /* AG__CLIENT_TRAILER + 1 bytes, or NULL; stays for the next */
    bool has_trailers;              /* they are complete, and ended by NULs */
    ag__client_gzip *gzip;
    ag__client_stream stream;
    char *all; /* of ag_http_reply_read_all */

    char *in;                   /* in_own or malloc'ed */
    uint32_t in_size, at, in_n; /* unread bytes: in[at..in_n) */
    ag__http_field *fields;     /* behind this struct */
    char in_own[AG__CLIENT_IN];
};

/* Remembers the first error; `fmt` says what was being done. Returns: the error. */
int ag__reply_fail(ag_http_reply *r, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* client_request.c */
/* Looks at all of a request that can be wrong. Returns: 0, or the reply's error. */
int ag__client_check(ag_http_reply *r);
/* Writes the head into r->in. Returns: its length, or an error. */
int64_t ag__client_head_write(ag_http_reply *r, const ag__client_route *route);
/* Bytes of body; -1 if that is not known. */
int64_t ag__client_body_length(const ag_http_reply *r);
/* The value of a request's field, NULL if there is none. */
const char *ag__client_field(const ag_http_client_request *req, const char *lower);

/* client_send.c */
/* Sends head[0..n), with a small body, or with a sender for the rest; a body that is to wait for
   "100 Continue" stays here. */
int ag__client_send(ag_http_reply *r, size_t n);
/* Starts the sender for the body. */
int ag__client_send_body(ag_http_reply *r);
bool ag__client_body_waits(const ag_http_reply *r);
/* The answer's head has come. */
void ag__client_sender_head_came(ag__client_sender *s);
/* Ends it. Returns: true if the whole body had been sent; waits for that, if it is `kept`, a
   moment. */
bool ag__client_sender_end(ag_http_reply *r, bool kept);

/* client_reply.c */
ag_http_reply *ag__reply_new(ag_http_client *client);
void ag__reply_destroy(void *reply);
/* Reads the answer's head and prepares its body. Returns: 0 or the error, not yet the reply's. */
int ag__reply_head(ag_http_reply *r, char *why);
/* Gives the link back. Once; afterwards r->link is NULL. */
void ag__reply_release(ag_http_reply *r, bool keep);
/* Ready for another answer: another attempt, a redirect. */
void ag__reply_reset(ag_http_reply *r);
/* Drops what there is of the body without waiting, and gives the link back or closes it. */
void ag__reply_finish(ag_http_reply *r);
/* As ag_http_reply_read, of a body that may be packed. */
ssize_t ag__reply_read_raw(ag_http_reply *r, char *buf, size_t n);

/* client_h1.c; client_h2_stream.c, or client_h2_none.c */
extern const ag__client_wire ag__client_wire_1, ag__client_wire_2;
/* The deadline for the next wait; set only once in a while. */
void ag__link_bound_read(ag__client_link *link, ag_time ns, ag_time now);

/* client_gzip.c */
bool ag__client_has_gzip(void);
ag__client_gzip *ag__gzip_new(void);
void ag__gzip_free(ag__client_gzip *z);
/* Reads unpacked bytes. */
ssize_t ag__gzip_read(ag__client_gzip *z, ag_http_reply *r, char *buf, size_t n);

/* client_jar.c */
/* The value of a field Cookie for this URL; malloc'ed, NULL if there is none. */
char *ag__jar_cookies(ag_http_jar *jar, const ag__url *u);
/* Takes a Set-Cookie of this URL. */
void ag__jar_take(ag_http_jar *jar, const ag__url *u, ag__http_text set_cookie);

#endif
