/* SPDX-License-Identifier: MIT */
/*
 * The condition: waking one, all and nobody, the mutex around it, misuse, threads.
 */
#include "common.h"

struct box {
    ag_mutex mutex;
    ag_cond cond;
    int tickets; /* guarded by mutex */
    atomic_int got;
    ag_chan(int) order;
};

static void take_ticket(struct box *b, int me) {
    ag_mutex_lock(&b->mutex);
    while (b->tickets == 0)
        ag_cond_wait(&b->cond, &b->mutex);
    b->tickets--;
    ag_check(!ag_mutex_try_lock(&b->mutex)); /* it is locked again */
    ag_mutex_unlock(&b->mutex);
    atomic_fetch_add(&b->got, 1);
    if (b->order)
        ag_send(b->order, me);
}

static void give_tickets(struct box *b, int n) {
    ag_mutex_lock(&b->mutex);
    b->tickets += n;
    ag_mutex_unlock(&b->mutex);
}

AG_TEST_RUN(a_signal_wakes_the_one_that_waits_longest) {
    static struct box b; /* usable when zero */
    b.order = ag_make(int, 10);
    for (int i = 0; i < 3; i++)
        until_waits_for(ag_go(take_ticket, &b, i), "sync.Cond.Wait");
    for (int i = 0; i < 3; i++) {
        int who = -1;
        give_tickets(&b, 1);
        ag_cond_signal(&b.cond);
        ag_recv(b.order, &who);
        ag_check_int(who, i);
        ag_check_int(atomic_load(&b.got), i + 1);
    }
    ag_unref(b.order);
}

AG_TEST_RUN(a_broadcast_wakes_all) {
    static struct box b;
    for (int i = 0; i < 20; i++)
        until_waits_for(ag_go(take_ticket, &b, i), "sync.Cond.Wait");
    give_tickets(&b, 20);
    ag_cond_broadcast(&b.cond);
    eventually(atomic_load(&b.got) == 20);
}

static void wait_once(struct box *b) {
    ag_mutex_lock(&b->mutex);
    ag_cond_wait(&b->cond, &b->mutex);
    ag_mutex_unlock(&b->mutex);
    atomic_fetch_add(&b->got, 1);
}

AG_TEST_RUN(a_signal_to_nobody_is_lost) {
    static struct box b;
    ag_cond_signal(&b.cond);
    ag_cond_broadcast(&b.cond);
    until_waits_for(ag_go(wait_once, &b), "sync.Cond.Wait");
    ag_check_int(atomic_load(&b.got), 0);
    ag_cond_signal(&b.cond);
    eventually(atomic_load(&b.got) == 1);
}

static void signal_under_the_mutex(struct box *b) {
    ag_mutex_lock(&b->mutex);
    b->tickets = 1;
    ag_cond_signal(&b->cond);
    ag_mutex_unlock(&b->mutex);
}

AG_TEST_RUN(no_signal_is_lost_between_unlock_and_wait) {
    static struct box b;
    for (int i = 0; i < 3000 / ag_test_slow(); i++) {
        ag_mutex_lock(&b.mutex);
        ag_go(signal_under_the_mutex, &b); /* can only signal once the wait has unlocked */
        while (b.tickets == 0)
            ag_cond_wait(&b.cond, &b.mutex);
        b.tickets = 0;
        ag_mutex_unlock(&b.mutex);
    }
}

static void wait_without_lock(struct box *b) {
    ag_cond_wait(&b->cond, &b->mutex);
}

AG_TEST_RUN(waiting_with_an_unlocked_mutex_panics) {
    static struct box b;
    ag_panic_info info;
    ag_check_int(ag_try(&info, wait_without_lock, &b), AG_PANICKED);
    ag_check_str(info.msg, "sync: unlock of unlocked mutex");
    until_waits_for(ag_go(wait_once, &b), "sync.Cond.Wait"); /* the one that panicked is gone */
    ag_cond_signal(&b.cond);
    eventually(atomic_load(&b.got) == 1);
}

static void *take_on_thread(void *arg) {
    take_ticket(arg, 0);
    return NULL;
}

AG_TEST_RUN(threads_wait_and_signal_too) {
    static struct box b;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, take_on_thread, &b);
    for (int i = 0; i < 4; i++)
        ag_go(take_ticket, &b, i);
    for (int i = 0; i < 8; i++) {
        give_tickets(&b, 1);
        ag_cond_signal(&b.cond);
    }
    eventually(atomic_load(&b.got) == 8);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

AG_TEST(threads_without_a_runtime_wait) {
    static struct box b;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, take_on_thread, &b);
    give_tickets(&b, 3);
    ag_cond_broadcast(&b.cond);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(atomic_load(&b.got), 3);
}
