/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels.
 *
 * A channel is a lock, a ring of elements and two queues of waiting goroutines. A sender that
 * finds a receiver waiting copies its value straight to where the receiver wants it; a receiver
 * that finds a sender waiting on a full buffer takes the oldest element and puts the sender's
 * behind it, so order is kept. Waiters live on their own stacks.
 *
 * A waiter that several may wake (select) is won by its claim word; one that waits on this
 * channel alone is just taken.
 *
 * Happens-before is told to TSan per slot, as the memory model says it and no stronger: a user
 * race between two sends is still found.
 *
 * Refused: a lock-free ring (order, close, select and waiters need a lock anyway, and an
 * uncontended one costs 5 ns); an intermediate buffer for unbuffered sends.
 */
#include "lang/chan.h"
#include <errno.h>
#include <stdlib.h>

static ag__lock orphans_lock;
static ag__chan *_Atomic orphans; /* Guarded by orphans_lock; looked at without. */

/* A channel that goroutines wait on outlives its last reference: they may be dropped with the
 * world and must be unlinked first. Nobody can wake them any more, so in a running world this is
 * a leak of the program's. */
static void chan_free(ag__object *o) {
    ag__chan *c = (ag__chan *)o;
    if (AG__LIKELY(!c->receivers.first && !c->senders.first)) {
        free(c);
        return;
    }
    ag__lock_acquire(&orphans_lock);
    c->orphan_link = orphans;
    orphans = c;
    ag__lock_release(&orphans_lock);
}

void ag__chan_free_orphans(void) {
    ag__lock_acquire(&orphans_lock);
    ag__chan *c = orphans;
    orphans = NULL;
    ag__lock_release(&orphans_lock);
    while (c) {
        ag__chan *link = c->orphan_link;
        chan_free(&c->object);
        c = link;
    }
}

static ag__chan *new_chan(size_t elem_size, int64_t cap, void *pc) {
    size_t bytes;
    if (cap < 0 || cap > INT32_MAX || elem_size > 65536 ||
        __builtin_mul_overflow((size_t)cap, elem_size, &bytes) || bytes > ((size_t)1 << 46))
        ag__panic_text(pc, "makechan: size out of range");
    ag__chan *c = aligned_alloc(16, (sizeof *c + bytes + 15) & ~(size_t)15);
    if (!c)
        return NULL;
    memset(c, 0, sizeof *c);
    ag__object_init(&c->object, chan_free);
    c->elem_size = (uint32_t)elem_size;
    c->cap = (uint32_t)cap;
    ag__m *m = ag__enter();
    ag__bias_init(&c->lock, m);
    ag__leave(m);
    return c;
}

void *ag__chan_new(size_t elem_size, int64_t cap) {
    void *c = new_chan(elem_size, cap, __builtin_return_address(0));
    if (!c)
        ag__throw("out of memory for a channel");
    return c;
}

void *ag__chan_try_new(size_t elem_size, int64_t cap) {
    return new_chan(elem_size, cap, __builtin_return_address(0));
}

/* --- Under the lock. --- */

static inline void copy_to_waiter(ag__chan *c, ag__waiter *w, const void *from) {
    if (w->elem)
        ag__elem_copy(w->elem, from, c->elem_size);
}

int ag__chan_send_locked(ag__chan *c, const void *elem, ag__g **ret_wake) {
    if (AG__UNLIKELY(atomic_load_explicit(&c->closed, memory_order_relaxed)))
        return -1;
    ag__waiter *w = c->receivers.first ? ag__waitq_take(&c->receivers) : NULL;
    if (w) {
        AG__HB_RELEASE(w);
        AG__HB_ACQUIRE(w->g);
        copy_to_waiter(c, w, elem);
        w->ok = true;
        w->g->fired = w;
        *ret_wake = w->g;
        return 1;
    }
    uint32_t n = ag__count_of(c);
    if (n == c->cap)
        return 0;
    void *slot = ag__slot(c, c->send_at);
    AG__HB_ACQUIRE(slot);
    AG__HB_RELEASE(slot);
    ag__elem_copy(slot, elem, c->elem_size);
    c->send_at = ag__after(c, c->send_at);
    ag__count_set(c, n + 1);
    return 1;
}

