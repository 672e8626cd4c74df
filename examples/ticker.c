/* SPDX-License-Identifier: MIT */
/* A ticker in a select: ticks are counted until a timer, started with the third one, says enough.
 * A slow reader loses ticks, they never pile up. */
#include <aglet.h>

static void say_enough(ag_chan(char) enough) {
    ag_send(enough, 1);
    ag_unref(enough);
}

static int app(void *arg) {
    (void)arg;
    const ag_time start = ag_now();
    ag_ticker *ticker = ag_ticker_start(5 * AG_MS);
    ag_defer(ag_unref, ticker);
    ag_chan(char) enough = ag_make(char, 1);
    ag_defer(ag_unref, enough);
    ag_time at;
    for (int ticks = 0;
         ag_select(AG_RECV(ag_ticker_chan(ticker), &at), AG_RECV(enough, NULL)) == 0;) {
        if (++ticks <= 3)
            printf("tick %d%s\n", ticks, at - start >= 5 * AG_MS * ticks ? "" : ", too early");
        if (ticks == 3)
            ag_unref(ag_timer_start(20 * AG_MS, say_enough, ag_ref(enough)));
    }
    printf("enough\n");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * tick 1
 * tick 2
 * tick 3
 * enough
 */
