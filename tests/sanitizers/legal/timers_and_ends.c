/* SPDX-License-Identifier: MIT */
/* What happened before a timer was started or set anew is known to its function; what happened
 * before a context ends, to those that its end wakes, whether they receive, sleep or select; what
 * happened before a scope's children end, to who ended it. */
// clean: thread self address undefined leak valgrind
// procs: 1,2,8
#include <aglet.h>

struct note {
    int written;
    ag_chan(int) told;
};

static void read_note(struct note *n) {
    int v = n->written;
    n->written = 0;
    ag_send(n->told, v);
}

static int timers(void) {
    struct note n = {1, ag_make(int, 0)};
    ag_defer(ag_unref, n.told);
    int sum = 0, v = 0;
    ag_timer *t = ag_timer_start(AG_MS, read_note, &n);
    ag_defer(ag_unref, t);
    for (int i = 0; i < 20; i++) {
        ag_recv(n.told, &v);
        sum += v;
        n.written = 2;
        ag_timer_reset(t, i % 3 * AG_MS / 2);
    }
    ag_recv(n.told, &v);
    n.written = 3;
    ag_timer_reset(t, AG_MIN);
    return ag_timer_stop(t) && n.written == 3 ? sum + v : 0;
}

static int seen[3];

static int wait_for_the_end(int how, ag_ctx *ctx, int *written) {
    if (how == 0)
        ag_recv(ag_ctx_done(ctx), NULL);
    else if (how == 1)
        ag_select(AG_DONE(ctx), AG_AFTER(AG_MIN));
    else
        ag_sleep(AG_MIN); /* the scope's own context has ended */
    seen[how] = *written;
    return 0;
}

static int ends(void) {
    int written = 0;
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_defer(ag_unref, ctx);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    for (int how = 0; how < 3; how++)
        ag_scope_go(&s, wait_for_the_end, how, ctx, &written);
    ag_yield();
    written = 1;
    ag_ctx_cancel(ctx);
    ag_scope_cancel(&s);
    ag_scope_end(&s);
    return seen[0] + seen[1] + seen[2];
}

static int ticks(void) {
    ag_ticker *t = ag_ticker_start(AG_MS);
    int n = 0;
    while (n < 3)
        n += ag_recv(ag_ticker_chan(t), NULL);
    ag_ticker_stop(t);
    ag_unref(t);
    return n;
}

static int app(void *arg) {
    (void)arg;
    int sum = timers();
    return sum != 41 || ends() != 3 || ticks() != 3;
}

int main(void) {
    return ag_run(app, NULL);
}
