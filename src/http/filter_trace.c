/* SPDX-License-Identifier: MIT */
/*
 * W3C Trace Context: https://www.w3.org/TR/trace-context/, level 1.
 *
 *     traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *                  |  trace id                          parent's span    flags
 *                  version; a higher one is read as far as this one goes
 *
 * What is malformed begins a new trace; the tracestate goes with its traceparent, or is dropped
 * alone. Only lower case is hexadecimal here.
 */
#include "http/server.h"
#include "http/system.h"

#include <aglet/http_filter.h>
#include <stdio.h>

enum { PARENT = 55, STATE_MAX = 512, MEMBERS_MAX = 32, FIELDS_MAX = 64 };

static const ag_key(const ag_http_trace *) trace_key = AG_KEY("trace");

/* ---- Reading -------------------------------------------------------------------------------- */

static bool lower_hex(const char *p, size_t n, bool may_be_zero) {
    bool zero = true;
    for (size_t i = 0; i < n; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
        zero = zero && p[i] == '0';
    }
    return may_be_zero || !zero;
}

static bool parse_parent(ag__http_text s, ag_http_trace *t) {
    if (s.n < PARENT || !lower_hex(s.p, 2, true) || memcmp(s.p, "ff", 2) == 0)
        return false;
    if (memcmp(s.p, "00", 2) == 0 ? s.n != PARENT : s.n > PARENT && s.p[PARENT] != '-')
        return false;
    if (s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || !lower_hex(s.p + 3, 32, false) ||
        !lower_hex(s.p + 36, 16, false) || !lower_hex(s.p + 53, 2, true))
        return false;
    memcpy(t->trace_id, s.p + 3, 32);
    memcpy(t->parent_id, s.p + 36, 16);
    t->sampled = ag__http_hex(s.p[54]) & 1;
    return true;
}

/* key = simple, or tenant@system; RFC-like sets of the recommendation, 3.3.1.3.1. */
static bool key_is_fit(ag__http_text key) {
    const char *at = key.n ? memchr(key.p, '@', key.n) : NULL;
    size_t tenant = at ? (size_t)(at - key.p) : 0, system = at ? key.n - tenant - 1 : 0;
    if (!key.n || key.n > 256 || (at && (!tenant || tenant > 241 || !system || system > 14)))
        return false;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool letter = c >= 'a' && c <= 'z', digit = ag__http_is(c, AG__CH_DIGIT);
        bool first = i == 0 || (at && i == tenant + 1);
        if (key.p + i == at)
            continue;
        if (first ? !(letter || (digit && at && i == 0)) : !letter && !digit && !strchr("_-*/", c))
            return false;
    }
    return true;
}

static bool member_is_fit(ag__http_text member) {
    const char *equal = memchr(member.p, '=', member.n);
    if (!equal || !key_is_fit((ag__http_text){member.p, (size_t)(equal - member.p)}))
        return false;
    ag__http_text value = {equal + 1, (size_t)(member.p + member.n - equal - 1)};
    if (!value.n || value.n > 256)
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < 0x20 || value.p[i] > 0x7e || value.p[i] == ',' || value.p[i] == '=')
            return false;
    return true;
}

/* All fields of this name as one list. Returns: false if it is to be dropped. */
static bool parse_state(ag_http_request *req, char state[STATE_MAX + 1]) {
    const ag__http_head *h = &req->w->head;
    size_t n = 0;
    int members = 0;
    for (uint32_t i = 0; i < h->field_count; i++) {
        ag__http_text list = ag__http_at(req->base, h->fields[i].value), member;
        while (h->fields[i].id == AG__FIELD_TRACESTATE && ag__http_next_element(&list, &member)) {
            if (!member.n)
                continue;
            if (++members > MEMBERS_MAX || n + member.n + 1 > STATE_MAX || !member_is_fit(member))
                return false;
            if (n)
                state[n++] = ',';
            memcpy(state + n, member.p, member.n);
            n += member.n;
        }
    }
    state[n] = 0;
    return true;
}

static void make(ag_http_request *req, ag_http_trace *t) {
    uint8_t bits[24];
    ag__http_text parent;
    memset(t, 0, sizeof *t);
    ag__http_random(bits, sizeof bits);
    if (ag__http_only_field(req, AG__FIELD_TRACEPARENT, &parent) && parse_parent(parent, t)) {
        if (!parse_state(req, t->tracestate))
            t->tracestate[0] = 0;
    } else {
        ag__http_hex_write(t->trace_id, bits, 16);
    }
    ag__http_hex_write(t->span_id, bits + 16, 8);
    snprintf(t->traceparent, sizeof t->traceparent, "00-%s-%s-%02x", t->trace_id, t->span_id,
             (unsigned)t->sampled);
}

/* ---- The context ---------------------------------------------------------------------------- */

/* The fields of log lines so far and ours, which point into the trace that `c` has. */
static ag_ctx *with_log_fields(ag_ctx *c, const ag_http_trace *t) {
    const char *fields[FIELDS_MAX + 5];
    const char *const *before = ag_ctx_get(c, &ag_log_fields);
    size_t n = 0;
    for (; before && n < FIELDS_MAX && before[n] && before[n + 1]; n += 2) {
        fields[n] = before[n];
        fields[n + 1] = before[n + 1];
    }
    fields[n++] = "trace_id";
    fields[n++] = t->trace_id;
    fields[n++] = "span_id";
    fields[n++] = t->span_id;
    fields[n++] = NULL;
    return ag_ctx_with_copy(c, &ag_log_fields, fields, n * sizeof *fields);
}

static void go_on_with(ag_ctx *c, ag_http_request *req, ag_http_response *res) {
    ag_ctx_enter(c);
    ag_unref(c);
    ag_http_next(req, res);
}

void ag_http_traces(ag_http_request *req, ag_http_response *res) {
    ag_http_trace t;
    make(req, &t);
    ag_ctx *c = ag_ctx_with_copy(ag_ctx_current(), &trace_key, &t, sizeof t);
    ag_ctx *d = c ? with_log_fields(c, ag_ctx_value(c, &trace_key)) : NULL;
    ag_unref(c); /* d has it */
    if (d)
        go_on_with(d, req, res);
    else
        ag_http_next(req, res);
}

const ag_http_trace *ag_http_trace_now(void) {
    return ag_local(&trace_key);
}
