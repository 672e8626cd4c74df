/* SPDX-License-Identifier: MIT */
/*
 * Conditional requests: RFC 9110 13, in the order of 13.2.2. A list of entity tags may be spread
 * over several fields; behind a malformed tag nothing counts. A date that can't be read makes its
 * field be ignored.
 */
#include "http/content.h"
#include "http/date.h"

/* ---- Entity tags ---------------------------------------------------------------------------- */

/* Takes an entity tag off the front. Returns: false if none is there. */
static bool take_etag(ag__http_text *s, ag__http_text *ret) {
    size_t n = s->n > 2 && s->p[0] == 'W' && s->p[1] == '/' ? 2 : 0;
    if (n == s->n || s->p[n++] != '"')
        return false;
    for (; n < s->n && s->p[n] != '"'; n++)
        if ((unsigned char)s->p[n] <= ' ' || s->p[n] == 0x7f)
            return false;
    if (n == s->n)
        return false;
    *ret = (ag__http_text){s->p, n + 1};
    s->p += n + 1;
    s->n -= n + 1;
    return true;
}

static ag__http_text opaque(ag__http_text etag) {
    return etag.n && etag.p[0] == 'W' ? (ag__http_text){etag.p + 2, etag.n - 2} : etag;
}

bool ag__http_etags_match(ag__http_text a, ag__http_text b, bool weakly) {
    if (weakly) {
        a = opaque(a);
        b = opaque(b);
    } else if (!a.n || a.p[0] == 'W') {
        return false;
    }
    return a.n == b.n && a.n && memcmp(a.p, b.p, a.n) == 0;
}

static bool list_has(ag__http_text list, ag__http_text etag, bool weakly) {
    ag__http_text one;
    for (;;) {
        while (list.n && (list.p[0] == ' ' || list.p[0] == '\t' || list.p[0] == ',')) {
            list.p++;
            list.n--;
        }
        if (!take_etag(&list, &one))
            return false;
        if (ag__http_etags_match(one, etag, weakly))
            return true;
        list = ag__http_trim(list);
        if (list.n && list.p[0] != ',')
            return false;
    }
}

/* Whether one of the fields of this name has it, or is "*". */
static bool fields_have(ag_http_request *req, enum ag__http_field_id id, ag__http_text etag,
                        bool weakly) {
    const ag__http_head *h = &req->w->head;
    for (uint32_t i = 0; i < h->field_count; i++) {
        ag__http_text value = ag__http_at(req->base, h->fields[i].value);
        if (h->fields[i].id == id && (ag__http_same(value, "*") || list_has(value, etag, weakly)))
            return true;
    }
    return false;
}

/* ---- Conditions ----------------------------------------------------------------------------- */

/* The date of a field that is there once. */
static bool date_of(ag_http_request *req, enum ag__http_field_id id, int64_t *ret) {
    ag__http_text value;
    return ag__http_known_value(&req->w->head, req->base, id, &value) &&
           ag__http_date_parse(value, ret);
}

int ag__http_condition(ag_http_request *req, const ag__http_validators *v) {
    const ag__http_head *h = &req->w->head;
    bool safe = h->method_id == AG__METHOD_GET || h->method_id == AG__METHOD_HEAD;
    int64_t date;
    if (h->known[AG__FIELD_IF_MATCH]) {
        if (!fields_have(req, AG__FIELD_IF_MATCH, v->etag, false))
            return AG__COND_FAILED;
    } else if (v->has_date && date_of(req, AG__FIELD_IF_UNMODIFIED_SINCE, &date)) {
        if (v->date > date)
            return AG__COND_FAILED;
    }
    if (h->known[AG__FIELD_IF_NONE_MATCH]) {
        if (fields_have(req, AG__FIELD_IF_NONE_MATCH, v->etag, true))
            return safe ? AG__COND_NOT_MODIFIED : AG__COND_FAILED;
    } else if (safe && v->has_date && date_of(req, AG__FIELD_IF_MODIFIED_SINCE, &date)) {
        if (v->date <= date)
            return AG__COND_NOT_MODIFIED;
    }
    return AG__COND_GO;
}

bool ag__http_range_counts(ag_http_request *req, const ag__http_validators *v,
                           ag__http_text *ret_range) {
    const ag__http_head *h = &req->w->head;
    ag__http_text condition, etag;
    int64_t date;
    if (h->method_id != AG__METHOD_GET ||
        !ag__http_known_value(h, req->base, AG__FIELD_RANGE, ret_range))
        return false;
    if (!ag__http_known_value(h, req->base, AG__FIELD_IF_RANGE, &condition))
        return true;
    if (take_etag(&condition, &etag))
        return !condition.n && ag__http_etags_match(etag, v->etag, false);
    return v->has_date && v->date_is_strong && ag__http_date_parse(condition, &date) &&
           date == v->date;
}
