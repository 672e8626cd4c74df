/* SPDX-License-Identifier: MIT */
/* A library call that blocks its thread, beside a ticker, on one processor: the ticker goes on.
 * ag_blocking hands the processor on at once; a call that isn't marked loses it a little later. */
#include <aglet.h>
#include <unistd.h>

static void sleep_in_c(useconds_t us, ag_chan(char) done) {
    ag_defer(ag_unref, done);
    ag_blocking(usleep, us);
    usleep(us);
    ag_close(done);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(char) done = ag_make(char, 0);
    ag_defer(ag_unref, done);
    ag_ticker *ticker = ag_ticker_start(AG_MS);
    ag_defer(ag_unref, ticker);
    ag_go(sleep_in_c, 300000, ag_ref(done));
    int ticks = 0;
    while (ag_select(AG_RECV(ag_ticker_chan(ticker), NULL), AG_RECV(done, NULL)) == 0)
        ticks++;
    printf("the ticker %s while C code slept\n", ticks > 10 ? "ticked" : "stood still");
    return 0;
}

int main(void) {
    const ag_config one = {.procs = 1};
    return ag_run_with(&one, app, NULL);
}
/* Output:
 * the ticker ticked while C code slept
 */
