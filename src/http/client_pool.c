/* SPDX-License-Identifier: MIT */
/*
 * The pool: which connection serves which request, and who waits.
 *
 * Idea: a connection that comes back, or the place of one that was closed, goes to whoever has
 * waited longest and can use it; nothing is left lying about for newcomers while somebody waits. So
 * a newcomer that finds an idle connection or a place may take it: nobody of its host waits then.
 *
 *     take:  shared one of this host with room?  -> a part of it
 *            idle one of this host?  -> check it, lend it
 *            a place?                -> count it, dial
 *            an idle one elsewhere and only the limit of all is reached?  -> close that, dial
 *            else                    -> wait in the queue of the host
 *     give:  somebody of another host has waited longer for a place -> close it
 *            somebody of this host waits -> lend it to the first
 *            nobody                      -> idle; the oldest goes if there are too many
 *            closed                      -> its place to the first who can use it
 *
 * A connection of HTTP/2 is shared: it counts once, and as many requests have it as the server
 * allows. Those above that get another one. Whether a host speaks HTTP/2 is known once a connection
 * to it is there; so while one is made that may turn out to, and until its server has said how many
 * requests it takes, newcomers wait for that rather than make more of them. If it can't be made
 * they all get its error, unless it was the end of somebody's context. One that always has requests
 * would keep its place for ever; so if somebody of another host waits for one, one connection at a
 * time takes no more requests, and ends with those that it has.
 *
 * "Who can use it": the first of each host that is below its own limit; of these the one that has
 * waited longest. Hosts with waiters are in a list; usually that is one.
 *
 * An idle connection is asked once before it is lent: a read that must find nothing. The end, an
 * error, or bytes that nobody has asked for (a 408, say) end it, and the next one is looked at.
 * What happens between that look and the request is what the second attempt of client_do.c is for.
 *
 * Invariants, with the lock: client->open is the sum of the hosts' `open`; idle ones are in both
 * lists or in none; a shared one is idle if nobody has it; a host is in the table if and only if it
 * has `open` or waiters.
 *
 * Refused: a wish (ag_conn_when_readable) on idle connections, which would notice their end at
 * once: a wish can't be taken back when the connection is to be used.
 */
#include "http/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 700 };

/* ---- Hosts ---------------------------------------------------------------------------------- */

/* Plain requests through a proxy share its connections. Returns: false if it is too long. */
static bool make_key(const ag__client_route *r, char key[KEY_MAX]) {
    const ag__url *p = r->proxy;
    int n = r->proxy && !r->tunnel ? snprintf(key, KEY_MAX, "proxy %s", p->text)
                                   : snprintf(key, KEY_MAX, "%d%.*s:%u %s", r->tls, (int)r->host.n,
                                              r->host.p, (unsigned)r->port, p ? p->text : "");
    return n > 0 && n < KEY_MAX;
}

static uint32_t bucket_of(const char *key) {
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return (hash ^ hash >> 16) % AG__CLIENT_BUCKETS;
}

static ag__client_host *host_find(ag_http_client *client, const char *key, bool may_share) {
    uint32_t bucket = bucket_of(key);
    ag__client_host *h = client->hosts[bucket];
    while (h && strcmp(h->key, key) != 0)
        h = h->link;
    if (h)
        return h;
    size_t n = strlen(key) + 1;
    h = calloc(1, sizeof *h + n);
    if (!h)
        return NULL;
    memcpy(h->key, key, n);
    h->bucket = bucket;
    h->may_share = may_share;
    h->link = client->hosts[bucket];
    client->hosts[bucket] = h;
    return h;
}

static void host_check_gone(ag_http_client *client, ag__client_host *h) {
    if (h->open || h->first)
        return;
    ag__client_host **at = &client->hosts[h->bucket];
    while (*at != h)
        at = &(*at)->link;
    *at = h->link;
    free(h);
}

/* ---- Waiters -------------------------------------------------------------------------------- */

