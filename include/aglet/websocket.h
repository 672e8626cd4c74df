/* SPDX-License-Identifier: MIT */
/*
 * aglet/websocket.h - WebSocket, RFC 6455: server and client. Link with -laglet-http as well.
 *
 *     static void echo(ag_http_request *req, ag_http_response *res) {
 *         ag_ws *ws;
 *         const char *data;
 *         size_t n;
 *         int type;
 *         if (ag_ws_accept(req, res, NULL, &ws) != 0)
 *             return;                                  // the client has been told
 *         ag_defer(ag_ws_unref, ws);
 *         while ((type = ag_ws_read(ws, &data, &n)) > 0)
 *             ag_ws_write(ws, type, data, n);
 *     }
 *
 * Pings are answered, silent peers pinged, and the closing handshake is done by the library, in the
 * calls that read: so somebody should always read, or wish for something to read with
 * ag_ws_when_readable, which holds no goroutine, no stack and no buffer meanwhile.
 *
 * Several goroutines may write; messages go out one after the other, each whole. Several may read;
 * they take turns. A writer waits until the system has taken its message: a peer that does not read
 * holds up its writers, for write_ns at most.
 *
 * Errors. A call that was ended by a deadline or by its context (-ETIMEDOUT, -ECANCELED) while it
 * read has lost nothing: the next one goes on. Every other error ends the WebSocket, and is what
 * reads return from then on; writes return -EPIPE. What the peer does wrong is answered with a
 * Close frame that says so: 1002 for the protocol, 1007 for text that is not UTF-8, 1009 for a
 * message that is too large.
 *
 * A WebSocket is reference counted with ag_ws_ref and ag_ws_unref, usable by any goroutine, never
 * copied.
 */
#ifndef AGLET_WEBSOCKET_H
#define AGLET_WEBSOCKET_H

#include <aglet/http.h>

AG__BEGIN

typedef struct ag_ws ag_ws;

/** Kinds of message. */
enum { AG_WS_TEXT = 1, AG_WS_BINARY = 2 };

/** Reasons to close, RFC 6455 7.4.1. 3000 to 3999 are registered for protocols above, 4000 to 4999
 * are the program's own. */
enum {
    AG_WS_NORMAL = 1000,
    AG_WS_GOING_AWAY = 1001,
    AG_WS_PROTOCOL_ERROR = 1002,
    AG_WS_UNSUPPORTED = 1003,
    AG_WS_NO_CODE = 1005,  /* never sent: a Close without a code */
    AG_WS_ABNORMAL = 1006, /* never sent: an end without a Close */
    AG_WS_BAD_TEXT = 1007,
    AG_WS_POLICY = 1008,
    AG_WS_TOO_LARGE = 1009,
    AG_WS_INTERNAL = 1011,
    AG_WS_TRY_LATER = 1013
};

/**
 * Limits and wishes. A number that is zero or less means the default: there is no "unlimited". May
 * be copied; read by ag_ws_accept and ag_ws_dial, the caller keeps it and what it points to.
 */
typedef struct ag_ws_options {
    int64_t message_max; /* bytes of a message that ag_ws_read takes: 1 MiB */
    ag_time write_ns;    /* for the system to take a piece of message of up to 64 KiB: 30 s; larger
                            messages get more, at 4 KiB a second */
    ag_time ping_ns;     /* silence after which the peer is pinged: 30 s */
    ag_time pong_ns;     /* then for it to say something, anything: 30 s. Counts only while somebody
                            reads or wishes to */
    ag_time close_ns;    /* for the peer to answer a Close: 5 s */
    bool compress;       /* permessage-deflate (RFC 7692), if the peer wants it, too: messages of 64
                            bytes and more are compressed, each by itself. Off by default: it costs
                            processor time, and sizes tell who listens to an encrypted connection
                            something of the contents. Nothing without zlib */
    const char *protocols; /* subprotocols, as "chat.v2, chat.v1". Server: those it speaks, the best
                              first; the first that the client offers, too, is chosen; if none is,
                              the WebSocket has none. Client: those it offers */
    /* Server: who may connect from a browser, by the field Origin, as "app.example.com,
       *.example.org, https://other.example:8443"; "*": from everywhere. NULL: the origin's host and
       port must be those of Host. Clients that send no Origin are no browsers, and let in. */
    const char *origins;
    /* Client. */
    ag_time handshake_ns;      /* to connect and shake hands: 10 s */
    const char *const *fields; /* more of the request: name, value, name, value … NULL */
    /* Client: puts TLS on a connection for wss://, as {"h.example", no port}; without it such
       addresses are refused with -EPROTONOSUPPORT. Returns 0 or a negative errno. */
    int (*secure)(ag_conn *c, const char *host, void *arg);
    void *secure_arg;
} ag_ws_options;

