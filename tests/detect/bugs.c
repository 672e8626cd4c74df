/* SPDX-License-Identifier: MIT */
/*
 * Seeded bugs, each with the shape of one of the published studies of concurrency bugs in Go
 * programs: goroutines that block for ever while the rest of the program goes on. go/main.go has
 * the same ones. run.py says which are found.
 */
#include "stage.h"

static ag_mutex a, b, c;
static ag_rwmutex rw, rw2;
static ag_cond cond;
static ag_wg two = AG_WG_INIT, group;
static ag_sem sem = AG_SEM_INIT(2);
static ag_flight flight;
static ag_once once;

/* ---- Locks ---------------------------------------------------------------------------------- */

static void locker(void) {
    ag_mutex_lock(&a);
    ag_mutex_lock(&a);
}
static void double_lock(void) {
    ag_go(locker);
}

static void inner(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_unlock(m);
}
static void outer(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_defer(ag_mutex_unlock, m);
    inner(m);
}
static void lock_in_callee(void) {
    ag_go(outer, &a);
}

static void forward(void) {
    ag_mutex_lock(&a);
    meet(&two);
    ag_mutex_lock(&b);
}
static void backward(void) {
    ag_mutex_lock(&b);
    meet(&two);
    ag_mutex_lock(&a);
}
static void lock_order(void) {
    ag_wg_add(&two, 2);
    ag_go(forward);
    ag_go(backward);
}

static void philosopher(ag_mutex *left, ag_mutex *right) {
    ag_mutex_lock(left);
    meet(&two);
    ag_mutex_lock(right);
}
static void lock_circle(void) {
    ag_wg_add(&two, 3);
    ag_go(philosopher, &a, &b);
    ag_go(philosopher, &b, &c);
    ag_go(philosopher, &c, &a);
}

static void upgrader(void) {
    ag_rwmutex_rlock(&rw);
    ag_rwmutex_lock(&rw);
}
static void rwmutex_upgrade(void) {
    ag_go(upgrader);
}

static _Atomic bool writer_waits;
static void asks_whether_writer_waits(void) {
    if (!ag_rwmutex_try_rlock(&rw))
        writer_waits = true;
    else
        ag_rwmutex_runlock(&rw);
}
static void reader_again(void) {
    ag_rwmutex_rlock(&rw);
    ag_wg_done(&two);
    while (!writer_waits) {
        ag_wg_go(&group, asks_whether_writer_waits);
        ag_wg_wait(&group);
        ag_sleep(AG_MS);
    }
    ag_rwmutex_rlock(&rw);
}
static void writer_between(void) {
    ag_wg_wait(&two);
    ag_rwmutex_lock(&rw);
}
static void read_twice_with_writer(void) {
    ag_wg_add(&two, 1);
    ag_go(reader_again);
    ag_go(writer_between);
}

static void rw_forward(void) {
    ag_rwmutex_lock(&rw);
    meet(&two);
    ag_rwmutex_lock(&rw2);
}
static void rw_backward(void) {
    ag_rwmutex_rlock(&rw2);
    meet(&two);
    ag_rwmutex_rlock(&rw);
}
static void rwmutex_order(void) {
    ag_wg_add(&two, 2);
    ag_go(rw_forward);
    ag_go(rw_backward);
}

static void early_return(void) {
    ag_mutex_lock(&a);
}
static void wants_it(void) {
    ag_mutex_lock(&a);
}
static void missing_unlock(void) {
    ag_wg_add(&group, 1);
    ag_wg_done(&group);
    ag_go(early_return);
    ag_sleep(10 * AG_MS);
    ag_go(wants_it);
}

/* ---- Waiting for others that can't end ------------------------------------------------------ */

static void wants_a(void) {
    ag_mutex_lock(&a);
    ag_mutex_unlock(&a);
}
static void holds_and_waits(void) {
    ag_mutex_lock(&a);
    ag_wg_go(&group, wants_a);
    ag_wg_wait(&group);
}
static void lock_and_group(void) {
    ag_go(holds_and_waits);
}

