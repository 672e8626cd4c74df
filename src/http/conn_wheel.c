/* SPDX-License-Identifier: MIT */
/*
 * The wheel: all connections by the time at which to look at them next.
 *
 * An idle time-out must cost nothing while a connection is busy, so nothing is moved when a request
 * comes or goes: a connection only writes down since when it waits. It lies in a bucket for a time
 * that is never later than its limit; when that comes, it is closed if the limit has passed, else
 * put where the limit is now. So a busy connection is looked at once in idle_ns, and one timer for
 * the whole server, none for an empty one, goes from bucket to bucket. Only a limit that comes
 * nearer (a refused client that lingers) has to be moved by hand.
 *
 * What a handler has taken over has limits of its own, and lies in a list beside the buckets.
 *
 * Invariants, under the server's lock: each open connection is in exactly one list; while any is
 * open, the timer is armed, or its goroutine is on the way, and holds a reference of the server.
 *
 * Refused: a timer for each connection (memory, and a heap operation for each request); a list
 * ordered by the last use (every request of every processor would take its lock).
 */
#include "http/server.h"
#include "http/system.h"

#include <errno.h>
#include <stdlib.h>

/* How many are looked at to make room for one: enough to choose from, and, where most are busy, as
   many as may be moved while the lock is held. */
enum { EVICT_LOOKS = 64, EVICT_MOVES = 1000 };

/* How many may be found to have something to read: that they wait is not their fault. */
enum { EVICT_TRIES = 64 };

static bool lingers(const ag__http_conn *hc) {
    uint8_t kind = atomic_load_explicit(&hc->kind, AG__RELAXED);
    return kind == AG__CONN_LINGER || kind == AG__CONN_AWAY;
}

static ag_time limit_of(const ag__http_conn *hc) {
    switch (atomic_load_explicit(&hc->kind, AG__RELAXED)) {
    case AG__CONN_FRESH:
        return hc->s->opt.head_ns;
    case AG__CONN_LINGER:
    case AG__CONN_AWAY:
        return AG__HTTP_LINGER;
    default:
        return hc->s->opt.idle_ns;
    }
}

/* One that is new may be idle before its limit has passed. */
static ag_time first_look(const ag__http_conn *hc) {
    ag_time limit = limit_of(hc), idle = hc->s->opt.idle_ns;
    return limit < idle ? limit : idle;
}

/* ---- Lists ---------------------------------------------------------------------------------- */

/* When one that is due then is looked at. */
static int64_t tick_of(const ag_http_server *s, ag_time due) {
    int64_t tick = due / s->tick_ns + 1;
    if (tick <= s->tick)
        return s->tick + 1;
    return tick < s->tick + AG__WHEEL ? tick : s->tick + AG__WHEEL - 1;
}

/* The first one's `prev` is the last: a bucket is a queue. */
static void link_last(ag_http_server *s, ag__http_conn *hc, uint16_t bucket) {
    ag__http_conn **first = &s->wheel[bucket], *head = *first;
    hc->bucket = bucket;
    hc->next = NULL;
    hc->prev = head ? head->prev : hc;
    if (head) {
        head->prev->next = hc;
        head->prev = hc;
    } else {
        *first = hc;
    }
}

static void insert(ag_http_server *s, ag__http_conn *hc, ag_time due) {
    link_last(s, hc, (uint16_t)(tick_of(s, due) % AG__WHEEL));
}

static void take_out(ag_http_server *s, ag__http_conn *hc) {
    ag__http_conn **first = &s->wheel[hc->bucket], *head = *first;
    s->upgraded -= hc->bucket == AG__WHEEL;
    if (hc == head)
        *first = hc->next;
    else
        hc->prev->next = hc->next;
    if (hc->next)
        hc->next->prev = hc->prev;
    else if (hc != head)
        head->prev = hc->prev;
}

/* Ends one that waits. Its goroutine, started by that, frees it. */
static bool cut_waiting(ag__http_conn *hc) {
    uint8_t waiting = AG__CONN_WAITING;
    if (!atomic_compare_exchange_strong(&hc->state, &waiting, AG__CONN_ENDING))
        return false;
    ag_conn_close(hc->c);
    return true;
}

/* The same; one of HTTP/2 says so, and ends by itself. */
static bool end_waiting(ag__http_conn *hc) {
    uint8_t waiting = AG__CONN_WAITING;
    if (hc->h2 && !lingers(hc) &&
        atomic_compare_exchange_strong(&hc->state, &waiting, AG__CONN_RUNNING)) {
        if (!ag__http_h2_goodbye(hc))
            ag_conn_close(hc->c);
        return true;
    }
    return cut_waiting(hc);
}