/* The buffer is full and a sender waits: oldest out, the sender's in. */
static void take_and_refill(ag__chan *c, void *elem, ag__waiter *sender) {
    void *slot = ag__slot(c, c->recv_at);
    AG__HB_ACQUIRE(slot);
    if (elem)
        ag__elem_copy(elem, slot, c->elem_size);
    AG__HB_RELEASE(slot);
    ag__elem_copy(slot, sender->elem, c->elem_size);
    c->recv_at = ag__after(c, c->recv_at);
    c->send_at = c->recv_at;
}

int ag__chan_recv_locked(ag__chan *c, void *elem, ag__g **ret_wake) {
    uint32_t n = ag__count_of(c);
    ag__waiter *w = c->senders.first ? ag__waitq_take(&c->senders) : NULL;
    if (w) {
        AG__HB_ACQUIRE(w->g);
        AG__HB_RELEASE(w);
        if (c->cap == 0) {
            if (elem)
                ag__elem_copy(elem, w->elem, c->elem_size);
        } else {
            take_and_refill(c, elem, w);
        }
        w->ok = true;
        w->g->fired = w;
        *ret_wake = w->g;
        return 1;
    }
    if (n > 0) {
        void *slot = ag__slot(c, c->recv_at);
        AG__HB_ACQUIRE(slot);
        if (elem)
            ag__elem_copy(elem, slot, c->elem_size);
        AG__HB_RELEASE(slot);
        c->recv_at = ag__after(c, c->recv_at);
        ag__count_set(c, n - 1);
        return 1;
    }
    if (!atomic_load_explicit(&c->closed, memory_order_relaxed))
        return 0;
    AG__HB_ACQUIRE(c);
    if (elem)
        memset(elem, 0, c->elem_size);
    return -1;
}

/* --- Operations. --- */

/* On a nil channel; only the end of the current context ends it. */
static AG__COLD int wait_for_ever(int reason) {
    ag__m *m = ag__enter();
    int err;
    while ((err = ag__ended(m->g)) == 0)
        m = ag__park_until(m, reason, NULL, NULL, ag__claim_begin(m->g), 0);
    ag__leave(m);
    return err;
}

static AG__COLD void closed_panic(ag__chan *c, void *pc) {
    AG__HB_ACQUIRE(c);
    ag__panic_text(pc, "send on closed channel");
}

static void unlink_dropped(void *waiter) {
    ag__waiter *w = waiter;
    ag__waitq_remove(w->sends ? &w->chan->senders : &w->chan->receivers, w);
}

static inline void link_in(ag__m *m, ag__chan *c, ag__waitq *q, ag__waiter *w, uint64_t epoch) {
    w->g = m->g;
    w->chan = c;
    w->epoch = epoch;
    w->ok = false;
    w->sends = q == &c->senders;
    w->g->unlink = unlink_dropped;
    w->g->unlink_arg = w;
    ag__waitq_add(q, w);
    AG__HB_RELEASE(w->g);
}

/* Waits in q until somebody takes us out. The lock is held. */
static inline ag__m *wait_in(ag__m *m, ag__chan *c, bool cheap, ag__waitq *q, ag__waiter *w,
                             int reason) {
    link_in(m, c, q, w, 0);
    m = ag__park(m, reason, c, cheap ? NULL : &c->lock.lock);
    AG__HB_ACQUIRE(w);
    return m;
}

/* The same where the current context may end, and leaves. 0, or why it has ended. */
static AG__COLD int wait_bound(ag__m *m, ag__chan *c, bool cheap, ag__waitq *q, ag__waiter *w,
                               int reason) {
    w->ok = false;
    int err = ag__ended(m->g);
    if (err) {
        ag__bias_unlock(m, &c->lock, cheap);
        ag__leave(m);
        return err;
    }
    uint64_t epoch = ag__claim_begin(m->g);
    link_in(m, c, q, w, epoch);
    m->g->linked = true;
    m = ag__park_until(m, reason, c, cheap ? NULL : &c->lock.lock, epoch, 0);
    if (m->g->woken == AG__WOKEN_ENDED) {
        err = ag__end_of(m->g);
        cheap = ag__bias_lock(m, &c->lock);
        ag__waitq_remove(q, w);
        ag__bias_unlock(m, &c->lock, cheap);
    } else {
        AG__HB_ACQUIRE(w);
    }
    m->g->linked = false;
    ag__leave(m);
    return err;
}

