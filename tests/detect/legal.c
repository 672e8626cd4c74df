/* SPDX-License-Identifier: MIT */
/*
 * Legal programs that look like the bugs of bugs.c: whoever waits here will be woken, or may be, or
 * waits on purpose. Nothing may be reported about any of them.
 */
#include "stage.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

enum { LONG = 400 }; /* ms: many looks of the detector, as run.py sets it */

static ag_mutex a, b, gate;
static ag_rwmutex rw;
static ag_cond cond;
static ag_wg group;
static ag_sem sem = AG_SEM_INIT(1);
static ag_once once;
static ag_flight flight;
static bool ready;

/* ---- Idle on purpose ------------------------------------------------------------------------ */

static void serve(ag_listener *l) {
    ag_conn *conn;
    while (ag_accept(l, &conn) == 0)
        ag_conn_close(conn);
}
static void idle_server(void) {
    ag_listener *l;
    if (ag_listen("tcp", "127.0.0.1:0", &l) == 0)
        ag_go(serve, l);
}

extern ag_chan(int) jobs;
ag_chan(int) jobs;
static void work(ag_chan(int) from) {
    while (ag_recv(from, NULL)) {
    }
}
static void idle_pool(void) {
    jobs = ag_make(int, 0);
    for (int i = 0; i < 4; i++)
        ag_go(work, jobs);
}

struct holder {
    ag_chan(int) ch;
};
extern struct holder *held_in_heap;
struct holder *held_in_heap;
static void pool_held_by_heap(void) {
    held_in_heap = malloc(sizeof *held_in_heap);
    held_in_heap->ch = ag_make(int, 0);
    ag_go(work, held_in_heap->ch);
}

static void parked_for_ever(void) {
    ag_select();
}
static void empty_select_on_purpose(void) {
    ag_go(parked_for_ever);
}

static void waits_for_signal(ag_chan(int) signals) {
    ag_recv(signals, NULL);
}
static void signal_handler_waits(void) {
    ag_chan(int) signals = ag_make(int, 1);
    ag_notify(signals, SIGUSR1);
    ag_go(waits_for_signal, signals);
}

static void waits_for_ticks(ag_ticker *t) {
    while (ag_recv(ag_ticker_chan(t), NULL)) {
    }
}
static void ticker_waits(void) {
    ag_go(waits_for_ticks, ag_ticker_start(300 * AG_MS));
}

static void waits_for_after(void) {
    ag_recv(ag_after(LONG * AG_MS), NULL);
}
static void after_waits(void) {
    ag_go(waits_for_after);
}

static void nil_with_time(void) {
    ag_chan(int) none = NULL;
    ag_select(AG_RECV(none, (int *)NULL), AG_AFTER(LONG * AG_MS));
}
static void nil_case_with_time(void) {
    ag_go(nil_with_time);
}

static void nil_in_context(void) {
    ag_chan(int) none = NULL;
    ag_within(LONG * AG_MS);
    ag_recv(none, NULL);
}
static void nil_until_the_context_ends(void) {
    ag_go(nil_in_context);
}

/* ---- Slow, but on the way ------------------------------------------------------------------- */

static void holds_long(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_sleep(LONG * AG_MS);
    ag_mutex_unlock(m);
}
static void wants(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_unlock(m);
}
static void lock_held_long(void) {
    ag_go(holds_long, &a);
    ag_sleep(5 * AG_MS);
    for (int i = 0; i < 3; i++)
        ag_go(wants, &a);
}

static void nested(ag_mutex *x, ag_mutex *y) {
    ag_mutex_lock(x);
    holds_long(y);
    ag_mutex_unlock(x);
}
static void chain_of_locks(void) {
    ag_go(holds_long, &b);
    ag_sleep(5 * AG_MS);
    ag_go(nested, &a, &b);
    ag_sleep(5 * AG_MS);
    ag_go(wants, &a);
}

static void gated(ag_mutex *x, ag_mutex *y) {
    for (int i = 0; i < 3; i++) {
        ag_mutex_lock(&gate);
        ag_mutex_lock(x);
        ag_sleep(60 * AG_MS);
        ag_mutex_lock(y);
        ag_mutex_unlock(y);
        ag_mutex_unlock(x);
        ag_mutex_unlock(&gate);
    }
}
static void both_orders_behind_a_gate(void) {
    ag_go(gated, &a, &b);
    ag_go(gated, &b, &a);
}

