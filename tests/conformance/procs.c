/* SPDX-License-Identifier: MIT */
/*
 * Processors and threads: their number, goroutines that never come back to the runtime, blocking
 * calls, errno, goroutines bound to a thread. A call of another library may block or burn its
 * thread; no other goroutine may notice, with one processor as with many.
 */
#include "common.h"

#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int tid(void) {
    return (int)syscall(SYS_gettid);
}

/* ---- ag_procs ------------------------------------------------------------------------------- */

AG_TEST_RUN(procs_gets_and_sets_and_returns_the_old_number) {
    int begin = ag_procs(0);
    const char *env = getenv("AGLET_PROCS");
    ag_check(begin > 0);
    if (env)
        ag_check_int(begin, atoi(env));
    ag_check_int(ag_procs(3), begin);
    ag_check_int(ag_procs(0), 3);
    ag_check_int(ag_procs(1), 3);
    ag_check_int(ag_procs(begin), 1);
    ag_check_int(ag_procs(-1), -EINVAL);
    ag_check_int(ag_procs(1025), -EINVAL);
    ag_check_int(ag_procs(0), begin);
}

static int return_procs(void *arg) {
    (void)arg;
    return ag_procs(0);
}

AG_TEST(the_default_is_the_number_of_cpus_this_process_may_use) {
    cpu_set_t all, one;
    unsetenv("AGLET_PROCS");
    ag_check_int(sched_getaffinity(0, sizeof all, &all), 0);
    int procs = ag_run(return_procs, NULL);
    ag_check(procs >= 1 && procs <= CPU_COUNT(&all)); /* a cgroup quota may lower it */
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    ag_check_int(sched_setaffinity(0, sizeof one, &one), 0);
    ag_check_int(ag_run(return_procs, NULL), 1);
}

AG_TEST(the_environment_wins_over_the_configuration) {
    setenv("AGLET_PROCS", "3", 1);
    ag_check_int(ag_run_with(&(ag_config){.procs = 5}, return_procs, NULL), 3);
    unsetenv("AGLET_PROCS");
    ag_check_int(ag_run_with(&(ag_config){.procs = 5}, return_procs, NULL), 5);
}

static void count_until_closed(ag_chan(int) c, atomic_long *sum) {
    int v;
    while (ag_recv(c, &v))
        atomic_fetch_add(sum, v);
}

AG_TEST_RUN(the_number_may_change_while_goroutines_work) {
    ag_chan(int) c = ag_make(int, 4);
    atomic_long sum = 0;
    int numbers[] = {1, 4, 2, 8, 1, 3}, rounds = 300 / ag_test_slow();
    for (int i = 0; i < 20; i++)
        ag_go(count_until_closed, c, &sum);
    for (size_t i = 0; i < COUNT(numbers); i++) {
        ag_procs(numbers[i]);
        for (int v = 0; v < rounds; v++)
            ag_send(c, 1);
        ag_check_int(ag_procs(0), numbers[i]);
    }
    ag_close(c);
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&sum), (long)COUNT(numbers) * rounds);
    ag_unref(c);
}

static void meet(atomic_int *here, int wanted) {
    atomic_fetch_add(here, 1);
    while (atomic_load(here) < wanted)
        continue; /* outside of the runtime: needs as many threads at the same time */
}

AG_TEST_RUN(goroutines_run_at_the_same_time_on_several_processors) {
    atomic_int here = 0;
    ag_wg wg = AG_WG_INIT;
    ag_procs(3);
    for (int i = 0; i < 3; i++)
        ag_wg_go(&wg, meet, &here, 3);
    ag_wg_wait(&wg);
}

/* ---- Goroutines that stay away -------------------------------------------------------------- */

static void burn(atomic_int *stop) {
    for (volatile long i = 0; !atomic_load(stop); i++)
        continue;
}

static void exchange(ag_chan(int) in, ag_chan(int) out, int rounds) {
    for (int i = 0; i < rounds; i++) {
        ag_recv(in, NULL);
        ag_send(out, i);
    }
}

/* Work that needs processors: an exchange and a sleep. */
static void work_a_little(void) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    ag_go(exchange, a, b, 100);
    for (int i = 0, v = 0; i < 100; i++) {
        ag_send(a, i);
        ag_check(ag_recv(b, &v) && v == i);
    }
    ag_check_int(ag_sleep(AG_MS), 0);
    ag_unref(a);
    ag_unref(b);
}