static void waiter_add(ag_http_client *client, ag__client_host *h, ag__client_waiter *w) {
    w->number = client->arrivals++;
    w->prev = h->last;
    w->next = NULL;
    if (h->last) {
        h->last->next = w;
    } else {
        h->first = w;
        h->wait_prev = client->wait_last;
        h->wait_next = NULL;
        if (client->wait_last)
            client->wait_last->wait_next = h;
        else
            client->wait_first = h;
        client->wait_last = h;
    }
    h->last = w;
    client->waiting++;
}

static void waiter_remove(ag_http_client *client, ag__client_host *h, ag__client_waiter *w) {
    *(w->prev ? &w->prev->next : &h->first) = w->next;
    *(w->next ? &w->next->prev : &h->last) = w->prev;
    client->waiting--;
    if (h->first)
        return;
    *(h->wait_prev ? &h->wait_prev->wait_next : &client->wait_first) = h->wait_next;
    *(h->wait_next ? &h->wait_next->wait_prev : &client->wait_last) = h->wait_prev;
}

static void grant(ag_http_client *client, ag__client_host *h, ag__client_link *link) {
    ag__client_waiter *w = h->first;
    waiter_remove(client, h, w);
    w->link = link;
    w->granted = true;
    ag_sem_release(&w->turn, 1);
}

/* Whether a connection may be made now, or one that is being made is waited for. */
static bool may_make(const ag__client_host *h) {
    return !h->making || !h->may_share;
}

/* The host whose first waiter has waited longest and could make a connection. */
static ag__client_host *who_can_dial(ag_http_client *client) {
    ag__client_host *found = NULL;
    if (client->open >= client->opt.conns_max)
        return NULL;
    for (ag__client_host *h = client->wait_first; h; h = h->wait_next)
        if (h->open < client->opt.conns_per_host && may_make(h) &&
            (!found || h->first->number < found->first->number))
            found = h;
    return found;
}

/* A place is free. */
static void grant_places(ag_http_client *client) {
    ag__client_host *h;
    while ((h = who_can_dial(client))) {
        h->open++;
        h->making++;
        client->open++;
        grant(client, h, NULL);
    }
}

/* ---- Idle ones ------------------------------------------------------------------------------ */

static void idle_add(ag_http_client *client, ag__client_link *l) {
    ag__client_host *h = l->h;
    l->prev = client->newest;
    l->next = NULL;
    *(l->prev ? &l->prev->next : &client->oldest) = l;
    client->newest = l;
    l->host_prev = NULL;
    l->host_next = h->idle;
    if (h->idle)
        h->idle->host_prev = l;
    h->idle = l;
    h->idle_count++;
    client->idle++;
    l->is_idle = true;
}

static void idle_remove(ag_http_client *client, ag__client_link *l) {
    *(l->prev ? &l->prev->next : &client->oldest) = l->next;
    *(l->next ? &l->next->prev : &client->newest) = l->prev;
    *(l->host_prev ? &l->host_prev->host_next : &l->h->idle) = l->host_next;
    if (l->host_next)
        l->host_next->host_prev = l->host_prev;
    l->h->idle_count--;
    client->idle--;
    l->is_idle = false;
}

/* ---- Shared ones ---------------------------------------------------------------------------- */

/* One with room for one more, which it gets. */
static ag__client_link *shared_take(ag_http_client *client, ag__client_host *h) {
    ag__client_link *l = h->shared;
    while (l && l->streams + l->held >= l->streams_max)
        l = l->shared_next;
    if (l && l->is_idle)
        idle_remove(client, l);
    if (l)
        l->streams++;
    return l;
}

static void grant_shares(ag_http_client *client, ag__client_host *h) {
    ag__client_link *l;
    while (h->first && (l = shared_take(client, h))) {
        client->reused++;
        grant(client, h, l);
    }
}

/* What is being made has come to nothing; nobody else makes one. */
static void grant_error(ag_http_client *client, ag__client_host *h, int error, const char *why) {
    while (h->first) {
        h->first->error = error;
        memcpy(h->first->why, why, AG__CLIENT_WHY);
        grant(client, h, NULL);
    }
}

