/* SPDX-License-Identifier: MIT */
/* What the library says of itself and of the process: each number follows what the test does. */
#include "metric_text.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

/* The value of a sample now; -1 if there is none. */
static double metric(const char *sample) {
    char *text = metrics(AG_METRICS_PROMETHEUS);
    const char *value = value_of(text, sample);
    free(text);
    return *value ? strtod(value, NULL) : -1;
}

/* Waits for a number that others bring about. */
static void wait_until(const char *sample, double at_least) {
    while (metric(sample) < at_least)
        ag_sleep(AG_MS);
}

AG_TEST(outside_a_runtime_all_is_there_and_0) {
    ag_check(metric("aglet_goroutines{state=\"running\"}") == 0);
    ag_check(metric("aglet_goroutines_created_total") == 0);
    ag_check(metric("aglet_processors") == 0);
    ag_check(metric("aglet_sched_wait_seconds_count") == 0);
    ag_check(metric("process_open_fds") > 0);
}

static void receive(ag_chan(int) c) {
    ag_recv(c, NULL);
}

AG_TEST_RUN(goroutines_by_state_and_reason) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check(metric("aglet_goroutines{state=\"running\"}") == 1);
    ag_check(metric("aglet_goroutines_created_total") == 1);
    for (int i = 0; i < 20; i++)
        ag_go(receive, c);
    wait_until("aglet_goroutines_waiting{reason=\"chan receive\"}", 20);
    ag_check(metric("aglet_goroutines{state=\"waiting\"}") == 20);
    ag_check(metric("aglet_goroutines_created_total") == 21);
    ag_check(metric("aglet_goroutines_ended_total") == 0);
    ag_check(metric("aglet_stacks") >= 21);
    ag_check(metric("aglet_stack_bytes") >= 21 * 256 * 1024);
    for (int i = 0; i < 20; i++)
        ag_send(c, i);
    wait_until("aglet_goroutines_ended_total", 20);
    ag_check(metric("aglet_goroutines_waiting{reason=\"chan receive\"}") == 0);
    while (metric("aglet_goroutines{state=\"running\"}") > 1) /* counted as ended, not gone yet */
        ag_yield();
    ag_unref(c);
}

static void queued(atomic_int *ran) {
    atomic_fetch_add(ran, 1);
}

AG_TEST_RUN(goroutines_that_are_runnable) {
    ag_procs(1);
    atomic_int ran = 0;
    while (ag_count() > 1)
        ag_yield();
    for (int i = 0; i < 3; i++)
        ag_go(queued, &ran);
    int left = 3 - atomic_load(&ran);
    ag_check(metric("aglet_goroutines{state=\"runnable\"}") <= left);
    if (atomic_load(&ran) == 0) {
        ag_check(metric("aglet_queue_length") + metric("aglet_queue_global_length") <= 3);
        ag_check(metric("aglet_processors") == 1);
    }
    while (atomic_load(&ran) < 3)
        ag_yield();
}

static void answer(ag_chan(int) c, ag_chan(int) back) {
    while (ag_recv(c, NULL))
        ag_send(back, 1);
}

AG_TEST_RUN(waits_in_the_queue_are_sampled) {
    ag_chan(int) c = ag_make(int, 0), back = ag_make(int, 0);
    ag_go(answer, c, back);
    double steps = metric("aglet_sched_steps_total");
    do {
        for (int i = 0; i < 1000; i++) {
            ag_send(c, i);
            ag_recv(back, NULL);
        }
    } while (metric("aglet_sched_wait_seconds_count") < 3);
    ag_check(metric("aglet_sched_sampled_total{reason=\"chan receive\"}") +
                 metric("aglet_sched_sampled_total{reason=\"chan send\"}") >=
             2);
    ag_check(metric("aglet_sched_wait_seconds_sum") > 0);
    ag_check(metric("aglet_sched_wait_seconds_bucket{le=\"8.589934592\"}") >= 3);
    ag_check(metric("aglet_sched_steps_total") > steps);
    ag_close(c);
    eventually(ag_count() == 1); /* it holds no references */
    ag_unref(c);
    ag_unref(back);
}

static atomic_bool over;

static void queue_behind(void) {
    while (!atomic_load(&over))
        ag_yield();
}

/* One goroutine is always queued while another one keeps a thread busy in its own way. */
static void until_handed_on(void (*keep)(void)) {
    ag_stats before, after;
    ag_stats_read(&before);
    atomic_store(&over, false);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < ag_procs(0); i++)
        ag_wg_go(&wg, queue_behind);
    do {
        ag_yield(); /* comes back for a processor */
        keep();
        ag_stats_read(&after);
    } while (after.handed_on <= before.handed_on);
    atomic_store(&over, true);
    ag_wg_wait(&wg);
}

