/* SPDX-License-Identifier: MIT */
/*
 * dns.c - names to addresses.
 *
 * The system's resolver knows hosts files, search domains and whatever else the machine is set up
 * for, and it blocks its thread. So it runs with the processor handed on, and on a stack of its
 * own size: resolver modules put whole answers on the stack, and a goroutine may have been given
 * a small one. Refused: a resolver of our own, which would know less than the system's.
 */
#include "net/net.h"
#include <aglet/run.h>
#include <errno.h>

enum { STACK = 256 * 1024 };

/* A question; lives on the stack of who asks. */
struct question {
    const ag__host_port *parts;
    int kind, max, result;
    bool datagram, listens;
    ag__addr *addrs;
    ag__lock lock;
    bool answered;  /* Guarded by lock. */
    ag__g *waiting; /* Guarded by lock. */
};

static void ask(struct question *q) {
    const ag__host_port *p = q->parts;
    q->result = ag__addr_look_up(p->host[0] ? p->host : NULL, p->port_name[0] ? p->port_name : NULL,
                                 p->port, q->kind, q->datagram, q->listens, q->addrs, q->max);
}

/* In a goroutine of its own. */
static void ask_for_another(struct question *q) {
    ag_blocking(ask, q);
    ag__m *m = ag__enter();
    ag__lock_acquire(&q->lock);
    q->answered = true;
    ag__g *g = q->waiting;
    ag__lock_release(&q->lock);
    if (g)
        ag__ready(m, g);
    ag__leave(m);
}

static void wait_for_answer(struct question *q) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&q->lock);
    if (q->answered) {
        ag__lock_release(&q->lock);
    } else {
        q->waiting = m->g;
        m = ag__park(m, AG__WAIT_BLOCKING, q, &q->lock);
    }
    ag__leave(m);
}

static bool has_small_stack(void) {
    ag__m *m = ag__enter();
    bool small = !ag__is_foreign(m) && (size_t)(m->g->stack_hi - m->g->stack_lo) < STACK / 2;
    ag__leave(m);
    return small;
}

int ag__dns_look_up(const ag__host_port *parts, int kind, bool datagram, bool listens,
                    ag__addr *ret_addrs, int max) {
    struct question q = {.parts = parts,
                         .kind = kind,
                         .max = max,
                         .datagram = datagram,
                         .listens = listens,
                         .addrs = ret_addrs};
    if (!has_small_stack()) {
        ag_blocking(ask, &q);
        return q.result;
    }
    static const ag_go_opts opts = {.name = "name look-up", .stack_size = STACK};
    int64_t id = ag_go_with(&opts, ask_for_another, &q);
    if (id < 0)
        return (int)id;
    wait_for_answer(&q);
    return q.result;
}