/* ---- Beginning ------------------------------------------------------------------------------ */

/**
 * Answers a handshake and takes the connection over (ag_http_upgrade). `options` may be NULL. The
 * fields of `res` go out with the 101. A request that is none is answered: 400, 405 for a method
 * other than GET, 426 for none or another version, 403 for an origin that may not, 503 in a stop.
 * The handler may go on with the WebSocket, or leave it to others and return.
 * When the server stops, the WebSocket is closed with AG_WS_GOING_AWAY.
 * Waits: for the client, as ag_http_flush. Returns: 0 and *ret_ws with one reference; -EPROTO no
 * proper handshake, -EACCES the origin, -ECANCELED a stop, -ENOMEM, -EALREADY the response has
 * begun; or ag_http_upgrade's errors.
 */
AG_API int ag_ws_accept(ag_http_request *req, ag_http_response *res, const ag_ws_options *options,
                        ag_ws **ret_ws);

/**
 * Connects to "ws://host[:port]/path?query"; for wss:// see `secure`. `options` may be NULL.
 * Waits: until the handshake is done, handshake_ns at most.
 * Returns: 0 and *ret_ws with one reference; the HTTP status, above 0, of a server that refuses;
 * -EINVAL for an address, a protocol or a field that is malformed, -EPROTO for a wrong answer,
 * -EPROTONOSUPPORT, -ETIMEDOUT, -ENOMEM, ag_dial's and ag_read's errors.
 */
AG_API int ag_ws_dial(const char *url, const ag_ws_options *options, ag_ws **ret_ws);

/** One more reference. Returns: `ws`. */
AG_API ag_ws *ag_ws_ref(ag_ws *ws);
/** Drops a reference; the last one frees it. One that is still open is cut then, without a Close:
 * the peer sees AG_WS_ABNORMAL. NULL is accepted. */
AG_API void ag_ws_unref(ag_ws *ws);

/** The subprotocol that was agreed on; "" for none. Owns: `ws`. */
AG_API const char *ag_ws_protocol(ag_ws *ws);
/** The connection, for its addresses. Owns: `ws`. Reading, writing and closing are `ws`'s. */
AG_API ag_conn *ag_ws_conn(ag_ws *ws);

/* ---- Reading -------------------------------------------------------------------------------- */

/**
 * Reads a whole message. What is left of one that ag_ws_next began is dropped.
 * Waits: for the message, and for its turn. Returns: AG_WS_TEXT or AG_WS_BINARY; 0 after the
 * closing handshake, then and ever after; -EMSGSIZE above message_max, -EPROTO, -EILSEQ text that
 * is not UTF-8, -ECONNRESET the connection has ended without a Close, -ETIMEDOUT the read deadline,
 * the current context, or a peer that does not answer a ping or a Close, -ECANCELED the current
 * context, or cut by a stop, -ENOMEM …
 * Owns: `ws`; *ret_data is valid until the next call that reads, and ended by a NUL that does not
 * count in *ret_n. ret_n may be NULL.
 */
AG_API int ag_ws_read(ag_ws *ws, const char **ret_data, size_t *ret_n);

/** Begins the next message, to be read in pieces; what is left of the one before is dropped.
 * Waits, Returns: as ag_ws_read; there is no limit of its size. Go: gorilla's NextReader. */
AG_API int ag_ws_next(ag_ws *ws);
/** The next bytes of the message that ag_ws_next began, n > 0. Text is checked as it comes; a
 * character may be cut between two pieces. Waits, Returns: bytes; 0 at the end of the message (and
 * without one); else as ag_ws_read, -ECONNABORTED for a Close within the message. */
