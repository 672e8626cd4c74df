/* SPDX-License-Identifier: MIT */
/*
 * Traces and the flight recorder: that they can be started, stopped and asked for at any time,
 * twice at once, under load, with files that fail; what the calls return. Whether the files are
 * right is tested by tests/trace/run.py, which reads them with Go's own tools.
 */
#include "common.h"

#include "answer.h"

static int nothing(void *arg) {
    (void)arg;
    return 0;
}

static void yields(int n) {
    for (int i = 0; i < n; i++)
        ag_yield();
}

static void talks(ag_chan(int) c, int n) {
    for (int i = 0; i < n; i++)
        ag_send(c, i);
    ag_close(c);
}

/* A little of everything. */
static void work(void) {
    int n = 200 / ag_test_slow();
    ag_chan(int) c = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, talks, c, n);
    for (int i = 0; i < 4; i++)
        ag_wg_go(&wg, yields, n);
    int v;
    while (ag_recv(c, &v)) {
    }
    ag_sleep(100 * AG_US);
    ag_wg_wait(&wg);
    ag_unref(c);
}

/* What was written to a file in memory. */
struct text {
    FILE *out;
    char *bytes;
    size_t size;
};
static void text_open(struct text *t) {
    t->out = open_memstream(&t->bytes, &t->size);
}
static void text_free(struct text *t) {
    fclose(t->out);
    free(t->bytes);
}

static void check_go(const struct text *t) {
    ag_check(t->size > 16);
    ag_check_mem(t->bytes, "go 1.23 trace\0\0\0", 16);
}
static void check_json(const struct text *t) {
    ag_check_contains(t->bytes, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
    ag_check(t->size > 4 && strcmp(t->bytes + t->size - 4, "\n]}\n") == 0);
}

AG_TEST_RUN(a_trace_is_written_in_gos_format) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_start(t.out), 0);
    work();
    ag_check_int(ag_trace_stop(), 0);
    check_go(&t);
    text_free(&t);
}

AG_TEST_RUN(a_trace_is_written_as_json) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_start_json(t.out), 0);
    work();
    ag_check_int(ag_trace_stop(), 0);
    check_json(&t);
    ag_check_contains(t.bytes, "\"name\":\"yields\"");
    ag_check_contains(t.bytes, "\"end\":\"chan send\"");
    text_free(&t);
}

AG_TEST_RUN(there_is_one_trace_at_a_time) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_stop(), -ESRCH);
    ag_check_int(ag_trace_start(t.out), 0);
    ag_check_int(ag_trace_start(stderr), -EBUSY);
    ag_check_int(ag_trace_start_json(stderr), -EBUSY);
    ag_check_int(ag_trace_stop(), 0);
    ag_check_int(ag_trace_stop(), -ESRCH);
    ag_check_int(ag_trace_start_json(t.out), 0);
    ag_check_int(ag_trace_stop(), 0);
    text_free(&t);
}

AG_TEST(a_trace_started_before_the_runtime_ends_with_it) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_start_json(t.out), 0);
    ag_check_int(ag_run(nothing, NULL), 0);
    check_json(&t); /* already */
    ag_check_contains(t.bytes, "\"name\":\"main\"");
    ag_check_int(ag_trace_start(t.out), -EBUSY); /* it was not stopped */
    ag_check_int(ag_run(nothing, NULL), 0);
    ag_check_int(ag_trace_stop(), 0);
    text_free(&t);
}

static int forgets(void *out) {
    ag_check_int(ag_trace_start(out), 0);
    return 0;
}

AG_TEST(a_trace_that_nobody_stops_is_complete_when_ag_run_returns) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_run(forgets, t.out), 0);
    check_go(&t);
    ag_check_int(ag_trace_stop(), 0);
    text_free(&t);
}

AG_TEST(traces_need_no_runtime) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_start(t.out), 0);
    ag_check_int(ag_trace_stop(), 0);
    check_go(&t);
    ag_check_int(ag_trace_snapshot(t.out), 0);
    text_free(&t);
}

/* --- The flight recorder. --- */

AG_TEST_RUN(a_snapshot_shows_the_past) {
    struct text t;
    {
        ag_region("before the snapshot");
        work();
    }
    text_open(&t);
    ag_check_int(ag_trace_snapshot_json(t.out), 0);
    check_json(&t);
    ag_check_contains(t.bytes, "\"name\":\"before the snapshot\"");
    text_free(&t);
    text_open(&t);
    ag_check_int(ag_trace_snapshot(t.out), 0);
    check_go(&t);
    text_free(&t);
}

