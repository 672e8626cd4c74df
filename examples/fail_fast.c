/* SPDX-License-Identifier: MIT */
/* A scope: three shards are asked at the same time; when one fails the others are cancelled, and
 * the block goes on when all of them are gone. Go: errgroup. Kotlin: coroutineScope. */
#include <aglet.h>
#include <errno.h>
#include <string.h>

static int ask(int shard, int fails, ag_chan(int) ready) {
    ag_send(ready, shard);
    if (fails)
        return -EIO;
    int r = ag_sleep(AG_MIN);
    printf("shard %d: %s\n", shard, strerror(-r));
    return r;
}

static int ask_all(void) {
    ag_chan(int) ready = ag_make(int, 3);
    ag_defer(ag_unref, ready);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    for (int shard = 1; shard <= 3; shard++)
        ag_scope_go(&s, ask, shard, shard == 2, ready);
    return ag_scope_end(&s);
}

static int app(void *arg) {
    (void)arg;
    int r = ask_all();
    printf("all together: %s; goroutines left: %d\n", strerror(-r), (int)ag_count() - 1);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Unordered output:
 * shard 1: Operation canceled
 * shard 3: Operation canceled
 * all together: Input/output error; goroutines left: 0
 */
