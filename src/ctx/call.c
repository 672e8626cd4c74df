/* SPDX-License-Identifier: MIT */
/*
 * call.c - calls that wait for the end of a context (ag_ctx_after).
 *
 * A call is in the list of its context, which holds a reference of it, and knows the context
 * without one: so a context that nobody uses any more goes, and takes its calls along. The call's
 * lock guards that knowledge; it is taken after the context's, or alone.
 */
#include "ctx/ctx.h"
#include <stdlib.h>
#include <string.h>

struct ag_ctx_call {
    ag__object object;
    ag__lock lock;
    ag_ctx *ctx;              /* Guarded by lock; NULL: it waits no more. */
    struct ag_ctx_call *next; /* Guarded by the context's lock while it waits. */
    const struct ag__site *site;
    ag__fn fn;
    intptr_t args[6];
};

static void call_free(ag__object *o) {
    free(ag__container_of(o, ag_ctx_call, object));
}

/* True to the one who takes it from its context. */
static bool forget(ag_ctx_call *call) {
    ag__lock_acquire(&call->lock);
    bool waits = call->ctx != NULL;
    call->ctx = NULL;
    ag__lock_release(&call->lock);
    return waits;
}

static void drop_reference(void *call) {
    ag_unref(call);
}

/* False when out of memory. */
static bool start(ag__m *m, ag_ctx_call *call) {
    if (!forget(call) || !ag__ctx_in_world())
        return true;
    ag__g *g = ag__g_new(m, call->site, call->fn, call->args);
    if (!g)
        return false;
    ag__hb_start_after(g, &call->fn);
    /* Its address is what tells the thread sanitizer of the order. */
    g->end_fn = drop_reference;
    g->end_arg = ag_ref(call);
    ag__g_start(m, g);
    return true;
}

void ag__ctx_calls_start(ag__m *m, ag_ctx_call *list) {
    while (list) {
        ag_ctx_call *call = list;
        list = call->next;
        if (!start(m, call))
            ag__throw("out of memory for a goroutine of ag_ctx_after");
        ag_unref(call);
    }
}

void ag__ctx_calls_drop(ag_ctx_call *list) {
    while (list) {
        ag_ctx_call *call = list;
        list = call->next;
        forget(call);
        ag_unref(call);
    }
}

ag_ctx_call *ag__ctx_after(ag_ctx *c, const struct ag__site *site, ag__fn fn,
                           const intptr_t args[6]) {
    ag_ctx_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    ag__object_init(&call->object, call_free);
    call->site = site;
    call->fn = fn;
    memcpy(call->args, args, sizeof call->args);
    AG__HB_RELEASE(&call->fn);
    if (!c || c == &ag__ctx_nothing)
        return call;
    ag__m *m = ag__enter();
    call->ctx = c;
    ag__lock_acquire(&c->cancel.lock);
    bool ended = atomic_load_explicit(&c->cancel.err, AG__RLX) != 0;
    if (!ended) {
        call->next = c->calls;
        c->calls = ag_ref(call);
    }
    ag__lock_release(&c->cancel.lock);
    bool lost = ended && !start(m, call);
    ag__leave(m);
    if (!lost)
        return call;
    ag_unref(call);
    return NULL;
}

bool ag_ctx_call_stop(ag_ctx_call *call) {
    if (!call)
        return false;
    ag__lock_acquire(&call->lock);
    ag_ctx *c = call->ctx && ag__object_try_ref(&call->ctx->object) ? call->ctx : NULL;
    bool waits = c != NULL;
    call->ctx = NULL;
    ag__lock_release(&call->lock);
    if (!c)
        return false;
    /* Out of the list, unless the context is ending: then it finds out by `ctx`. */
    ag__lock_acquire(&c->cancel.lock);
    ag_ctx_call **at = &c->calls;
    while (*at && *at != call)
        at = &(*at)->next;
    bool listed = *at == call;
    if (listed)
        *at = call->next;
    ag__lock_release(&c->cancel.lock);
    if (listed)
        ag_unref(call);
    ag_unref(c);
    return waits;
}