/* Out of the list of those that take requests. */
static void unshare(ag__client_link *l) {
    ag__client_link **at = &l->h->shared;
    if (l->retired)
        return;
    l->retired = true;
    while (*at != l)
        at = &(*at)->shared_next;
    *at = l->shared_next;
    if (!l->settled)
        l->h->making--;
}

/* ---- Closing -------------------------------------------------------------------------------- */

/* Its socket and memory, without the lock or with it: closing does not wait. */
static void link_free(ag__client_link *l) {
    ag_conn_close(l->c);
    if (l->h2) {
        ag__client_h2_unref(l->h2);
        return;
    }
    ag_unref(l->c);
    free(l);
}

/* With the lock; the place is free afterwards. */
static void place_free(ag_http_client *client, ag__client_host *h) {
    h->open--;
    client->open--;
    host_check_gone(client, h);
}

static void idle_close(ag_http_client *client, ag__client_link *l) {
    ag__client_host *h = l->h;
    idle_remove(client, l);
    if (l->h2) {
        unshare(l);
        l->closed = true;
        l->awaited = client->freed;
        ag_wg_add(&client->ending, client->freed);
    }
    link_free(l);
    place_free(client, h);
}

static void sweep(ag_http_client *client);

/* Looks after the idle ones when the first of them is due. With the lock. */
static void arm(ag_http_client *client, ag_time now) {
    ag_time first = INT64_MAX;
    if (client->armed || client->freed)
        return;
    for (ag__client_link *l = client->oldest; l; l = l->next)
        if (l->until < first)
            first = l->until;
    if (first == INT64_MAX)
        return;
    ag_time ns = first > now ? first - now + AG_MS : AG_MS;
    client->armed = true;
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    if (client->timer)
        ag_timer_reset(client->timer, ns);
    else
        client->timer = ag_timer_start(ns, sweep, client);
    if (client->timer)
        return;
    client->armed = false; /* without memory: an idle one is looked at when it is to be used */
    atomic_fetch_sub_explicit(&client->refs, 1, memory_order_relaxed);
}

void ag__client_close_idle(ag_http_client *client, ag_time now) {
    ag_mutex_lock(&client->lock);
    for (ag__client_link *l = client->oldest, *next; l; l = next) {
        next = l->next;
        if (!now || l->until <= now)
            idle_close(client, l);
    }
    grant_places(client);
    ag_mutex_unlock(&client->lock);
}

static void sweep(ag_http_client *client) {
    ag_time now = ag_now();
    ag__client_close_idle(client, now);
    ag_mutex_lock(&client->lock);
    client->armed = false;
    arm(client, now);
    ag_mutex_unlock(&client->lock);
    ag__client_unref(client);
}

/* ---- Taking --------------------------------------------------------------------------------- */

/* Whether an idle one can be used: still open, and nothing has come. It is the caller's. */
static bool is_alive(ag_http_client *client, const ag__client_waiter *w, ag_time now) {
    ag__client_link *l = w->link;
    char byte;
    if (l->h2)
        return ag__client_h2_is_alive(l->h2, w->alone);
    if (now >= l->until)
        return false;
    ag__link_bound_read(l, client->opt.head_ns, now);
    return ag_try_read(l->c, &byte, 1) == -EAGAIN;
}

enum { TOOK_LINK, TOOK_PLACE, TOOK_TURN };

/* With the lock. What there is at once; else a place in the queue. */
static int take_now(ag_http_client *client, ag__client_host *h, bool fresh, ag__client_waiter *w) {
    const ag_http_client_options *o = &client->opt;
    if (!h->first && (w->link = shared_take(client, h))) {
        w->alone = w->link->streams == 1;
        return TOOK_LINK;
    }
    for (ag__client_link *l = fresh ? NULL : h->idle; l; l = l->host_next)
        if (!l->h2) {
            idle_remove(client, l);
            w->link = l;
            return TOOK_LINK;
        }
    h->open++; /* so that closing others leaves it where it is */
    if (h->open > o->conns_per_host && h->idle)
        idle_close(client, h->idle);
    if (h->open <= o->conns_per_host && client->open >= o->conns_max && client->oldest &&
        may_make(h))
        idle_close(client, client->oldest);
    if (h->open <= o->conns_per_host && client->open < o->conns_max && !h->first && may_make(h)) {
        client->open++;
        h->making++;
        return TOOK_PLACE;
    }
    h->open--;
    ag_sem_init(&w->turn, 1);
    ag_sem_try_acquire(&w->turn, 1);
    waiter_add(client, h, w);
    return TOOK_TURN;
}

