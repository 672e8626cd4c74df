/* SPDX-License-Identifier: MIT */
/*
 * aglet/http.h - an HTTP/1.1 server. Link with -laglet-http as well (pkg-config aglet-http).
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
 * Limits. Every wait for a client has one, and none can be switched off: see ag_http_options.
 *
 * Out of memory. What the server needs for a connection or a request and does not get ends that
 * connection, with an answer if there is room for one; the server goes on.
 */
#ifndef AGLET_HTTP_H
#define AGLET_HTTP_H

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
    ag_time head_ns;     /* to receive a request's head, from its first byte: 10 s, then 408; and
                            for the first byte of a new connection, which is just closed */
    ag_time idle_ns;     /* between two requests: 75 s, longer than the proxies' 60 s */
    ag_time body_ns;     /* to receive a request's body, in all: 5 min */
    int64_t body_rate;   /* bytes a second that a body must come with, after the first 10 s: 500 */
    ag_time write_ns;    /* to take a piece of response of up to 64 KiB: 30 s; larger pieces get
                            more time, at 4 KiB a second */
    int64_t body_max;    /* bytes of a request's body: 10 MiB; see ag_http_limit_body */
    uint32_t head_max;   /* bytes of a request's head: 64 KiB; from 1 KiB to 1 MiB */
    uint32_t fields_max; /* header fields of a request: 100, at most 1,000 */
    uint32_t routes_max; /* patterns that can be registered: 1,000 */
    uint32_t conns_max;  /* open connections: 100,000. One more closes the one that has been idle
                            for longest, or, if none is, is answered 503 */
} ag_http_options;

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
 * Stops gracefully: accepts what waits in the listeners' queues, closes them, answers every request
 * that has arrived, each with "Connection: close", closes the connections that stay idle for
 * limit_ns / 20 (at most 1 s), waits for the handlers, and after `limit_ns` cuts what is left.
 * Waits: until the last connection is gone, at most about limit_ns. Not to be called from a handler
 * unless in a goroutine of its own (it would wait for that handler).
 * Returns: how many connections were cut; 0 is a clean stop.
 */
AG_API int64_t ag_http_stop(ag_http_server *s, ag_time limit_ns);

/** True once a stop has begun: for readiness probes and long streams, which should end. */
AG_API bool ag_http_stopping(const ag_http_server *s);

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

/** Limits of this request's body instead of the server's; zero or less leaves one as it is. Call it
 * before reading. */
AG_API void ag_http_limit_body(ag_http_request *req, int64_t max_bytes, ag_time ns);

/** The client's address, "192.0.2.1:50000". */
AG_API const char *ag_http_remote(ag_http_request *req);
/** Whether the client has gone, as ag_conn_peer_is_gone tells: nobody will read the answer. For
 * handlers that take long. Never waits. */
AG_API bool ag_http_client_is_gone(ag_http_request *req);
/** 0 or 1: HTTP/1.0 or HTTP/1.1. */
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
 * has been sent: answer first, release what is scarce, do the rest afterwards. First come, first
 * run. Arguments as for ag_go; memory of the request is still there. Not run if the handler panics.
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
 * framing and Connection are the server's: of these, "Connection: close", a Date of your own and
 * Content-Length (for a body that is streamed with a known length) are understood.
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
 * fields Content-Length, Content-Type, ETag and Cache-Control. Returns: 0, -EALREADY if a part was
 * sent, or ag_http_write's errors. Go: http.Error. */
AG_API int ag_http_error(ag_http_response *res, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** 301, 302, 303, 307 or 308 with Location. Returns: 0 or ag_http_set's and ag_http_write's. */
AG_API int ag_http_redirect(ag_http_response *res, int status, const char *location);

/** Ends the connection after this response. */
AG_API void ag_http_close(ag_http_response *res);

/** For filters: the status so far, the bytes of body so far. */
AG_API int ag_http_status_so_far(const ag_http_response *res);
AG_API int64_t ag_http_bytes_so_far(const ag_http_response *res);

/** "Not Found" for 404; "" for a number without a name. Constant. From: any thread. */
AG_API const char *ag_http_status_text(int status);

/* ---- Counters ------------------------------------------------------------------------------- */

enum { AG_HTTP_BUCKETS = 16 };

/** Counters since the start of the server. Each is exact, together they are no snapshot. */
typedef struct ag_http_stats {
    int64_t requests[6];              /* answered, by class of status: [2] is 2xx … */
    int64_t latency[AG_HTTP_BUCKETS]; /* answered within ag_http_bucket_ns(i), not below */
    int64_t latency_ns;               /* sum over all requests, from head read to response ready */
    int64_t body_bytes_in, body_bytes_out;
    int64_t bad_requests; /* refused by the parser; part of requests[4] and [5] */
    int64_t panics;
    int64_t accepted;   /* connections ever */
    int64_t open, idle; /* connections now */
    int64_t evicted;    /* idle ones closed to make room */
    int64_t timed_out;  /* closed by head_ns, idle_ns, body_ns, body_rate, write_ns */
    int64_t refused;    /* answered 503 above conns_max */
} ag_http_stats;

/** Reads the counters. From: goroutine, any thread. */
AG_API void ag_http_stats_read(ag_http_server *s, ag_http_stats *ret_stats);
/** The upper limit of latency bucket i in nanoseconds: 50 us to 10 s; INT64_MAX for the last. */
AG_API ag_time ag_http_bucket_ns(int i);
/** A handler that prints the counters of its server in Prometheus' text format:
 * ag_http_handle(s, "GET /metrics", ag_http_metrics, NULL). */
AG_API void ag_http_metrics(ag_http_request *req, ag_http_response *res);

/** A handler that answers what a running program can be asked (aglet/debug.h), to those whom
 * ag_debug_admit lets in: ag_http_handle(s, "GET /debug/", ag_http_debug, NULL). It runs in a
 * goroutine: when every processor is stuck, only the socket and ag_debug_serve answer. */
AG_API void ag_http_debug(ag_http_request *req, ag_http_response *res);

/* The function behind the macro. */
AG_API int ag__http_after(ag_http_request *req, ag__fn fn, const intptr_t args[6]);

AG__END
#endif
