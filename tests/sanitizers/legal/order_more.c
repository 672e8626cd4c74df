/* SPDX-License-Identifier: MIT */
/* The orders that order.c leaves out, with a plain variable behind each: readers' and
 * writers' lock, condition, semaphore, single flight, pool, scope, job, context and what runs after
 * it. */
// clean: thread self address undefined leak valgrind
// procs: 1,2,8
#include <aglet.h>

#include <stdlib.h>

static int table, news, seats, flown, pooled, scoped, done, cancelled, after;
static ag_rwmutex lock;
static ag_mutex news_mutex;
static ag_cond condition;
static ag_sem sem = AG_SEM_INIT(1);
static ag_flight flight;
static ag_pool pool;

static void lock_table(ag_wg *wg) {
    for (int i = 0; i < 50; i++) {
        ag_rwmutex_lock(&lock);
        table++;
        ag_rwmutex_unlock(&lock);
        ag_rwmutex_rlock(&lock);
        if (table < 0)
            abort();
        ag_rwmutex_runlock(&lock);
        ag_sem_acquire(&sem, 1);
        seats++;
        ag_sem_release(&sem, 1);
        ag_yield();
    }
    ag_wg_done(wg);
}

static void tell(void) {
    ag_mutex_lock(&news_mutex);
    news++;
    ag_mutex_unlock(&news_mutex);
    ag_cond_broadcast(&condition);
}

static void *fly(void) {
    flown++; /* one at a time for each key */
    ag_yield();
    return (void *)(intptr_t)flown;
}

static void fly_along(ag_wg *wg) {
    void *value = NULL;
    ag_flight_do(&flight, "key", &value, fly);
    if (!value)
        abort();
    ag_wg_done(wg);
}

static void put(int *box, ag_wg *wg) {
    *box = 1;
    ag_pool_put(&pool, box);
    ag_wg_done(wg);
}

static int child(int *p) {
    ag_yield();
    *p += 1;
    return 0;
}

static void *job(int *p) {
    ag_yield();
    *p += 1;
    return p;
}

static void run_after(ag_chan(int) told) {
    cancelled++;
    after++;
    ag_send(told, 1);
}

static void contexts(void) {
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_chan(int) told = ag_make(int, 0);
    ag_ctx_call *call = ag_ctx_after(ctx, run_after, told);
    cancelled++;
    ag_ctx_cancel(ctx);
    ag_recv(told, NULL);
    after++;
    ag_recv(ag_ctx_done(ctx), NULL);
    ag_unref(call);
    ag_unref(told);
    ag_unref(ctx);
}

static void scopes(void) {
    int first = 1, second = 1;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child, &first);
    ag_scope_go(&s, child, &second);
    ag_scope_end(&s);
    scoped = first + second;
    done = 1;
    ag_job *j = ag_async(job, &done);
    ag_job_await(j, NULL);
    done++;
    ag_unref(j);
}

static int app(void *arg) {
    ag_wg wg = AG_WG_INIT;
    int *box = calloc(1, sizeof *box);
    ag_wg_add(&wg, 5);
    ag_go(lock_table, &wg);
    ag_go(lock_table, &wg);
    ag_go(fly_along, &wg);
    ag_go(fly_along, &wg);
    ag_go(put, box, &wg);
    ag_mutex_lock(&news_mutex);
    ag_go(tell);
    while (news == 0)
        ag_cond_wait(&condition, &news_mutex);
    news++;
    ag_mutex_unlock(&news_mutex);
    ag_wg_wait(&wg);
    int *got = ag_pool_get(&pool);
    pooled = got ? ++*got : 0;
    free(got ? got : box);
    scopes();
    contexts();
    ag_pool_done(&pool);
    return arg != NULL || table != 100 || seats != 100 || scoped != 4 || done != 3 ||
           cancelled != 2 || after != 2 || pooled < 0;
}

int main(void) {
    return ag_run(app, NULL);
}
