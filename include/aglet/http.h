/* SPDX-License-Identifier: MIT */
/*
 * aglet/http.h - an HTTP/1.1 and HTTP/2 server. Link with -laglet-http as well (pkg-config
 * aglet-http).
 *
 *     static void hello(ag_http_request *req, ag_http_response *res) {
 *         ag_http_text(res, 200, ag_http_path_value(req, "name"));
 *     }
 *     static int app(void *arg) {
 *         ag_listener *l;
 *         ag_http_server *s = ag_http_server_new(NULL);
 *         ag_http_handle(s, "GET /hello/{name}", hello, NULL);
 *         if (ag_listen("tcp", ":8080", &l) < 0) return 1;
 *         return ag_http_serve(s, l);
 *     }
 *
 * A handler runs in a goroutine and may wait for whatever it likes. It gets a request, whose head
 * has been read and checked strictly (RFC 9110, RFC 9112), and a response to fill. Both are valid
 * until it returns, belong to its goroutine, and are freed by the server; so are all strings and
 * buffers that the functions below return, unless they say otherwise. What the handler wrote is
 * sent when it returns; an untouched response is 200 with an empty body. ag_defer works as
 * everywhere; a panic that leaves a handler is printed on stderr with its backtrace, answered
 * with 500 if nothing was sent yet, and ends the connection; the server goes on.
 *
 * Connections are kept alive; requests that a client sends without waiting are answered in their
 * order, several in one write. A connection between two requests holds no goroutine, no stack and
 * no buffer.
 *
 * HTTP/2 is spoken, where nghttp2 was found when the library was built, on connections for which
 * TLS has agreed on "h2" (aglet/tls.h) or that begin with its preface. Each of its requests is
 * handled in a goroutine of its own; what is said here of the end of a connection because of one
 * request is said of the end of its stream then: the others go on.
 *
 * Limits. Every wait for a client has one, and none can be switched off: see ag_http_options.
 *
 * Out of memory. What the server needs for a connection or a request and does not get ends that
 * connection, with an answer if there is room for one; the server goes on.
 */
#ifndef AGLET_HTTP_H
#define AGLET_HTTP_H

#include <aglet/ctx.h>
#include <aglet/net.h>

AG__BEGIN

/** A server: routes, limits, connections, counters. Made by ag_http_server_new, never copied; any
 * goroutine may use it once the routes are registered; freed by ag_http_server_free. */
typedef struct ag_http_server ag_http_server;
/** A request, for the time of its handler. Not copyable; one goroutine at a time. */
typedef struct ag_http_request ag_http_request;
/** Its response; the same rules. */
typedef struct ag_http_response ag_http_response;

/** What answers a request. */
typedef void (*ag_http_handler)(ag_http_request *req, ag_http_response *res);

/* ---- Server --------------------------------------------------------------------------------- */

/**
 * Limits. A member that is zero or less means the default: there is no "unlimited". May be copied;
 * read by ag_http_server_new, the caller keeps it.
 */