static int child_wants_a(void) {
    ag_mutex_lock(&a);
    ag_mutex_unlock(&a);
    return 0;
}
static void scope_with_lock(void) {
    ag_scope s;
    ag_mutex_lock(&a);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child_wants_a);
    ag_scope_end(&s);
}
static void lock_and_scope(void) {
    ag_go(scope_with_lock);
}

static void *job_wants_a(void) {
    ag_mutex_lock(&a);
    ag_mutex_unlock(&a);
    return NULL;
}
static void awaits_with_lock(void) {
    ag_mutex_lock(&a);
    ag_job *j = ag_async(job_wants_a);
    ag_job_await(j, NULL);
    ag_unref(j);
}
static void lock_and_job(void) {
    ag_go(awaits_with_lock);
}

static void waits_for_own_group(void) {
    ag_wg_wait(&group);
}
static void group_waits_for_itself(void) {
    ag_wg_go(&group, waits_for_own_group);
}

static ag_job *jobs[2];

static void *awaits(int which) {
    while (!__atomic_load_n(&jobs[which], __ATOMIC_ACQUIRE))
        ag_sleep(AG_MS);
    ag_job_await(jobs[which], NULL);
    return NULL;
}
static void job_awaits_itself(void) {
    __atomic_store_n(&jobs[0], ag_async(awaits, 0), __ATOMIC_RELEASE);
}
static void jobs_await_each_other(void) {
    __atomic_store_n(&jobs[0], ag_async(awaits, 1), __ATOMIC_RELEASE);
    __atomic_store_n(&jobs[1], ag_async(awaits, 0), __ATOMIC_RELEASE);
}

static void calls_once(void) {
    ag_once_do(&once, calls_once);
}
static void once_in_once(void) {
    ag_go(calls_once);
}

static void *asks_again(void) {
    ag_flight_do(&flight, "key", NULL, asks_again);
    return NULL;
}
static void asks(void) {
    ag_flight_do(&flight, "key", NULL, asks_again);
}
static void flight_in_flight(void) {
    ag_go(asks);
}

/* ---- What nobody can wake ------------------------------------------------------------------- */

static void receives_nil(void) {
    ag_chan(int) none = NULL;
    ag_recv(none, NULL);
}
static void nil_receive(void) {
    ag_go(receives_nil);
}

static void sends_nil(void) {
    ag_chan(int) none = NULL;
    ag_send(none, 1);
}
static void nil_send(void) {
    ag_go(sends_nil);
}

static void selects_nil(void) {
    ag_chan(int) none = NULL;
    ag_select(AG_RECV(none, (int *)NULL), AG_SEND(none, 1));
}
static void nil_select(void) {
    ag_go(selects_nil);
}

static void wants_three(void) {
    ag_sem_acquire(&sem, 3);
}
static void more_than_the_semaphore(void) {
    ag_go(wants_three);
}

/* The receiver is left behind: whoever made the channel has gone without closing it. */
static void consumer(ag_chan(int) ch) {
    int v;
    while (ag_recv(ch, &v)) {
    }
}
static void missing_close(void) {
    ag_chan(int) ch = ag_make(int, 0);
    int64_t id = ag_go(consumer, ch);
    ag_send(ch, 1);
    until_waits_for(id, "chan receive");
    ag_unref(ch);
}

static void answers(ag_chan(int) ch) {
    ag_sleep(20 * AG_MS);
    ag_send(ch, 42);
}
static void forgotten_sender(void) {
    ag_chan(int) ch = ag_make(int, 0);
    int v;
    int64_t id = ag_go(answers, ch);
    ag_select(AG_RECV(ch, &v), AG_AFTER(AG_MS));
    until_waits_for(id, "chan send");
    ag_unref(ch);
}

static void two_ways(ag_chan(int) x, ag_chan(int) y) {
    ag_select(AG_RECV(x, (int *)NULL), AG_SEND(y, 1));
}
static void select_without_done(void) {
    ag_chan(int) x = ag_make(int, 0), y = ag_make(int, 0);
    until_waits_for(ag_go(two_ways, x, y), "select");
    ag_unref(x);
    ag_unref(y);
}