AG_TEST_RUN(a_snapshot_shows_who_was_handed_on) {
    ag_blocking(usleep, 1000);
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_snapshot_json(t.out), 0);
    ag_check_contains(t.bytes, "hand on: ag_blocking");
    ag_check_contains(t.bytes, "outside: main");
    text_free(&t);
}

static int says(void *word) {
    ag_trace_log(0, word);
    return 0;
}
static int shows(void *arg) {
    struct text *t = arg;
    text_open(t);
    ag_check_int(ag_trace_snapshot_json(t->out), 0);
    return 0;
}

AG_TEST(a_snapshot_is_of_this_run) {
    struct text t;
    ag_check_int(ag_run(says, (void *)"earlier"), 0);
    ag_check_int(ag_run(shows, &t), 0);
    ag_check(!strstr(t.bytes, "earlier"));
    text_free(&t);
}

static int shows_what_it_says(void *t) {
    ag_trace_log(0, "later");
    return shows(t);
}

AG_TEST(without_the_recorder_a_snapshot_is_empty) {
    struct text t;
    setenv("AGLET_RECORD", "0", 1);
    ag_check_int(ag_run(shows_what_it_says, &t), 0);
    check_json(&t);
    ag_check(!strstr(t.bytes, "later"));
    text_free(&t);
}

AG_TEST(without_the_recorder_there_are_traces_all_the_same) {
    struct text t;
    setenv("AGLET_RECORD", "0", 1);
    text_open(&t);
    ag_check_int(ag_trace_start_json(t.out), 0);
    ag_check_int(ag_run(says, (void *)"seen"), 0);
    ag_check_int(ag_trace_stop(), 0);
    ag_check_contains(t.bytes, "\"name\":\"seen\"");
    text_free(&t);
}

/* --- Regions and tasks. --- */

static int count_of(const char *text, const char *what) {
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void panics(void) {
    ag_region("torn");
    ag_panic("half-way");
}

static void some_regions(void) {
    ag_task("an order");
    for (int i = 0; i < 3; i++) {
        ag_region("a round");
        if (i == 1)
            continue;
        ag_yield();
    }
    ag_check_int(ag_try(NULL, panics), AG_PANICKED);
    uint32_t task = ag_task_begin(0, "a parcel");
    {
        ag_task_region(task, "packing \"it\"\n\xff\xc3\xa4");
        ag_trace_log(task, "done");
    }
    ag_task_end(task);
}

AG_TEST_RUN(regions_end_with_their_block_in_whatever_way) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_start_json(t.out), 0);
    some_regions();
    ag_check_int(ag_trace_stop(), 0);
    ag_check_int(count_of(t.bytes, "\"name\":\"a round\",\"cat\":\"region\""), 6);
    ag_check_int(count_of(t.bytes, "\"name\":\"torn\",\"cat\":\"region\""), 2);
    ag_check_int(count_of(t.bytes, "\"name\":\"an order\",\"cat\":\"region\""), 2);
    ag_check_int(count_of(t.bytes, "\"name\":\"an order\",\"cat\":\"task\""), 1);
    ag_check_int(count_of(t.bytes, "\"name\":\"a parcel\",\"cat\":\"task\""), 1);
    ag_check_int(count_of(t.bytes, "\"cat\":\"task\""), 4);
    ag_check_contains(t.bytes, "packing \\\"it\\\"\\u000a?\xc3\xa4");
    text_free(&t);
}

AG_TEST(outside_of_goroutines_regions_do_nothing) {
    ag_region("nowhere");
    ag_trace_log(0, "nobody");
    ag_task_end(ag_task_begin(0, "nothing"));
}

AG_TEST_RUN(tasks_have_numbers_of_their_own) {
    uint32_t a = ag_task_begin(0, "a"), b = ag_task_begin(a, "b");
    ag_check(a && b && a != b);
}

/* --- Failing files. --- */

static ssize_t refuse(void *cookie, const char *bytes, size_t n) {
    (void)bytes;
    size_t *left = cookie;
    if (*left < n) {
        errno = ENOSPC;
        return 0;
    }
    *left -= n;
    return (ssize_t)n;
}