/* ---- Turning -------------------------------------------------------------------------------- */

static void look_at(ag_http_server *s, ag__http_conn *hc, ag_time now) {
    uint8_t state = atomic_load(&hc->state);
    ag_time due = now + s->opt.idle_ns;
    if (state == AG__CONN_WAITING) {
        due = atomic_load_explicit(&hc->since, AG__RELAXED) + limit_of(hc);
        if (due <= now && end_waiting(hc)) {
            s->timed_out += !lingers(hc);
            due = now + s->opt.idle_ns;
        }
    }
    if (due > now + s->opt.idle_ns)
        due = now + s->opt.idle_ns;
    take_out(s, hc);
    insert(s, hc, due);
}

/* The time of the next bucket that is not empty. */
static ag_time next_turn(const ag_http_server *s) {
    for (int64_t tick = s->tick + 1; tick < s->tick + AG__WHEEL; tick++)
        if (s->wheel[tick % AG__WHEEL])
            return (tick + 1) * s->tick_ns;
    return (s->tick + AG__WHEEL) * s->tick_ns;
}

static void turn(ag_http_server *s) {
    ag_mutex_lock(&s->lock);
    ag_time now = ag_now();
    int64_t until = now / s->tick_ns - 1; /* buckets that lie wholly in the past */
    if (until > s->tick + AG__WHEEL)
        s->tick = until - AG__WHEEL;
    while (s->tick < until) {
        int64_t tick = ++s->tick;
        ag__http_conn *next, *hc = s->wheel[tick % AG__WHEEL];
        for (; hc; hc = next) {
            next = hc->next;
            look_at(s, hc, now);
        }
    }
    bool again = s->open > 0;
    if (again)
        ag_timer_reset(s->timer, next_turn(s) - now);
    s->armed = again;
    ag_mutex_unlock(&s->lock);
    if (!again)
        ag__http_server_unref(s);
}

/* Returns: false when out of memory. */
static bool arm(ag_http_server *s, ag_time now) {
    if (s->armed)
        return true;
    s->tick = now / s->tick_ns - 1;
    ag_time first = next_turn(s) - now;
    if (s->timer)
        ag_timer_reset(s->timer, first);
    else
        s->timer = ag_timer_start(first, turn, s);
    s->armed = s->timer != NULL;
    if (s->armed)
        ag__http_server_ref(s);
    return s->armed;
}

bool ag__http_wheel_add(ag_http_server *s, ag__http_conn *hc, ag_time now) {
    if (!s->armed)
        s->tick = now / s->tick_ns - 1;
    insert(s, hc, now + first_look(hc));
    if (!arm(s, now)) {
        take_out(s, hc);
        return false;
    }
    s->open++;
    if (hc->kind == AG__CONN_AWAY)
        s->away++;
    else
        s->accepted++;
    return true;
}

void ag__http_wheel_upgrade(ag_http_server *s, ag__http_conn *hc) {
    take_out(s, hc);
    link_last(s, hc, AG__WHEEL);
    s->upgraded++;
    s->upgrades++;
    atomic_store(&hc->state, AG__CONN_UPGRADED);
}

void ag__http_wheel_remove(ag_http_server *s, ag__http_conn *hc) {
    take_out(s, hc);
    s->open--;
    s->away -= hc->kind == AG__CONN_AWAY;
    /* The last one takes the timer along; if its goroutine is on the way, that gives up. */
    if (s->open == 0 && s->armed && ag_timer_stop(s->timer)) {
        s->armed = false;
        ag__http_server_unref(s); /* never the last one: hc holds the server, too */
    }
    ag__http_server_check_gone(s);
}

void ag__http_wheel_move(ag_http_server *s, ag__http_conn *hc, ag_time now) {
    take_out(s, hc);
    insert(s, hc, now + limit_of(hc));
    if (s->armed && ag_timer_stop(s->timer))
        ag_timer_reset(s->timer, next_turn(s) - now);
}

/* ---- Making room, stopping ------------------------------------------------------------------ */

/* Whether `hc`, in the bucket of `tick`, waits and is due there; else it is put where it belongs.
 */