typedef struct ag_http_options {
    ag_time head_ns;      /* to receive a request's head, from its first byte: 10 s, then 408; and
                             for the first byte of a new connection, which is just closed */
    ag_time idle_ns;      /* between two requests: 75 s, longer than the proxies' 60 s */
    ag_time body_ns;      /* to receive a request's body, in all: 5 min */
    int64_t body_rate;    /* bytes a second that a body must come with, after the first 10 s: 500 */
    ag_time write_ns;     /* to take a piece of response of up to 64 KiB: 30 s; larger pieces get
                             more time, at 4 KiB a second */
    int64_t body_max;     /* bytes of a request's body: 10 MiB; see ag_http_limit_body */
    uint32_t head_max;    /* bytes of a request's head: 64 KiB; from 1 KiB to 1 MiB */
    uint32_t fields_max;  /* header fields of a request: 100, at most 1,000 */
    uint32_t streams_max; /* HTTP/2: requests of one connection at a time: 100, at most 10,000 */
    uint32_t routes_max;  /* patterns that can be registered: 1,000 */
    uint32_t conns_max;   /* open connections: 100,000. One more closes the one that has been idle
                             for longest, or, if none is, is answered 503 (with TLS, closed) */
    ag_time slow_ns;      /* from head read to response ready: a request that takes longer leaves
                             what ran before, by ag_trace_keep (aglet/trace.h), when its response
                             is out. Never */
    /* A panic that leaves a handler: AG_HTTP_PANIC_CLOSE ends the connection, or the stream of
     * HTTP/2, and the server goes on; AG_HTTP_PANIC_ABORT ends the process, as one elsewhere does.
     */
    int panic;
    /* Instead of printing it on stderr; runs on the stack that panicked, with the request, NULL
     * between two. NULL: it is printed. */
    void (*on_panic)(ag_http_request *req, const ag_panic_info *info);
} ag_http_options;

enum { AG_HTTP_PANIC_CLOSE = 0, AG_HTTP_PANIC_ABORT = 1 };

/** `options` may be NULL. Returns: the server, NULL when out of memory.
 * Owns: the caller, until ag_http_server_free. */
AG_API ag_http_server *ag_http_server_new(const ag_http_options *options);

/** Stops it at once if it still serves. The memory goes when the last handler has returned. NULL
 * is accepted. */
AG_API void ag_http_server_free(ag_http_server *s);

/**
 * Registers a handler for "[METHOD ][HOST]/path", Go's ServeMux patterns:
 *
 *     /a/b     that path                       /a/{id}       one segment: ag_http_path_value
 *     /a/      it and everything below         /a/{rest...}  the same, with a name
 *     /a/{$}   "/a/" alone                     GET /a        GET and HEAD only
 *
 * The most specific pattern wins; a path that no pattern has is 404, a method that its patterns
 * don't have 405 with Allow. An unclean path ("/a//b", "/a/../b") is redirected to the clean one.
 * `arg` is what ag_http_arg returns in the handler. Owns: the caller keeps `arg`.
 * Panics: for a malformed pattern, one in conflict with another, more than routes_max, once
 * ag_http_serve was called, and when out of memory.
 */
AG_API void ag_http_handle(ag_http_server *s, const char *pattern, ag_http_handler handler,
                           void *arg);

/**
 * Puts `filter` around every handler (also around 404, 405 and redirects), in the order of the
 * calls: the first one is outermost. It answers itself, or calls ag_http_next. Within it,
 * ag_http_arg returns `arg`.
 * Panics: after ag_http_serve, and for more than 16.
 */
AG_API void ag_http_use(ag_http_server *s, ag_http_handler filter, void *arg);

/** In a filter: runs the rest, the next filter or the handler. Waits: as long as that does. */
AG_API void ag_http_next(ag_http_request *req, ag_http_response *res);

/**
 * Accepts connections from `l` and serves them. May be called for several listeners, in a
 * goroutine each. Out of descriptors or memory it closes idle connections and tries again, at most
 * once in some milliseconds.
 * Waits: until a stop is complete, or until the listener is closed otherwise. Go: Serve returns
 * when Shutdown begins.
 * Returns: 0 after a stop, else the listener's error.
 * Owns: closes `l` at the end; the caller's reference stays the caller's.
 */
AG_API int ag_http_serve(ag_http_server *s, ag_listener *l);

/**
 * Stops gracefully: accepts what waits in the listeners' queues (unless they are shared: see
 * ag_listener_share), closes them, answers every request that has arrived, each with "Connection:
 * close", closes the connections that stay idle for limit_ns / 20 (at most 1 s), waits for the
 * handlers, ends the contexts of those that are left limit_ns / 4 (at most 5 s) before the end, so
 * that they can still answer, and after `limit_ns` cuts what is left.
 * Waits: until the last connection is gone, at most about limit_ns; when the current context ends
 * it cuts at once. Not to be called from a handler unless in a goroutine of its own (it would wait
 * for that handler).
 * Returns: how many connections were cut; 0 is a clean stop.
 */
