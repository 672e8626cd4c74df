/* SPDX-License-Identifier: MIT */
/*
 * The dump: every goroutine with number, name, state, frames and place of creation, at any time
 * and from anywhere, and on SIGQUIT; how deep stacks have gone; and the counters.
 */
#include "dump_text.h"

#include <signal.h>

static KEPT char *dump_of_all(void) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ag_dump(out);
    fclose(out);
    return text;
}

static KEPT void waiting_frame(ag_chan(int) c) {
    ag_recv(c, NULL);
    ag_yield(); /* no tail call above */
}

static KEPT void frame_above(ag_chan(int) c) {
    waiting_frame(c);
    ag_yield();
}

static int64_t starts(ag_chan(int) c);
static int start_line;

AG_TEST_RUN(a_waiting_goroutine_is_shown_with_frames_and_place_of_creation) {
    ag_chan(int) c = ag_make(int, 0);
    int64_t id = starts(c);
    until_waits_for(id, "chan receive");
    char *text = entry_of(id), head[64], place[64];
    snprintf(head, sizeof head, "goroutine %lld [chan receive]:\n", (long long)id);
    snprintf(place, sizeof place, "dump.c:%d", start_line);
    ag_check_contains(text, head);
    const char *inner = strstr(text, "waiting_frame"), *outer = strstr(text, "frame_above");
    const char *created = strstr(text, "created by starts");
    ag_check_contains(text, "created by starts");
    ag_check(inner && outer && inner < outer && outer < created);
    ag_check_contains(created, " at ");
    ag_check_contains(created, place);
    free(text);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

static int64_t starts(ag_chan(int) c) {
    start_line = __LINE__ + 1;
    return ag_go(frame_above, c);
}

static void send_it(ag_chan(int) c) {
    ag_send(c, 1);
}
static void select_it(ag_chan(int) c) {
    ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MIN));
}
static void select_none(void) {
    ag_select();
}
static void sleep_it(void) {
    ag_sleep(AG_MIN);
}
static void lock_for_good(ag_mutex *m) {
    ag_mutex_lock(m);
}
static void wait_it(ag_wg *wg) {
    ag_wg_wait(wg);
}
static void read_it(int fd) {
    char byte;
    ag_fd_read(fd, &byte, 1);
}

AG_TEST_RUN(states_have_the_names_of_go) {
    ag_chan(int) c = ag_make(int, 0), d = ag_make(int, 0), none = NULL;
    ag_mutex m = AG_MUTEX_INIT;
    ag_wg wg = AG_WG_INIT;
    int ends[2];
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    ag_mutex_lock(&m);
    ag_wg_add(&wg, 1);
    until_waits_for(ag_go(send_it, c), "chan send");
    until_waits_for(ag_go(recv_it, d), "chan receive");
    until_waits_for(ag_go(send_it, none), "chan send (nil chan)");
    until_waits_for(ag_go(recv_it, none), "chan receive (nil chan)");
    until_waits_for(ag_go(select_it, d), "select");
    until_waits_for(ag_go(select_none), "select (no cases)");
    until_waits_for(ag_go(sleep_it), "sleep");
    until_waits_for(ag_go(lock_for_good, &m), "sync.Mutex.Lock");
    until_waits_for(ag_go(wait_it, &wg), "sync.WaitGroup.Wait");
    until_waits_for(ag_go(read_it, ends[0]), "IO wait");
    char state[64];
    ag_check_str(state_of(1, state), "running");
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
}

AG_TEST_RUN(a_dump_shows_everybody) {
    enum { MANY = 50 };
    ag_chan(int) c = ag_make(int, 0);
    int64_t ids[MANY];
    char head[64];
    for (int i = 0; i < MANY; i++)
        ids[i] = ag_go(recv_it, c);
    char *text = dump_of_all();
    ag_check_contains(text, "goroutine 1 [running]");
    for (int i = 0; i < MANY; i++) {
        snprintf(head, sizeof head, "goroutine %lld ", (long long)ids[i]);
        ag_check_contains(text, head);
    }
    free(text);
    ag_close(c);
    eventually(ag_count() == 1);
    text = dump_of_all();
    snprintf(head, sizeof head, "goroutine %lld ", (long long)ids[7]);
    ag_check(!strstr(text, head)); /* gone */
    free(text);
    ag_unref(c);
}