static bool is_due(ag_http_server *s, ag__http_conn *hc, int64_t tick, ag_time now) {
    bool waits = atomic_load(&hc->state) == AG__CONN_WAITING;
    ag_time due =
        waits ? atomic_load_explicit(&hc->since, AG__RELAXED) + limit_of(hc) : now + s->opt.idle_ns;
    if (tick_of(s, due) <= tick)
        return waits;
    take_out(s, hc);
    insert(s, hc, due);
    return false;
}

static ag__http_conn *older(ag__http_conn *a, ag__http_conn *b) {
    if (!a || !b)
        return a ? a : b;
    return atomic_load_explicit(&a->since, AG__RELAXED) <=
                   atomic_load_explicit(&b->since, AG__RELAXED)
               ? a
               : b;
}

/* Of each kind, the first bucket in which one is due has those that have waited for longest, as all
   of a kind have the same limit; of those, the oldest goes. So whoever has connected just now
   stays, although his limit may be the nearest. A busy connection lies in the bucket of its last
   use but one or earlier, and is moved on the way. Returns: NULL if none waits. */
static ag__http_conn *waits_longest(ag_http_server *s) {
    int64_t found[AG__CONN_KINDS] = {0}; /* the tick of that bucket */
    ag__http_conn *oldest = NULL, *next;
    ag_time now = ag_now();
    int looks = 0;
    for (int64_t tick = s->tick + 1; tick <= s->tick + AG__WHEEL; tick++)
        for (ag__http_conn *hc = s->wheel[tick % AG__WHEEL]; hc; hc = next) {
            uint8_t kind = atomic_load_explicit(&hc->kind, AG__RELAXED);
            next = hc->next;
            if (kind != AG__CONN_AWAY && (!found[kind] || found[kind] == tick) &&
                is_due(s, hc, tick, now)) {
                found[kind] = tick;
                oldest = older(oldest, hc);
            }
            looks++;
            if (looks >= (oldest ? EVICT_LOOKS : EVICT_MOVES))
                return oldest;
        }
    return oldest;
}

bool ag__http_wheel_evict(ag_http_server *s) {
    for (int i = 0; i < EVICT_TRIES; i++) {
        ag__http_conn *hc = waits_longest(s);
        if (!hc)
            return false;
        if (ag_conn_has_bytes(hc->c)) { /* nobody has come to it yet */
            atomic_store_explicit(&hc->since, ag_now(), AG__RELAXED);
        } else if (end_waiting(hc)) {
            s->evicted++;
            return true;
        }
    }
    return false;
}

/* One that lingers has nothing to be answered. */
static void end_reading(ag__http_conn *hc) {
    if (hc->told || lingers(hc))
        end_waiting(hc);
    else
        ag_conn_shutdown(hc->c, AG__SHUT_READING);
    hc->told = true;
}

/* One of HTTP/2, idle or not: first the notice, and when its client has had the time to hear of it
   the end of new requests. Returns: since when it waits for that; INT64_MAX: no more. */
static ag_time announce_stop(ag__http_conn *hc, ag_time before) {
    if (!hc->noticed_at) {
        hc->noticed_at = ag_now();
        if (!ag__http_h2_notice(hc))
            ag_conn_close(hc->c);
    } else if (hc->noticed_at <= before) {
        hc->noticed_at = INT64_MAX;
        if (!ag__http_h2_goodbye(hc))
            ag_conn_close(hc->c);
    }
    return hc->noticed_at;
}

ag_time ag__http_wheel_close_idle(ag_http_server *s, ag_time before) {
    ag_time first = INT64_MAX;
    for (int i = 0; i < AG__WHEEL; i++)
        for (ag__http_conn *hc = s->wheel[i]; hc; hc = hc->next) {
            ag_time since = atomic_load_explicit(&hc->since, AG__RELAXED);
            if (hc->h2 && !lingers(hc)) {
                since = announce_stop(hc, before);
            } else if (atomic_load(&hc->state) != AG__CONN_WAITING) {
                continue;
            } else if (since <= before) {
                end_reading(hc);
                continue;
            }
            if (since > before && since < first)
                first = since;
        }
    return first;
}

int64_t ag__http_wheel_cut(ag_http_server *s) {
    int64_t cut = 0;
    for (int i = 0; i <= AG__WHEEL; i++)
        for (ag__http_conn *hc = s->wheel[i]; hc; hc = hc->next)
            if (!cut_waiting(hc) && ag_conn_close(hc->c) == 0)
                cut++;
    return cut;
}
