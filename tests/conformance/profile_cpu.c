/* SPDX-License-Identifier: MIT */
/*
 * The CPU profile: shares of time, of goroutines on whichever thread, inside other libraries; no
 * system call is interrupted; several who want one; ends of worlds and of the process.
 */
#include "common.h"
#include "pprof.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <time.h>

/* TSan keeps signals back until a thread makes a call. */
static void needs_cpu_profile(void) {
    needs_go();
    needs_thread_timers();
#if defined(__SANITIZE_THREAD__)
    ag_skip("signals that come at once");
#endif
}

/* CPU time of this thread. */
static int64_t used_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * AG_SEC + t.tv_nsec;
}

static KEPT void spin_a_little(void) {
    for (volatile int i = 0; i < 20000; i = i + 1) {
    }
}
static KEPT void burns_little(int64_t ns) {
    for (int64_t end = used_ns() + ns; used_ns() < end;)
        spin_a_little();
}
static KEPT void burns_much(int64_t ns) {
    for (int64_t end = used_ns() + ns; used_ns() < end;)
        spin_a_little();
}
static void little(ag_wg *wg, int64_t ns) {
    burns_little(ns);
    ag_wg_done(wg);
}
static void much(ag_wg *wg, int64_t ns) {
    burns_much(ns);
    ag_wg_done(wg);
}

/* The profile so far, as -top with values in milliseconds. */
static char *top(void) {
    char *path = profile_of("profile");
    char *text = pprof(path, "-top -nodecount=1000 -unit=ms");
    forget(path);
    return text;
}
static void near(const char *text, const char *function, double ms) {
    double found = pprof_cum(text, function);
    if (found < ms * 0.7 - 20 || found > ms * 1.3 + 20)
        ag_fail("%s is not near %.0f ms in\n%s", function, ms, text);
}