AG_TEST_RUN(endless_loops_do_not_starve_the_others) {
    static atomic_int stop;
    for (int hogs = 0; hogs < ag_procs(0) + 1 && hogs < 4; hogs++) {
        ag_go(burn, &stop);
        work_a_little();
    }
    atomic_store(&stop, 1);
    eventually(ag_count() == 1);
}

static void call_all_the_time(ag_chan(int) c, atomic_int *stop) {
    while (!atomic_load(stop))
        ag_try_recv(c, NULL);
}

static void count_up(atomic_int *n) {
    atomic_fetch_add(n, 1);
}

AG_TEST_RUN(goroutines_that_call_the_runtime_and_never_wait_do_not_starve_the_others) {
    static atomic_int stop, started;
    ag_chan(int) c = ag_make(int, 1);
    for (int i = 0; i < ag_procs(0) + 1 && i < 4; i++)
        ag_go(call_all_the_time, c, &stop);
    for (int i = 0; i < 3; i++) {
        ag_go(count_up, &started);
        ag_sleep(AG_MS);
    }
    eventually(atomic_load(&started) == 3);
    atomic_store(&stop, 1);
    eventually(ag_count() == 1);
    ag_unref(c);
}

static void block_in_read(int fd) {
    char byte;
    ag_check_int(read(fd, &byte, 1), 1);
}

AG_TEST_RUN(goroutines_blocked_in_the_kernel_do_not_starve_the_others) {
    int ends[2];
    ag_check_int(pipe(ends), 0);
    for (int i = 0; i < 20; i++)
        ag_go(block_in_read, ends[0]);
    work_a_little();
    eventually(ag_count() == 21); /* who worked a little may still be ending */
    ag_check_int(write(ends[1], "01234567890123456789", 20), 20);
    eventually(ag_count() == 1);
    close(ends[0]);
    close(ends[1]);
}

static void block_in_pthread_mutex(pthread_mutex_t *m, atomic_int *through) {
    pthread_mutex_lock(m);
    atomic_fetch_add(through, 1);
    pthread_mutex_unlock(m);
}

AG_TEST_RUN(goroutines_blocked_in_a_pthread_mutex_do_not_starve_the_others) {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    atomic_int through = 0;
    ag_lock_thread(); /* a pthread mutex belongs to its thread */
    pthread_mutex_lock(&m);
    for (int i = 0; i < 8; i++)
        ag_go(block_in_pthread_mutex, &m, &through);
    work_a_little();
    ag_check_int(atomic_load(&through), 0);
    pthread_mutex_unlock(&m);
    ag_unlock_thread();
    eventually(atomic_load(&through) == 8);
}

static void sleep_in_c(atomic_int *awake) {
    for (int i = 0; i < 5; i++) {
        usleep(3000);
        ag_yield();
    }
    atomic_fetch_add(awake, 1);
}

AG_TEST_RUN(a_goroutine_that_blocked_comes_back_and_goes_on) {
    static atomic_int awake;
    for (int i = 0; i < 10; i++)
        ag_go(sleep_in_c, &awake);
    eventually(atomic_load(&awake) == 10);
}

static int return_zero(void *arg) {
    (void)arg;
    return 0;
}

static int main_floods_threads(void *arg) {
    static atomic_int awake;
    (void)arg;
    for (int i = 0; i < 100; i++) /* more than there may be threads: they take turns */
        ag_go(sleep_in_c, &awake);
    eventually(atomic_load(&awake) == 100);
    return 0;
}

AG_TEST(past_the_bound_of_threads_work_queues_and_nobody_dies) {
    unsetenv("AGLET_MAX_THREADS");
    ag_config config = {.max_threads = 8, .quiet = 1};
    ag_check_int(ag_run_with(&config, main_floods_threads, NULL), 0);
    ag_check_int(ag_run(return_zero, NULL), 0);
}

static int main_idles(void *arg) {
    struct rusage begin, end;
    (void)arg;
    ag_sleep(50 * AG_MS); /* the start is over */
    getrusage(RUSAGE_SELF, &begin);
    ag_sleep(500 * AG_MS);
    getrusage(RUSAGE_SELF, &end);
    long us = (end.ru_utime.tv_sec - begin.ru_utime.tv_sec) * 1000000L + end.ru_utime.tv_usec -
              begin.ru_utime.tv_usec + (end.ru_stime.tv_sec - begin.ru_stime.tv_sec) * 1000000L +
              end.ru_stime.tv_usec - begin.ru_stime.tv_usec;
    if (us > 20000L * ag_test_slow())
        ag_fail("an idle process used %ld us of CPU in half a second", us);
    return 0;
}

