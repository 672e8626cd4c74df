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
 * Invariants, under the server's lock: each open connection is in exactly one bucket; while any is
 * open, the timer is armed, or its goroutine is on the way, and holds a reference of the server.
 *
 * Refused: a timer for each connection (memory, and a heap operation for each request); a list
 * ordered by the last use (every request of every processor would take its lock).
 */
#include "http/server.h"

#include <errno.h>
#include <stdlib.h>

/* What must be looked at first among the busy ones' alternatives. */
enum { EVICT_LOOKS = 1000 };

static ag_time limit_of(const ag__http_conn *hc) {
    switch (atomic_load_explicit(&hc->kind, AG__RELAXED)) {
    case AG__CONN_FRESH:
        return hc->s->opt.head_ns;
    case AG__CONN_LINGER:
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

static void insert(ag_http_server *s, ag__http_conn *hc, ag_time due) {
    int64_t tick = due / s->tick_ns + 1;
    if (tick <= s->tick)
        tick = s->tick + 1;
    if (tick >= s->tick + AG__WHEEL)
        tick = s->tick + AG__WHEEL - 1;
    ag__http_conn **head = &s->wheel[tick % AG__WHEEL];
    hc->bucket = (uint16_t)(tick % AG__WHEEL);
    hc->prev = NULL;
    hc->next = *head;
    if (hc->next)
        hc->next->prev = hc;
    *head = hc;
}

static void take_out(ag_http_server *s, ag__http_conn *hc) {
    if (hc->prev)
        hc->prev->next = hc->next;
    else
        s->wheel[hc->bucket] = hc->next;
    if (hc->next)
        hc->next->prev = hc->prev;
}

/* Ends one that waits. Its goroutine, started by that, frees it. */
static bool end_waiting(ag__http_conn *hc) {
    uint8_t waiting = AG__CONN_WAITING;
    if (!atomic_compare_exchange_strong(&hc->state, &waiting, AG__CONN_ENDING))
        return false;
    ag_conn_close(hc->c);
    return true;
}

/* ---- Turning -------------------------------------------------------------------------------- */

static void look_at(ag_http_server *s, ag__http_conn *hc, ag_time now) {
    uint8_t state = atomic_load(&hc->state);
    ag_time due = now + s->opt.idle_ns;
    if (state == AG__CONN_WAITING) {
        due = atomic_load_explicit(&hc->since, AG__RELAXED) + limit_of(hc);
        if (due <= now && end_waiting(hc)) {
            s->timed_out += hc->kind != AG__CONN_LINGER;
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
    s->accepted++;
    return true;
}

void ag__http_wheel_remove(ag_http_server *s, ag__http_conn *hc) {
    take_out(s, hc);
    s->open--;
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

bool ag__http_wheel_evict(ag_http_server *s) {
    int looks = 0;
    for (int64_t tick = s->tick + 1; tick <= s->tick + AG__WHEEL; tick++)
        for (ag__http_conn *hc = s->wheel[tick % AG__WHEEL]; hc; hc = hc->next) {
            if (end_waiting(hc)) {
                s->evicted++;
                return true;
            }
            if (++looks > EVICT_LOOKS)
                return false;
        }
    return false;
}

ag_time ag__http_wheel_close_idle(ag_http_server *s, ag_time before) {
    ag_time first = INT64_MAX;
    for (int i = 0; i < AG__WHEEL; i++)
        for (ag__http_conn *hc = s->wheel[i]; hc; hc = hc->next) {
            ag_time since = atomic_load_explicit(&hc->since, AG__RELAXED);
            if (atomic_load(&hc->state) != AG__CONN_WAITING)
                continue;
            if (since <= before)
                end_waiting(hc);
            else if (since < first)
                first = since;
        }
    return first;
}

int64_t ag__http_wheel_cut(ag_http_server *s) {
    int64_t cut = 0;
    for (int i = 0; i < AG__WHEEL; i++)
        for (ag__http_conn *hc = s->wheel[i]; hc; hc = hc->next)
            if (!end_waiting(hc) && ag_conn_close(hc->c) == 0)
                cut++;
    return cut;
}
