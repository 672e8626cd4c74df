/* SPDX-License-Identifier: MIT */
/*
 * aglet/http_filter.h - filters for every request (ag_http_use): request ids, trace contexts, an
 * access log, compression. Link with -laglet-http as well.
 *
 *     ag_http_use(s, ag_http_ids, NULL);      // first: what follows is logged with the id
 *     ag_http_use(s, ag_http_traces, NULL);
 *     ag_http_use(s, ag_http_log, NULL);
 *     ag_http_use(s, ag_http_gzip, NULL);
 *
 * What they know of a request is in the current context (aglet/ctx.h) of the handler and of the
 * goroutines that it starts, for as long as these have it.
 */
#ifndef AGLET_HTTP_FILTER_H
#define AGLET_HTTP_FILTER_H

#include <aglet/http.h>

AG__BEGIN

/**
 * A filter: an id for each request. The client's X-Request-Id if it has 1 to 128 letters, digits
 * and -._~+/=:@, and is the only one; else 32 random hexadecimal digits. It goes back as
 * X-Request-Id, and is ag_request_id of the context: in log lines, dumps, exemplars of metrics;
 * ag_local(&ag_request_id) reads it. Out of memory, the request goes on without one.
 */
AG_API void ag_http_ids(ag_http_request *req, ag_http_response *res);

/** Where a request is in a trace, W3C Trace Context. Strings are valid as long as the context that
 * has it. */
typedef struct ag_http_trace {
    char trace_id[33];    /* 32 hexadecimal digits */
    char span_id[17];     /* this server's part of it, made for this request */
    char parent_id[17];   /* the caller's; "": the trace begins here */
    char traceparent[56]; /* what a call to another service sends */
    char tracestate[513]; /* the same; "": none */
    bool sampled;         /* the caller records it */
} ag_http_trace;

/**
 * A filter: takes traceparent and tracestate as the request has them, strictly by the W3C
 * recommendation, or begins a new trace, not sampled; a tracestate that is malformed, has more than
 * 32 members or 512 bytes is dropped. trace_id and span_id are in log lines (ag_log_fields, behind
 * those that are there already).
 */
AG_API void ag_http_traces(ag_http_request *req, ag_http_response *res);
/** The trace of the current context. Returns: NULL if it has none. Owns: the context. */
AG_API const ag_http_trace *ag_http_trace_now(void);

/**
 * A filter: writes a line to the log (aglet/log.h) for each request when its handler is done, level
 * AG_LOG_INFO, AG_LOG_ERROR from status 500 on:
 *
 *     msg=request method=GET path=/a status=200 bytes=17 seconds=0.000123 remote=192.0.2.1:5000
 *         host=example.org pattern="GET /a" agent=curl/8.0 referer=…
 *
 * and what the context adds: request_id, trace_id. The path is as it was sent; the query is not
 * written, because it often holds what is secret. A handler that panics counts as 500 (if nothing
 * was sent). Never waits: lines that the log has no room for are dropped, as ag_log says.
 */
AG_API void ag_http_log(ag_http_request *req, ag_http_response *res);

/**
 * A filter: compresses what the handlers answer, if the client takes gzip (Accept-Encoding with
 * weights) and the type gets smaller by that: text, JSON, XML, JavaScript, SVG and the like. Not
 * below 1 KiB, unless it streams; not 204, 206, 304, nor what has a Content-Encoding, a
 * Content-Range, or Cache-Control: no-transform. What could be compressed has Vary:
 * Accept-Encoding; what is has Content-Encoding: gzip and a weak ETag, and a Content-Length only if
 * it is small; the answer to HEAD never has one then. ag_http_flush sends all that was written so
 * far, so event streams go on to work. ag_http_error is sent as it is.
 * Limits: 64 responses at a time have a compressor (140 KiB each); further ones are sent as they
 * are. Built without zlib, nothing is compressed.
 */
AG_API void ag_http_gzip(ag_http_request *req, ag_http_response *res);

AG__END
#endif
