/* SPDX-License-Identifier: MIT */
/*
 * dump_wait.c - what a goroutine waits for, and who has it or could end the wait.
 *
 * The object says what it knows: a mutex its owner, a wait group its counter, a channel its length.
 * The rest comes from looking at everybody: who waits for the same, at which side of a channel, who
 * was started into the wait group, who belongs to the scope. These are edges, sorted, so that
 * the answer costs a search and not a walk over all.
 *
 * An owner is known by its number; of one that has ended with the lock held that is all.
 */
#include "debug/dump_view.h"
#include "os/file.h"
#include "os/sock.h"
#include <stdlib.h>
#include <string.h>

enum { NAMED = 8 }; /* goroutines that are listed */

/* --- Looking. --- */

static const char *about(ag__dump *d, int fd) {
    ag__addr local, peer;
    char buf[2 * AG__ADDR_TEXT + 16], side[AG__ADDR_TEXT];
    buf[0] = 0;
    if (ag__sock_local(fd, &local) == 0) {
        ag__addr_text(&local, buf, AG__ADDR_TEXT);
        size_t n = strlen(buf);
        if (ag__sock_remote(fd, &peer) == 0) {
            ag__addr_text(&peer, side, sizeof side);
            snprintf(buf + n, sizeof buf - n, "%sto %s", n ? " " : "", side[0] ? side : "a peer");
        }
    } else {
        ag__file_name(fd, buf, sizeof buf);
    }
    size_t n = strlen(buf) + 1;
    char *copy = n > 1 ? ag__dump_take(d, n) : NULL;
    return copy ? memcpy(copy, buf, n) : NULL;
}

static bool look_at_descriptor(ag__dump *d, ag__g *g, ag__wait *w) {
    w->fd = -1;
    if (w->reason == AG__WAIT_IO_FD) {
        if (!ag__fd_peek(w->object, g, &w->fd, &w->events))
            return false;
    } else if (w->reason == AG__WAIT_IO) {
        int64_t deadline;
        ag__pd_peek(w->object, g, &w->fd, &w->events, &deadline);
        w->events = w->events == AG__READ ? AG_READABLE : AG_WRITABLE;
    }
    if (w->fd >= 0)
        w->about = about(d, w->fd);
    return true;
}

/* Fills w in; false: nothing is known. */
static bool look_at(ag__dump *d, ag__g *g, ag__wait *w) {
    int64_t owner = 0;
    int readers = 0, counter = 0;
    bool known = true;
    switch (w->reason) {
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
        return ag__chan_peek(w->object, &w->chan);
    case AG__WAIT_SELECT:
        return ag__select_peek(g, &w->select);
    case AG__WAIT_MUTEX:
        known = ag__mutex_peek(w->object, &owner);
        break;
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        known = ag__rwmutex_peek(w->object, &owner, &readers);
        break;
    case AG__WAIT_WAIT_GROUP:
        known = ag__wg_peek(w->object, &counter);
        break;
    case AG__WAIT_SEM:
        return ag__sem_peek(w->object, &w->size, &w->taken);
    case AG__WAIT_SCOPE:
    case AG__WAIT_SCOPE_ROOM:
        return ag__nest_peek(w->object, &w->nest);
    case AG__WAIT_JOB:
        return ag__nest_peek(ag__job_nest(w->object), &w->nest);
    case AG__WAIT_IO:
    case AG__WAIT_IO_FD:
        return look_at_descriptor(d, g, w);
    default:
        return true;
    }
    w->holder = owner;
    w->size = readers + counter;
    return known;
}

/* How much of a wait its reason needs. */
static size_t bytes_of(int reason) {
    switch (reason) {
    case AG__WAIT_SELECT:
        return sizeof(ag__wait);
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
        return offsetof(ag__wait, chan) + sizeof(ag__chan_info);
    case AG__WAIT_SCOPE:
    case AG__WAIT_SCOPE_ROOM:
    case AG__WAIT_JOB:
        return offsetof(ag__wait, nest) + sizeof(ag__nest_info);
    default:
        return offsetof(ag__wait, nest);
    }
}

static bool is_own(int reason) {
    return reason == AG__WAIT_SELECT || reason == AG__WAIT_IO || reason == AG__WAIT_IO_FD;
}

const ag__wait *ag__wait_look(ag__dump *d, ag__g *g, int reason, const void *object) {
    if (!object && reason != AG__WAIT_SELECT)
        return NULL;
    /* Who waits for the same usually comes in a row. */
    const ag__wait *last = d->count > 0 ? d->views[d->count - 1].wait : NULL;
    if (last && last->reason == reason && last->object == object && !is_own(reason))
        return last;
    ag__wait w = {.reason = reason, .object = object};
    if (!look_at(d, g, &w))
        return NULL;
    size_t bytes = bytes_of(reason);
    ag__wait *copy = ag__dump_take(d, bytes);
    return copy ? memcpy(copy, &w, bytes) : NULL;
}

