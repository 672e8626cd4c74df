/* SPDX-License-Identifier: MIT */
/* A worker that goes on until it is told to stop: Go's loop around `case <-ctx.Done()`. It looks
 * at its current context, which whoever started it can cancel; a wait inside would end, too. */
#include <aglet.h>

static void poll_sensor(ag_chan(int) values, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    int value = 0;
    for (;;)
        switch (ag_select(AG_DONE(ag_ctx_current()), AG_SEND(values, value))) {
        case 0:
            printf("told to stop: cause %d\n", ag_ctx_cause(ag_ctx_current()));
            return;
        case 1:
            value++;
        }
}

static void start(ag_ctx *c, ag_chan(int) values, ag_wg *wg) {
    ag_ctx_enter(c); /* what is started in this block runs on behalf of c */
    ag_wg_add(wg, 1);
    ag_go(poll_sensor, values, wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_defer(ag_unref, c);
    ag_chan(int) values = ag_make(int, 0);
    ag_defer(ag_unref, values);
    start(c, values, &wg);
    for (int i = 0, v; i < 3 && ag_recv(values, &v); i++)
        printf("value %d\n", v);
    ag_ctx_cancel_cause(c, 7);
    ag_wg_wait(&wg);
    printf("stopped\n");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * value 0
 * value 1
 * value 2
 * told to stop: cause 7
 * stopped
 */
