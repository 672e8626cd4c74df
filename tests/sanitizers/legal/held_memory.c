/* SPDX-License-Identifier: MIT */
/* At exit() goroutines still stand where they are, and what can be reached from them is no leak:
 * from stacks, from goroutines that have not run yet, from timers, buffers, contexts. */
// clean: leak
#include <aglet.h>

#include <stdlib.h>

static ag_chan(void *) never;

static char *block(void) {
    char *p = malloc(100);
    if (!p)
        abort();
    p[0] = 1;
    return p;
}

static void wait_with(char *p) {
    ag_recv(never, NULL);
    free(p);
}

static __attribute__((noinline)) void hold(int depth) {
    char *volatile p = depth % 10 == 0 ? block() : NULL;
    if (depth > 0)
        hold(depth - 1);
    else
        ag_recv(never, NULL);
    free(p);
}

static void send_block(ag_chan(void *) c) {
    ag_send(c, block());
}

static void read_block(ag_chan(void *) c) {
    void *p = NULL;
    ag_defer(free, p); /* the value of now: nothing */
    ag_recv(c, &p);
    ag_sleep(AG_MIN);
    free(p);
}

static void hold_in_a_context(void) {
    static int key;
    ag_ctx *ctx = ag_ctx_with_value(NULL, &key, block());
    ag_defer(ag_unref, ctx);
    ag_ctx_enter(ctx);
    ag_recv(never, NULL);
}

static int app(void *arg) {
    (void)arg;
    never = ag_make(void *, 0);
    ag_chan(void *) full = ag_make(void *, 1), handed = ag_make(void *, 0);
    for (int i = 0; i < 100; i++)
        ag_go(hold, i % 40);
    ag_go(wait_with, block());
    ag_go(send_block, full);
    ag_go(send_block, full); /* waits, its value on its stack */
    ag_go(read_block, handed);
    ag_send(handed, block());
    ag_go(hold_in_a_context);
    ag_timer_start(AG_MIN, wait_with, block());
    while (ag_len(full) == 0)
        ag_yield();
    ag_sleep(AG_MS);
    ag_go(wait_with, block()); /* has not run yet */
    exit(0);
}

int main(void) {
    return ag_run(app, NULL);
}