AG_TEST_RUN(a_file_that_fails_fails_the_trace_and_nothing_else) {
    for (size_t room = 0; room < 3000; room += 500) {
        size_t left = room;
        FILE *out = fopencookie(&left, "w", (cookie_io_functions_t){.write = refuse});
        setvbuf(out, NULL, _IOFBF, 256);
        ag_check_int(ag_trace_start_json(out), 0);
        work();
        ag_check_int(ag_trace_stop(), -EIO);
        left = room / 2;
        clearerr(out);
        ag_check_int(ag_trace_snapshot_json(out), -EIO);
        fclose(out);
    }
}

AG_TEST_RUN(a_pipe_without_a_reader_is_an_error_and_no_signal) {
    int ends[2];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    FILE *out = fdopen(ends[1], "w");
    setvbuf(out, NULL, _IONBF, 0);
    close(ends[0]);
    ag_check_int(ag_trace_start(out), 0);
    work();
    ag_check_int(ag_trace_stop(), -EIO);
    fclose(out);
}

static void drain(int fd, size_t *ret_size) {
    char bytes[4096];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        *ret_size += (size_t)n;
}

AG_TEST_RUN(the_reader_of_the_trace_may_be_a_goroutine) {
    int ends[2];
    size_t size = 0;
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    FILE *out = fdopen(ends[1], "w");
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, drain, ends[0], &size);
    ag_check_int(ag_trace_start_json(out), 0);
    for (int i = 0; i < 20; i++)
        work();
    int r = ag_trace_stop();
    ag_check(r == 0 || r == -ENOBUFS);
    fclose(out);
    ag_wg_wait(&wg);
    ag_check(size > 100000);
    close(ends[0]);
}

static void never_read(int fd, FILE *out) {
    ag_check_int(ag_trace_start_json(out), 0);
    ag_time end = ag_now() + 200 * AG_MS;
    while (ag_now() < end)
        work();
    size_t size = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, drain, fd, &size);
    int r = ag_trace_stop();
    ag_check(r == 0 || r == -ENOBUFS);
    fclose(out);
    ag_wg_wait(&wg);
}

AG_TEST_RUN(a_file_that_blocks_stops_the_trace_and_not_the_program) {
    int ends[2];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    never_read(ends[0], fdopen(ends[1], "w"));
    close(ends[0]);
}

/* --- At any time. --- */

static _Atomic bool over;

static void works_on(void) {
    while (!over)
        work();
}

static void traces(int rounds) {
    for (int i = 0; i < rounds; i++) {
        struct text t;
        text_open(&t);
        int r = i % 2 ? ag_trace_start(t.out) : ag_trace_start_json(t.out);
        ag_check(r == 0 || r == -EBUSY);
        if (r == 0) {
            ag_sleep(AG_MS);
            r = ag_trace_stop();
            ag_check(r == 0 || r == -ENOBUFS || r == -ESRCH);
        } else {
            ag_yield();
        }
        text_free(&t);
    }
}

static void snaps(int rounds) {
    for (int i = 0; i < rounds; i++) {
        struct text t;
        text_open(&t);
        ag_check_int(i % 2 ? ag_trace_snapshot(t.out) : ag_trace_snapshot_json(t.out), 0);
        i % 2 ? check_go(&t) : check_json(&t);
        text_free(&t);
    }
}

static void *snaps_outside(void *arg) {
    (void)arg;
    snaps(10 / ag_test_slow() + 1);
    return NULL;
}

AG_TEST_RUN(traces_and_snapshots_at_once_under_load) {
    int rounds = 20 / ag_test_slow() + 1;
    ag_wg load = AG_WG_INIT, wg = AG_WG_INIT;
    pthread_t foreign;
    ag_wg_go(&load, works_on);
    ag_wg_go(&load, works_on);
    ag_wg_go(&wg, traces, rounds);
    ag_wg_go(&wg, traces, rounds);
    ag_wg_go(&wg, snaps, rounds);
    ag_check_int(pthread_create(&foreign, NULL, snaps_outside, NULL), 0);
    ag_wg_wait(&wg);
    over = true;
    ag_wg_wait(&load);
    pthread_join(foreign, NULL);
}

AG_TEST_RUN(processors_may_come_and_go_meanwhile) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_start_json(t.out), 0);
    int before = ag_procs(0);
    for (int i = 0; i < 10; i++) {
        ag_procs(1 + i % 4);
        work();
    }
    ag_procs(before);
    int r = ag_trace_stop();
    ag_check(r == 0 || r == -ENOBUFS);
    check_json(&t);
    text_free(&t);
}

/* --- For other readers. --- */

static void spin(long n) {
    for (long i = 0; i < n; i++)
        __asm__ volatile("");
}