/* ---- The same with references of one's own, and what the runtime can't know ----------------- */

static void answers_own(ag_chan(int) ch) {
    ag_defer(ag_unref, ch);
    ag_sleep(20 * AG_MS);
    ag_send(ch, 42);
}
static void abandoned_after_timeout(void) {
    ag_chan(int) ch = ag_make(int, 0);
    int v;
    ag_go(answers_own, ag_ref(ch));
    ag_select(AG_RECV(ch, &v), AG_AFTER(AG_MS));
    ag_unref(ch);
}

static void first_this(ag_chan(int) x, ag_chan(int) y) {
    ag_defer(ag_unref, x);
    ag_defer(ag_unref, y);
    ag_recv(x, NULL);
    ag_send(y, 1);
}
static void channel_circle(void) {
    ag_chan(int) x = ag_make(int, 0), y = ag_make(int, 0);
    ag_go(first_this, ag_ref(x), ag_ref(y));
    ag_go(first_this, y, x);
}

static void locks_then_sends(ag_chan(int) ch) {
    ag_defer(ag_unref, ch);
    ag_mutex_lock(&a);
    ag_send(ch, 1);
    ag_mutex_unlock(&a);
}
static void locks_then_receives(ag_chan(int) ch) {
    ag_defer(ag_unref, ch);
    ag_sleep(10 * AG_MS);
    ag_mutex_lock(&a);
    ag_recv(ch, NULL);
    ag_mutex_unlock(&a);
}
static void lock_and_channel(void) {
    ag_chan(int) ch = ag_make(int, 0);
    ag_go(locks_then_sends, ag_ref(ch));
    ag_go(locks_then_receives, ch);
}

static void waits_for_signal(void) {
    ag_mutex_lock(&a);
    ag_cond_wait(&cond, &a);
    ag_mutex_unlock(&a);
}
static void cond_without_signal(void) {
    ag_go(waits_for_signal);
}

static void does_one(void) {
    ag_wg_done(&group);
}
static void waits_for_two(void) {
    ag_wg_wait(&group);
}
static void group_added_too_much(void) {
    ag_wg_add(&group, 2);
    ag_go(does_one);
    ag_go(waits_for_two);
}

static void takes_both(void) {
    ag_sem_acquire(&sem, 2);
}
static void takes_one(void) {
    ag_sem_acquire(&sem, 1);
}
static void semaphore_never_released(void) {
    ag_go(takes_both);
    ag_sleep(10 * AG_MS);
    ag_go(takes_one);
}

static void waits_for_context(ag_ctx *x) {
    ag_ctx_enter(x);
    ag_wg_done(&two);
    ag_select(AG_DONE(x));
}
static void context_never_cancelled(void) {
    ag_ctx *x = ag_ctx_with_cancel(ag_ctx_background());
    ag_wg_add(&two, 1);
    ag_go(waits_for_context, x);
    ag_wg_wait(&two); /* it has a reference of its own; a dump's memory would keep another */
    ag_unref(x);
}

static int receives(ag_chan(int) ch) {
    ag_recv(ch, NULL);
    return 0;
}
static void scope_of_receiver(void) {
    ag_chan(int) ch = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, receives, ch);
    ag_scope_end(&s);
    ag_unref(ch);
}
static void blocked_in_scope(void) {
    ag_go(scope_of_receiver);
}

static void worker(ag_chan(int) work) {
    ag_defer(ag_unref, work);
    while (ag_recv(work, NULL)) {
    }
}
static void pool_never_closed(void) {
    ag_chan(int) work = ag_make(int, 4);
    ag_go(worker, ag_ref(work));
    ag_go(worker, ag_ref(work));
    ag_send(work, 1);
    ag_unref(work);
}

/* ---- What is waited for is on a stack, and nobody else knows of it any more ----------------- */

struct shared {
    ag_mutex m;
    ag_cond c;
    ag_wg group;
    ag_sem sem;
    bool ready;
};