static AG__COLD int send_bound(ag__m *m, ag__chan *c, bool cheap, const void *elem, void *pc) {
    ag__waiter w;
    w.elem = (void *)elem;
    int err = wait_bound(m, c, cheap, &c->senders, &w, AG__WAIT_CHAN_SEND);
    if (!w.ok && err == 0)
        closed_panic(c, pc);
    return err;
}

static AG__COLD bool recv_bound(ag__m *m, ag__chan *c, bool cheap, void *ret_elem) {
    ag__waiter w;
    w.elem = ret_elem;
    if (wait_bound(m, c, cheap, &c->receivers, &w, AG__WAIT_CHAN_RECV) != 0 && ret_elem)
        memset(ret_elem, 0, c->elem_size);
    if (ret_elem)
        AG__USER_WRITE(ret_elem, c->elem_size);
    return w.ok;
}

int ag__chan_send(void *chan, const void *elem) {
    ag__chan *c = chan;
    if (AG__UNLIKELY(!c))
        return wait_for_ever(AG__WAIT_CHAN_SEND_NIL);
    AG__USER_READ(elem, c->elem_size);
    ag__m *m = ag__enter();
    ag__g *wake = NULL;
    bool cheap = ag__bias_lock(m, &c->lock);
    int r = ag__chan_send_locked(c, elem, &wake);
    if (r > 0) {
        ag__bias_unlock(m, &c->lock, cheap);
        if (wake)
            ag__ready(m, wake);
        ag__leave(m);
        return 0;
    }
    if (r == 0) {
        if (AG__UNLIKELY(m->g->bound))
            return send_bound(m, c, cheap, elem, __builtin_return_address(0));
        ag__waiter w;
        w.elem = (void *)elem;
        m = wait_in(m, c, cheap, &c->senders, &w, AG__WAIT_CHAN_SEND);
        ag__leave(m);
        if (AG__LIKELY(w.ok))
            return 0;
    } else {
        ag__bias_unlock(m, &c->lock, cheap);
        ag__leave(m);
    }
    closed_panic(c, __builtin_return_address(0));
    return 0;
}

bool ag__chan_recv(void *chan, void *ret_elem) {
    ag__chan *c = chan;
    if (AG__UNLIKELY(!c)) {
        wait_for_ever(AG__WAIT_CHAN_RECV_NIL);
        return false;
    }
    ag__m *m = ag__enter();
    ag__g *wake = NULL;
    bool cheap = ag__bias_lock(m, &c->lock);
    int r = ag__chan_recv_locked(c, ret_elem, &wake);
    if (r != 0) {
        ag__bias_unlock(m, &c->lock, cheap);
        if (wake)
            ag__ready(m, wake);
        ag__leave(m);
    } else {
        if (AG__UNLIKELY(m->g->bound))
            return recv_bound(m, c, cheap, ret_elem);
        ag__waiter w;
        w.elem = ret_elem;
        m = wait_in(m, c, cheap, &c->receivers, &w, AG__WAIT_CHAN_RECV);
        ag__leave(m);
        r = w.ok ? 1 : -1;
    }
    if (ret_elem)
        AG__USER_WRITE(ret_elem, c->elem_size);
    return r > 0;
}

bool ag__chan_try_send(void *chan, const void *elem) {
    ag__chan *c = chan;
    if (!c)
        return false;
    AG__USER_READ(elem, c->elem_size);
    ag__m *m = ag__enter();
    ag__g *wake = NULL;
    bool cheap = ag__bias_lock(m, &c->lock);
    int r = ag__chan_send_locked(c, elem, &wake);
    ag__bias_unlock(m, &c->lock, cheap);
    if (wake)
        ag__ready(m, wake);
    ag__leave(m);
    if (r < 0)
        closed_panic(c, __builtin_return_address(0));
    return r > 0;
}

