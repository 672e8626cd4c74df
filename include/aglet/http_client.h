/* SPDX-License-Identifier: MIT */
/*
 * aglet/http_client.h - a client of HTTP/1.1 and HTTP/2. Link with -laglet-http as well (pkg-config
 * aglet-http).
 *
 *     ag_http_client *client = ag_http_client_new(NULL);    // one for the program: it pools
 *     ag_http_reply *reply;
 *     char *text;
 *
 *     ag_within(5 * AG_SEC);                                // bounds all that follows
 *     int r = ag_http_get(client, "http://127.0.0.1:8080/ok", &reply);
 *     ag_defer(ag_http_reply_close, reply);
 *     if (r == 0)
 *         r = ag_http_reply_read_all(reply, 1 << 20, &text, NULL);
 *     if (r < 0)
 *         fprintf(stderr, "%s\n", ag_http_reply_error(reply));
 *
 * The calls park the goroutine. No function has a timeout: the current context ends every wait
 * (ag_within, ag_ctx_enter), with -ETIMEDOUT or -ECANCELED, and closes the connection that was in
 * use, or with HTTP/2 the request's stream. Without a context the limits of ag_http_client_options
 * hold; none is unlimited.
 *
 * Connections are kept for the next request to the same host if the reply was read to its end. An
 * idle one is kept for 4 s by default: shorter than the servers keep it (Node.js 5 s, proxies 60 s,
 * nginx and aglet 75 s), so that a request seldom meets a connection that the server closes just
 * then; a `Keep-Alive: timeout=N` of the server makes it shorter still.
 *
 * A request is sent again, once, on a fresh connection, if the one from the pool failed before a
 * byte of the answer had come, and the method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT,
 * DELETE) or the request has a field Idempotency-Key, and its body can be read again; any method if
 * not a byte of it had been written. Everything else fails, and the caller decides.
 *
 * HTTP/2 is spoken where a server of https picks it; of a server that speaks it, requests share one
 * connection, up to as many as it allows at a time, then another one. While the first connection to
 * a server is being made, other requests to it wait for what that turns out to be, and get its
 * error if it can't be made. What the server says it has not looked at (GOAWAY, REFUSED_STREAM) is
 * sent again, whatever it asks for, up to 5 times, if its body can be read again. Names of fields
 * are in lower case then.
 *
 * Answers are read as strictly as the server reads requests: what two readers could understand
 * differently (two lengths, a length and chunks, lines that end with LF alone ...) is -EPROTO.
 *
 * Go: as net/http.Client, but with limits by default; cookies only with a jar; a redirect to
 * another host or port never takes Authorization and Cookie along, not even to a subdomain.
 */
#ifndef AGLET_HTTP_CLIENT_H
#define AGLET_HTTP_CLIENT_H

#include <aglet/net.h>

AG__BEGIN

/** A client: options, pool, counters. Made by ag_http_client_new, never copied; any goroutine may
 * use it, many at the same time; freed by ag_http_client_free. */
typedef struct ag_http_client ag_http_client;
/** An answer, or why there is none. Not copyable; one goroutine at a time; freed by
 * ag_http_reply_close. */
typedef struct ag_http_reply ag_http_reply;
/** Cookies. Any goroutine, never copied; freed by ag_http_jar_free. */
typedef struct ag_http_jar ag_http_jar;
/** How TLS is spoken; see aglet/tls.h. */
typedef struct ag_tls_config ag_tls_config;

/**
 * What a client does. A member that is zero (for numbers: or less, where nothing else is said)
 * means the default. May be copied; read by ag_http_client_new, the caller keeps it and its
 * strings.
 */
typedef struct ag_http_client_options {
    ag_time dial_ns;     /* to look up a host and connect: 10 s */
    ag_time tls_ns;      /* for the handshake of TLS: 10 s */
    ag_time head_ns;     /* for the answer's head, once the request has been sent: 60 s */
    ag_time quiet_ns;    /* without a byte of the answer's body, and to get rid of a piece of the
                            request: 60 s */
    ag_time continue_ns; /* for "100 Continue", then the body is sent without: 1 s */
    ag_time idle_ns;     /* for which an idle connection is kept: 4 s */
    uint32_t conns_max;  /* connections in all: 1,000. Requests above wait, first come, first
                            served */
    uint32_t conns_per_host; /* to one host and port: 100; likewise */
    uint32_t idle_max;       /* idle connections kept, in all: 200; the oldest goes first */
    uint32_t idle_per_host;  /* to one host and port: 50 */
    int32_t redirects_max;   /* followed: 10, then -ELOOP; below 0: none is followed, the answer is
                                the 3xx itself */
    uint32_t head_max;      /* bytes of an answer's head, and of all 1xx answers: 64 KiB; from 1 KiB
                               to 1 MiB */
    uint32_t fields_max;    /* header fields of an answer: 200, at most 1,000 */
    bool no_http2;          /* speaks HTTP/1.1 only; else, with https, what the server picks */
    bool http2_in_clear;    /* speaks HTTP/2 with servers of http://, which must know that ("prior
                               knowledge"), unless through a proxy */
    bool no_gzip;           /* does not ask for gzip by itself; see ag_http_reply_read */
    const char *user_agent; /* "aglet"; "" sends none */
    const char *proxy;      /* "http://[user:password@]host:port" for all requests, "" for none;
                               NULL: as the environment says. See ag_http_client_new */
    ag_tls_config *tls;     /* for https; NULL: certificates are verified against the system's
                               roots, and HTTP/2 is offered. Another one offers what its list of
                               protocols says: ag_tls_config_alpn(tls, "h2,http/1.1"). The client
                               holds a reference */
    ag_http_jar *jar;       /* keeps cookies; NULL: none are kept. Must outlive the client */
} ag_http_client_options;

