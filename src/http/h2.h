/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 (RFC 9113): one connection, many streams. nghttp2 knows the frames, HPACK, the states of
 * streams and their windows; this knows goroutines, buffers and limits.
 *
 *     client --> reader --> nghttp2 --> a work for each stream, READY --> its handler
 *                              |                                             |
 *     client <-- writer <-- out <--------------------- frames ---------------+
 *
 * The reader is the connection's run (conn.c): started when there is something to read, gone after
 * that. What has become READY by that it runs itself, one handler after the other, once it has made
 * the next wish; then it writes what they have answered, in one go - earlier, as in HTTP/1, before
 * a handler that is not known to be fast, and when it takes long. It does not know which handler
 * will wait. So before each one it sees to it that a helper is queued: a goroutine that does what
 * is left, and so is a reader without reading. Mostly nothing is left when its turn comes, and a
 * request has cost neither a goroutine of its own nor a write; when a handler waits, or another
 * processor has nothing to do, it goes on with the rest.
 *
 * Frames that come when no helper is queued are written by a goroutine that lives while there are
 * some. So a connection between two requests holds no goroutine and no buffer, only nghttp2's
 * state.
 *
 * Who may touch what:
 *
 *     session, streams, out ...  who holds h2->lock, which is never held while anybody waits for
 *                                the network. It may be held while s->lock is taken, never the
 *                                other way round.
 *     the socket's input         the reader
 *     the socket's output        the writer: who has set `writing`
 *     a work                     under h2->lock, until its handler is started and after that has
 *                                returned; between them its handler, but for `stream`, which is
 *                                guarded by h2->lock
 *
 * Life of a stream, as the work sees it:
 *
 *     HEAD --HEADERS complete--> READY --> RUNS --handler has returned--> put back to the pool
 *       +--reset, malformed--------------------------------------------------^
 *
 * Invariants, when nobody holds the lock: while a stream is READY, a helper is queued. While there
 * is something in `out`, a helper is queued or somebody writes.
 *
 * nghttp2 may know the stream for longer (its client has not ended it) or not as long (it was
 * reset): then `closed` is set, and reading and writing fail.
 *
 * A response's bytes are taken from where the handler has them, into a frame, when the windows and
 * the room in `out` allow it; until then ag_http_write waits, so nothing piles up. A request's
 * bytes are kept in the stream until the handler reads them, and only then does the client get
 * window for more: a stream's window bounds what one holds, the connection's what all do.
 *
 * The end of a connection:
 *
 *     notice   a stop: GOAWAY with the largest id; what still comes is answered
 *     closing  GOAWAY with the last id that is answered. When no handler is left and all is
 *              written, our direction is shut down and the connection lingers (server.h)
 *     over     a connection error, or the client's GOAWAY and its last stream: nothing is read any
 *              more, the handlers are told; lingers at once
 *     broken   the client has gone or does not take what we write: closed at once
 *
 * References: the reader's wish or run, each goroutine that runs handlers or writes. The last one
 * frees h2 and hc.
 */
#ifndef AG_HTTP_H2_H
#define AG_HTTP_H2_H

#include "http/h2_ends.h"
#include "http/server.h"

#ifdef AG_TINY
enum { AG__H2_WINDOW = 65535, AG__H2_CONN_WINDOW = 262144 };
#else
enum {
    AG__H2_WINDOW = 256 * 1024,   /* of a stream: bytes of body that nobody has read */
    AG__H2_CONN_WINDOW = 1 << 20, /* of all streams of a connection together */
};
#endif
enum {
    AG__H2_RESETS = 200,         /* streams a client may make useless at once … */
    AG__H2_RESETS_RATE = 100,    /* … and then, in a second */
    AG__H2_CHATTER = 1000,       /* frames that do nothing for a request, at once … */
    AG__H2_CHATTER_RATE = 200,   /* … and then, in a second … */
    AG__H2_CHATTER_REQUEST = 4,  /* … and with each request or piece of response … */
    AG__H2_CHATTER_BYTES = 1024, /* … and with so many bytes of a body */
    AG__H2_DROP_UNTIL = 16384,   /* bytes of window: a frame's worth */
    AG__H2_IN_VAIN = 65536,      /* bytes without a request or a body, beyond two heads */
    AG__H2_QUEUE = 2000,         /* frames that nghttp2 has ready to be sent */
};

struct ag__http_h2 {
    ag__http_conn *hc;     /* Constant. */
    _Atomic uint32_t refs; /* Atomic; see above. */
    ag_mutex lock;