static void reads_long(void) {
    ag_rwmutex_rlock(&rw);
    ag_sleep(LONG * AG_MS);
    ag_rwmutex_runlock(&rw);
}
static void writes(void) {
    ag_rwmutex_lock(&rw);
    ag_rwmutex_unlock(&rw);
}
static void writer_behind_a_long_reader(void) {
    ag_go(reads_long);
    ag_sleep(5 * AG_MS);
    ag_go(writes);
    ag_go(reads_long);
}

static void naps(void) {
    ag_sleep(LONG * AG_MS);
}
static void waits_for_group(void) {
    ag_wg_wait(&group);
}
static void group_of_slow_ones(void) {
    ag_wg_go(&group, naps);
    ag_go(waits_for_group);
}

static void counted_by_hand(void) {
    ag_sleep(LONG * AG_MS);
    ag_wg_done(&group);
}
static void group_by_hand(void) {
    ag_wg_add(&group, 1);
    ag_go(counted_by_hand);
    ag_wg_go(&group, naps);
    ag_go(waits_for_group);
}

static int child_receives(ag_chan(int) ch) {
    ag_recv(ch, NULL);
    return 0;
}
static int child_fails_late(void) {
    ag_sleep(LONG * AG_MS);
    return -1;
}
static void scope_main(void) {
    ag_chan(int) none = NULL;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child_receives, none);
    ag_scope_go(&s, child_fails_late);
    ag_scope_end(&s);
}
static void scope_ended_by_a_failure(void) {
    ag_go(scope_main);
}

static void *job_naps(void) {
    ag_sleep(LONG * AG_MS);
    return NULL;
}
static void awaits_slow_job(void) {
    ag_job *j = ag_async(job_naps);
    ag_job_await(j, NULL);
    ag_unref(j);
}
static void slow_job(void) {
    ag_go(awaits_slow_job);
}

static void once_slowly(void) {
    ag_sleep(LONG * AG_MS);
}
static void calls_once(void) {
    ag_once_do(&once, once_slowly);
}
static void slow_once(void) {
    for (int i = 0; i < 3; i++)
        ag_go(calls_once);
}

static void *flies_slowly(void) {
    ag_sleep(LONG * AG_MS);
    return NULL;
}
static void flies(void) {
    ag_flight_do(&flight, "key", NULL, flies_slowly);
}
static void slow_flight(void) {
    for (int i = 0; i < 3; i++)
        ag_go(flies);
}

/* ---- Others wake ---------------------------------------------------------------------------- */

static void waits_for_condition(void) {
    ag_mutex_lock(&a);
    while (!ready)
        ag_cond_wait(&cond, &a);
    ag_mutex_unlock(&a);
}
static void signals_late(void) {
    ag_sleep(LONG * AG_MS);
    ag_mutex_lock(&a);
    ready = true;
    ag_cond_broadcast(&cond);
    ag_mutex_unlock(&a);
}
static void condition_signalled_late(void) {
    ag_go(waits_for_condition);
    ag_go(waits_for_condition);
    ag_go(signals_late);
}

static void releases_late(void) {
    ag_sleep(LONG * AG_MS);
    ag_sem_release(&sem, 1);
}
static void takes(void) {
    ag_sem_acquire(&sem, 1);
    ag_sem_acquire(&sem, 1); /* what releases_late gives back for us */
}
static void semaphore_released_by_another(void) {
    ag_go(takes);
    ag_go(releases_late);
}

/* From its first use on the mutex is handed on: who unlocks it is never who locked it. */
static void unlocks_late(int ms) {
    ag_sleep(ms * AG_MS);
    ag_mutex_unlock(&a);
}
static void locks_twice(void) {
    ag_mutex_lock(&a);
    ag_go(unlocks_late, 0);
    ag_sleep(5 * AG_MS);
    for (int i = 0; i < 2; i++) {
        ag_mutex_lock(&a);
        ag_go(unlocks_late, LONG / 2);
    }
}
static void mutex_as_semaphore(void) {
    ag_go(locks_twice);
}

static void *thread_holds(void *arg) {
    ag_mutex_lock(arg);
    usleep(LONG * 1000);
    ag_mutex_unlock(arg);
    return NULL;
}
static void foreign_thread_unlocks(void) {
    pthread_t t;
    pthread_create(&t, NULL, thread_holds, &a);
    pthread_detach(t);
    ag_sleep(20 * AG_MS);
    ag_go(wants, &a);
    ag_go(nested, &b, &a);
}