static void fails_before_the_signal(struct shared *s) {
    ag_sleep(10 * AG_MS);
    ag_mutex_lock(&s->m);
    bool failed = !s->ready;
    ag_mutex_unlock(&s->m);
    if (failed)
        return;
    ag_cond_signal(&s->c);
}
static void waits_for_own_condition(void) {
    struct shared s = {.ready = false};
    ag_go(fails_before_the_signal, &s);
    ag_mutex_lock(&s.m);
    while (!s.ready)
        ag_cond_wait(&s.c, &s.m);
    ag_mutex_unlock(&s.m);
}
static void own_cond_without_signal(void) {
    ag_go(waits_for_own_condition);
}

static void done_unless_it_fails(struct shared *s, int fails) {
    ag_sleep(10 * AG_MS);
    if (fails)
        return;
    ag_wg_done(&s->group);
}
static void waits_for_own_three(void) {
    struct shared s = {.ready = false};
    ag_wg_add(&s.group, 3);
    for (int i = 0; i < 3; i++)
        ag_go(done_unless_it_fails, &s, i == 1);
    ag_wg_wait(&s.group);
}
static void own_group_without_done(void) {
    ag_go(waits_for_own_three);
}

static void keeps_its_place(struct shared *s, int fails) {
    ag_sem_acquire(&s->sem, 1);
    ag_sleep(10 * AG_MS);
    if (!fails)
        ag_sem_release(&s->sem, 1);
    ag_wg_done(&s->group);
}
static void starts_two_at_a_time(void) {
    struct shared s = {.ready = false};
    ag_sem_init(&s.sem, 2);
    ag_wg_add(&s.group, 3);
    for (int i = 0; i < 3; i++)
        ag_go(keeps_its_place, &s, i == 1);
    ag_wg_wait(&s.group);
    ag_sem_acquire(&s.sem, 2);
}
static void own_semaphore_never_released(void) {
    ag_go(starts_two_at_a_time);
}

static void ends_with_the_lock(struct shared *s) {
    ag_mutex_lock(&s->m);
    if (s->ready)
        ag_mutex_unlock(&s->m);
    ag_wg_done(&s->group);
}
static void locks_after(void) {
    struct shared s = {.ready = false};
    ag_wg_add(&s.group, 1);
    ag_go(ends_with_the_lock, &s);
    ag_wg_wait(&s.group);
    ag_mutex_lock(&s.m);
}
static void own_lock_never_unlocked(void) {
    ag_go(locks_after);
}

static const struct program programs[] = {
    PROGRAM(double_lock),
    PROGRAM(lock_in_callee),
    PROGRAM(lock_order),
    PROGRAM(lock_circle),
    PROGRAM(rwmutex_upgrade),
    PROGRAM(read_twice_with_writer),
    PROGRAM(rwmutex_order),
    PROGRAM(missing_unlock),
    PROGRAM(lock_and_group),
    PROGRAM(lock_and_scope),
    PROGRAM(lock_and_job),
    PROGRAM(group_waits_for_itself),
    PROGRAM(job_awaits_itself),
    PROGRAM(jobs_await_each_other),
    PROGRAM(once_in_once),
    PROGRAM(flight_in_flight),
    PROGRAM(nil_receive),
    PROGRAM(nil_send),
    PROGRAM(nil_select),
    PROGRAM(more_than_the_semaphore),
    PROGRAM(missing_close),
    PROGRAM(forgotten_sender),
    PROGRAM(select_without_done),
    PROGRAM(abandoned_after_timeout),
    PROGRAM(channel_circle),
    PROGRAM(lock_and_channel),
    PROGRAM(cond_without_signal),
    PROGRAM(group_added_too_much),
    PROGRAM(semaphore_never_released),
    PROGRAM(context_never_cancelled),
    PROGRAM(blocked_in_scope),
    PROGRAM(pool_never_closed),
    PROGRAM(own_cond_without_signal),
    PROGRAM(own_group_without_done),
    PROGRAM(own_semaphore_never_released),
    PROGRAM(own_lock_never_unlocked),
};

int main(int argc, char **argv) {
    return play(argc, argv, programs, sizeof programs / sizeof *programs);
}
