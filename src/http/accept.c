/* SPDX-License-Identifier: MIT */
/*
 * Which coding of the content a client takes: Accept-Encoding, RFC 9110 12.5.3, with weights. Who
 * sends no such field is sent no coding. A weight that is malformed counts as 0.
 */
#include "http/content.h"

#include <stdio.h>

/* "1", "0.5", "0.123" in thousandths. */
static int weight(ag__http_text q) {
    int n = 0, unit = 1000;
    if (!q.n || (q.p[0] != '0' && q.p[0] != '1') || q.n > 5 || (q.n > 1 && q.p[1] != '.'))
        return 0;
    n = (q.p[0] - '0') * 1000;
    for (size_t i = 2; i < q.n; i++) {
        if (!ag__http_is(q.p[i], AG__CH_DIGIT))
            return 0;
        unit /= 10;
        n += (q.p[i] - '0') * unit;
    }
    return n > 1000 ? 0 : n;
}

/* Splits "gzip;q=0.5". */
static int take_weight(ag__http_text *element) {
    const char *semicolon = memchr(element->p, ';', element->n);
    if (!semicolon)
        return 1000;
    size_t n = (size_t)(semicolon - element->p);
    ag__http_text q = ag__http_trim((ag__http_text){semicolon + 1, element->n - n - 1});
    *element = ag__http_trim((ag__http_text){element->p, n});
    if (q.n < 2 || ag__http_lower(q.p[0]) != 'q' || q.p[1] != '=')
        return 0;
    return weight((ag__http_text){q.p + 2, q.n - 2});
}

void ag__http_codings_accepted(ag_http_request *req, ag__http_codings *ret) {
    const ag__http_head *h = &req->w->head;
    int others = -1;
    *ret = (ag__http_codings){-1, -1};
    for (uint32_t i = 0; i < h->field_count; i++) {
        if (h->fields[i].id != AG__FIELD_ACCEPT_ENCODING)
            continue;
        ag__http_text value = ag__http_at(req->base, h->fields[i].value), element;
        while (ag__http_next_element(&value, &element)) {
            int q = element.n ? take_weight(&element) : 0;
            if (ag__http_same(element, "gzip") || ag__http_same(element, "x-gzip"))
                ret->gzip = q;
            else if (ag__http_same(element, "identity"))
                ret->identity = q;
            else if (ag__http_same(element, "*"))
                others = q;
        }
    }
    ret->gzip = ret->gzip < 0 ? others : ret->gzip;
    ret->identity = ret->identity < 0 ? others : ret->identity;
}

bool ag__http_wants_gzip(ag_http_request *req) {
    ag__http_codings c;
    if (!req->w->head.known[AG__FIELD_ACCEPT_ENCODING])
        return false;
    ag__http_codings_accepted(req, &c);
    return c.gzip > 0 && c.gzip >= c.identity;
}

/* ---- The response --------------------------------------------------------------------------- */

ag__http_text ag__http_field_set(const ag_http_response *res, const char *name) {
    size_t n = strlen(name);
    const char *at = res->fields, *end = at + res->fields_n;
    while (at && at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        size_t i = 0;
        while (i < n && ag__http_lower(at[i]) == ag__http_lower(name[i]))
            i++;
        if (i == n && at[n] == ':')
            return ag__http_trim((ag__http_text){at + n + 1, (size_t)(line_end - at) - n - 1});
        at = line_end + 2;
    }
    return (ag__http_text){NULL, 0};
}

int ag__http_vary(ag_http_response *res) {
    ag__http_text vary = ag__http_field_set(res, "Vary"), list = vary, element;
    while (ag__http_next_element(&list, &element))
        if (ag__http_same(element, "accept-encoding") || ag__http_same(element, "*"))
            return 0;
    char all[512];
    int n = snprintf(all, sizeof all, "%.*s%sAccept-Encoding", (int)vary.n, vary.n ? vary.p : "",
                     vary.n ? ", " : "");
    if ((size_t)n >= sizeof all) /* one more line says the same */
        return ag_http_add(res, "Vary", "Accept-Encoding");
    return ag_http_set(res, "Vary", all);
}
