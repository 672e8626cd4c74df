/* SPDX-License-Identifier: MIT */
/* An operation with a time limit: Go's context.WithTimeout, a goroutine and a select. Here the
 * limit belongs to the block, and the goroutine that is started in it has it, too: it gives up by
 * itself, so there is no leak and no cancel function to forget. */
#include <aglet.h>
#include <string.h>

static void fetch(ag_time takes, ag_chan(int) answer, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    int err = ag_sleep(takes);
    if (err == 0)
        ag_send(answer, 42);
    else
        printf("  the operation was ended: %s\n", strerror(-err));
}

static void ask(const char *what, ag_time takes) {
    ag_wg wg = AG_WG_INIT;
    ag_chan(int) answer = ag_make(int, 1);
    ag_defer(ag_unref, answer);
    ag_within(200 * AG_MS);
    ag_wg_add(&wg, 1);
    ag_go(fetch, takes, answer, &wg);
    int v = 0;
    bool ok = ag_recv(answer, &v);
    ag_wg_wait(&wg);
    if (ok)
        printf("%s: %d\n", what, v);
    else
        printf("%s: %s\n", what, strerror(-ag_ctx_err(ag_ctx_current())));
}

static int app(void *arg) {
    (void)arg;
    ask("fast", AG_MS);
    ask("slow", AG_MIN);
    printf("%d goroutine left\n", (int)ag_count());
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * fast: 42
 *   the operation was ended: Connection timed out
 * slow: Connection timed out
 * 1 goroutine left
 */
