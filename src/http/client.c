/* SPDX-License-Identifier: MIT */
/*
 * The client: options, life, counters.
 *
 * Life: the owner's reference, one for each reply that is open, one for the pool's timer, one for
 * each connection of HTTP/2. Freeing it closes what is idle, and waits for the goroutines of HTTP/2
 * that this ends, so that a program may end right after it; a reply that is still open finds
 * `freed` set when it gives its connection back, and closes it. The last one frees the memory.
 */
#include "http/client.h"

#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 1 << 20, HEAD_MIN = 1024, FIELDS_MAX = 1000 };

static ag_time time_or(ag_time given, ag_time usual) {
    return given > 0 ? given : usual;
}

static uint32_t count_or(uint32_t given, uint32_t usual) {
    return given ? given : usual;
}

static void set_options(ag_http_client_options *o) {
    o->dial_ns = time_or(o->dial_ns, 10 * AG_SEC);
    o->tls_ns = time_or(o->tls_ns, 10 * AG_SEC);
    o->head_ns = time_or(o->head_ns, 60 * AG_SEC);
    o->quiet_ns = time_or(o->quiet_ns, 60 * AG_SEC);
    o->continue_ns = time_or(o->continue_ns, AG_SEC);
    o->idle_ns = time_or(o->idle_ns, 4 * AG_SEC);
    o->conns_max = count_or(o->conns_max, 1000);
    o->conns_per_host = count_or(o->conns_per_host, 100);
    o->idle_max = count_or(o->idle_max, 200);
    o->idle_per_host = count_or(o->idle_per_host, 50);
    o->head_max = count_or(o->head_max, 65536);
    o->fields_max = count_or(o->fields_max, 200);
    if (o->redirects_max == 0)
        o->redirects_max = 10;
    if (o->head_max < HEAD_MIN)
        o->head_max = HEAD_MIN;
    if (o->head_max > HEAD_MAX)
        o->head_max = HEAD_MAX;
    if (o->fields_max > FIELDS_MAX)
        o->fields_max = FIELDS_MAX;
}

static void client_destroy(ag_http_client *client) {
    ag_pool_done(&client->replies);
    ag_pool_done(&client->h2_buffers);
    ag__client_proxies_done(&client->proxies);
    ag__client_tls_unref(client->opt.tls);
    free(client->user_agent);
    free(client);
}

ag_http_client *ag_http_client_new(const ag_http_client_options *options) {
    ag_http_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    if (options)
        client->opt = *options;
    set_options(&client->opt);
    ag__client_tls_ref(client->opt.tls);
    client->replies = (ag_pool)AG_POOL_INIT(NULL, ag__reply_destroy);
    client->h2_buffers = (ag_pool)AG_POOL_INIT(NULL, free);
    atomic_init(&client->refs, 1);
    const char *agent = client->opt.user_agent ? client->opt.user_agent : "aglet";
    bool ok = ag__client_proxies_init(&client->proxies, client->opt.proxy) == 0;
    if (*agent) {
        client->user_agent = strdup(agent);
        for (const char *p = agent; *p; p++)
            ok = ok && ag__http_is(*p, AG__CH_VALUE);
        ok = ok && client->user_agent;
    }
    client->opt.user_agent = client->opt.proxy = NULL; /* the caller's */
    if (ok)
        return client;
    client_destroy(client);
    return NULL;
}

void ag__client_unref(ag_http_client *client) {
    if (atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) == 1)
        client_destroy(client);
}

void ag_http_client_free(ag_http_client *client) {
    if (!client)
        return;
    ag_mutex_lock(&client->lock);
    client->freed = true;
    ag_timer *timer = client->timer;
    client->timer = NULL;
    ag_mutex_unlock(&client->lock);
    ag__client_close_idle(client, 0);
    if (ag_count() > 0) /* after the end of the runtime nobody comes to end them */
        ag_wg_wait(&client->ending);
    if (ag_timer_stop(timer))
        ag__client_unref(client);
    ag_unref(timer);
    ag__client_unref(client);
}

void ag_http_client_close_idle(ag_http_client *client) {
    ag__client_close_idle(client, 0);
}

void ag_http_client_stats_read(ag_http_client *client, ag_http_client_stats *ret_stats) {
    ag_mutex_lock(&client->lock);
    *ret_stats = (ag_http_client_stats){
        .open = client->open,
        .idle = client->idle,
        .waiting = client->waiting,
        .dialed = client->dialed,
        .reused = client->reused,
    };
    ag_mutex_unlock(&client->lock);
    ret_stats->requests = atomic_load_explicit(&client->requests, memory_order_relaxed);
    ret_stats->failed = atomic_load_explicit(&client->failed, memory_order_relaxed);
    ret_stats->retried = atomic_load_explicit(&client->retried, memory_order_relaxed);
    ret_stats->redirected = atomic_load_explicit(&client->redirected, memory_order_relaxed);
}