    /* Guarded by lock. */
    nghttp2_session *session;
    ag__http_stream *streams; /* HEAD, READY and RUNS */
    ag__http_stream *ready, *ready_last;
    ag__http_stream *latest; /* that has begun, until it is closed; or NULL */
    uint32_t handlers;       /* READY and RUNS */
    bool helped;             /* a helper is queued that has not begun */
    ag_ctx *spare_ctx;       /* of a stream that is done, with its reference; or NULL */
    int broken;              /* 0, or why the socket is of no use any more */
    bool reading, writing;   /* there is a reader at work, a writer */
    bool closing, over, lingering;
    ag_time now;        /* when the reader got what it feeds */
    ag_time head_began; /* of the head that has come in part, or 0 */
    ag_time refilled_at;
    int32_t resets, chatter; /* what is left of the budgets */
    uint64_t in_vain;        /* bytes since there was something of use */
    ag__h2_out out;          /* what the writer takes */
};

static inline ag__http_work *ag__h2_work(ag__http_stream *st) {
    return (ag__http_work *)(void *)((char *)st - offsetof(ag__http_work, stream));
}

/* h2.c. All with the lock, unless they say otherwise. */
void ag__h2_lock(ag__http_h2 *h2);
/* Lets go of the lock, and of the connection as far as that is due. */
void ag__h2_unlock(ag__http_h2 *h2);
/* Without the lock. */
void ag__h2_unref(ag__http_h2 *h2);
/* Puts what nghttp2 has to send into `out`, as far as there is room, and starts the writer. */
void ag__h2_push(ag__http_h2 *h2);
/* Writes what is there, unless somebody does; lets go of the lock meanwhile. */
void ag__h2_write_here(ag__http_h2 *h2);
/* GOAWAY with the last id that is answered. */
void ag__h2_close(ag__http_h2 *h2);
/* A client that wears us out, or what nghttp2 can't go on from: GOAWAY with that error. */
void ag__h2_end_with(ag__http_h2 *h2, uint32_t error);

/* h2_session.c: nghttp2's callbacks. */
/* Returns: false when out of memory. */
bool ag__h2_session_new(ag__http_h2 *h2);
/* Gives the budgets what the time since has brought. */
void ag__h2_refill(ag__http_h2 *h2);
/* Useful work: as many frames more may do nothing. */
void ag__h2_earn(ag__http_h2 *h2, int64_t frames);

/* h2_head.c: a work's `in` from the fields of a request. */
void ag__h2_head_begin(ag__http_work *w);
void ag__h2_head_field(ag__http_work *w, ag__http_text name, ag__http_text value);
/* Sets w->head and stream.verdict: the length of the head, or why it is refused. */
void ag__h2_head_end(ag__http_work *w, bool has_body);

/* h2_stream.c: what a handler does to its stream. */
/* The stream is no more, or the connection; whoever waits is woken. */
void ag__h2_stream_closed(ag__http_stream *st, bool in_vain);
void ag__h2_stream_wake(ag__http_stream *st);
/* Waits until somebody wakes it, or up to `deadline`; lets go of the lock meanwhile. Returns: 0,
   -ETIMEDOUT, -ECANCELED. One who answers waits also when the request's context has ended. */
int ag__h2_stream_wait(ag__http_stream *st, ag_time deadline, bool answers);
/* Keeps a field of its trailers. Returns: false if they are too large or memory is out. */
bool ag__h2_stream_trailer(ag__http_stream *st, ag__http_text name, ag__http_text value);
/* As ag__http_wire. */
int ag__h2_flush(ag__http_work *w);
ag_ctx *ag__h2_context(ag__http_work *w);
void ag__h2_context_end(ag__http_work *w);
/* Keeps what came of its body. Returns: false when out of memory. */
bool ag__h2_stream_feed(ag__http_stream *st, const uint8_t *data, size_t n);
/* Links it, in the state HEAD, and out of it: then the work is back in the pool. */
void ag__h2_stream_add(ag__http_h2 *h2, ag__http_work *w, int32_t id);
void ag__h2_stream_drop(ag__http_stream *st);
/* Makes it READY. */
void ag__h2_stream_start(ag__http_stream *st);
/* If something is READY, somebody will run it, whatever the caller does. Without memory for that
   it is refused. */
void ag__h2_get_help(ag__http_h2 *h2);
/* Runs what is READY, writes, and gives the lock and the caller's reference back. Does not return
   when a handler leaves by a panic or ag_goexit. */
void ag__h2_run_ready(ag__http_h2 *h2);
/* Of a body that nobody reads, some has come: resets its stream when there is no room for more. */
void ag__h2_body_dropped(nghttp2_session *session, int32_t id, bool at_once);
/* Of a body: as ag__http_wire. */
ssize_t ag__h2_body_read(ag_http_request *req, char *buf, size_t n);

/* h2_response.c */
extern const ag__http_wire ag__http_wire_2;
/* Where nghttp2 gets the DATA of a response. */
ssize_t ag__h2_take_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *user_data);

#endif