AG_API ssize_t ag_ws_read_some(ag_ws *ws, void *buf, size_t n);

/**
 * ag_ws_when_readable(ws, fn, args...): starts fn(args...) as a goroutine once a message begins or
 * the WebSocket has ended, now or later. Until then no goroutine, no stack and no buffer is held;
 * pings are answered without fn. One such wish at a time; it has the turn to read.
 * Returns: 0, -EBUSY when somebody reads or wishes already, -ENOMEM.
 * Owns: the pending wish, and fn while it runs, hold a reference of ws.
 */
#define ag_ws_when_readable(ws, ...)                                                               \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__ws_when_readable((ws), AG__FN(__VA_ARGS__), ag__a);                                    \
    })

/* ---- Writing -------------------------------------------------------------------------------- */

/**
 * Sends a message, AG_WS_TEXT or AG_WS_BINARY. Text must be UTF-8.
 * Waits: until the system has taken it, and for its turn. Returns: 0; -EPIPE after a Close was sent
 * or the WebSocket has ended, -EILSEQ, -ENOMEM: nothing was sent; -ETIMEDOUT, -ECONNRESET …: a part
 * may have been, so the WebSocket has ended; -ETIMEDOUT or -ECANCELED of the current context while
 * it waited for its turn: nothing was sent, and it goes on. Panics: `websocket: bad message type`.
 */
AG_API int ag_ws_write(ag_ws *ws, int type, const void *data, size_t n);
/** ag_ws_write of a string as text. */
AG_API int ag_ws_text(ag_ws *ws, const char *text);

/** Begins a message that is sent in pieces, each a frame of its own; others that write wait until
 * ag_ws_end. Its text is not checked. Waits: for the turn. Returns: 0, -EPIPE; -ETIMEDOUT,
 * -ECANCELED of the current context. Panics: as ag_ws_write. */
AG_API int ag_ws_begin(ag_ws *ws, int type);
/** A piece of the message that this caller began. Waits, Returns: as ag_ws_write. */
AG_API int ag_ws_write_some(ag_ws *ws, const void *data, size_t n);
/** Its end; to be called after every ag_ws_begin that returned 0. Returns: as ag_ws_write. */
AG_API int ag_ws_end(ag_ws *ws);

/** Sends a Ping of up to 125 bytes; also between the pieces of a message. The answer is dropped.
 * Returns: as ag_ws_write, -EINVAL when it is longer. */
AG_API int ag_ws_ping(ag_ws *ws, const void *data, size_t n);

/** When waits end, points of ag_now(), now and later; 0: none. A write has write_ns besides; one
 * that is late ends the WebSocket. */
AG_API void ag_ws_set_read_deadline(ag_ws *ws, ag_time t);
AG_API void ag_ws_set_write_deadline(ag_ws *ws, ag_time t);

/* ---- The end -------------------------------------------------------------------------------- */

/**
 * Closes: sends a Close with `code` (0: none) and `reason` (NULL: none; up to 123 bytes of UTF-8),
 * and waits for the peer's; messages that come meanwhile go to who reads, else they are dropped.
 * After close_ns the connection is cut. Readers get 0 or the error; what is still to be written is
 * refused. May be called by any goroutine, several times; the first code counts.
 * Waits: close_ns at most, and for a frame that is being written. Returns: 0 when the handshake is
 * complete, -ETIMEDOUT, -EINVAL for a code that can't be sent or a reason; the error with which the
 * WebSocket has ended before.
 */
AG_API int ag_ws_close(ag_ws *ws, int code, const char *reason);

/** The code of the peer's Close: AG_WS_NO_CODE if it gave none, AG_WS_ABNORMAL if the end came
 * without one; 0 while it is open. */
AG_API int ag_ws_close_code(ag_ws *ws);
/** The reason of the peer's Close, "" if it gave none. Owns: `ws`. */
AG_API const char *ag_ws_close_reason(ag_ws *ws);

/* The function behind the macro. */
AG_API int ag__ws_when_readable(ag_ws *ws, ag__fn fn, const intptr_t args[6]);

AG__END
#endif