AG_API int64_t ag_http_stop(ag_http_server *s, ag_time limit_ns);

/** True once a stop or a lame duck's time has begun: for readiness probes and long streams, which
 * should end. From: any thread. */
AG_API bool ag_http_stopping(const ag_http_server *s);

/** A context that ends when ag_http_stopping becomes true: for upgraded connections and streams
 * that wait for other things. Owns: the server; take a reference to keep it. */
AG_API ag_ctx *ag_http_until_stop(ag_http_server *s);

/** The first step of a stop, for when others must first be told not to send anybody here: goes on
 * accepting and answering, but each answer says "Connection: close" and ends its connection, so
 * that clients come back, and meet whoever listens by then. Never waits; there is no way back. */
AG_API void ag_http_lame_duck(ag_http_server *s);

/** Ends the contexts of all handlers (ag_http_ctx), of those that run and those that will: for a
 * stop that has no more time. Never waits. */
AG_API void ag_http_cancel(ag_http_server *s);

/** The numbers of the goroutines in which handlers run now, up to `max` of them: for
 * ag_dump_goroutine. Returns: how many there are, also above `max`. */
AG_API size_t ag_http_running(ag_http_server *s, int64_t *ret_ids, size_t max);

/** The limits that are in force. From: any thread. */
AG_API void ag_http_options_read(const ag_http_server *s, ag_http_options *ret_options);

/* ---- Request -------------------------------------------------------------------------------- */

/** "GET", "POST" … as it was sent. */
AG_API const char *ag_http_method(ag_http_request *req);
/** The path as it was sent, percent-encoded, without the query: "/a%20b". "*" for OPTIONS *. */
AG_API const char *ag_http_path(ag_http_request *req);
/** What follows the '?', encoded; "" if nothing does. */
AG_API const char *ag_http_query(ag_http_request *req);
/** Host, in the case it was sent, without the port; "" for HTTP/1.0 without one. */
AG_API const char *ag_http_host(ag_http_request *req);
/** The pattern of the route that answers: "GET /orders/{id}"; "" if none does. For logs and
 * metrics, where a path would give too many values. */
AG_API const char *ag_http_pattern(ag_http_request *req);

/** The decoded value of the wildcard `name` of the pattern. Returns: NULL if it has no such
 * wildcard or memory has run out; "" for an empty rest. */
AG_API const char *ag_http_path_value(ag_http_request *req, const char *name);
/** The decoded value of the first parameter `key` of the query ('+' is a space). Returns: NULL if
 * there is none, its encoding is malformed, or memory has run out. */
AG_API const char *ag_http_query_value(ag_http_request *req, const char *key);

/** The value of the first header field `name`, in any case. Returns: NULL if there is none. */
AG_API const char *ag_http_header(ag_http_request *req, const char *name);
/** The header field number `i`, from 0, in the order in which they came. Returns: false behind the
 * last one; the results may be NULL. */
AG_API bool ag_http_header_at(ag_http_request *req, size_t i, const char **ret_name,
                              const char **ret_value);

/** Bytes of the body: 0 if there is none, -1 if that is not known (chunked). */
AG_API int64_t ag_http_content_length(ag_http_request *req);

/**
 * Reads the body, decoded. A client that waits for "100 Continue" gets it with the first call.
 * Waits: for the client, within body_ns and body_rate.
 * Returns: bytes read, 0 at the end; -EMSGSIZE larger than the limit, -EPROTO malformed, -ETIMEDOUT
 * too slow, -ENOMEM, -ECONNRESET … the client is gone, -ECANCELED the server was stopped. After an
 * error the connection ends with this response, and unless something was sent or the handler set a
 * status of 300 or above, it is 413, 400 or 408, whatever was written.
 */
