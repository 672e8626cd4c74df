/* SPDX-License-Identifier: MIT */
/* A send that nobody receives waits for ever; with nobody else left that is a deadlock, and the
 * program ends with `all goroutines are asleep`. Four ways to write the sender. */
#include <aglet.h>

static void receive_one(ag_chan(int) c, ag_wg *wg) {
    int v = 0;
    ag_recv(c, &v);
    printf("received %d\n", v);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_chan(int) c = ag_make(int, 0);
    ag_defer(ag_unref, c);
    ag_chan(int) buffered = ag_make(int, 1);
    ag_defer(ag_unref, buffered);

    ag_wg_add(&wg, 1);
    ag_go(receive_one, c, &wg); /* a receiver first */
    ag_send(c, 1);
    ag_wg_wait(&wg);

    ag_send(buffered, 2); /* a place in the buffer */
    printf("%d buffered\n", (int)ag_len(buffered));

    if (ag_select(AG_SEND(c, 3), AG_DEFAULT) == 1) /* not waiting */
        printf("nobody there\n");

    if (ag_select(AG_SEND(c, 4), AG_AFTER(5 * AG_MS)) == 1) /* not waiting for ever */
        printf("nobody came\n");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * received 1
 * 1 buffered
 * nobody there
 * nobody came
 */