static void burns(int ms) {
    for (ag_time end = ag_now() + ms * AG_MS; ag_now() < end;)
        spin(100000);
}
/* Outside of the runtime all the time: its processor is handed on. */
static void burns_outside(int rounds) {
    spin(rounds * 1000000L);
}
static void reads_a_pipe(int fd) {
    char byte;
    while (ag_fd_read(fd, &byte, 1) > 0) {
    }
    ag_fd_close(fd);
}
static void *sends_from_outside(void *c) {
    for (int i = 0; i < 20; i++)
        ag_send((ag_chan(int))c, i);
    ag_close((ag_chan(int))c);
    return NULL;
}

static void from_outside(void) {
    ag_chan(int) c = ag_make(int, 1);
    pthread_t foreign;
    ag_check_int(pthread_create(&foreign, NULL, sends_from_outside, (void *)c), 0);
    while (ag_recv(c, NULL)) {
    }
    pthread_join(foreign, NULL);
    ag_unref(c);
}

static void through_a_pipe(void) {
    int ends[2];
    ag_check_int(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, reads_a_pipe, ends[0]);
    for (int i = 0; i < 10; i++) {
        ag_check_int(ag_fd_write(ends[1], "x", 1), 1);
        ag_sleep(100 * AG_US);
    }
    ag_fd_close(ends[1]);
    ag_wg_wait(&wg);
}

static void everything(void) {
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 3; i++) {
        ag_wg_go(&wg, burns, 5);
        ag_wg_go(&wg, burns_outside, 20);
        ag_wg_go(&wg, some_regions);
        ag_wg_go(&wg, work);
    }
    for (int i = 0; i < 3; i++)
        ag_blocking(usleep, 500);
    ag_wg_go(&wg, from_outside);
    through_a_pipe();
    ag_wg_wait(&wg);
}

static void save(const char *name, struct text *t) {
    const char *folder = getenv("AG_TRACE_FOLDER");
    char path[4096];
    fflush(t->out);
    if (folder) {
        snprintf(path, sizeof path, "%s/%s", folder, name);
        FILE *out = fopen(path, "w");
        ag_check(out && fwrite(t->bytes, 1, t->size, out) == t->size && fclose(out) == 0);
    }
    text_free(t);
}

static void save_snapshots(void) {
    struct text t;
    text_open(&t);
    ag_check_int(ag_trace_snapshot(t.out), 0);
    save("snapshot.trace", &t);
    text_open(&t);
    ag_check_int(ag_trace_snapshot_json(t.out), 0);
    save("snapshot.json", &t);
}

/* Read by tests/trace/run.py. */
AG_TEST_RUN(traces_of_everything) {
    struct text t;
    everything();
    save_snapshots();
    for (int json = 0; json < 2; json++) {
        text_open(&t);
        ag_check_int(json ? ag_trace_start_json(t.out) : ag_trace_start(t.out), 0);
        everything();
        int r = ag_trace_stop();
        ag_check(r == 0 || r == -ENOBUFS);
        save(json ? r ? "lossy.json" : "full.json" : r ? "lossy.trace" : "full.trace", &t);
    }
}

AG_TEST(an_empty_trace) {
    struct text t;
    for (int json = 0; json < 2; json++) {
        text_open(&t);
        ag_check_int(json ? ag_trace_start_json(t.out) : ag_trace_start(t.out), 0);
        ag_check_int(ag_trace_stop(), 0);
        save(json ? "empty.json" : "empty.trace", &t);
    }
}

/* --- Asked from outside. --- */

AG_TEST_RUN(traces_can_be_asked_for) {
    static const struct {
        const char *target, *type;
        void (*check)(const struct text *);
    } questions[] = {{"/debug/pprof/trace?seconds=1", "application/octet-stream", check_go},
                     {"/debug/pprof/trace?seconds=0", "application/octet-stream", check_go},
                     {"/debug/trace?seconds=0", "application/json", check_json},
                     {"/debug/trace?seconds=0&format=json", "application/json", check_json},
                     {"/debug/trace?seconds=0&format=go", "application/json", check_go}};
    ag_wg load = AG_WG_INIT;
    over = false;
    ag_wg_go(&load, works_on);
    for (size_t i = 0; i < COUNT(questions); i++) {
        struct answer a = {0};
        ag_check_int(ask_within(&a, questions[i].target), 0);
        ag_check_int(a.status, 200);
        ag_check_contains(a.type, i == 4 ? "application/octet-stream" : questions[i].type);
        questions[i].check(&(struct text){.bytes = a.text, .size = a.size});
        free(a.text);
    }
    over = true;
    ag_wg_wait(&load);
}