static ag_mutex mutex_taken, mutex_free;
static ag_rwmutex rw_taken;
static ag_cond condition;
static ag_sem no_seats = AG_SEM_INIT(0);
static ag_wg open_group = AG_WG_INIT;

static KEPT void waits_for_mutex(void) {
    ag_mutex_lock(&mutex_taken);
    STAYS;
}
static KEPT void waits_to_read(void) {
    ag_rwmutex_rlock(&rw_taken);
    STAYS;
}
static KEPT void waits_to_write(void) {
    ag_rwmutex_lock(&rw_taken);
    STAYS;
}
static KEPT void waits_for_news(void) {
    ag_mutex_lock(&mutex_free);
    ag_cond_wait(&condition, &mutex_free);
    STAYS;
}
static KEPT void waits_for_seat(void) {
    ag_sem_acquire(&no_seats, 1);
    STAYS;
}
static KEPT void waits_for_group(void) {
    ag_wg_wait(&open_group);
    STAYS;
}
static KEPT void waits_for_time(void) {
    ag_sleep(AG_MIN);
    STAYS;
}
static KEPT void waits_to_receive(void) {
    ag_chan(int) nil = NULL;
    ag_recv(nil, NULL);
    STAYS;
}
static KEPT void waits_for_any(void) {
    ag_chan(int) nil = NULL;
    ag_select(AG_RECV(nil, NULL));
    STAYS;
}

/* No frame of the runtime's inside is in the way. */
static void check_first_frame(int64_t id) {
    until_waits(id);
    char *text = entry_of(id), *frame = strstr(text, "(...)\n");
    while (frame && frame > text && frame[-1] != '\n')
        frame--;
    if (!frame || (strncmp(frame, "ag_", 3) != 0 && strncmp(frame, "waits_", 6) != 0) ||
        strncmp(frame, "ag__", 4) == 0)
        ag_fail("the first frame is neither the program's nor what it called:\n%s", text);
    free(text);
}

AG_TEST_RUN(the_first_frame_is_what_the_program_called) {
    ag_mutex_lock(&mutex_taken);
    ag_rwmutex_lock(&rw_taken);
    ag_wg_add(&open_group, 1);
    check_first_frame(ag_go(waits_for_mutex));
    check_first_frame(ag_go(waits_to_read));
    check_first_frame(ag_go(waits_to_write));
    check_first_frame(ag_go(waits_for_news));
    check_first_frame(ag_go(waits_for_seat));
    check_first_frame(ag_go(waits_for_group));
    check_first_frame(ag_go(waits_for_time));
    check_first_frame(ag_go(waits_to_receive));
    check_first_frame(ag_go(waits_for_any));
}

AG_TEST_RUN(one_that_does_not_exist_is_not_dumped) {
    FILE *out = fopen("/dev/null", "w");
    ag_check_int(ag_dump_goroutine(out, 123456789), -ESRCH);
    ag_check_int(ag_dump_goroutine(out, 0), -ESRCH);
    ag_check_int(ag_dump_goroutine(out, -1), -ESRCH);
    ag_check_int(ag_dump_goroutine(out, 1), 0);
    fclose(out);
}

static void end_at_once(void) {
}

AG_TEST_RUN(who_is_not_counted_is_not_dumped) {
    enum { TIMES = 2000 };
    FILE *out = fopen("/dev/null", "w");
    for (int i = 0; i < TIMES; i++) {
        int64_t id = ag_go(end_at_once);
        while (ag_count() > 1)
            ag_yield();
        ag_check_int(ag_dump_goroutine(out, id), -ESRCH);
    }
    fclose(out);
}