/* Waits for what take_now could not give. Returns: 0, or why the wait has ended. */
static int take_turn(ag_http_client *client, ag__client_host *h, ag__client_waiter *w) {
    int r = ag_sem_acquire(&w->turn, 1);
    ag_mutex_lock(&client->lock); /* who granted it has left the semaphore, too */
    bool granted = w->granted;
    if (!granted) {
        waiter_remove(client, h, w);
        host_check_gone(client, h);
    }
    ag_mutex_unlock(&client->lock);
    return granted ? w->error : r;
}

/* The connection of a new link speaks HTTP/2, or it does not. With the lock. */
static void made(ag_http_client *client, ag__client_host *h, ag__client_link *l) {
    client->dialed++;
    l->h = h;
    if (l->h2) {
        l->streams = l->streams_max = 1; /* until its server says more */
        l->idle_ns = client->opt.idle_ns;
        l->shared_next = h->shared;
        h->shared = l;
        h->may_share = true;
    } else {
        h->making--;
        h->may_share = false;
        grant_places(client);
    }
}

/* With the lock. */
static void not_made(ag_http_client *client, ag__client_host *h, int error, bool own,
                     const char *why) {
    h->making--;
    if (h->may_share && !h->shared && !h->making && !own)
        grant_error(client, h, error, why);
    place_free(client, h);
    grant_places(client);
}

/* Whether an error may have come from the end of the current context. */
static bool is_own_end(int error) {
    return (error == -ETIMEDOUT || error == -ECANCELED) && ag_sleep(1) != 0;
}

static int dial(ag_http_client *client, ag__client_host *h, const ag__client_route *route,
                ag__client_link **ret_link, char *why) {
    ag__client_link *l = calloc(1, sizeof *l);
    bool h2 = false;
    int r = -ENOMEM;
    if (l)
        r = ag__client_dial(client, route, &l->c, &h2, why);
    if (r == 0 && h2 && !(l->h2 = ag__client_h2_new(client, l))) {
        ag_unref(l->c);
        r = -ENOMEM;
    }
    bool own = is_own_end(r);
    ag_mutex_lock(&client->lock);
    if (r == 0)
        made(client, h, l);
    else
        not_made(client, h, r, own, why);
    ag_mutex_unlock(&client->lock);
    if (r != 0) {
        free(l);
        return r;
    }
    l->read_set = l->write_set = INT64_MIN / 2;
    if (h2)
        ag__client_h2_start(l->h2);
    *ret_link = l;
    return 0;
}

int ag__client_take(ag_http_client *client, const ag__client_route *route, bool fresh,
                    ag__client_link **ret_link, bool *ret_reused, char *why) {
    char key[KEY_MAX];
    why[0] = 0;
    *ret_reused = false;
    if (!make_key(route, key))
        return -ENAMETOOLONG;
    for (;;) {
        ag__client_waiter w = {.link = NULL, .why = why};
        ag_mutex_lock(&client->lock);
        ag__client_host *h = host_find(client, key, ag__client_may_share(client, route));
        int took = h ? take_now(client, h, fresh, &w) : TOOK_TURN;
        if (took == TOOK_LINK)
            client->reused++;
        ag_mutex_unlock(&client->lock);
        if (!h)
            return -ENOMEM;
        if (took == TOOK_TURN) {
            int r = take_turn(client, h, &w);
            if (r != 0 && !w.error)
                snprintf(why, AG__CLIENT_WHY, "waiting for one of its connections");
            if (r != 0)
                return r;
        }
        if (!w.link)
            return dial(client, h, route, ret_link, why);
        if ((w.link->h2 || !fresh) && is_alive(client, &w, ag_now())) {
            *ret_link = w.link;
            *ret_reused = true;
            return 0;
        }
        if (took == TOOK_LINK) {
            ag_mutex_lock(&client->lock);
            client->reused--;
            ag_mutex_unlock(&client->lock);
        }
        ag__client_give(client, w.link, false);
    }
}

