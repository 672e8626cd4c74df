/* SPDX-License-Identifier: MIT */
/*
 * dns.c - names to addresses.
 *
 * The system's resolver knows hosts files, search domains and whatever else the machine is set up
 * for, and it blocks its thread. So it runs with the processor handed on, and on a stack of its
 * own size: resolver modules put whole answers on the stack, and a goroutine may have been given
 * a small one. Refused: a resolver of our own, which would know less than the system's.
 *
 * Nothing stops a resolver. One whose context may end asks through another goroutine, too, and
 * goes when the context does; the question stays until it is answered.
 */
#include "lang/lang.h"
#include "net/net.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STACK = 256 * 1024 };

/* A question that is asked in a goroutine of its own; it belongs to that and to who waits. */
struct question {
    ag__object object;
    ag__host_port parts;
    int kind, max, result;
    bool datagram, listens;
    ag__lock lock;
    bool answered;  /* Guarded by lock. */
    ag__g *waiting; /* Guarded by lock; NULL: nobody, or not any more. */
    uint64_t epoch; /* Guarded by lock. */
    ag__addr addrs[];
};

static void free_question(ag__object *o) {
    free(ag__container_of(o, struct question, object));
}

static void ask(struct question *q) {
    const ag__host_port *p = &q->parts;
    q->result = ag__addr_look_up(p->host[0] ? p->host : NULL, p->port_name[0] ? p->port_name : NULL,
                                 p->port, q->kind, q->datagram, q->listens, q->addrs, q->max);
}

/* In a goroutine of its own. */
static void ask_for_another(struct question *q) {
    ag_blocking(ask, q);
    ag__m *m = ag__enter();
    ag__lock_acquire(&q->lock);
    AG__HB_RELEASE(&q->answered);
    q->answered = true;
    ag__g *g = q->waiting && ag__claim(q->waiting, q->epoch) ? q->waiting : NULL;
    ag__lock_release(&q->lock);
    if (g)
        ag__ready(m, g);
    ag__leave(m);
    ag_unref(q);
}

/* 0 when there is an answer, or why the current context has ended. */
static int wait_for_answer(struct question *q) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&q->lock);
    int err = q->answered ? 0 : ag__ended(m->g);
    if (q->answered || err != 0) {
        ag__lock_release(&q->lock);
    } else {
        q->waiting = m->g;
        q->epoch = ag__claim_begin(m->g);
        m = ag__park_until(m, AG__WAIT_BLOCKING, q, &q->lock, q->epoch, 0);
        if (m->g->woken == AG__WOKEN_ENDED)
            err = ag__end_of(m->g);
    }
    AG__HB_ACQUIRE(&q->answered);
    ag__leave(m);
    return err;
}

/* Whether this goroutine can't ask by itself: its stack is small, or its context may end. */
static bool needs_another(void) {
    ag__m *m = ag__enter();
    bool needs = !ag__is_foreign(m) &&
                 (m->g->bound || (size_t)(m->g->stack_hi - m->g->stack_lo) < STACK / 2);
    ag__leave(m);
    return needs;
}

int ag__dns_look_up(const ag__host_port *parts, int kind, bool datagram, bool listens,
                    ag__addr *ret_addrs, int max) {
    static const ag_go_opts opts = {.name = "name look-up", .stack_size = STACK};
    struct question *q = calloc(1, sizeof *q + (size_t)max * sizeof *q->addrs);
    int r = q ? ag__ended_here() : -ENOMEM;
    if (r != 0) {
        free(q);
        return r;
    }
    ag__object_init(&q->object, free_question);
    q->parts = *parts;
    q->kind = kind;
    q->datagram = datagram;
    q->listens = listens;
    q->max = max;
    ag_defer(ag_unref, q);
    if (!needs_another()) {
        ag_blocking(ask, q);
    } else {
        int64_t id = ag_go_with(&opts, ask_for_another, ag_ref(q));
        if (id < 0)
            ag_unref(q);
        r = id < 0 ? (int)id : wait_for_answer(q);
    }
    if (r != 0)
        return r;
    if (q->result > 0)
        memcpy(ret_addrs, q->addrs, (size_t)q->result * sizeof *ret_addrs);
    return q->result;
}
