/* SPDX-License-Identifier: MIT */
/* The primitives of sync.h as a program uses them, in C and, but for designators, in C++. */
#include <aglet.h>
#include <stdlib.h>

static void *new_buffer(void) {
    return malloc(64);
}

static void *look_up(const char *name, int flags) {
    return (void *)(name + flags);
}

static void keep(void *value) {
    (void)value;
}

static ag_rwmutex static_rw = AG_RWMUTEX_INIT;
static ag_cond static_cond = AG_COND_INIT;
static ag_sem static_sem = AG_SEM_INIT(3);
static ag_pool static_pool = AG_POOL_INIT(new_buffer, free);
static ag_flight static_flight = AG_FLIGHT_INIT(keep);
#ifndef __cplusplus
static ag_pool designated = {.create = new_buffer, .destroy = free};
#endif

struct cache {
    ag_rwmutex rw;
    ag_mutex mutex;
    ag_cond changed;
    ag_sem limit;
    ag_pool pool;
    ag_flight flight;
};

static void hook(const ag_report *r) {
    for (int i = 0; i < r->count; i++)
        fprintf(stderr, "%s %s %lld\n", r->kind, r->text, (long long)r->ids[i]);
}

int uses(struct cache *c);
int uses(struct cache *c) {
    ag_rwmutex_rlock(&static_rw);
    ag_defer(ag_rwmutex_runlock, &static_rw);
    ag_rwmutex_lock(&c->rw);
    ag_rwmutex_unlock(&c->rw);
    if (ag_rwmutex_try_lock(&c->rw) || ag_rwmutex_try_rlock(&c->rw))
        return 1;
    ag_mutex_lock(&c->mutex);
    ag_cond_wait(&c->changed, &c->mutex);
    ag_cond_signal(&static_cond);
    ag_cond_broadcast(&c->changed);
    ag_mutex_unlock(&c->mutex);
    ag_sem_init(&c->limit, 4);
    if (ag_sem_acquire(&c->limit, 2) != 0 || !ag_sem_try_acquire(&static_sem, 1))
        return 2;
    ag_defer(ag_sem_release, &static_sem, 1);
    void *value = ag_pool_get(&static_pool);
    ag_pool_put(&static_pool, value);
    ag_pool_done(&c->pool);
    int r = ag_flight_do(&c->flight, "key", &value, look_up, "name", 0);
    if (r < 0)
        r = ag_flight_do(&static_flight, "key", NULL, look_up, "name", 1);
    ag_flight_forget(&c->flight, "key");
    ag_on_report(ag_on_report(hook));
#ifndef __cplusplus
    ag_pool_put(&designated, value);
#endif
    return r;
}