bool ag__wait_is_own(const ag__view *v) {
    return v->wait && is_own(v->reason);
}

/* --- Edges. --- */

static void add_edge(ag__dump *d, int kind, uintptr_t key, size_t view) {
    if (!key)
        return;
    if (d->edge_count == d->edge_room) {
        size_t room = 2 * d->edge_room + 64;
        ag__edge *more = realloc(d->edges, room * sizeof *more);
        if (!more) {
            d->no_memory = true;
            return;
        }
        d->edges = more;
        d->edge_room = room;
    }
    d->edges[d->edge_count++] = (ag__edge){key, (uint32_t)kind, (uint32_t)view};
}

static void link_view(ag__dump *d, size_t i) {
    const ag__view *v = &d->views[i];
    add_edge(d, AG__EDGE_GROUP, (uintptr_t)v->group, i);
    add_edge(d, AG__EDGE_NEST, (uintptr_t)v->nest_id, i);
    if (v->state != AG__G_WAITING)
        return;
    switch (v->reason) {
    case AG__WAIT_CHAN_SEND:
        add_edge(d, AG__EDGE_SENDS, (uintptr_t)v->object, i);
        break;
    case AG__WAIT_CHAN_RECV:
        add_edge(d, AG__EDGE_RECEIVES, (uintptr_t)v->object, i);
        break;
    case AG__WAIT_SELECT:
        for (int k = 0; v->wait && k < v->wait->select.seen; k++) {
            const ag__chan_info *c = &v->wait->select.cases[k];
            add_edge(d, c->sends ? AG__EDGE_SENDS : AG__EDGE_RECEIVES, (uintptr_t)c->chan, i);
        }
        break;
    default:
        add_edge(d, AG__EDGE_WAITS, (uintptr_t)v->object, i);
    }
}

static int by_key(const void *a, const void *b) {
    const ag__edge *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->view > y->view) - (x->view < y->view);
}

void ag__dump_link(ag__dump *d) {
    for (size_t i = 0; i < d->count; i++)
        link_view(d, i);
    if (d->edge_count > 0)
        qsort(d->edges, d->edge_count, sizeof *d->edges, by_key);
}