AG_TEST(an_idle_process_uses_no_cpu) {
    ag_check_int(ag_run(main_idles, NULL), 0);
}

/* ---- ag_blocking ---------------------------------------------------------------------------- */

static int negative_int(int a) {
    return -a;
}
static unsigned char small(int a) {
    return (unsigned char)a;
}
static signed char small_signed(int a) {
    return (signed char)a;
}
static bool is_positive(long a) {
    return a > 0;
}
static const char *next_char(const char *p) {
    return p + 1;
}
static uint64_t large(void) {
    return UINT64_MAX - 1;
}
static void store(int *p, int a, int b, int c, int d, int e) {
    *p = a + 10 * b + 100 * c + 1000 * d + 10000 * e;
}

AG_TEST_RUN(blocking_returns_what_the_function_returned) {
    const char *text = "text";
    int n = 0;
    ag_check_int(ag_blocking(negative_int, 5), -5);
    ag_check_int(ag_blocking(negative_int, INT32_MIN + 1), INT32_MAX);
    ag_check_int(ag_blocking(small, 511), 255);
    ag_check_int(ag_blocking(small_signed, 255), -1);
    ag_check_int(ag_blocking(is_positive, 1L << 40), 1);
    ag_check_int(ag_blocking(is_positive, -1), 0);
    ag_check_ptr((const char *)ag_blocking(next_char, text), text + 1);
    ag_check((uint64_t)ag_blocking(large) == UINT64_MAX - 1);
    ag_check_int(ag_blocking(store, &n, 1, 2, 3, 4, 5), 0);
    ag_check_int(n, 54321);
}