static void burn(void) {
    for (ag_time until = ag_now() + 40 * AG_MS; ag_now() < until;) {
    }
}
static void stand_still(void) {
    usleep(100000);
}
static void nothing(void) {
}
static void announce(void) {
    ag_blocking(nothing);
}

static double handed_on(void) {
    return metric("aglet_handed_on_total{reason=\"running\"}") +
           metric("aglet_handed_on_total{reason=\"blocked\"}");
}

/* On a machine that has no CPU for a thread that burns, it looks blocked. */
AG_TEST_RUN(hand_ons_by_reason) {
    double before = handed_on();
    ag_stats stats;
    until_handed_on(burn);
    ag_stats_read(&stats);
    ag_check(handed_on() > before && handed_on() >= (double)stats.handed_on);
    before = metric("aglet_handed_on_total{reason=\"blocked\"}");
    while (metric("aglet_handed_on_total{reason=\"blocked\"}") <= before)
        until_handed_on(stand_still);
    before = metric("aglet_handed_on_total{reason=\"announced\"}");
    announce();
    announce();
    ag_check(metric("aglet_handed_on_total{reason=\"announced\"}") == before + 2);
}

static void sleep_long(void) {
    ag_sleep(1000 * AG_SEC);
}

AG_TEST_RUN(timers) {
    ag_check(metric("aglet_timers") == 0);
    double fired = metric("aglet_timers_fired_total");
    ag_sleep(AG_MS);
    ag_check(metric("aglet_timers_fired_total") > fired);
    for (int i = 0; i < 5; i++)
        ag_go(sleep_long);
    while (metric("aglet_goroutines_waiting{reason=\"sleep\"}") < 5)
        ag_yield();
    while (metric("aglet_timers") < 5) /* armed behind the switch */
        ag_yield();
    ag_check(metric("aglet_timers") == 5);
}

static void read_byte(int fd) {
    char c;
    ag_fd_read(fd, &c, 1);
}

AG_TEST_RUN(the_poller) {
    int ends[2];
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    double events = metric("aglet_poll_events_total");
    ag_go(read_byte, ends[0]);
    wait_until("aglet_poll_waiting", 1);
    ag_check_int(write(ends[1], "x", 1), 1);
    while (metric("aglet_poll_waiting") > 0)
        ag_sleep(AG_MS);
    ag_check(metric("aglet_poll_events_total") > events);
    ag_check(metric("aglet_polls_total") > 0);
    while (ag_count() > 1)
        ag_yield();
    close(ends[0]);
    close(ends[1]);
}

static void ignore(const ag_report *report) {
    (void)report;
}

static void lose_an_error(void) {
    char buf[16];
    ag_writer w;
    ag_writer_init_fd(&w, open("/dev/full", O_WRONLY | O_CLOEXEC), buf, sizeof buf, 0);
    ag_defer(ag_writer_done, &w);
    ag_writer_text(&w, "lost");
}

AG_TEST_RUN(findings_by_kind) {
    ag_on_report(ignore);
    ag_check(metric("aglet_findings_total{kind=\"lost error\"}") == -1);
    lose_an_error();
    lose_an_error();
    ag_check(metric("aglet_findings_total{kind=\"lost error\"}") == 2);
}

AG_TEST_RUN(threads_and_processors) {
    int procs = ag_procs(0);
    ag_check(metric("aglet_processors") == procs);
    ag_check(metric("aglet_processors_idle") <= procs - 1);
    ag_check(metric("aglet_threads") >= 1);
    ag_check(metric("aglet_threads_idle") <= metric("aglet_threads") + 8);
    if (!getenv("AG_TEST_EXEC")) /* an emulator's /proc tells of no threads and no memory */
        ag_check(metric("process_threads") >= metric("aglet_threads"));
}

/* ---- The process --------------------------------------------------------------------------- */

AG_TEST(the_process) {
    double fds = metric("process_open_fds"), cpu = metric("process_cpu_seconds_total");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ag_check(metric("process_open_fds") == fds + 1);
    close(fd);
    for (ag_time until = ag_now() + 50 * AG_MS; ag_now() < until;) {
    }
    ag_check(metric("process_cpu_seconds_total") > cpu);
    ag_check(metric("process_max_fds") == (double)sysconf(_SC_OPEN_MAX));
    double resident = metric("process_resident_memory_bytes");
    ag_check(getenv("AG_TEST_EXEC") || resident > 100000);
    ag_check(getenv("AG_TEST_EXEC") || metric("process_virtual_memory_bytes") > resident);
    double age = (double)ag_wall() / 1e9 - metric("process_start_time_seconds");
    ag_check(age > -2 && age < 3600);
}