int ag__chan_try_recv(void *chan, void *ret_elem) {
    ag__chan *c = chan;
    if (!c)
        return -EAGAIN;
    ag__m *m = ag__enter();
    ag__g *wake = NULL;
    bool cheap = ag__bias_lock(m, &c->lock);
    int r = ag__chan_recv_locked(c, ret_elem, &wake);
    ag__bias_unlock(m, &c->lock, cheap);
    if (wake)
        ag__ready(m, wake);
    ag__leave(m);
    if (r != 0 && ret_elem)
        AG__USER_WRITE(ret_elem, c->elem_size);
    return r > 0 ? 1 : r < 0 ? 0 : -EAGAIN;
}

/* Takes all waiters out of q that are ours to wake, as a list through `next`. */
static ag__waiter *take_all(ag__chan *c, ag__waitq *q, bool receivers, ag__waiter *list) {
    ag__waiter *w;
    while ((w = ag__waitq_take(q)) != NULL) {
        if (receivers && w->elem)
            memset(w->elem, 0, c->elem_size);
        w->ok = false;
        w->g->fired = w;
        w->next = list;
        list = w;
    }
    return list;
}

bool ag__chan_close_inside(ag__m *m, void *chan) {
    ag__chan *c = chan;
    bool cheap = ag__bias_lock(m, &c->lock);
    if (atomic_load_explicit(&c->closed, memory_order_relaxed)) {
        ag__bias_unlock(m, &c->lock, cheap);
        return false;
    }
    AG__HB_RELEASE(c);
    atomic_store_explicit(&c->closed, true, memory_order_relaxed);
    ag__waiter *list = take_all(c, &c->receivers, true, NULL);
    list = take_all(c, &c->senders, false, list);
    ag__bias_unlock(m, &c->lock, cheap);
    while (list) {
        ag__waiter *w = list;
        list = w->next; /* before ready: the waiter lives on the woken stack */
        AG__HB_RELEASE(w);
        ag__ready(m, w->g);
    }
    return true;
}

bool ag__chan_is_closed(const void *chan) {
    const ag__chan *c = chan;
    return atomic_load_explicit(&c->closed, memory_order_relaxed);
}

void ag__chan_close(void *chan) {
    if (!chan)
        ag__panic_text(__builtin_return_address(0), "close of nil channel");
    ag__m *m = ag__enter();
    bool closed = ag__chan_close_inside(m, chan);
    ag__leave(m);
    if (!closed)
        ag__panic_text(__builtin_return_address(0), "close of closed channel");
}

int64_t ag__chan_len(void *chan) {
    ag__chan *c = chan;
    return c ? ag__count_of(c) : 0;
}

int64_t ag__chan_cap(void *chan) {
    ag__chan *c = chan;
    return c ? c->cap : 0;
}

bool ag__chan_peek(const void *chan, ag__chan_info *ret) {
    ag__chan c;
    if (ag__os_peek(chan, &c, offsetof(ag__chan, orphan_link)) != 0)
        return false;
    *ret = (ag__chan_info){.chan = chan,
                           .len = ag__count_of(&c),
                           .cap = c.cap,
                           .refs = c.object.refs,
                           .closed = c.closed};
    return true;
}

/* --- For the detector of leaks. --- */

bool ag__chan_has_orphans(void) {
    return atomic_load_explicit(&orphans, AG__RLX) != NULL;
}

static void visit_queue(const ag__waitq *q, void (*visit)(ag__g *, void *), void *arg) {
    for (const ag__waiter *w = q->first; w; w = w->next)
        visit(w->g, arg);
}

/* Nobody has a reference, so only those who wait are still at these channels. */
void ag__chan_orphans_each(void (*visit)(ag__g *, void *), void *arg) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&orphans_lock);
    for (ag__chan *c = orphans; c; c = c->orphan_link) {
        bool cheap = ag__bias_lock(m, &c->lock);
        visit_queue(&c->receivers, visit, arg);
        visit_queue(&c->senders, visit, arg);
        ag__bias_unlock(m, &c->lock, cheap);
    }
    ag__lock_release(&orphans_lock);
    ag__leave(m);
}

size_t ag__chan_bytes(const void *chan) {
    ag__chan c;
    if (ag__os_peek(chan, &c, sizeof c) != 0)
        return 0;
    return sizeof c + (size_t)c.cap * c.elem_size;
}