static void *thread_sends(void *arg) {
    ag_chan(int) ch = arg;
    usleep(LONG * 1000);
    ag_send(ch, 1);
    ag_unref(ch);
    return NULL;
}
static void receives_once(ag_chan(int) ch) {
    ag_recv(ch, NULL);
    ag_unref(ch);
}
static void foreign_thread_sends(void) {
    ag_chan(int) ch = ag_make(int, 0);
    pthread_t t;
    ag_go(receives_once, ag_ref(ch));
    pthread_create(&t, NULL, thread_sends, (void *)ch);
    pthread_detach(t);
}

static void blocks(void) {
    ag_mutex_lock(&a);
    ag_blocking(usleep, LONG * 1000);
    ag_mutex_unlock(&a);
}
static void lock_held_in_a_blocking_call(void) {
    ag_go(blocks);
    ag_sleep(5 * AG_MS);
    ag_go(wants, &a);
}

/* A goroutine that ends with a lock leaves its record to the next one, which waits for the lock. */
static void locks_and_ends(void) {
    ag_mutex_lock(&a);
}
static void baton_of_one_that_ended(void) {
    ag_go(locks_and_ends);
    ag_sleep(5 * AG_MS);
    for (int i = 0; i < 8; i++)
        ag_go(wants, &a);
    ag_go(unlocks_late, LONG);
}

/* ---- Who has the channel? For AGLET_SCAN=heap ----------------------------------------------- */

/* Not static: the compiler would leave out what nobody reads. */
extern _Thread_local ag_chan(int) of_thread;
_Thread_local ag_chan(int) of_thread;
static void held_by_thread_local(void) {
    of_thread = ag_make(int, 0);
    ag_go(work, of_thread);
}

static void waits_with_it(int fd, ag_chan(int) ch) {
    char byte;
    ag_fd_read(fd, &byte, 1);
    ag_send(ch, 1);
}
static void held_by_one_that_reads(void) {
    int fds[2];
    ag_chan(int) ch = ag_make(int, 0);
    if (ag_pipe(fds) != 0)
        abort();
    ag_go(work, ch);
    ag_go(waits_with_it, fds[0], ch);
}

static void sends(ag_chan(int) ch) {
    ag_send(ch, 1);
}
static void held_by_timer(void) {
    ag_chan(int) ch = ag_make(int, 0);
    ag_go(work, ch);
    ag_timer_start(AG_MIN, sends, ch);
}

extern ag_chan(void *) parcels;
ag_chan(void *) parcels;
static void held_by_a_parcel(void) {
    ag_chan(int) ch = ag_make(int, 0);
    parcels = ag_make(void *, 1);
    ag_go(work, ch);
    ag_send(parcels, (void *)ch);
}

static void passes_on(ag_chan(int) in, ag_chan(int) out) {
    ag_recv(in, NULL);
    ag_send(out, 1);
}
extern ag_chan(int) head;
ag_chan(int) head;
static void chain_of_channels(void) {
    ag_chan(int) last = head = ag_make(int, 0);
    for (int i = 0; i < 5; i++) {
        ag_chan(int) next = ag_make(int, 0);
        ag_go(passes_on, last, next);
        last = next;
    }
    ag_go(work, last);
}

static void locks_and_receives(ag_chan(int) ch) {
    ag_mutex_lock(&a);
    ag_recv(ch, NULL);
    ag_mutex_unlock(&a);
}
static void held_behind_a_lock(void) {
    head = ag_make(int, 0);
    ag_go(locks_and_receives, head);
    ag_sleep(5 * AG_MS);
    ag_go(wants, &a);
}

/* ---- Who can reach what is on a stack? ------------------------------------------------------ */

struct shared {
    ag_mutex m;
    ag_cond c;
    ag_wg group;
    ag_sem sem;
    bool ready;
    ag_chan(int) ch;
};

