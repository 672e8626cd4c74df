/* SPDX-License-Identifier: MIT */
/* Back-pressure: a buffered channel makes a fast producer wait for a slow consumer, so never more
 * than the buffer lies between them. A producer that must not wait drops instead, and counts. */
#include <aglet.h>

enum { ITEMS = 20, ROOM = 4 };

static void produce(ag_chan(int) queue, long *ret_longest) {
    for (int i = 0; i < ITEMS; i++) {
        ag_send(queue, i);
        *ret_longest = ag_len(queue) > *ret_longest ? ag_len(queue) : *ret_longest;
    }
    ag_close(queue);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) queue = ag_make(int, ROOM);
    ag_defer(ag_unref, queue);
    static ag_wg wg;
    long longest = 0;
    ag_wg_go(&wg, produce, queue, &longest);
    int consumed = 0;
    for (int item; ag_recv(queue, &item); consumed++)
        ag_sleep(AG_MS);
    ag_wg_wait(&wg);
    printf("waiting: %d consumed, at most %ld of %d queued\n", consumed, longest, ROOM);

    ag_chan(int) lossy = ag_make(int, ROOM);
    ag_defer(ag_unref, lossy);
    int dropped = 0;
    for (int i = 0; i < ITEMS; i++)
        dropped += !ag_try_send(lossy, i);
    printf("dropping: %d queued, %d dropped\n", (int)ag_len(lossy), dropped);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * waiting: 20 consumed, at most 4 of 4 queued
 * dropping: 4 queued, 16 dropped
 */