AG_API ssize_t ag_http_body_read(ag_http_request *req, void *buf, size_t n);

/**
 * Reads the whole rest of the body into memory, `limit` bytes at most, ended by a NUL that does not
 * count. Waits: as ag_http_body_read.
 * Returns: 0, then *ret_body and *ret_n (may be NULL); -EMSGSIZE above the limit, -ENOMEM, or an
 * error of ag_http_body_read.
 */
AG_API int ag_http_body_all(ag_http_request *req, size_t limit, char **ret_body, size_t *ret_n);

/**
 * The value of the first trailer field `name`, which came behind a chunked body. Known once
 * ag_http_body_read has returned 0 or ag_http_body_all has succeeded; the header is never changed
 * by them, and what frames, routes or authenticates a message (RFC 9110 6.5.1: Content-Length,
 * Host, Authorization …) is not among them. Returns: NULL if there is none. Limit: 8 KiB of them,
 * else the body is malformed.
 */
AG_API const char *ag_http_trailer(ag_http_request *req, const char *name);
/** The trailer field number `i`, as ag_http_header_at. */
AG_API bool ag_http_trailer_at(ag_http_request *req, size_t i, const char **ret_name,
                               const char **ret_value);

/** Limits of this request's body instead of the server's; zero or less leaves one as it is. Call it
 * before reading. */
AG_API void ag_http_limit_body(ag_http_request *req, int64_t max_bytes, ag_time ns);

/** The connection: for its addresses, what TLS agreed on, socket options. Reading and writing are
 * the server's, unless ag_http_upgrade took it over. Owns: the server, until the handler returns.
 */
AG_API ag_conn *ag_http_conn(ag_http_request *req);
/** The client's address, "192.0.2.1:50000". */
AG_API const char *ag_http_remote(ag_http_request *req);
/** Whether the client has gone, as ag_conn_peer_is_gone tells: nobody will read the answer. For
 * handlers that take long. Never waits. */
AG_API bool ag_http_client_is_gone(ag_http_request *req);
/**
 * The request's context, which is the current one of the handler and its filters, or above it
 * (aglet/ctx.h). It ends, and with it every wait of the handler and of goroutines it has started,
 * when the client goes (-ECONNRESET is its ag_ctx_cause), and shortly before ag_http_stop cuts what
 * is left (-ESHUTDOWN). When the client has gone: ag_conn_cancel_when_gone; one that ends its
 * sending while requests of it are unread is not gone before the last of them runs. What the
 * handler writes after the end is sent all the same, to whom still reads. It does not end with the
 * handler, but nothing of this connection ends it any more then; ag_http_after runs without it.
 * Go: r.Context(), which ends when the handler returns, too.
 * Owns: the request. Returns: never NULL.
 */
AG_API ag_ctx *ag_http_ctx(ag_http_request *req);
/** 1 or 2: HTTP/1.x or HTTP/2. */
AG_API int ag_http_major_version(ag_http_request *req);
/** 0 for HTTP/1.0, 1 for HTTP/1.1 and all that came later: whether the client knows chunks, 100
 * Continue and the like. */
AG_API int ag_http_minor_version(ag_http_request *req);
/** The point of ag_now() at which the request had been read. */
AG_API ag_time ag_http_received_at(ag_http_request *req);
/** The `arg` of the handler or filter that runs. */
AG_API void *ag_http_arg(ag_http_request *req);
/** The server. */
AG_API ag_http_server *ag_http_server_of(ag_http_request *req);

/** A pointer that travels with the request, from a filter to the handler; NULL at first. */
AG_API void ag_http_set_user(ag_http_request *req, void *user);
/** The pointer of ag_http_set_user. */
AG_API void *ag_http_user(ag_http_request *req);

/** Memory that lives as long as the request, aligned for anything, zeroed. Returns: NULL when out
 * of memory. */