AG_TEST_RUN(cpu_time_is_where_it_was_used) {
    needs_cpu_profile();
    ag_check_int(ag_profile_start(0), 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go_with(&(ag_go_opts){.name = "modest"}, little, &wg, 150 * AG_MS);
    ag_go(much, &wg, 450 * AG_MS);
    ag_wg_wait(&wg);
    ag_check_int(ag_profile_stop(), 0);
    char *text = top();
    ag_check_contains(text, "Type: cpu");
    near(text, "burns_little", 150);
    near(text, "burns_much", 450);
    free(text);
    char *path = profile_of("profile");
    text = pprof(path, "-top -unit=ms -tagfocus=name=modest");
    near(text, "burns_little", 150);
    ag_check(strstr(text, "burns_much") == NULL);
    free(text);
    text = pprof(path, "-raw");
    ag_check_contains(text, "PeriodType: cpu nanoseconds\nPeriod: 10000000\n");
    ag_check_contains(text, "samples/count cpu/nanoseconds[dflt]");
    ag_check_contains(text, "created_at:[");
    free(text);
    forget(path);
}

/* Goroutines that keep their threads, more than there are processors: new threads take over. */
AG_TEST_RUN(threads_that_begin_later_are_seen) {
    needs_cpu_profile();
    enum { MANY = 6 };
    ag_check_int(ag_profile_start(100), 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, MANY);
    for (int i = 0; i < MANY; i++)
        ag_go(much, &wg, 100 * AG_MS);
    ag_wg_wait(&wg);
    ag_check_int(ag_profile_stop(), 0);
    char *text = top();
    near(text, "burns_much", MANY * 100);
    free(text);
}

static KEPT void copies(int64_t ns) {
    enum { BYTES = 1 << 20 };
    char *from = calloc(1, BYTES), *to = calloc(1, BYTES);
    for (int64_t end = used_ns() + ns; used_ns() < end;)
        for (int i = 0; i < 20; i++) {
            memcpy(to, from, BYTES);
            __asm__ volatile("" : : "r"(to) : "memory");
        }
    free(from);
    free(to);
}
static KEPT void deep(int left, int64_t ns) {
    if (left > 0)
        deep(left - 1, ns);
    else
        burns_little(ns);
    STAYS;
}
static void copies_and_dives(ag_wg *wg) {
    copies(200 * AG_MS);
    deep(20, 100 * AG_MS);
    ag_wg_done(wg);
}
AG_TEST_RUN(the_whole_stack_is_seen_also_from_inside_the_c_library) {
    needs_cpu_profile();
    ag_check_int(ag_profile_start(200), 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    /* A small stack: the handler must not use it. */
    ag_go_with(&(ag_go_opts){.stack_size = 16384}, copies_and_dives, &wg);
    ag_wg_wait(&wg);
    ag_check_int(ag_profile_stop(), 0);
    char *text = top();
    near(text, "copies", 200);
    near(text, "deep", 100);
    near(text, "copies_and_dives", 300);
    ag_check(pprof_flat(text, "copies") < 100); /* the rest is in memcpy */
    free(text);
}

/* --- System calls are not interrupted. --- */

static _Atomic bool go_on;
static _Atomic int64_t calls, interrupted;

/* Signals are made on the way out of a system call since Linux 5.9, x86-64. */
static bool kernel_waits(void) {
    struct utsname name;
    int major = 0, minor = 0;
    uname(&name);
    sscanf(name.release, "%d.%d", &major, &minor);
    return strcmp(name.machine, "x86_64") == 0 && (major > 5 || (major == 5 && minor >= 9));
}
static void count(long result) {
    atomic_fetch_add(&calls, 1);
    if (result < 0 && errno == EINTR)
        atomic_fetch_add(&interrupted, 1);
}
static _Atomic pthread_t caller; /* the thread of the last one that began */
static void calls_much(ag_wg *wg) {
    atomic_store(&caller, pthread_self());
    int set = epoll_create1(EPOLL_CLOEXEC), ends[2];
    struct epoll_event event;
    struct timespec short_time = {0, 50000};
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    while (atomic_load(&go_on)) {
        spin_a_little();
        count(poll(NULL, 0, 1));
        spin_a_little();
        count(nanosleep(&short_time, NULL));
        spin_a_little();
        count(epoll_wait(set, &event, 1, 1));
        spin_a_little();
        char c = 0;
        count(write(ends[1], &c, 1));
        count(read(ends[0], &c, 1));
    }
    close(set);
    close(ends[0]);
    close(ends[1]);
    ag_wg_done(wg);
}
static void interrupts_nobody(int hz) {
    ag_wg wg = AG_WG_INIT;
    atomic_store(&go_on, true);
    ag_check_int(ag_profile_start(hz), 0);
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go(calls_much, &wg);
    for (int64_t end = ag_now() + AG_SEC; ag_now() < end;)
        ag_sleep(10 * AG_MS);
    atomic_store(&go_on, false);
    ag_wg_wait(&wg);
    ag_check_int(ag_profile_stop(), 0);
}
AG_TEST_RUN(no_system_call_is_interrupted) {
    needs_cpu_profile();
    if (!kernel_waits())
        ag_skip("a kernel that makes signals of CPU timers late");
    interrupts_nobody(1000);
    ag_check(atomic_load(&calls) > 100);
    ag_check_int(atomic_load(&interrupted), 0);
    char *text = top();
    ag_check(pprof_cum(text, "calls_much") > 0); /* there were signals */
    free(text);
}

/* The same calls see other signals: the test can fail. */
static void on_alarm(int sig) {
    (void)sig;
}
AG_TEST_RUN(a_signal_that_comes_at_once_does_interrupt) {
    needs_cpu_profile();
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    ag_wg wg = AG_WG_INIT;
    atomic_store(&go_on, true);
    ag_wg_add(&wg, 1);
    ag_go(calls_much, &wg);
    eventually(atomic_load(&calls) > 0);
    while (atomic_load(&interrupted) == 0) {
        pthread_kill(atomic_load(&caller), SIGALRM);
        ag_sleep(AG_MS);
    }
    atomic_store(&go_on, false);
    ag_wg_wait(&wg);
}

/* --- Who may. --- */

AG_TEST(one_profile_at_a_time) {
    needs_thread_timers();
    ag_check_int(ag_profile_stop(), -ESRCH);
    ag_check_int(ag_profile_start(-1), -EINVAL);
    ag_check_int(ag_profile_start(1001), -EINVAL);
    ag_check_int(ag_profile_start(0), 0);
    ag_check_int(ag_profile_start(0), -EBUSY);
    ag_check_int(ag_profile_stop(), 0);
    ag_check_int(ag_profile_stop(), -ESRCH);
    ag_check_int(ag_profile_start(1000), 0);
    ag_check_int(ag_profile_stop(), 0);
}
AG_TEST(a_program_with_its_own_handler_keeps_it) {
    struct sigaction action = {.sa_handler = on_alarm}, now;
    sigaction(SIGPROF, &action, NULL);
    ag_check_int(ag_profile_start(0), -EBUSY);
    ag_check_int(ag_profile_stop(), -ESRCH);
    sigaction(SIGPROF, NULL, &now);
    ag_check(now.sa_handler == on_alarm);
}
AG_TEST(a_late_signal_does_no_harm) {
    needs_thread_timers();
    ag_check_int(ag_profile_start(0), 0);
    raise(SIGPROF);
    ag_check_int(ag_profile_stop(), 0);
    raise(SIGPROF);
}

/* --- Worlds. --- */

static int one_world(void *arg) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    if (arg)
        ag_go(much, &wg, 100 * AG_MS);
    else
        ag_go(little, &wg, 100 * AG_MS);
    ag_wg_wait(&wg);
    return 0;
}
AG_TEST(a_profile_may_span_worlds_and_be_written_outside) {
    needs_cpu_profile();
    ag_check_int(ag_profile_start(0), 0);
    ag_check_int(ag_run(one_world, NULL), 0);
    ag_check_int(ag_run(one_world, &go_on), 0);
    ag_check_int(ag_profile_stop(), 0);
    char *text = top();
    near(text, "burns_much", 100);
    near(text, "burns_little", 100);
    free(text);
}

/* --- Load. --- */

static void bats(ag_chan(int) c, ag_chan(int) d, ag_wg *wg) {
    while (ag_recv(c, NULL))
        ag_send(d, 1);
    ag_close(d);
    ag_wg_done(wg);
}
static _Atomic int idling;
static void idles(void) {
    spin_a_little();
    atomic_fetch_sub(&idling, 1);
}
static void serves(ag_chan(int) c, ag_chan(int) d, ag_wg *wg) {
    enum { IDLING_MAX = 20 }; /* those who talk run more often than those who begin */
    while (atomic_load(&go_on)) {
        ag_send(c, 1);
        ag_recv(d, NULL);
        if (atomic_load(&idling) >= IDLING_MAX)
            continue;
        atomic_fetch_add(&idling, 1);
        ag_go_with(&(ag_go_opts){.name = "idle"}, idles);
    }
    ag_close(c);
    ag_recv(d, NULL);
    ag_wg_done(wg);
}
static void switches(ag_wg *wg) {
    atomic_store(&idling, 0); /* a world that ended dropped some */
    for (int i = 0; i < 3; i++) {
        ag_chan(int) c = ag_make(int, 0), d = ag_make(int, 0);
        ag_wg_add(wg, 2);
        ag_go(bats, c, d, wg);
        ag_go(serves, c, d, wg);
    }
}
static void profiles(ag_wg *wg, _Atomic int64_t *taken) {
    while (atomic_load(&go_on)) {
        int r = ag_profile_start(1000);
        ag_check(r == 0 || r == -EBUSY);
        ag_sleep(5 * AG_MS);
        forget(profile_of("profile"));
        if (ag_profile_stop() == 0)
            atomic_fetch_add(taken, 1);
    }
    ag_wg_done(wg);
}
AG_TEST_RUN(profiles_come_and_go_while_goroutines_switch) {
    needs_thread_timers();
    ag_wg wg = AG_WG_INIT;
    _Atomic int64_t taken = 0;
    atomic_store(&go_on, true);
    switches(&wg);
    ag_wg_add(&wg, 3);
    for (int i = 0; i < 3; i++)
        ag_go(profiles, &wg, &taken);
    eventually(atomic_load(&taken) > 20);
    atomic_store(&go_on, false);
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
}

static int leaves_while_profiled(void *arg) {
    static ag_wg wg; /* dropped with the world */
    (void)arg;
    atomic_store(&go_on, true);
    ag_check_int(ag_profile_start(1000), 0);
    switches(&wg);
    ag_sleep(100 * AG_MS);
    return 0;
}
AG_TEST(a_world_ends_while_it_is_profiled) {
    needs_thread_timers();
    for (int i = 0; i < 3; i++) {
        ag_check_int(ag_run(leaves_while_profiled, NULL), 0);
        ag_check_int(ag_profile_stop(), 0);
    }
}
AG_TEST_DEATH(a_process_ends_while_it_is_profiled, 3, "") {
    if (ag_test_under("valgrind") || ag_test_under("qemu"))
        exit(3);
    ag_check_int(ag_run(leaves_while_profiled, NULL), 0);
    exit(3);
}

static void much_labelled(ag_wg *wg, int64_t ns, const char *customer) {
    ag_label("customer", customer);
    burns_much(ns);
    ag_wg_done(wg);
}
AG_TEST_RUN(the_labels_of_the_running_goroutine_are_there) {
    needs_cpu_profile();
    ag_wg wg = AG_WG_INIT;
    ag_check_int(ag_profile_start(0), 0);
    ag_wg_add(&wg, 2);
    ag_go(much_labelled, &wg, 300 * AG_MS, "adams");
    ag_go(much_labelled, &wg, 300 * AG_MS, "brown");
    ag_wg_wait(&wg);
    ag_check_int(ag_profile_stop(), 0);
    char *path = profile_of("profile");
    for (int i = 0; i < 2; i++) {
        char *text = pprof(path, i ? "-tagfocus=customer=brown -top -unit=ms"
                                   : "-tagfocus=customer=adams -top -unit=ms");
        double ms = pprof_cum(text, "much_labelled");
        if (ms < 100 || ms > 500)
            ag_fail("%.0f ms of 300:\n%s", ms, text);
        free(text);
    }
    forget(path);
}