AG_TEST_RUN(what_cannot_be_traced_is_refused) {
    static const char *const targets[] = {"/debug/trace?seconds=-1", "/debug/trace?seconds=x",
                                          "/debug/trace?seconds=99999",
                                          "/debug/trace?seconds=0&format=xml"};
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct answer a = {0};
        ag_check_int(ask_within(&a, targets[i]), 0);
        ag_check(a.status >= 400);
        free(a.text);
    }
    FILE *out = tmpfile();
    ag_check_int(ag_trace_start(out), 0);
    struct answer a = {0};
    ag_check_int(ask_within(&a, "/debug/trace?seconds=1"), 0);
    ag_check(a.status >= 400); /* another trace runs */
    free(a.text);
    ag_check_int(ag_trace_stop(), 0);
    fclose(out);
}

AG_TEST_RUN(who_goes_away_does_not_keep_the_trace) {
    ag_time start = ag_now();
    struct answer a = {.leaves_at = start - 1};
    ask_within(&a, "/debug/pprof/trace?seconds=100");
    ag_check(ag_now() - start < 50 * AG_SEC);
    free(a.text);
    ag_check_int(ag_trace_stop(), -ESRCH);
}

/* --- At the end. --- */

static int panics_at_once(void *arg) {
    (void)arg;
    ag_trace_log(0, "the last words");
    ag_panic("the end");
}
AG_TEST_DEATH(a_panic_with_a_record, 2, "panic: the end") {
    ag_run(panics_at_once, NULL);
}
static int waits_for_nobody(void *arg) {
    (void)arg;
    ag_recv(ag_make(int, 0), NULL);
    return 0;
}
AG_TEST_DEATH(a_deadlock_with_a_record, 2, "deadlock!") {
    ag_test_needs_deadlock_report();
    ag_run(waits_for_nobody, NULL);
}

static void check_record_of(const char *test, const char *words) {
    static struct child child;
    char path[] = "/tmp/aglet-record-XXXXXX", bytes[16] = "";
    int fd = mkstemp(path);
    ag_check(fd >= 0);
    setenv("AGLET_RECORD_FILE", path, 1);
    run_child(&child, test);
    ag_check_int(child.status, 2);
    ag_check_contains(child.text, words);
    ag_check_contains(child.text, "what ran before: go tool trace /tmp/aglet-record-");
    ag_check_int(pread(fd, bytes, sizeof bytes, 0), 16);
    ag_check_mem(bytes, "go 1.23 trace\0\0\0", 16);
    close(fd);
    unlink(path);
    setenv("AGLET_RECORD_FILE", "/no/such/folder/file", 1);
    run_child(&child, test);
    ag_check_int(child.status, 2);
    ag_check_contains(child.text, "could not write /no/such/folder/file");
}

AG_TEST(a_panic_leaves_a_record) {
    check_record_of("a_panic_with_a_record", "panic: the end");
}
AG_TEST(a_deadlock_leaves_a_record) {
    ag_test_needs_deadlock_report();
    check_record_of("a_deadlock_with_a_record", "all goroutines are asleep");
}

/* Which of the files that findings leave are there: bit i of aglet-i.trace; each is a whole one. */
static unsigned left_in(const char *folder) {
    unsigned found = 0;
    for (int i = 0; i < 20; i++) {
        char path[128], bytes[16] = "";
        snprintf(path, sizeof path, "%s/aglet-%d.trace", folder, i);
        FILE *in = fopen(path, "r");
        if (!in)
            continue;
        found |= 1u << i;
        ag_check_int(fread(bytes, 1, 16, in), 16);
        ag_check_mem(bytes, "go 1.23 trace\0\0\0", 16);
        fclose(in);
        unlink(path);
    }
    return found;
}