size_t ag__dump_edges(const ag__dump *d, int kind, uintptr_t key, const ag__edge **ret_first) {
    size_t bounds[2];
    for (int side = 0; side < 2; side++) {
        ag__edge e = {key, (uint32_t)kind, side ? UINT32_MAX : 0};
        size_t lo = 0, hi = d->edge_count;
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            if (by_key(&d->edges[mid], &e) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        bounds[side] = lo;
    }
    *ret_first = d->edges + bounds[0];
    return bounds[1] - bounds[0];
}

/* --- Printing. --- */

static void print_goroutine(FILE *out, const ag__dump *d, int64_t id) {
    const ag__view *v = ag__dump_find(d, id);
    fprintf(out, "goroutine %lld", (long long)id);
    if (!v)
        return;
    if (v->name)
        fprintf(out, " \"%s\"", v->name);
    fprintf(out, " [%s]", ag__doing_name(v->state, v->reason));
}

/* ": goroutine 7 [sleep], goroutine 8 [select], and 3 more" */
static void print_members(FILE *out, const ag__dump *d, int kind, uintptr_t key) {
    const ag__edge *first;
    size_t n = ag__dump_edges(d, kind, key, &first);
    for (size_t i = 0; i < n && i < NAMED; i++) {
        fprintf(out, i == 0 ? ": " : ", ");
        print_goroutine(out, d, d->views[first[i].view].id);
    }
    if (n > NAMED)
        fprintf(out, ", and %zu more", n - NAMED);
}

static size_t count_of(const ag__dump *d, int kind, const void *key) {
    const ag__edge *first;
    return ag__dump_edges(d, kind, (uintptr_t)key, &first);
}

static const char *plural(int64_t n) {
    return n == 1 ? "" : "s";
}

static void print_chan(FILE *out, const ag__dump *d, const ag__chan_info *c) {
    size_t senders = count_of(d, AG__EDGE_SENDS, c->chan);
    size_t receivers = count_of(d, AG__EDGE_RECEIVES, c->chan);
    fprintf(out,
            "channel %p (length %u of %u, %zu sender%s and %zu receiver%s wait, "
            "%d reference%s)",
            c->chan, c->len, c->cap, senders, plural((int64_t)senders), receivers,
            plural((int64_t)receivers), c->refs, plural(c->refs));
}

static void print_select(FILE *out, const ag__dump *d, const ag__select_info *s) {
    fprintf(out, "%s", s->channels > 1 ? "one of " : "");
    for (int i = 0; i < s->seen; i++) {
        fprintf(out, "%sa %s ", i ? "; " : "", s->cases[i].sends ? "send to" : "receive from");
        print_chan(out, d, &s->cases[i]);
    }
    if (s->channels > s->seen)
        fprintf(out, "; and %d more", s->channels - s->seen);
    if (s->channels == 0)
        fprintf(out, "no channel");
}

static void print_holder(FILE *out, const ag__dump *d, const ag__view *v) {
    int64_t holder = v->wait->holder;
    if (holder == AG__HOLDER_THREAD)
        fprintf(out, ", held by a thread that is no goroutine");
    else if (holder != AG__HOLDER_NONE && holder != v->id) {
        fprintf(out, ", held by ");
        print_goroutine(out, d, holder);
    } else if (holder == v->id && v->reason == AG__WAIT_MUTEX)
        fprintf(out, ", held by itself");
}

static void print_rwmutex(FILE *out, const ag__dump *d, const ag__view *v) {
    const ag__wait *w = v->wait;
    fprintf(out, "rwmutex %p", w->object);
    if (w->size == 0) {
        print_holder(out, d, v);
        return;
    }
    fprintf(out, ", held by %lld reader%s", (long long)w->size, plural(w->size));
    if (w->holder > 0 && w->holder != v->id) {
        fprintf(out, ", for which a writer waits: ");
        print_goroutine(out, d, w->holder);
    }
}

static void print_nest(FILE *out, const ag__dump *d, const ag__wait *w) {
    const ag__nest_info *n = &w->nest;
    if (w->reason == AG__WAIT_JOB) {
        const ag__view *body = n->owner > 0 ? ag__dump_find(d, n->owner) : NULL;
        bool runs = body && body->nest_id == n->id;
        int jobs = n->count - runs;
        fprintf(out, "job %lld%s", (long long)n->id, runs ? ", run by " : "");
        if (runs)
            print_goroutine(out, d, n->owner);
        if (jobs > 0)
            fprintf(out, ", %d job%s of it left", jobs, plural(jobs));
        return;
    }
    fprintf(out, "scope %lld, %d of %d children left", (long long)n->id, n->count, n->created);
    if (w->reason == AG__WAIT_SCOPE_ROOM)
        fprintf(out, ", limit %d", n->limit);
    print_members(out, d, AG__EDGE_NEST, (uintptr_t)n->id);
}

static void print_descriptor(FILE *out, const ag__wait *w) {
    if (w->fd < 0) {
        fprintf(out, "a descriptor");
        return;
    }
    fprintf(out, "descriptor %d", w->fd);
    if (w->events)
        fprintf(out, " to be %s",
                w->events == AG_READABLE   ? "readable"
                : w->events == AG_WRITABLE ? "writable"
                                           : "readable or writable");
    if (w->about)
        fprintf(out, ", %s", w->about);
}

static void print_known(FILE *out, const ag__dump *d, const ag__view *v) {
    const ag__wait *w = v->wait;
    switch (w->reason) {
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
        print_chan(out, d, &w->chan);
        break;
    case AG__WAIT_SELECT:
        print_select(out, d, &w->select);
        break;
    case AG__WAIT_MUTEX:
        fprintf(out, "mutex %p", w->object);
        print_holder(out, d, v);
        break;
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        print_rwmutex(out, d, v);
        break;
    case AG__WAIT_WAIT_GROUP:
        fprintf(out, "wait group %p, counter %lld", w->object, (long long)w->size);
        print_members(out, d, AG__EDGE_GROUP, (uintptr_t)w->object);
        break;
    case AG__WAIT_SEM:
        fprintf(out, "semaphore %p, %lld of %lld free", w->object, (long long)(w->size - w->taken),
                (long long)w->size);
        break;
    case AG__WAIT_COND:
        fprintf(out, "condition %p", w->object);
        break;
    case AG__WAIT_SCOPE:
    case AG__WAIT_SCOPE_ROOM:
    case AG__WAIT_JOB:
        print_nest(out, d, w);
        break;
    case AG__WAIT_IO:
    case AG__WAIT_IO_FD:
        print_descriptor(out, w);
        break;
    case AG__WAIT_IO_TURN:
        fprintf(out, "its turn at %p, where another goroutine is inside", w->object);
        break;
    default:
        fprintf(out, "%p", w->object);
    }
    size_t others = count_of(d, AG__EDGE_WAITS, w->object);
    if (others > 1 && !is_own(w->reason))
        fprintf(out, ", where %zu wait", others);
}

void ag__wait_print(FILE *out, const ag__dump *d, const ag__view *v) {
    if (v->wait)
        print_known(out, d, v);
    else if (v->object)
        fprintf(out, "%p", v->object);
    if (v->timer)
        fprintf(out, "%sa timer in %.3f s", v->wait || v->object ? "; or " : "",
                (double)(v->timer - d->now) / 1e9);
}