AG_API void *ag_http_alloc(ag_http_request *req, size_t n);

/**
 * ag_http_after(req, fn, args...): runs fn(args...) in the handler's goroutine after the response
 * has been sent to its end, or can't be because the client has gone: answer first, release what is
 * scarce, do the rest afterwards. First come, first run. The next request of this connection waits
 * for it, and so does a stop: what takes long goes to a goroutine of its own. Arguments as for
 * ag_go; memory of the request is still there. Not run if the handler panics.
 * Returns: 0, -ENOMEM.
 */
#define ag_http_after(req, ...)                                                                    \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__http_after((req), AG__FN(__VA_ARGS__), ag__a);                                         \
    })

/* ---- Response ------------------------------------------------------------------------------- */

/** The status, 200 to 999; without effect once the body has begun. Panics: `invalid WriteHeader
 * code`. */
AG_API void ag_http_status(ag_http_response *res, int status);

/**
 * Sets a header field, replacing earlier ones of this name; ag_http_add adds one more. Date,
 * framing and Connection are the server's: of these, "Connection: close", "Connection: upgrade"
 * (for 426), a Date of your own and Content-Length (of a body that is streamed) are understood.
 * Returns: 0, -EINVAL for a name or value that HTTP does not allow (line breaks …) and for
 * Transfer-Encoding, -EALREADY once the body has begun, -E2BIG above 8 KiB in all, -ENOMEM.
 */
AG_API int ag_http_set(ag_http_response *res, const char *name, const char *value);
/** See ag_http_set. Returns: the same. */
AG_API int ag_http_add(ag_http_response *res, const char *name, const char *value);

/**
 * Appends to the body. If all of it fits into a few KiB it is sent at the end, with Content-Length;
 * else it goes out in chunks as it comes (HTTP/1.0: until the connection's end). For HEAD it is
 * only counted. Without a Content-Type one is set: text/plain; charset=utf-8.
 * Waits: for the client, when the buffer is full. Returns: n; -EPIPE, -ECONNRESET, -ETIMEDOUT …
 * when the client is gone or too slow, then and ever after; -EMSGSIZE beyond a Content-Length set
 * before; -EINVAL for a status without body (204, 304).
 */