/* ---- Giving back ---------------------------------------------------------------------------- */

/* Whether somebody of another host waits for a place, and for longer than the first of `h`. */
static bool others_go_first(ag_http_client *client, const ag__client_host *h) {
    for (ag__client_host *o = client->wait_first; o; o = o->wait_next)
        if (o != h && o->open < client->opt.conns_per_host && may_make(o) &&
            (!h->first || o->first->number < h->first->number))
            return true;
    return false;
}

static void keep_idle(ag_http_client *client, ag__client_link *link, ag_time now) {
    ag__client_host *h = link->h;
    idle_add(client, link);
    if (h->idle_count > client->opt.idle_per_host) {
        ag__client_link *last = h->idle;
        while (last->host_next)
            last = last->host_next;
        idle_close(client, last);
    }
    if (client->idle > client->opt.idle_max)
        idle_close(client, client->oldest);
    arm(client, now);
}

/* The last who had it is gone. With the lock. Returns: true if it is to be freed. */
static bool shared_end(ag_http_client *client, ag__client_link *l) {
    ag__client_host *h = l->h;
    if (!l->retired && !client->freed && !others_go_first(client, h)) {
        ag_time now = ag_now();
        l->until = now + l->idle_ns;
        keep_idle(client, l, now);
        return false;
    }
    unshare(l);
    l->closed = true;
    if (client->making_room == l)
        client->making_room = NULL;
    place_free(client, h);
    grant_places(client);
    return true;
}

static void give_share(ag_http_client *client, ag__client_link *l, bool keep) {
    ag_mutex_lock(&client->lock);
    if (keep && l->streams > 1 && !client->making_room && others_go_first(client, l->h)) {
        keep = false;
        client->making_room = l;
    }
    if (!keep)
        unshare(l);
    l->streams--;
    grant_shares(client, l->h);
    bool ends = l->streams == 0 && shared_end(client, l);
    if (!keep && !ends)
        grant_places(client);
    ag_mutex_unlock(&client->lock);
    if (ends)
        link_free(l);
}

void ag__client_settle(ag_http_client *client, ag__client_link *l, uint32_t streams_max) {
    ag_mutex_lock(&client->lock);
    if (!l->closed) {
        l->streams_max = streams_max;
        if (!l->settled && !l->retired)
            l->h->making--;
        l->settled = true;
        grant_shares(client, l->h);
        grant_places(client);
    }
    ag_mutex_unlock(&client->lock);
}

void ag__client_hold(ag_http_client *client, ag__client_link *l, int32_t more) {
    ag_mutex_lock(&client->lock);
    l->held += (uint32_t)more;
    if (!l->closed && more < 0)
        grant_shares(client, l->h);
    ag_mutex_unlock(&client->lock);
}

void ag__client_retire(ag_http_client *client, ag__client_link *l) {
    ag_mutex_lock(&client->lock);
    if (!l->closed && l->streams == 0) {
        idle_close(client, l);
    } else if (!l->closed) {
        unshare(l);
    }
    grant_places(client);
    ag_mutex_unlock(&client->lock);
}

void ag__client_give(ag_http_client *client, ag__client_link *link, bool keep) {
    ag__client_host *h = link->h;
    ag_time now = 0;
    if (link->h2) {
        give_share(client, link, keep);
        return;
    }
    link->reused = true;
    if (keep) {
        now = ag_now();
        link->until = now + link->idle_ns;
    }
    ag_mutex_lock(&client->lock);
    keep = keep && !client->freed && !others_go_first(client, h);
    if (keep && h->first) {
        client->reused++;
        grant(client, h, link);
    } else if (keep) {
        keep_idle(client, link, now);
    } else {
        place_free(client, h);
        grant_places(client);
    }
    ag_mutex_unlock(&client->lock);
    if (!keep)
        link_free(link);
}
