/* SPDX-License-Identifier: MIT */
/* Every order that the library promises, with a plain variable behind each: go, unbuffered
 * and buffered channels both ways, close, select, mutex, wait group, once, timer, thread. */
// clean: thread self address undefined leak valgrind
// procs: 1,2,8
#include <aglet.h>
#include <pthread.h>

static int a, b, c, d, e, f, g, h;
static ag_mutex mutex;
static ag_once once;

static void set_h(void) {
    h = 1;
}

static void partner(ag_chan(int) rendezvous, ag_chan(int) slots, ag_chan(int) closed, ag_wg *wg) {
    a++; /* ordered by ag_go */
    b = 1;
    ag_send(rendezvous, 1);
    c++; /* the receive happens before the send returns */
    for (int i = 0; i < 100; i++) {
        ag_send(slots, i); /* capacity 1: a lock */
        d++;
        ag_recv(slots, NULL);
        ag_mutex_lock(&mutex);
        e++;
        ag_mutex_unlock(&mutex);
        if (i % 10 == 0)
            ag_yield();
    }
    ag_once_do(&once, set_h);
    f = h;
    ag_close(closed);
    g = 1;
    ag_wg_done(wg);
}

static void fire(int *p, ag_chan(int) done) {
    *p += 1;
    ag_select(AG_SEND(done, 1), AG_AFTER(AG_MIN));
}

static void *on_thread(void *arg) {
    ag_chan(int) *chans = arg;
    ag_recv(chans[0], NULL);
    a++;
    ag_send(chans[1], 1);
    return NULL;
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) rendezvous = ag_make(int, 0), slots = ag_make(int, 1), closed = ag_make(int, 0);
    ag_chan(int) chans[2] = {ag_make(int, 0), ag_make(int, 1)};
    ag_wg wg = AG_WG_INIT;
    pthread_t thread;
    a = 1;
    c = 1;
    ag_wg_add(&wg, 1);
    ag_go(partner, rendezvous, slots, closed, &wg);
    c++;
    ag_recv(rendezvous, NULL);
    b++;
    for (int i = 0; i < 100; i++) {
        ag_send(slots, i);
        d++;
        ag_recv(slots, NULL);
        ag_mutex_lock(&mutex);
        e++;
        ag_mutex_unlock(&mutex);
    }
    ag_once_do(&once, set_h);
    if (h != 1) /* both only read it */
        return 1;
    ag_select(AG_RECV(closed, NULL), AG_AFTER(AG_MIN));
    f++;
    ag_wg_wait(&wg);
    g++;
    ag_timer *t = ag_timer_start(AG_MS, fire, &g, slots);
    ag_recv(slots, NULL);
    g++;
    ag_unref(t);
    pthread_create(&thread, NULL, on_thread, chans);
    a++;
    ag_send(chans[0], 1);
    ag_recv(chans[1], NULL);
    a++;
    pthread_join(thread, NULL);
    ag_unref(rendezvous);
    ag_unref(slots);
    ag_unref(closed);
    ag_unref(chans[0]);
    ag_unref(chans[1]);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
