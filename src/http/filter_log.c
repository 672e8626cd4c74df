/* SPDX-License-Identifier: MIT */
/*
 * The access log: one line for each request, when its handler is done, in whatever way. It is a
 * deferred call, so a panic is logged, too, before the server answers it.
 */
#include "http/server.h"

#include <aglet/defer.h>
#include <aglet/http_filter.h>
#include <aglet/log.h>

struct entry {
    ag_http_request *req;
    ag_http_response *res;
    bool done; /* the handler has returned */
};

static void write_entry(struct entry *e) {
    ag_http_request *req = e->req;
    bool failed = !e->done && e->res->mode <= AG__MODE_BUFFER; /* it will be 500 */
    int status = failed ? 500 : ag_http_status_so_far(e->res);
    int64_t bytes = failed ? 0 : ag_http_bytes_so_far(e->res);
    ag_log(
        status < 500 ? AG_LOG_INFO : AG_LOG_ERROR, "request", ag_kv("method", ag_http_method(req)),
        ag_kv("path", ag_http_path(req)), ag_kv("status", status), ag_kv("bytes", bytes),
        ag_kv_ns("seconds", ag_now() - ag_http_received_at(req)),
        ag_kv("remote", ag_http_remote(req)), ag_kv("host", ag_http_host(req)),
        ag_kv("pattern", ag_http_pattern(req)), ag_kv("agent", ag_http_header(req, "User-Agent")),
        ag_kv("referer", ag_http_header(req, "Referer")));
}

void ag_http_log(ag_http_request *req, ag_http_response *res) {
    struct entry e = {req, res, false};
    ag_defer(write_entry, &e);
    ag_http_next(req, res);
    e.done = true;
}
