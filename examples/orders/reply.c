/* SPDX-License-Identifier: MIT */
/*
 * Answers: JSON, whatever happened. An error says what to do, in one sentence for a human.
 */
#include "desk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* For the JSON library: its output goes straight into the response. */
static int write_piece(const char *data, size_t n, void *res) {
    return ag_http_write(res, data, n) < 0 ? -1 : 0;
}

void reply_json(ag_http_response *res, int status, json_t *value) {
    ag_defer(json_decref, value);
    if (!value) {
        ag_http_json(res, 500, "{\"error\":\"out of memory\"}\n");
        return;
    }
    ag_http_status(res, status);
    ag_http_set(res, "Content-Type", "application/json");
    json_dump_callback(value, write_piece, res, JSON_COMPACT);
    ag_http_write(res, "\n", 1);
}

void reply_error(ag_http_response *res, int status, const char *fmt, ...) {
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    reply_json(res, status, json_pack("{s:s}", "error", text));
}

void reply_complaint(ag_http_response *res, const struct complaint *c) {
    reply_json(res, 400, json_pack("{s:s, s:s*}", "error", c->text, "field", c->field));
}

void reply_busy(ag_http_response *res, const char *why) {
    ag_http_set(res, "Retry-After", "1");
    reply_error(res, 503, "%s; try again in a second", why);
}

void reply_store_error(ag_http_response *res, int err) {
    if (err == -ETIMEDOUT || err == -EBUSY)
        reply_busy(res, "the database did not get to it in time, and nothing was changed");
    else if (err == -ENOSPC)
        reply_error(res, 507, "the server's disk is full");
    else
        reply_error(res, 500, "the database failed; the server's log says how");
}
