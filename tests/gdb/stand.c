/* SPDX-License-Identifier: MIT */
/* Goroutines that stand in every way there is, for tests/gdb/run.py to look at. When all of them
 * stand, which the dump tells, it prints `ready`, calls `all_stand` and runs on for ever. */
#define _GNU_SOURCE
#include <aglet.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct order {
    int number;
    const char *item;
};

static ag_mutex left, right;
static ag_rwmutex bookshelf;
static ag_wg group;
static ag_cond news;
static ag_mutex news_mutex;
static ag_sem seats;
static ag_once once;
ag_time patience = 1500 * AG_MS;
static ag_chan(struct order) orders;
static ag_chan(int) nobody, full, met;
static ag_chan(int) closed;
static ag_chan(int) none;
static volatile long rounds;
static int64_t taker_id;

static void lock_both(ag_mutex *first, ag_mutex *second) {
    ag_mutex_lock(first);
    ag_send(met, 1);
    ag_recv(nobody, NULL); /* ends with the close */
    ag_mutex_lock(second);
    ag_wg_done(&group);
}

static void lock_left(void) {
    ag_mutex_lock(&left);
    ag_wg_done(&group);
}

static void take(int wanted) {
    int local_of_take = 2 * wanted;
    taker_id = ag_id();
    ag_recv(none, &local_of_take);
    rounds += local_of_take;
}

static void give(int value) {
    ag_send(full, value);
    rounds++;
}

static void choose(void) {
    int v = 0;
    ag_select(AG_RECV(none, &v), AG_SEND(full, 77));
    rounds += v;
}

static void read_shelf(void) {
    ag_rwmutex_rlock(&bookshelf);
    ag_sleep(1000 * AG_MIN);
    ag_rwmutex_runlock(&bookshelf);
}

static void write_shelf(void) {
    ag_rwmutex_lock(&bookshelf);
    ag_rwmutex_unlock(&bookshelf);
}

static void hear(void) {
    ag_mutex_lock(&news_mutex);
    ag_cond_wait(&news, &news_mutex);
    ag_mutex_unlock(&news_mutex);
}

static void enter(void) {
    ag_sem_acquire(&seats, 2);
    rounds++;
}

static int child(ag_mutex *mine) {
    ag_mutex_lock(mine);
    return 0;
}

static void own_a_scope(void) {
    ag_mutex mine = AG_MUTEX_INIT;
    ag_scope scope;
    ag_mutex_lock(&mine);
    ag_scope_begin(&scope, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&scope, child, &mine);
    ag_scope_end(&scope);
    rounds++;
}

static _Atomic int outside_tid;

static void *from_outside(void *arg) {
    outside_tid = gettid();
    ag_recv(none, NULL);
    return arg;
}

/* Whether the dump shows so many goroutines that wait so. */
static bool shows(const char *dump, const char *reason, int times) {
    char what[64];
    snprintf(what, sizeof what, " [%s]:\n", reason);
    for (const char *at = dump; (at = strstr(at, what)) != NULL; at++)
        times--;
    return times <= 0;
}

/* Whether the thread sleeps, which it does nowhere but in its receive. */
static bool does_thread_stand(void) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", outside_tid);
    FILE *in = outside_tid ? fopen(path, "r") : NULL;
    if (in && fscanf(in, "%*d %*s %c", &state) != 1)
        state = 0;
    if (in)
        fclose(in);
    return state == 'S';
}

static bool do_all_stand(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ag_dump(out);
    fclose(out);
    bool all = shows(text, "sync.Mutex.Lock", 4) && shows(text, "chan receive", 1) &&
               shows(text, "chan send", 1) && shows(text, "select", 1) && shows(text, "sleep", 1) &&
               shows(text, "sync.RWMutex.Lock", 1) && shows(text, "sync.Cond.Wait", 1) &&
               shows(text, "semaphore.Acquire", 1) && shows(text, "scope end", 1) &&
               shows(text, "sync.WaitGroup.Wait", 1);
    free(text);
    return all;
}

__attribute__((noinline)) void all_stand(void) {
    puts("ready");
    fflush(stdout);
}

static void run_on(void) {
    while (!do_all_stand() || !does_thread_stand())
        ag_yield();
    all_stand();
    for (;;)
        rounds++;
}

static void nothing(void) {
}

static int app(void *arg) {
    pthread_t thread;
    orders = ag_make(struct order, 4);
    nobody = ag_make(int, 0);
    none = ag_make(int, 0);
    full = ag_make(int, 2);
    met = ag_make(int, 2);
    closed = ag_make(int, 1);
    ag_sem_init(&seats, 3);
    ag_sem_acquire(&seats, 2);
    ag_once_do(&once, nothing);
    ag_send(orders, ((struct order){1, "shoelace"}));
    ag_send(orders, ((struct order){2, "aglet"}));
    ag_send(full, 10);
    ag_send(full, 11);
    ag_close(closed);
    ag_wg_add(&group, 3);
    ag_go_with(&(ag_go_opts){.name = "lefty"}, lock_both, &left, &right);
    ag_go(lock_both, &right, &left);
    ag_recv(met, NULL);
    ag_recv(met, NULL);
    ag_close(nobody);
    ag_go(lock_left);
    ag_go(take, 21);
    ag_go(give, 12);
    ag_go(choose);
    ag_go(read_shelf);
    while (ag_rwmutex_try_lock(&bookshelf)) {
        ag_rwmutex_unlock(&bookshelf);
        ag_yield();
    }
    ag_go(write_shelf);
    ag_go(hear);
    ag_go(enter);
    ag_go(own_a_scope);
    ag_go(run_on);
    pthread_create(&thread, NULL, from_outside, NULL);
    ag_wg_wait(&group);
    return arg != NULL || patience == 0 || taker_id == 0;
}

int main(void) {
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    return ag_run(app, NULL);
}