AG_API ssize_t ag_http_write(ag_http_response *res, const void *data, size_t n);
/** printf into the body. Waits, Returns: as ag_http_write; -ENOMEM. */
AG_API ssize_t ag_http_printf(ag_http_response *res, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/**
 * A trailer field, sent behind the body, which goes out in chunks then. Call it before the body
 * begins, with a NULL value if that is not known yet, and `name` is announced in the field Trailer;
 * it may be set until the handler returns, the last value counts. Sent whether the client has
 * announced TE: trailers or not, as Go does; not with a Content-Length of the handler's own or of
 * ag_http_send, to HEAD, HTTP/1.0, or with a status without body.
 * Returns: 0, -EINVAL for a name or value that HTTP does not allow, or not in a trailer, -E2BIG
 * above 4 KiB in all, -ENOMEM.
 */
AG_API int ag_http_trailer_set(ag_http_response *res, const char *name, const char *value);
/** Sends what is there now: for event streams and progress. Returns: 0 or ag_http_write's. */
AG_API int ag_http_flush(ag_http_response *res);

/** A whole answer: status, Content-Type (NULL: text/plain) and body, which is not copied if it is
 * large. Instead of ag_http_write, once. Returns: 0, -EALREADY once the body has begun, -EINVAL for
 * a type that HTTP does not allow or a body where there can't be one, or ag_http_write's errors. */
AG_API int ag_http_send(ag_http_response *res, int status, const char *type, const void *data,
                        size_t n);
/** ag_http_send of a string as text/plain; charset=utf-8; NULL is "". */
AG_API int ag_http_text(ag_http_response *res, int status, const char *text);
/** ag_http_send of a string as application/json. */
AG_API int ag_http_json(ag_http_response *res, int status, const char *json);

/** A plain text answer for an error, "fmt…\n". Replaces a body that was not sent yet, and the
 * fields Content-Length, Content-Type, Content-Encoding, ETag, Last-Modified and Cache-Control.
 * Returns: 0, -EALREADY if a part was sent, or ag_http_write's errors. Go: http.Error. */
AG_API int ag_http_error(ag_http_response *res, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** 301, 302, 303, 307 or 308 with Location. Returns: 0 or ag_http_set's and ag_http_write's. */
AG_API int ag_http_redirect(ag_http_response *res, int status, const char *location);

/** Ends the connection after this response; one of HTTP/2 after all that are under way. */
AG_API void ag_http_close(ag_http_response *res);

/** For filters: the status so far, the bytes of body so far. */
AG_API int ag_http_status_so_far(const ag_http_response *res);
AG_API int64_t ag_http_bytes_so_far(const ag_http_response *res);

/** "Not Found" for 404; "" for a number without a name. Constant. From: any thread. */
AG_API const char *ag_http_status_text(int status);

/* ---- Taking the connection over ------------------------------------------------------------- */

/** A connection that a handler has taken over from the server: for another protocol, as WebSocket
 * (aglet/websocket.h), or for a tunnel. Made by ag_http_upgrade, never copied; one goroutine at a
 * time, except where it says otherwise; freed by ag_http_upgraded_close. */
typedef struct ag_http_upgraded ag_http_upgraded;

/**
 * Takes the connection over. Sends the responses before this one and "101 Switching Protocols" with
 * the fields of `res` and `protocol` in Upgrade; with NULL nothing at all: the caller writes what
 * he likes, as after Go's Hijacker. From now on the server neither reads nor writes nor times the
 * connection; deadlines are cleared, and the request's context ends with the server's stop, but no
 * more when the client goes, which reading tells. The response is complete: it takes no more.
 *
 * The handler may go on with the connection itself, or leave it to a goroutine and return: then its
 * stack, its request and the buffers behind it are given back.
 *
 * Still the server's: the connection counts among conns_max and `open`, and a stop waits for it;
 * see ag_http_upgraded_on_stop. It is `open` until it was closed and the handler has returned.
 *
 * Waits: for the client, as ag_http_flush. Returns: 0 and *ret_upgraded; -EPROTO the request has a
 * body, or does not ask for `protocol` in Upgrade (not checked for NULL), -EOPNOTSUPP it is
 * HTTP/1.0 (not checked for NULL) or HTTP/2, -EINVAL `protocol` is not a name, -EALREADY the
 * response has begun, -ECANCELED a stop has begun, -E2BIG the fields are too many, -ENOMEM; or
 * ag_http_flush's errors. After an error the connection is the server's as before. Owns: the
 * caller, until ag_http_upgraded_close.
 */
AG_API int ag_http_upgrade(ag_http_request *req, ag_http_response *res, const char *protocol,
                           ag_http_upgraded **ret_upgraded);

/** The connection, to write and to set deadlines. Owns: `u`; take an ag_ref to use it longer. Don't
 * read from it while ag_http_upgraded_buffered is not 0. */
AG_API ag_conn *ag_http_upgraded_conn(ag_http_upgraded *u);
/** What the client has sent behind the request, then the connection: ag_read. Waits, Returns: as
 * that does. */
AG_API ssize_t ag_http_upgraded_read(ag_http_upgraded *u, void *buf, size_t n);
/** The bytes that came with the request and were not read yet. ag_conn_when_readable does not know
 * of them: read them first. */
AG_API size_t ag_http_upgraded_buffered(const ag_http_upgraded *u);

/**
 * ag_http_upgraded_on_stop(u, fn, args...): starts fn(args...) as a goroutine when ag_http_stop
 * begins, at once if it has: to say good-bye in the words of the protocol, to cancel a context. A
 * connection that is not closed at the stop's limit is cut: ag_conn_close, which wakes who waits.
 * One function; another call replaces it until it was started, and does nothing then. Arguments as
 * for ag_go. fn must not call ag_http_upgraded_close, which waits for it. Without memory for the
 * goroutine the connection is cut at once.
 */
#define ag_http_upgraded_on_stop(u, ...)                                                           \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__http_upgraded_on_stop((u), &ag__s, AG__FN(__VA_ARGS__), ag__a);                        \
    })

