/* SPDX-License-Identifier: MIT */
/*
 * inner.h - what the files of the scheduler share among themselves.
 */
#ifndef AG_INNER_H
#define AG_INNER_H

#include "os/poll.h"
#include "sched/runq.h"
#include "sched/sched.h"

#define ag__s ag__sched

/* switch.c */
void ag__sched_loop(ag__m *m);           /* a thread's life; returns when the world ends */
void ag__goroutine_entry(void);          /* where a fresh stack starts */
void ag__switch_out(ag__m *m, ag__g *g); /* to the scheduler loop, after_* are set */

/* find.c */
ag__g *ag__find(ag__m *m);                 /* blocks; NULL: the world ends */
void ag__wake_one(void);                   /* starts one searching M if a P is idle */
void ag__m_sleep(ag__m *m, int64_t until); /* until m->park is set */
void ag__m_wake(ag__m *m);
void ag__p_release(ag__m *m, ag__p *p); /* to the idle list or to an M that has work for it */
ag__p *ag__p_take_idle(void);
bool ag__work_somewhere(int64_t now);
/* sched.lock held. Returns whether the monitor is to look again: to be nudged, without the lock. */
bool ag__check_deadlock(void);
int64_t ag__first_timer(void);

/* Work for idle processors was queued by this M; cheap when nobody is idle. */
static inline void ag__maybe_wake(void) {
    /* Partner: the heavy fence of an M that goes idle in find.c. */
    ag__fence_light();
    if (AG__UNLIKELY(atomic_load_explicit(&ag__s.idle_count, AG__RLX) != 0) &&
        atomic_load_explicit(&ag__s.searching, AG__RLX) == 0)
        ag__wake_one();
}

/* global.c */
void ag__global_put(ag__g *const *items, uint32_t count);  /* count <= AG__RING / 2 */
uint32_t ag__global_take(ag__g **ret_items, uint32_t max); /* max <= AG__RING / 2 */
void ag__global_clear(void);

/* m.c */
ag__m *ag__m_take_idle_locked(void);
void ag__foreign_forget(void *m);
void ag__foreign_wait_out(ag__m *self);
int ag__m_new(ag__p *p, bool searching); /* an idle thread or a new one gets p */
extern ag__m ag__m_stranger;
void ag__m_bind(ag__m *m);
void ag__m_unbind(ag__m *m);

/* netpoll.c */
bool ag__pd_take(uintptr_t pd_and_mode, ag__g *g); /* ends g's wait there; true: ready it */

/* g.c */
ag__g *ag__g_alloc(ag__m *m);
void ag__g_free(ag__m *m, ag__g *g);
void ag__g_rebuild(void); /* all records but those of lost threads are free again */

/* tsan.c */
#if AG__TSAN
void ag__tsan_init(void);
void *ag__tsan_neutral_begin(void); /* what is made before the end comes behind no goroutine */
void ag__tsan_neutral_end(void *self);
void ag__tsan_to(ag__m *m, ag__g *to);    /* NULL: the thread's loop */
void ag__tsan_leave(ag__m *m, ag__g *to); /* the same, for ever */
/* The same, on the stack of the one that ended. */
void ag__tsan_become(ag__m *m, ag__g *from, ag__g *next);
void ag__tsan_end(ag__g *g);  /* g has ended, the thread is elsewhere */
void ag__tsan_drop(ag__g *g); /* g waits in the runtime, for ever */
void ag__tsan_new_stack(ag__g *g);
#else
static inline void ag__tsan_init(void) {
}
static inline void *ag__tsan_neutral_begin(void) {
    return NULL;
}
static inline void ag__tsan_neutral_end(void *self) {
    (void)self;
}
static inline void ag__tsan_to(ag__m *m, ag__g *to) {
    (void)m;
    (void)to;
}
static inline void ag__tsan_leave(ag__m *m, ag__g *to) {
    ag__tsan_to(m, to);
}
static inline void ag__tsan_become(ag__m *m, ag__g *from, ag__g *next) {
    (void)from;
    ag__tsan_to(m, next);
}
static inline void ag__tsan_end(ag__g *g) {
    (void)g;
}
static inline void ag__tsan_drop(ag__g *g) {
    (void)g;
}
static inline void ag__tsan_new_stack(ag__g *g) {
    (void)g;
}
#endif

/* stack.c */
int ag__stack_init(void);                /* 0, -ENOMEM: there is no stack for main */
void ag__stack_bind(ag__m *m, ag__g *g); /* gives an unstarted goroutine its stack */
void ag__stack_release(ag__m *m, ag__g *g);
void ag__stack_overflow_install(void);
void ag__stack_p_drop(ag__p *p);

/* marks.c */
bool ag__mark_is_new(const struct ag__site *site); /* its next goroutine is to be watched */
void ag__mark_begin(ag__m *m, ag__g *g);           /* watches g, which has its stack, unused */

/* timer.c */
int64_t ag__timers_run(ag__m *m, ag__p *p, int64_t now); /* due ones; returns the next `when` */
void ag__heap_free(ag__heap *h);

/* sample.c */
void ag__sample_begin(ag__p *p, ag__g *g, int reason); /* g, not queued yet, becomes runnable */
void ag__sample_end(ag__p *p, ag__g *g);               /* g is about to run on p */

/* netpoll.c */
enum { AG__POLL_BATCH = 64 };
int ag__netpoll_take(ag__poll_event *events, int64_t timeout_ns);
void ag__netpoll_deliver(ag__m *m, const ag__poll_event *events, int count);
int ag__netpoll(ag__m *m, int64_t timeout_ns); /* readies goroutines; returns how many */
int ag__netpoll_open(void);
void ag__netpoll_close(void);

/* monitor.c */
int ag__monitor_start(void);
void ag__monitor_stop(void);
void ag__monitor_nudge(void);
bool ag__hand_on(ag__m *m, int kind);

/* Gives the P of m to whoever can use it; m goes on without. m inside, not foreign. */
ag__p *ag__m_drop_p(ag__m *m);
ag__p *ag__m_leave_p(ag__m *m, int why); /* by m itself, noted */
void ag__m_set_p(ag__m *m, ag__p *p);

#endif