/* Only the address of a part of it is kept. */
static void signals_by_part(bool *is_ready) {
    struct shared *s = (struct shared *)((char *)is_ready - offsetof(struct shared, ready));
    ag_sleep(LONG * AG_MS);
    ag_mutex_lock(&s->m);
    s->ready = true;
    ag_cond_signal(&s->c);
    ag_mutex_unlock(&s->m);
}
static void waits_for_its_condition(void) {
    struct shared s = {.ready = false};
    ag_go(signals_by_part, &s.ready);
    ag_mutex_lock(&s.m);
    while (!s.ready)
        ag_cond_wait(&s.c, &s.m);
    ag_mutex_unlock(&s.m);
}
static void own_condition_known_by_a_part(void) {
    ag_go(waits_for_its_condition);
}

static void waits_for_the_callers(struct shared *s) {
    ag_wg_done(&s->group);
    ag_mutex_lock(&s->m);
    while (!s->ready)
        ag_cond_wait(&s->c, &s->m);
    ag_mutex_unlock(&s->m);
    ag_wg_done(&s->group);
}
/* Nobody has the address but who waits: it is the frame of one that goes on. */
static void owner_of_the_frame(void) {
    struct shared s = {.ready = false};
    ag_wg_add(&s.group, 1);
    ag_go(waits_for_the_callers, &s);
    ag_wg_wait(&s.group);
    ag_wg_add(&s.group, 1);
    ag_sleep(LONG * AG_MS);
    ag_mutex_lock(&s.m);
    s.ready = true;
    ag_cond_broadcast(&s.c);
    ag_mutex_unlock(&s.m);
    ag_wg_wait(&s.group);
}
static void condition_in_the_frame_of_another(void) {
    ag_go(owner_of_the_frame);
}

/* It was signalled, and waits for a mutex that is no part of the condition's memory. */
static ag_cond *_Atomic parting;
static void signals_and_forgets(void) {
    ag_mutex_lock(&a);
    ag_cond_signal(parting);
    parting = NULL;
    ag_sleep(LONG * AG_MS);
    ag_mutex_unlock(&a);
}
static void leaves_its_condition(void) {
    ag_cond c = {0};
    ag_mutex_lock(&a);
    parting = &c;
    ag_go(signals_and_forgets);
    ag_cond_wait(&c, &a);
    ag_mutex_unlock(&a);
}
static void signalled_but_locked_out(void) {
    ag_go(leaves_its_condition);
}

static void gives_back(ag_sem *s) {
    ag_sleep(LONG * AG_MS);
    ag_sem_release(s, 1);
}
static void acquires_own(void) {
    struct shared s = {.ready = false};
    ag_sem_init(&s.sem, 1);
    ag_sem_acquire(&s.sem, 1);
    ag_go(gives_back, &s.sem);
    ag_sem_acquire(&s.sem, 1);
}
static void own_semaphore(void) {
    ag_go(acquires_own);
}

/* Who waits behind one that gives up gets what that one could not. */
static void wants_much_for_a_while(ag_sem *s) {
    ag_within(LONG * AG_MS);
    ag_sem_acquire(s, 2);
}
static void wants_little_behind(void) {
    struct shared s = {.ready = false};
    ag_sem_init(&s.sem, 2);
    ag_sem_acquire(&s.sem, 1);
    ag_go(wants_much_for_a_while, &s.sem);
    ag_sleep(10 * AG_MS);
    ag_sem_acquire(&s.sem, 1);
}
static void semaphore_behind_one_that_gives_up(void) {
    ag_go(wants_little_behind);
}

/* The channel is known by way of the stack of one that waits. */
static void sends_by_the_stack(struct shared *s) {
    ag_sleep(LONG * AG_MS);
    ag_send(s->ch, 1);
}
static void receives_and_ends(ag_chan(int) ch) {
    ag_recv(ch, NULL);
}
static void waits_for_receiver(void) {
    struct shared s = {.ch = ag_make(int, 0)};
    ag_go(sends_by_the_stack, &s);
    ag_wg_go(&s.group, receives_and_ends, s.ch);
    ag_wg_wait(&s.group);
    ag_unref(s.ch);
}
static void channel_by_way_of_a_stack(void) {
    ag_go(waits_for_receiver);
}

static void counted_by_hand_of(ag_wg *own) {
    ag_sleep(LONG * AG_MS / 2);
    ag_wg_done(own);
}
static void locks_own(void) {
    struct shared s = {.ready = false};
    ag_go(holds_long, &s.m);
    ag_sleep(5 * AG_MS);
    ag_wg_add(&s.group, 1);
    ag_go(counted_by_hand_of, &s.group);
    ag_wg_wait(&s.group);
    ag_mutex_lock(&s.m);
}
static void own_lock_and_group(void) {
    ag_go(locks_own);
}