static _Atomic int leaks_told;
static void count_leak(const ag_report *r) {
    leaks_told += strcmp(r->kind, "leak") == 0;
}
static void receives_from_nobody(void) {
    ag_recv((ag_chan(int))NULL, NULL);
}
/* As many leaks as `arg` says, each told before this ends. */
static int leaks_so_many(void *arg) {
    int n = *(int *)arg;
    ag_on_report(count_leak);
    for (int i = 0; i < n; i++)
        ag_go(receives_from_nobody);
    eventually(leaks_told == n);
    return 0;
}
AG_TEST(findings_leave_what_ran_before_in_a_folder_that_never_fills) {
    char folder[] = "/tmp/aglet-records-XXXXXX";
    int few = 2, many = 18;
    ag_check(mkdtemp(folder) != NULL);
    setenv("AGLET_RECORD_DIR", folder, 1);
    setenv("AGLET_DETECT_MS", "5", 1);
    ag_check_int(ag_run(leaks_so_many, &few), 0);
    ag_check_int(left_in(folder), 6);
    leaks_told = 0;
    ag_check_int(ag_run(leaks_so_many, &many), 0);
    ag_check_int(left_in(folder), 0x1fffe);
    unsetenv("AGLET_RECORD_DIR");
    leaks_told = 0;
    ag_check_int(ag_run(leaks_so_many, &few), 0);
    ag_check_int(left_in(folder), 0);
    ag_check_int(rmdir(folder), 0);
}

/* The second one is told after the first one was printed. */
static int leaks_and_prints(void *arg) {
    char path[128];
    snprintf(path, sizeof path, "%s/aglet-2.trace", (char *)arg);
    ag_go(receives_from_nobody);
    ag_go(receives_from_nobody);
    eventually(access(path, F_OK) == 0);
    return 0;
}
AG_TEST(a_finding_names_what_it_left) {
    char folder[] = "/tmp/aglet-records-XXXXXX", words[128], text[4096] = "";
    ag_check(mkdtemp(folder) != NULL);
    setenv("AGLET_RECORD_DIR", folder, 1);
    setenv("AGLET_DETECT_MS", "5", 1);
    FILE *said = tmpfile();
    int before = dup(STDERR_FILENO);
    dup2(fileno(said), STDERR_FILENO);
    int r = ag_run(leaks_and_prints, folder);
    dup2(before, STDERR_FILENO);
    close(before);
    ag_check_int(r, 0);
    ag_check(pread(fileno(said), text, sizeof text - 1, 0) > 0);
    fclose(said);
    snprintf(words, sizeof words, "    what ran before: go tool trace %s/aglet-1.trace\n", folder);
    ag_check_contains(text, "aglet: leak: a goroutine waits for a nil channel\n");
    ag_check_contains(text, words);
    left_in(folder);
    ag_check_int(rmdir(folder), 0);
}

static char kept_text[160], kept_kind[16];
static int kept_count;
static void note_kept(const ag_report *r) {
    snprintf(kept_kind, sizeof kept_kind, "%s", r->kind);
    snprintf(kept_text, sizeof kept_text, "%s", r->text);
    kept_count = r->count;
}
static int keeps_one(void *arg) {
    (void)arg;
    ag_on_report(note_kept);
    return ag_trace_keep("import of %s took %d ms", "a.csv", 120);
}
AG_TEST(a_program_keeps_what_ran_before) {
    char folder[] = "/tmp/aglet-records-XXXXXX";
    ag_check(mkdtemp(folder) != NULL);
    ag_check_int(ag_run(keeps_one, NULL), -ENOENT);
    ag_check_str(kept_text, "");
    setenv("AGLET_RECORD_DIR", folder, 1);
    ag_check_int(ag_run(keeps_one, NULL), 0);
    ag_check_str(kept_kind, "kept");
    ag_check_contains(kept_text, "import of a.csv took 120 ms");
    ag_check_int(kept_count, 1);
    for (int i = 2; i <= 16; i++)
        ag_check_int(ag_trace_keep("no. %d", i), 0); /* from a thread */
    ag_check_int(ag_trace_keep("one too many"), -ENOSPC);
    ag_check_int(left_in(folder), 0x1fffe);
    ag_check_int(rmdir(folder), 0);
    ag_check_int(ag_trace_keep("nowhere"), -ENOSPC);
    unsetenv("AGLET_RECORD_DIR");
}

static void exits_with_a_trace(void) {
    ag_check_int(ag_trace_start(tmpfile()), 0);
    work();
    exit(3);
}
static int run_exits(void *arg) {
    (void)arg;
    exits_with_a_trace();
    return 0;
}
AG_TEST_DEATH(a_program_may_exit_while_it_is_traced, 3, "") {
    ag_run(run_exits, NULL);
}

static int panics_with_a_trace(void *arg) {
    (void)arg;
    ag_check_int(ag_trace_start(tmpfile()), 0);
    ag_panic("traced");
}
AG_TEST_DEATH(a_program_may_panic_while_it_is_traced, 2, "panic: traced") {
    ag_run(panics_with_a_trace, NULL);
}
