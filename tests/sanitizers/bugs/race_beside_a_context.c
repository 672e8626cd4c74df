/* SPDX-License-Identifier: MIT */
/* What is written after a cancel is not before the end of those that saw it. */
// bug: a write after the cancel of a context
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static int work(ag_ctx *ctx) {
    ag_recv(ag_ctx_done(ctx), NULL);
    shared = 1;
    return 0;
}

static int app(void *arg) {
    (void)arg;
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_defer(ag_unref, ctx);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work, ctx);
    ag_yield();
    ag_ctx_cancel(ctx);
    shared = 2;
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
