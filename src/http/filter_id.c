/* SPDX-License-Identifier: MIT */
/*
 * Request ids. The id is a copy that the context owns: goroutines that a handler has started may
 * log with it long after the request's memory is gone.
 */
#include "http/server.h"
#include "http/system.h"

#include <aglet/http_filter.h>

enum { ID_MAX = 128, ID_BYTES = 16 };

static bool well_formed(ag__http_text id) {
    if (!id.n || id.n > ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        bool letter = (ag__http_lower(c) >= 'a' && ag__http_lower(c) <= 'z');
        if (!c || (!letter && !ag__http_is(c, AG__CH_DIGIT) && !strchr("-._~+/=:@", c)))
            return false;
    }
    return true;
}

void ag__http_hex_write(char *to, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        *to++ = "0123456789abcdef"[bytes[i] >> 4];
        *to++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *to = 0;
}

bool ag__http_only_field(ag_http_request *req, enum ag__http_field_id id, ag__http_text *ret) {
    const ag__http_head *h = &req->w->head;
    int count = 0;
    for (uint32_t i = 0; i < h->field_count; i++)
        if (h->fields[i].id == id && count++ == 0)
            *ret = ag__http_at(req->base, h->fields[i].value);
    return count == 1;
}

static void go_on_with(ag_ctx *c, ag_http_request *req, ag_http_response *res) {
    ag_ctx_enter(c);
    ag_unref(c);
    ag_http_next(req, res);
}

void ag_http_ids(ag_http_request *req, ag_http_response *res) {
    char id[ID_MAX + 1];
    ag__http_text given = {NULL, 0};
    if (ag__http_only_field(req, AG__FIELD_X_REQUEST_ID, &given) && well_formed(given)) {
        memcpy(id, given.p, given.n);
        id[given.n] = 0;
    } else {
        uint8_t bits[ID_BYTES];
        ag__http_random(bits, sizeof bits);
        ag__http_hex_write(id, bits, sizeof bits);
    }
    (void)ag_http_set(res, "X-Request-Id", id);
    ag_ctx *c = ag_ctx_with_copy(ag_ctx_current(), &ag_request_id, id, strlen(id) + 1);
    if (c)
        go_on_with(c, req, res);
    else
        ag_http_next(req, res);
}
