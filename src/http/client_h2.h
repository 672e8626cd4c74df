/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 in the client (RFC 9113): one connection, many requests. nghttp2 knows the frames, HPACK,
 * the states of streams and their windows; this knows goroutines, buffers and limits.
 *
 *     replies, senders --> frames --> out --> writer --> server
 *          ^                                                |
 *          +------- bytes of a stream <-- nghttp2 <-- reader
 *
 * The reader is started by the poller when there is something to read, and gone after that. The
 * writer is a goroutine that lives while there are frames to write. So a connection that is idle
 * holds no goroutine and no buffer, and answers PING and SETTINGS all the same. Neither of them
 * runs in a request's context: what ends a request must not end a write in the middle of a frame.
 *
 * Who may touch what:
 *
 *     session, streams, out ...  who holds h2->lock, which is never held while anybody waits. The
 *                                client's lock, of the pool, may be taken while it is held, never
 *                                the other way round.
 *     the socket's input         the reader
 *     the socket's output        the writer
 *     a stream                   h2->lock; what client.h calls the reply's: its reply alone
 *     link                       the pool, see client.h
 *
 * A stream is a part of its reply. It is known to nghttp2 from `send` until it is closed by either
 * side or let go of by its reply, whichever is first; then nobody looks at the program's memory any
 * more, which a body is taken from without a copy.
 *
 * An answer's head is written down in the stream's buffer as HTTP/1.1 would have it, and its body
 * behind that, so the logic above reads both versions in one way (client_reply.c) and by one
 * parser. The window is given back as the reply takes bytes out: what one stream holds is bounded
 * by its window. That of the connection is as good as without end, or replies that nobody reads
 * would hold up those that somebody does.
 *
 * The end of a connection:
 *
 *     retired  the pool gives it to nobody any more: the server's GOAWAY, or ours. What runs goes
 * on over     a connection error, ours or the server's last word: all streams are told. Closed when
 *              what there is to say has been written
 *     mute     the server has gone: nothing can be written any more. Retired, too; but what the
 *              server said before that is still read, answers and the reason of its going
 *     broken   nothing can be read or written any more
 *
 * References: the pool's, the reader's wish or run, the writer's. The last one frees it.
 */
#ifndef AG_HTTP_CLIENT_H2_H
#define AG_HTTP_CLIENT_H2_H

#include "http/client.h"
#include "http/h2_ends.h"

#ifdef AG_TINY
enum { AG__CH2_IN = 512, AG__CH2_WINDOW = 65535 };
#else
enum {
    AG__CH2_IN = 32768,       /* bytes that the reader takes at once */
    AG__CH2_WINDOW = 1 << 20, /* of a stream: bytes of body that nobody has read */
};
#endif
enum {
    AG__CH2_CONN_WINDOW = 1 << 30,
    AG__CH2_STREAMS = 1000,      /* requests at once on a connection, whatever the server allows */
    AG__CH2_CHATTER = 1000,      /* frames that do nothing for a request, at once … */
    AG__CH2_CHATTER_RATE = 200,  /* … and then, in a second … */
    AG__CH2_CHATTER_HEAD = 8,    /* … and with each head … */
    AG__CH2_CHATTER_BYTES = 512, /* … and with so many bytes of a body */
    AG__CH2_IN_VAIN = 65536,     /* bytes without a head or a body, beyond two heads */
    AG__CH2_QUEUE = 2000,        /* frames that nghttp2 has ready to be sent, beyond the streams' */
};

/* For the answer to a PING that looks for life, before the next request; between two of them while
   nothing else comes. */
#define AG__CH2_PONG (5 * AG_SEC)
#define AG__CH2_PING_PAUSE (10 * AG_SEC)

struct ag__client_h2 {
    ag__client_link *link;  /* Constant; freed with this. */
    ag_http_client *client; /* Constant. One reference. */
    _Atomic uint32_t refs;  /* Counts up relaxed, by who has one; down with acquire and release,
                               whose partner is the last one's. */
    ag_mutex lock;

    /* Guarded by lock. */
    nghttp2_session *session;
    ag__client_stream *streams;
    int broken;      /* 0, or why the socket is of no use any more */
    bool writing;    /* there is a writer */
    bool over, mute; /* see above */
    bool heard;      /* the server's SETTINGS have come */
    const char *why; /* it is over, if that is known */
    ag_time now;     /* when the reader got what it feeds */
    ag_time refilled_at;
    ag_time pinged_at; /* the last PING went out */
    ag_time silent_at; /* that PING, if nothing has come since the request before it, or 0 */
    int32_t held;      /* streams whose end the PING that is under way confirms */
    bool is_quiet;     /* no head and no body has come since the last one was answered */
    int32_t chatter;   /* what is left of the budget */
    uint64_t unwanted; /* bytes of window of streams that were reset: those may come yet */
    uint64_t in_vain;  /* bytes since there was something of use */
    uint64_t fed;      /* how often something was read */
    ag__h2_out out;    /* what the writer takes */
};

/* client_h2.c. All with the lock, unless they say otherwise. */
void ag__ch2_lock(ag__client_h2 *h2);
void ag__ch2_unlock(ag__client_h2 *h2);
/* Puts what nghttp2 has to send into `out`, as far as there is room, and starts the writer. */
void ag__ch2_push(ag__client_h2 *h2);
/* A server that breaks the rules or wears us out, or what nghttp2 can't go on from. */
void ag__ch2_end_with(ag__client_h2 *h2, uint32_t error, const char *why);
/* The socket is of no use any more. */
void ag__ch2_lose(ag__client_h2 *h2, int error);
/* A stream was reset of which the server had not sent all: its end is waited for by a PING. */
void ag__ch2_ping(ag__client_h2 *h2, bool silent);
void ag__ch2_pong(ag__client_h2 *h2);

/* client_h2_session.c: nghttp2's callbacks. */
/* Returns: false when out of memory. */
bool ag__ch2_session_new(ag__client_h2 *h2);
/* Gives the budget what the time since has brought. */
void ag__ch2_refill(ag__client_h2 *h2);
/* Useful work: as many frames more may do nothing. */
void ag__ch2_earn(ag__client_h2 *h2, int64_t frames);

/* client_h2_stream.c */
void ag__ch2_event_tell(ag__client_event *e);
/* It is over with an error of ours: its reply is told, the server, too. */
void ag__ch2_stream_fail(ag__client_stream *st, int error);
/* nghttp2 knows it no more. */
void ag__ch2_stream_closed(ag__client_stream *st, uint32_t code);
/* A line of a head; bytes of a body. Both fail the stream if that can't be. */
void ag__ch2_stream_head(ag__client_stream *st, ag__http_text a, ag__http_text between,
                         ag__http_text b);
void ag__ch2_stream_body(ag__client_stream *st, const uint8_t *data, size_t n);
void ag__ch2_stream_trailer(ag__client_stream *st, ag__http_text name, ag__http_text value);
/* Where nghttp2 gets the DATA of a request. */
ssize_t ag__ch2_take_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                          uint32_t *flags, nghttp2_data_source *source, void *user_data);

#endif