static void read_blocking(int fd, atomic_int *done) {
    char byte;
    ag_check_int(ag_blocking(read, fd, &byte, 1), 1);
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(blocking_calls_do_not_hold_a_processor) {
    int ends[2];
    atomic_int done = 0;
    ag_check_int(pipe(ends), 0);
    for (int i = 0; i < 10; i++)
        ag_go(read_blocking, ends[0], &done);
    for (int i = 0; i < 5; i++)
        work_a_little();
    ag_check_int(atomic_load(&done), 0);
    ag_check_int(write(ends[1], "0123456789", 10), 10);
    eventually(atomic_load(&done) == 10);
    close(ends[0]);
    close(ends[1]);
}

static void *blocking_on_thread(void *arg) {
    *(int *)arg = (int)ag_blocking(negative_int, 3);
    return NULL;
}

AG_TEST_RUN(blocking_works_on_a_foreign_thread) {
    pthread_t thread;
    int n = 0;
    pthread_create(&thread, NULL, blocking_on_thread, &n);
    pthread_join(thread, NULL);
    ag_check_int(n, -3);
}

/* ---- errno ---------------------------------------------------------------------------------- */

static int fail_with(int number) {
    errno = number;
    return -1;
}

static __attribute__((noinline)) void set_errno(int number) {
    errno = number;
}
static __attribute__((noinline)) int get_errno(void) {
    return errno;
}

static void keep_errno(int mine, ag_chan(int) c, ag_mutex *m, atomic_int *done) {
    for (int i = 0; i < 20; i++) {
        set_errno(mine);
        ag_yield();
        ag_check_int(get_errno(), mine);
        ag_send(c, i);
        ag_check_int(get_errno(), mine);
        ag_recv(c, NULL);
        ag_check_int(get_errno(), mine);
        ag_sleep(AG_US * (i % 5) * 50);
        ag_check_int(get_errno(), mine);
        ag_mutex_lock(m);
        ag_yield();
        ag_mutex_unlock(m);
        ag_check_int(get_errno(), mine);
        ag_select(AG_SEND((ag_chan(int))NULL, 1), AG_AFTER(AG_US));
        ag_check_int(get_errno(), mine);
        usleep(200); /* long enough to lose the processor now and then */
        ag_check_int(get_errno(), mine);
        ag_blocking(fail_with, mine + 1000);
        ag_check_int(get_errno(), mine + 1000);
    }
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(errno_belongs_to_the_goroutine) {
    ag_chan(int) c = ag_make(int, 200);
    ag_mutex m = AG_MUTEX_INIT;
    atomic_int done = 0;
    for (int i = 1; i <= 20; i++)
        ag_go(keep_errno, i, c, &m, &done);
    eventually(atomic_load(&done) == 20);
    ag_unref(c);
}

static void keep_errno_in_a_loop(int mine, ag_time until) {
    set_errno(mine);
    while (ag_now() < until)
        for (volatile int i = 0; i < 1000; i++)
            ag_check_int(errno, mine);
    ag_yield(); /* perhaps on another thread from here on */
    ag_check_int(get_errno(), mine);
}

AG_TEST_RUN(errno_survives_the_handing_on_of_the_processor) {
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 4; i++)
        ag_wg_go(&wg, keep_errno_in_a_loop, 100 + i, ag_now() + 60 * AG_MS);
    ag_wg_wait(&wg);
}

static void poll_once(int fd, int ms, atomic_int *done) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ag_check_int(poll(&p, 1, ms), 0); /* the time is up: neither an event nor EINTR */
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(no_call_of_the_program_returns_eintr_because_of_the_runtime) {
    int ends[2];
    atomic_int done = 0;
    ag_check_int(pipe(ends), 0);
    for (int i = 0; i < 10; i++)
        ag_go(poll_once, ends[0], 100 + i, &done);
    while (atomic_load(&done) < 10)
        work_a_little();
    close(ends[0]);
    close(ends[1]);
}

/* ---- ag_lock_thread ------------------------------------------------------------------------- */

static __thread int locked_by;

static void checks_it_is_not_there(atomic_int *stop) {
    while (!atomic_load(stop)) {
        ag_check_int(locked_by, 0);
        ag_yield();
    }
}

AG_TEST_RUN(a_bound_goroutine_keeps_its_thread_for_itself) {
    static atomic_int stop;
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    ag_lock_thread();
    int mine = tid();
    locked_by = 1;
    for (int i = 0; i < 8; i++)
        ag_go(checks_it_is_not_there, &stop);
    ag_go(exchange, a, b, 100);
    for (int i = 0; i < 100; i++) {
        ag_send(a, i);
        ag_check_int(tid(), mine);
        ag_recv(b, NULL);
        ag_yield();
        ag_check_int(tid(), mine);
        if (i % 20 == 0) {
            ag_sleep(AG_MS);
            usleep(1000);
            ag_yield();
        }
        ag_check(tid() == mine && locked_by == 1);
    }
    locked_by = 0;
    ag_unlock_thread();
    atomic_store(&stop, 1);
    eventually(ag_count() == 1);
}

static void binds(atomic_int *ret_tid) {
    ag_lock_thread();
    int mine = tid();
    for (int i = 0; i < 10; i++) {
        ag_sleep(AG_MS / 10);
        ag_check_int(tid(), mine);
    }
    atomic_store(ret_tid, mine);
}

AG_TEST_RUN(a_goroutine_that_ends_bound_ends_its_thread) {
    atomic_int thread = 0;
    ag_go(binds, &thread);
    eventually(atomic_load(&thread));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", atomic_load(&thread));
    eventually(access(path, F_OK) != 0);
    work_a_little();
}

static void binds_twice(atomic_int *done) {
    ag_unlock_thread(); /* without a lock: nothing */
    ag_lock_thread();
    ag_lock_thread();
    int mine = tid();
    ag_unlock_thread();
    for (int i = 0; i < 20; i++) {
        ag_sleep(AG_MS / 10);
        ag_check_int(tid(), mine);
    }
    ag_unlock_thread();
    for (int i = 0; i < 20; i++)
        ag_sleep(AG_MS / 10);
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(locks_of_the_thread_nest) {
    atomic_int done = 0;
    for (int i = 0; i < 10; i++)
        ag_go(binds_twice, &done);
    eventually(atomic_load(&done) == 10);
}

static void bound_ping(ag_chan(int) in, ag_chan(int) out, int rounds) {
    ag_lock_thread();
    exchange(in, out, rounds);
    ag_unlock_thread();
}

AG_TEST_RUN(two_bound_goroutines_talk_to_each_other) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    int rounds = 500 / ag_test_slow();
    ag_go(bound_ping, a, b, rounds);
    ag_lock_thread();
    for (int i = 0, v = 0; i < rounds; i++) {
        ag_send(a, i);
        ag_check(ag_recv(b, &v) && v == i);
    }
    ag_unlock_thread();
    ag_unref(a);
    ag_unref(b);
}