/**
 * `options` may be NULL. Without options->proxy the environment is read now, as Go does it:
 * HTTP_PROXY (not in a CGI program, where a client could set it), HTTPS_PROXY, and NO_PROXY, all
 * in lower case, too, which is looked at second. NO_PROXY is a list with commas of hosts (they and
 * what is below them), ".domain" (only what is below it), addresses, networks (10.0.0.0/8), each
 * perhaps with a port, or "*". This machine (localhost, 127.0.0.0/8, ::1) is never asked through a
 * proxy of the environment.
 * Returns: the client; NULL when out of memory or when a proxy's URL can't be used.
 * Owns: the caller, until ag_http_client_free.
 */
AG_API ag_http_client *ag_http_client_new(const ag_http_client_options *options);

/** Closes the idle connections. Replies that are still open, and requests under way, go on; their
 * connections are closed afterwards, and the memory goes with the last of them. NULL is accepted.
 * Waits: for a turn of each idle connection of HTTP/2, to end. */
AG_API void ag_http_client_free(ag_http_client *client);

/** Closes the idle connections now. */
AG_API void ag_http_client_close_idle(ag_http_client *client);

/* ---- Requests ------------------------------------------------------------------------------- */

/** A header field. */
typedef struct ag_http_client_field {
    const char *name, *value;
} ag_http_client_field;

/**
 * A request. All-zero but for the URL is a GET. May be copied; the caller keeps it and what it
 * points to, and leaves `body` and what `read` needs alone until ag_http_reply_close.
 */
typedef struct ag_http_client_request {
    const char *method; /* any token but CONNECT; NULL: GET, with a body POST */
    /* http:// or https://. User and password in it become Authorization. A host is a name in ASCII
     * (others in punycode, "xn--..."), an IPv4 address, or an IPv6 one in brackets. Bytes of the
     * path or query that may not stand there are escaped, control characters refused. */
    const char *url;
    /* NULL, or fields up to one whose name is NULL. Host, User-Agent, Accept-Encoding and
     * Authorization replace those of the client; "" as their value leaves them out (not Host).
     * "Expect: 100-continue" waits for leave to send the body. "Connection: close" is understood.
     * Content-Length, Transfer-Encoding and other fields of the connection are the client's. */
    const ag_http_client_field *fields;
    const void *body; /* a body in memory … */
    size_t body_n;
    /* … or one that is read: bytes, 0 at the end, a negative errno, which ends the request with it.
     * It runs in a goroutine of the client's, in the caller's context; when the reply is closed,
     * its waits end, and ag_http_reply_close waits for it. */
    ssize_t (*read)(void *arg, void *buf, size_t n);
    /* Back to the body's beginning, for a redirect or another attempt: 0, or a negative errno.
     * NULL: that can't be. */
    int (*rewind)(void *arg);
    void *arg;
    int64_t read_n; /* how much `read` will give; 0 or less: that is not known (chunked) */
} ag_http_client_request;

/**
 * Sends the request and reads the head of the answer; of redirects, the last one's. A body of up
 * to 16 KiB in memory goes out with the head; else it is sent while the answer may come already.
 * 301, 302 and 303 are followed with GET (HEAD stays) and without body, 307 and 308 with method and
 * body, unless that can't be rewound: then the redirect is the answer. A Referer is sent along, but
 * not from https to http. 1xx answers are dropped.
 * Waits: for a connection, if there are too many, and for the server.
 * Returns: 0 with an answer, whatever its status. Else -EINVAL for a request that can't be sent,
 * -EPROTONOSUPPORT (https in a build without TLS, another scheme), -ENOENT no such host,
 * -ECONNREFUSED, -ECONNRESET, -EPIPE …, -EPROTO the answer is malformed, -EMSGSIZE its head is too
 * large, -ELOOP too many redirects, -ETIMEDOUT, -ECANCELED, -ENOMEM, or an error of `read` or
 * `rewind`.
 * Owns: *ret_reply is the caller's in any case, to be closed; it is NULL if there was no memory for
 * it, which its functions accept. ag_http_reply_error says what went wrong.
 */
AG_API int ag_http_client_do(ag_http_client *client, const ag_http_client_request *request,
                             ag_http_reply **ret_reply);