/**
 * Gives the connection up: ends the sending, drops what the client still sends for 2 s at most, so
 * that it gets to read the last words, and closes; the server does that by itself. To cut it
 * instead, call ag_conn_close before.
 * Waits: for the function of ag_http_upgraded_on_stop, if that runs. Owns: `u` is gone.
 */
AG_API void ag_http_upgraded_close(ag_http_upgraded *u);

/* ---- Counters ------------------------------------------------------------------------------- */

enum { AG_HTTP_BUCKETS = 16 };

/** Counters since the start of the server. Each is exact, together they are no snapshot. */
typedef struct ag_http_stats {
    int64_t requests[6];              /* answered, by class of status: [2] is 2xx …; [1]: 101 */
    int64_t latency[AG_HTTP_BUCKETS]; /* answered within ag_http_bucket_ns(i), not below */
    int64_t latency_ns;               /* sum over all requests, from head read to response ready */
    int64_t body_bytes_in, body_bytes_out;
    int64_t bad_requests; /* refused by the parser; part of requests[4] and [5] */
    int64_t panics;
    int64_t accepted;   /* connections ever */
    int64_t open, idle; /* connections now */
    int64_t evicted;    /* idle ones closed to make room */
    int64_t timed_out;  /* closed by head_ns, idle_ns, body_ns, body_rate, write_ns */
    int64_t refused;    /* those above conns_max for whom nobody made room */
    int64_t upgrades;   /* connections taken over by handlers, ever; part of requests[1] */
    int64_t upgraded;   /* connections now that were taken over; part of open, not of idle */
    /* Of HTTP/2; the others count its requests and connections, too. */
    int64_t h2_accepted, h2_open;        /* connections ever, and now */
    int64_t h2_streams, h2_streams_open; /* requests ever, and now */
    int64_t h2_resets;                   /* requests that their clients reset */
    int64_t h2_ended;                    /* connections ended with an error, for what clients did */
} ag_http_stats;

/** Reads the counters. From: goroutine, any thread. */
AG_API void ag_http_stats_read(ag_http_server *s, ag_http_stats *ret_stats);
/** The upper limit of latency bucket i in nanoseconds: 50 us to 10 s; INT64_MAX for the last. */
AG_API ag_time ag_http_bucket_ns(int i);
/** A handler that prints all metrics for Prometheus, as ag_metrics_write does, and behind them the
 * counters of its server; as text or as OpenMetrics, as the field Accept wants (ag_metrics_format):
 * ag_http_handle(s, "GET /metrics", ag_http_metrics, NULL). */
AG_API void ag_http_metrics(ag_http_request *req, ag_http_response *res);

/** A handler that answers what a running program can be asked (aglet/debug.h), to those whom
 * ag_debug_admit lets in: ag_http_handle(s, "GET /debug/", ag_http_debug, NULL). It runs in a
 * goroutine: when every processor is stuck, only the socket and ag_debug_serve answer. */
AG_API void ag_http_debug(ag_http_request *req, ag_http_response *res);

/* The functions behind the macros. */
AG_API int ag__http_after(ag_http_request *req, ag__fn fn, const intptr_t args[6]);
AG_API void ag__http_upgraded_on_stop(ag_http_upgraded *u, const struct ag__site *site, ag__fn fn,
                                      const intptr_t args[6]);

AG__END
#endif