AG_TEST_RUN(a_dump_waits_for_nobody) {
    static atomic_int stop, here;
    int ends[2];
    ag_check_int(pipe(ends), 0);
    int64_t ids[] = {ag_go(burn, &stop, &here), ag_go(sit_in_c, ends[0], &here)};
    eventually(atomic_load(&here) == 2);
    char *text = dump_of_all(), head[64];
    for (int i = 0; i < 2; i++) {
        snprintf(head, sizeof head, "goroutine %lld [", (long long)ids[i]);
        ag_check_contains(text, head);
        ag_check_contains(strstr(text, head), "created by ");
    }
    free(text);
    atomic_store(&stop, 1);
    ag_check_int(write(ends[1], "x", 1), 1);
    eventually(ag_count() == 1);
    close(ends[0]);
    close(ends[1]);
}

static void ping(ag_chan(int) a, ag_chan(int) b) {
    while (ag_recv(a, NULL))
        ag_send(b, 1);
}

static void *dump_on_thread(void *arg) {
    for (int i = 0; i < 20; i++)
        free(dump_of_all());
    return arg;
}

AG_TEST_RUN(dumps_while_everything_moves) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        ag_go(ping, a, b);
    pthread_create(&thread, NULL, dump_on_thread, NULL);
    for (int i = 0; i < 2000 / ag_test_slow(); i++) {
        ag_send(a, i);
        ag_go(ag_yield);
        ag_recv(b, NULL);
        if (i % 200 == 0)
            free(dump_of_all());
    }
    pthread_join(thread, NULL);
    ag_close(a);
    eventually(ag_count() == 1);
    ag_unref(a);
    ag_unref(b);
}

AG_TEST(a_dump_without_a_runtime_is_no_harm) {
    free(dump_of_all());
    FILE *out = fopen("/dev/null", "w");
    ag_check_int(ag_dump_goroutine(out, 1), -ESRCH);
    fclose(out);
}

/* ---- SIGQUIT -------------------------------------------------------------------------------- */

static int main_gets_sigquit(void *arg) {
    ag_chan(int) c = ag_make(int, 0);
    (void)arg;
    ag_go(recv_it, c);
    kill(getpid(), SIGQUIT);
    ag_sleep(2500 * AG_MS);
    fprintf(stderr, "still here\n");
    kill(getpid(), SIGQUIT);
    ag_sleep(500 * AG_MS);
    exit(33);
}

AG_TEST_DEATH(sigquit_goes_on, 33, "still here\n") {
    ag_run(main_gets_sigquit, NULL);
}

static int main_gets_sigquit_twice(void *arg) {
    (void)arg;
    kill(getpid(), SIGQUIT);
    ag_sleep(100 * AG_MS * ag_test_slow()); /* the dump is out, less than two seconds have passed */
    kill(getpid(), SIGQUIT);
    ag_sleep(20 * AG_SEC);
    exit(33);
}

AG_TEST_DEATH(sigquit_twice_within_two_seconds_ends_the_process, 2, "goroutine 1 [") {
    if (ag_test_under("valgrind"))
        ag_skip("a dump that takes less than two seconds");
    ag_run(main_gets_sigquit_twice, NULL);
}

AG_TEST(sigquit_dumps_everybody_each_time) {
    static struct child child;
    run_child(&child, "sigquit_goes_on");
    ag_check_int(child.status, 33);
    const char *first = strstr(child.text, "goroutine 1 [");
    const char *here = strstr(child.text, "still here\n");
    ag_check(first && here && first < here && strstr(here, "goroutine 1 ["));
    ag_check_contains(child.text, "recv_it");
}

/* ---- Stacks --------------------------------------------------------------------------------- */

/* Somebody may look at it: so a recursion stays one, and an array whole. */
static inline void show(const volatile void *p) {
    __asm__ volatile("" ::"r"(p) : "memory");
}

/* Touches a byte of each KiB of the stack, from the outer frames to the inner ones. */
static KEPT long use_stack(long kib) {
    volatile char room[1024];
    room[0] = (char)kib;
    show(room);
    return kib <= 1 ? room[0] : use_stack(kib - 1) + room[0];
}

static void deep_one(ag_chan(int) leave) {
    use_stack(100);
    if (leave)
        ag_recv(leave, NULL);
}

