/* SPDX-License-Identifier: MIT */
/*
 * The life of a service while memory and threads fail: it starts and stops, or says why not.
 */
#include "inject.h"

#include <aglet/svc.h>
#include <signal.h>

static int started, drained, hooked;

static int start(void *arg) {
    (void)arg;
    started++;
    return 0;
}
static void drain(void *arg) {
    (void)arg;
    drained++;
}
static void hook(void *arg) {
    (void)arg;
    hooked++;
}
static void end(void *ctx) {
    ag_ctx_cancel(ctx);
}

/* By its context, so that no signal outlives the step. */
static int serve_in(ag_ctx *ctx, const ag_service *service) {
    ag_ctx_enter(ctx);
    return ag_serve(service);
}

static void serve(void) {
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    if (!ok_ptr(ctx))
        return;
    const ag_svc_part parts[] = {{.name = "a", .start = start, .drain = drain}, {.name = NULL}};
    started = drained = hooked = 0;
    bool hooks = ok(ag_svc_at_exit(hook, NULL));
    int r = serve_in(ctx, &(ag_service){.parts = parts, .ready = end, .arg = ctx});
    if (ok(r)) {
        ag_check_int(started, 1);
        ag_check_int(hooked, hooks);
    }
    ag_check_int(drained, started);
    if (hooks && !hooked) { /* it never began: the hooks are for the next, or the end */
        inject_end();
        ag_ctx_cancel(ctx);
        ag_check_int(serve_in(ctx, &(ag_service){.parts = NULL}), 0);
        ag_check_int(hooked, 1);
    }
    ag_unref(ctx);
}
AG_TEST_RUN(a_service_lives_or_says_why_not) {
    ag_log_set_level(AG_LOG_ERROR + 1); /* what the log does is tested elsewhere */
    WALK(MEMORY | THREAD, serve);
}

static void listen_once(void) {
    ag_listener *l;
    if (!ok(ag_svc_listen("tcp", "127.0.0.1:0", &l)))
        return;
    ag_unref(l);
    inject_end();
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel(ctx);
    ag_check_int(serve_in(ctx, &(ag_service){.parts = NULL}), 0); /* lets go of it */
    ag_unref(ctx);
}
AG_TEST_RUN(a_listener_of_a_service_is_made_or_refused) {
    WALK(MEMORY, listen_once);
}