/* ---- Who can end the context? --------------------------------------------------------------- */

static void cancels_late(ag_ctx *x) {
    ag_sleep(LONG * AG_MS);
    ag_ctx_cancel(x);
    ag_unref(x);
}
static void waits_in_context(ag_ctx *x, ag_chan(int) ch) {
    ag_ctx_enter(x);
    ag_unref(x);
    ag_recv(ch, NULL);
    ag_unref(ch);
}
static void cancelled_late(void) {
    ag_ctx *x = ag_ctx_with_cancel(ag_ctx_background());
    ag_go(waits_in_context, ag_ref(x), ag_make(int, 0));
    ag_go(cancels_late, x);
}
static void cancelled_from_above(void) {
    ag_ctx *x = ag_ctx_with_cancel(ag_ctx_background());
    ag_go(waits_in_context, ag_ctx_with_cancel(x), ag_make(int, 0));
    ag_go(cancels_late, x);
}
static void context_with_time(void) {
    ag_go(waits_in_context, ag_ctx_with_timeout(ag_ctx_background(), LONG * AG_MS),
          ag_make(int, 0));
}
static void below_a_context_with_time(void) {
    ag_ctx *x = ag_ctx_with_timeout(ag_ctx_background(), LONG * AG_MS);
    ag_go(waits_in_context, ag_ctx_with_cancel(x), ag_make(int, 0));
    ag_unref(x);
}
static void context_of_a_signal(void) {
    ag_go(waits_in_context, ag_notify_ctx(ag_ctx_background(), SIGUSR1), ag_make(int, 0));
}

static void scope_of_a_failure(void) {
    ag_chan(int) ch = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child_receives, ch);
    ag_scope_go(&s, child_fails_late);
    ag_scope_end(&s);
    ag_unref(ch);
}
static void own_channel_ended_by_a_failure(void) {
    ag_go(scope_of_a_failure);
}

static const struct program programs[] = {
    PROGRAM(idle_server),
    PROGRAM(idle_pool),
    PROGRAM(pool_held_by_heap),
    PROGRAM(empty_select_on_purpose),
    PROGRAM(signal_handler_waits),
    PROGRAM(ticker_waits),
    PROGRAM(after_waits),
    PROGRAM(nil_case_with_time),
    PROGRAM(nil_until_the_context_ends),
    PROGRAM(lock_held_long),
    PROGRAM(chain_of_locks),
    PROGRAM(both_orders_behind_a_gate),
    PROGRAM(writer_behind_a_long_reader),
    PROGRAM(group_of_slow_ones),
    PROGRAM(group_by_hand),
    PROGRAM(scope_ended_by_a_failure),
    PROGRAM(slow_job),
    PROGRAM(slow_once),
    PROGRAM(slow_flight),
    PROGRAM(condition_signalled_late),
    PROGRAM(semaphore_released_by_another),
    PROGRAM(mutex_as_semaphore),
    PROGRAM(foreign_thread_unlocks),
    PROGRAM(foreign_thread_sends),
    PROGRAM(lock_held_in_a_blocking_call),
    PROGRAM(baton_of_one_that_ended),
    PROGRAM(held_by_thread_local),
    PROGRAM(held_by_one_that_reads),
    PROGRAM(held_by_timer),
    PROGRAM(held_by_a_parcel),
    PROGRAM(chain_of_channels),
    PROGRAM(held_behind_a_lock),
    PROGRAM(own_condition_known_by_a_part),
    PROGRAM(condition_in_the_frame_of_another),
    PROGRAM(signalled_but_locked_out),
    PROGRAM(own_semaphore),
    PROGRAM(semaphore_behind_one_that_gives_up),
    PROGRAM(channel_by_way_of_a_stack),
    PROGRAM(own_lock_and_group),
    PROGRAM(cancelled_late),
    PROGRAM(cancelled_from_above),
    PROGRAM(context_with_time),
    PROGRAM(below_a_context_with_time),
    PROGRAM(context_of_a_signal),
    PROGRAM(own_channel_ended_by_a_failure),
};

int main(int argc, char **argv) {
    return play(argc, argv, programs, sizeof programs / sizeof *programs);
}