/* Skips most of its frame and touches the far end. */
static int skipping_one(void) {
    volatile char room[100 * 1024];
    room[0] = 1;
    show(room);
    return room[0];
}

static void shallow_one(void) {
    ag_yield();
}

/* The deepest stack the dump tells of goroutines that run `call`; -1: it tells none. */
static long deepest_of(const char *call) {
    char line[64];
    long used = -1, size = 0;
    snprintf(line, sizeof line, "stack of %s, created by ", call);
    char *text = dump_of_all(), *at = strstr(text, line);
    char *figures = at ? strstr(at, ": deepest seen ") : NULL;
    if (figures) {
        ag_check_int(sscanf(figures, ": deepest seen %ld of %ld bytes", &used, &size), 2);
        ag_check(used <= size);
    }
    free(text);
    return used;
}

/* All on the same stacks, one after the other: the depth is told of who went there. */
AG_TEST_RUN(the_deepest_stack_of_each_creation_site_is_told) {
    ag_check_int(deepest_of("deep_one"), -1);
    for (int i = 0; i < 50; i++)
        ag_go(shallow_one);
    ag_go(deep_one, (ag_chan(int))NULL);
    ag_go(skipping_one);
    eventually(ag_count() == 1);
    for (int i = 0; i < 5000 / ag_test_slow(); i++) {
        ag_go(shallow_one);
        if (i % 50 == 0)
            eventually(ag_count() == 1);
    }
    eventually(ag_count() == 1);
    ag_check(deepest_of("deep_one") >= 100 * 1024);
    ag_check(deepest_of("skipping_one") >= 100 * 1024);
    ag_check(deepest_of("shallow_one") > 0 && deepest_of("shallow_one") < 64 * 1024);
    ag_check(deepest_of("main") > 0);
}

AG_TEST_RUN(one_that_lives_is_measured_by_the_dump) {
    ag_chan(int) leave = ag_make(int, 0);
    until_waits_for(ag_go(deep_one, leave), "chan receive");
    ag_check(deepest_of("deep_one") >= 100 * 1024);
    ag_close(leave);
    eventually(ag_count() == 1);
    ag_unref(leave);
}

static KEPT long wait_deep_down(long kib, ag_chan(int) leave) {
    volatile char room[1024];
    room[0] = (char)kib;
    show(room);
    if (kib <= 1)
        return ag_recv(leave, NULL);
    return wait_deep_down(kib - 1, leave) + room[0];
}

/* Only the first of a site is certain to be watched; parked ones are seen in any case. */
AG_TEST_RUN(the_depth_of_all_that_wait_is_told) {
    ag_chan(int) leave = ag_make(int, 0);
    for (int kib = 1; kib <= 100; kib += 33)
        until_waits_for(ag_go(wait_deep_down, kib, leave), "chan receive");
    ag_check(deepest_of("wait_deep_down") >= 100 * 1024);
    ag_close(leave);
    eventually(ag_count() == 1);
    ag_unref(leave);
}

/* ---- Counters ------------------------------------------------------------------------------- */

AG_TEST_RUN(counters_count) {
    ag_chan(int) c = ag_make(int, 0);
    ag_stats before, after;
    ag_stats_read(&before);
    ag_check_int(before.goroutines, 1);
    ag_check_int(before.procs, ag_procs(0));
    ag_check(before.threads >= 1);
    for (int i = 0; i < 100; i++)
        until_waits(ag_go(recv_it, c));
    ag_stats_read(&after);
    ag_check_int(after.goroutines, 101);
    ag_check_int(after.created - before.created, 100);
    ag_check(after.stacks >= 101 && after.stack_bytes >= 101 * 4096);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_stats_read(&after);
    ag_check_int(after.goroutines, 1);
    ag_unref(c);
}

AG_TEST(counters_are_zero_without_a_runtime) {
    ag_stats stats, zero;
    memset(&stats, 1, sizeof stats);
    memset(&zero, 0, sizeof zero);
    ag_stats_read(&stats);
    ag_check_mem(&stats, &zero, sizeof stats);
}