/** ag_http_client_do of a GET. */
AG_API int ag_http_get(ag_http_client *client, const char *url, ag_http_reply **ret_reply);
/** ag_http_client_do of a HEAD. */
AG_API int ag_http_head(ag_http_client *client, const char *url, ag_http_reply **ret_reply);
/** ag_http_client_do of a POST with this body, of this Content-Type. */
AG_API int ag_http_post(ag_http_client *client, const char *url, const char *type, const void *body,
                        size_t n, ag_http_reply **ret_reply);

/* ---- Replies -------------------------------------------------------------------------------- */
/* Strings belong to the reply. */

/** 200 … 599; 0 if there is no answer. */
AG_API int ag_http_reply_status(const ag_http_reply *reply);
/** The first header field `name`, in any case; NULL if there is none. */
AG_API const char *ag_http_reply_header(ag_http_reply *reply, const char *name);
/** The header field number `i`, from 0, in their order. Returns: false behind the last one. */
AG_API bool ag_http_reply_header_at(ag_http_reply *reply, size_t i, const char **ret_name,
                                    const char **ret_value);
/** The first trailer field `name`, once the body has been read to its end; NULL if there is none,
 * or not yet. Fields that say how a message is framed or to be treated (Content-Length, Host …) are
 * not given out. */
AG_API const char *ag_http_reply_trailer(ag_http_reply *reply, const char *name);
/** Bytes of the body as ag_http_reply_read will give them, -1 if that is not known. Of HEAD, what a
 * GET would give. */
AG_API int64_t ag_http_reply_content_length(const ag_http_reply *reply);
/** The URL that was asked last, without user and fragment. */
AG_API const char *ag_http_reply_url(const ag_http_reply *reply);
/** Whether the connection had served another request before. */
AG_API bool ag_http_reply_was_reused(const ag_http_reply *reply);

/**
 * Reads the body, decoded. The server is held up when nobody reads: nothing is read in advance
 * beyond a few KiB, with HTTP/2 1 MiB. If the client has asked for gzip by itself (no field
 * Accept-Encoding, no HEAD, no Range, a build with zlib) the answer is unpacked; then
 * Content-Encoding and Content-Length are not among its fields. A body that unpacks to more than 16
 * MiB and more than 200 times its size is -EMSGSIZE. Waits: for the server. Returns: bytes; 0 at
 * the end; -ECONNRESET the connection ended before the body did, -EPROTO malformed, -EMSGSIZE,
 * -ETIMEDOUT, -ECANCELED, or an error of the request's `read`; then the same again.
 */
AG_API ssize_t ag_http_reply_read(ag_http_reply *reply, void *buf, size_t n);

/** Reads the rest of the body, `limit` bytes at most, ended by a NUL that does not count.
 * Waits: as ag_http_reply_read. Returns: 0, then *ret_body, which the reply owns, and *ret_n (may
 * be NULL); -EMSGSIZE above the limit, -ENOMEM, or an error of ag_http_reply_read. */
AG_API int ag_http_reply_read_all(ag_http_reply *reply, size_t limit, char **ret_body,
                                  size_t *ret_n);

/**
 * Frees the reply. Its connection goes back into the pool if the body was read to the end, or the
 * rest, of at most 16 KiB, has arrived already; else it is closed. One of HTTP/2 stays in any case.
 * NULL is accepted.
 * Waits: only for the request's `read`, if that still runs, whose context has ended. */
AG_API void ag_http_reply_close(ag_http_reply *reply);

/** What went wrong, for people: method, host, what was being done, why. "" if nothing did; "out of
 * memory" for NULL. */
AG_API const char *ag_http_reply_error(const ag_http_reply *reply);

/* ---- Cookies -------------------------------------------------------------------------------- */

/**
 * A jar keeps the cookies that servers set and sends them where they belong, RFC 6265: by domain,
 * path, Secure and expiry. It has no list of public suffixes: a cookie for a domain without a dot
 * ("com") is refused, one for "co.uk" is not, so use one jar for servers that trust each other. It
 * lives in memory only. 50 cookies a domain and 3,000 in all are kept, the oldest go first; one
 * above 4 KiB is ignored.
 * Returns: the jar, NULL when out of memory. Owns: the caller, until ag_http_jar_free.
 */
AG_API ag_http_jar *ag_http_jar_new(void);
/** After the clients that use it. NULL is accepted. */
AG_API void ag_http_jar_free(ag_http_jar *jar);
/** How many cookies are in it; those that have expired may count. */
AG_API size_t ag_http_jar_count(ag_http_jar *jar);

/* ---- Counters ------------------------------------------------------------------------------- */

/** Each is exact, together they are no snapshot. */
typedef struct ag_http_client_stats {
    int64_t open, idle, waiting; /* connections, and requests that wait for one, now */
    int64_t dialed, reused;      /* connections made, and requests that shared one or took it from
                                    the pool, ever */
    int64_t requests, failed;    /* calls of ag_http_client_do, and those that failed */
    int64_t retried;             /* attempts after a pooled connection was dead, or the server had
                                    not looked at a request */
    int64_t redirected;          /* redirects followed */
} ag_http_client_stats;

/** Reads the counters. From: goroutine, any thread. */
AG_API void ag_http_client_stats_read(ag_http_client *client, ag_http_client_stats *ret_stats);

AG__END
#endif
