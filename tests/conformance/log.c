/* SPDX-License-Identifier: MIT */
/* aglet/log.h: what a line looks like, that it arrives, and what happens when it can't. */
#include "metric_text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- A log in a file ------------------------------------------------------------------------ */

static char path[64];

static void log_to_file(int format, size_t buffer) {
    snprintf(path, sizeof path, "/tmp/aglet-log-XXXXXX");
    close(mkstemp(path));
    const ag_log_config config = {
        .path = path, .format = format, .no_source = true, .buffer = buffer};
    ag_check_int(ag_log_setup(&config), 0);
}

/* All that was logged, the caller frees it; the file is closed and gone. */
static char *log_text(void) {
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    ag_check_int(ag_log_setup(NULL), 0);
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t n = 0;
    ssize_t got = getdelim(&text, &n, 0, f);
    fclose(f);
    unlink(path);
    return got < 0 ? strdup("") : text;
}

/* The same of one line, from its level on. */
static const char *log_line(void) {
    static char line[4096];
    char *text = log_text(), *from = strstr(text, "level=");
    ag_check(from != NULL);
    snprintf(line, sizeof line, "%s", from);
    line[strcspn(line, "\n")] = 0;
    free(text);
    return line;
}

static int lines_of(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* ---- A line --------------------------------------------------------------------------------- */

AG_TEST(a_line_of_text) {
    log_to_file(AG_LOG_TEXT, 0);
    bool yes = true;
    ag_log_info("all kinds", ag_kv("int", -1), ag_kv("uint", ~0ull), ag_kv("real", 0.1),
                ag_kv("bool", yes), ag_kv("text", "a b"), ag_kv("word", "ab"), ag_kv("empty", ""),
                ag_kv("null", (const char *)NULL), ag_kv("at", (int *)NULL),
                ag_kv_ns("took", 1500 * AG_US), ag_kv_err(-ENOENT), ag_kv_bytes("part", "abcd", 2));
    ag_check_str(log_line(), "level=INFO msg=\"all kinds\" int=-1 uint=18446744073709551615 "
                             "real=0.1 bool=true text=\"a b\" word=ab empty=\"\" null=null at=0x0 "
                             "took=0.0015 error=\"No such file or directory\" part=ab");
}

AG_TEST(a_line_has_its_time_and_place) {
    log_to_file(AG_LOG_TEXT, 0);
    const ag_log_config config = {.path = path};
    ag_check_int(ag_log_setup(&config), 0);
    ag_time before = ag_wall() / AG_SEC;
    ag_log_warn("here");
    int line = __LINE__ - 1;
    ag_time after = ag_wall() / AG_SEC;
    char *text = log_text(), want[128];
    struct tm tm;
    bool found = false;
    for (time_t t = (time_t)before; t <= (time_t)after && !found; t++) {
        strftime(want, sizeof want, "time=%Y-%m-%dT%H:%M:%S.", gmtime_r(&t, &tm));
        found = strncmp(text, want, strlen(want)) == 0;
    }
    ag_check(found);
    snprintf(want, sizeof want, "Z level=WARN source=conformance/log.c:%d msg=here\n", line);
    ag_check_contains(text, want);
    free(text);
}

AG_TEST(printf_makes_the_text) {
    log_to_file(AG_LOG_TEXT, 0);
    ag_logf(AG_LOG_ERROR, "%d of %s", 3, "four");
    ag_check_str(log_line(), "level=ERROR msg=\"3 of four\"");
}

static void logs_something(void) {
    static const char *const fields[] = {"tenant", "t 1", "zone", "eu", NULL};
    ag_with(&ag_request_id, "r-17");
    ag_with(&ag_principal, "ann");
    ag_with(&ag_log_fields, fields);
    ag_within(AG_SEC);
    ag_log_info("done", ag_kv("n", 1));
}

AG_TEST_RUN(the_context_is_in_every_line) {
    log_to_file(AG_LOG_TEXT, 0);
    logs_something();
    ag_check_str(log_line(), "level=INFO msg=done goroutine=1 request_id=r-17 principal=ann "
                             "tenant=\"t 1\" zone=eu n=1");
}

AG_TEST(bytes_that_are_no_text_are_escaped) {
    log_to_file(AG_LOG_TEXT, 0);
    ag_log_info("x", ag_kv("a b=", "tab\tnew\nquote\"back\\"), ag_kv("b", "\xff\x01\x7f|\xc3\xa4"),
                ag_kv_bytes("c", "a\0b", 3), ag_kv("d", "\xc3\xa4"));
    ag_check_str(log_line(), "level=INFO msg=x \"a b=\"=\"tab\\tnew\\nquote\\\"back\\\\\" "
                             "b=\"\\xff\\x01\\x7f|\xc3\xa4\" c=\"a\\x00b\" d=\xc3\xa4");
}

AG_TEST(a_line_of_json) {
    log_to_file(AG_LOG_JSON, 0);
    bool no = false;
    ag_log_error("a \"b\"", ag_kv("n", 1), ag_kv("r", 0.5), ag_kv("nan", (double)NAN),
                 ag_kv("inf", -INFINITY), ag_kv("t", "\x01\xff\n"), ag_kv("b", no),
                 ag_kv("z", (char *)NULL));
    char *text = log_text();
    ag_check(strncmp(text, "{\"time\":\"20", 11) == 0);
    ag_check_contains(text, "Z\",\"level\":\"ERROR\",\"msg\":\"a \\\"b\\\"\",\"n\":1,\"r\":0.5,"
                            "\"nan\":\"NaN\",\"inf\":\"-Inf\",\"t\":\"\\u0001\xef\xbf\xbd\\n\","
                            "\"b\":false,\"z\":null}\n");
    free(text);
}

/* Random bytes, everywhere, of every length: each line is JSON, in UTF-8, and none is missing. */
AG_TEST(json_is_valid_whatever_bytes_come) {
    if (system("command -v python3 >/dev/null") != 0)
        ag_test_skip("python3 is missing: apt-get install python3");
    log_to_file(AG_LOG_JSON, (size_t)8 << 20);
    uint64_t state = 88172645463325252u;
    char name[64], value[3000];
    enum { LINES = 2000 };
    for (int i = 0; i < LINES; i++) {
        size_t n = (size_t)(i < 256 ? i : i * 7919 % 2999);
        for (size_t k = 0; k < n; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value[k] = (char)(state >> 33);
        }
        memcpy(name, value, sizeof name);
        name[i % 60] = 0;
        ag_log_info(name, ag_kv_bytes(name, value, n), ag_kv("last", 1), ag_kv("x", name));
    }
    ag_check_int(ag_log_dropped(), 0);
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    char command[512];
    snprintf(command, sizeof command,
             "python3 -c 'import json\n"
             "lines = open(\"%s\", encoding=\"utf-8\", newline=\"\\n\").read().split(\"\\n\")\n"
             "assert len(lines) == %d and lines[-1] == \"\"\n"
             "for l in lines[:-1]: assert json.loads(l)[\"level\"] == \"INFO\"'",
             path, LINES + 1);
    ag_check_int(system(command), 0);
    free(log_text());
}

AG_TEST(a_long_line_is_cut_and_says_so) {
    char longer[5000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    log_to_file(AG_LOG_TEXT, 0);
    ag_log_info("long", ag_kv("before", 1), ag_kv("text", longer), ag_kv("after", 2));
    const char *line = log_line();
    ag_check_contains(line, "msg=long before=1 text=aaaa");
    ag_check_contains(line, "a truncated=true");
    ag_check(!strstr(line, "after"));
    ag_check(strlen(line) > 1900 && strlen(line) < 2048);
}

AG_TEST(cutting_leaves_json_whole) {
    char text[2100], want[64];
    bool yes = true;
    log_to_file(AG_LOG_JSON, (size_t)8 << 20);
    for (size_t n = 1800; n < sizeof text; n++) {
        memset(text, n % 2 ? 'a' : '"', n - 1);
        text[n - 1] = 0;
        ag_log_info("x", ag_kv("t", text), ag_kv("number", 1234567890), ag_kv("flag", yes));
    }
    char *all = log_text(), *p = all;
    for (int i = 0; *p; i++) {
        char *end = strchr(p, '\n');
        *end = 0;
        snprintf(want, sizeof want, "%s", end - 24 > p ? end - 24 : p);
        ag_check(strstr(want, "\"truncated\":true}") || strstr(want, "\"flag\":true}"));
        p = end + 1;
    }
    free(all);
}

/* ---- Levels --------------------------------------------------------------------------------- */

static int evaluated;
static int count_evaluated(void) {
    return ++evaluated;
}

AG_TEST(what_is_below_the_level_is_not_evaluated) {
    log_to_file(AG_LOG_TEXT, 0);
    ag_log_debug("no", ag_kv("x", count_evaluated()));
    ag_check_int(evaluated, 0);
    ag_log_set_level(AG_LOG_DEBUG);
    ag_check(ag_log_is_on(AG_LOG_DEBUG));
    ag_log_debug("yes", ag_kv("x", count_evaluated()));
    ag_log(AG_LOG_INFO + 2, "between");
    ag_log_set_level(AG_LOG_ERROR + 1);
    ag_log_error("not even this");
    char *text = log_text();
    ag_check_int(lines_of(text), 2);
    ag_check_contains(text, "level=DEBUG msg=yes x=1\n");
    ag_check_contains(text, "level=INFO+2 msg=between\n");
    free(text);
}

AG_TEST(impossible_setups) {
    ag_log_config config = {.format = 7};
    ag_check_int(ag_log_setup(&config), -EINVAL);
    config = (ag_log_config){.path = "/no/such/folder/log"};
    ag_check_int(ag_log_setup(&config), -ENOENT);
}

/* ---- Many ----------------------------------------------------------------------------------- */

enum { WRITERS = 20, LINES_EACH = 200 };

static void log_many(ag_wg *wg, int who) {
    for (int i = 0; i < LINES_EACH; i++) {
        ag_log_info("n", ag_kv("who", who), ag_kv("i", i));
        if (i % 32 == 0)
            ag_yield();
    }
    ag_wg_done(wg);
}

struct writer {
    ag_wg *wg;
    int who;
};
static void *log_on_thread(void *arg) {
    struct writer *w = arg;
    log_many(w->wg, w->who);
    return NULL;
}

/* Goroutines and threads: no line is lost, torn or out of its writer's order. */
AG_TEST_RUN(lines_of_many_arrive_whole_and_in_order) {
    log_to_file(AG_LOG_TEXT, (size_t)8 << 20);
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[4];
    struct writer writers[4];
    ag_wg_add(&wg, WRITERS);
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){&wg, i};
        ag_check_int(pthread_create(&threads[i], NULL, log_on_thread, &writers[i]), 0);
    }
    for (int i = 4; i < WRITERS; i++)
        ag_go(log_many, &wg, i);
    ag_wg_wait(&wg);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = log_text();
    int next[WRITERS] = {0};
    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        int who, i;
        ag_check_int(sscanf(strstr(p, "who="), "who=%d i=%d\n", &who, &i), 2);
        ag_check_int(i, next[who]++);
    }
    for (int i = 0; i < WRITERS; i++)
        ag_check_int(next[i], LINES_EACH);
    free(text);
}

/* ---- Full, failing -------------------------------------------------------------------------- */

/* A pipe that nobody reads: the caller never waits. */
AG_TEST(a_full_buffer_drops_lines) {
    int ends[2];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    const ag_log_config config = {.fd = ends[1], .no_source = true, .buffer = 8192};
    ag_check_int(ag_log_setup(&config), 0);
    int64_t logged = 0;
    do {
        for (int i = 0; i < 1000; i++, logged++)
            ag_log_info("filling", ag_kv("i", logged));
    } while (ag_log_flush(50 * AG_MS) == 0 || ag_log_dropped() < 1000);
    ag_check_int(ag_log_flush(AG_MS), -ETIMEDOUT);
    int64_t dropped = ag_log_dropped();
    ag_check_int(ag_log_setup(NULL), 0); /* from here on lines go elsewhere */
    FILE *in = fdopen(ends[0], "r");
    char line[4096];
    for (int64_t got = 0; got < logged - dropped;) {
        ag_check(fgets(line, sizeof line, in) != NULL);
        bool is_ours = strstr(line, "msg=filling") != NULL;
        ag_check(is_ours || strstr(line, "msg=\"log lines dropped\""));
        got += is_ours;
    }
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    fclose(in);
    close(ends[1]);
}

AG_TEST(dropped_lines_are_told_when_there_is_room_again) {
    int ends[2];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    const ag_log_config config = {.fd = ends[1], .no_source = true, .buffer = 8192};
    ag_check_int(ag_log_setup(&config), 0);
    int64_t logged = 0, got = 0, told = 0;
    while (ag_log_dropped() < 1000) {
        ag_log_info("filling", ag_kv("i", logged));
        logged++;
    }
    FILE *in = fdopen(ends[0], "r");
    char line[4096];
    while (got + told < logged && fgets(line, sizeof line, in)) {
        const char *at = strstr(line, "level=WARN msg=\"log lines dropped\" count=");
        if (at)
            told += strtoll(strstr(at, "count=") + 6, NULL, 10);
        else
            got++;
    }
    ag_check_int(told, ag_log_dropped());
    ag_check_int(ag_log_setup(NULL), 0);
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    fclose(in);
    close(ends[1]);
}

AG_TEST(writes_that_fail_are_counted) {
    const ag_log_config config = {.path = "/dev/full"};
    ag_check_int(ag_log_setup(&config), 0);
    for (int i = 0; i < 10; i++)
        ag_log_info("lost");
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    ag_check_int(ag_log_dropped(), 10);
    log_to_file(AG_LOG_TEXT, 0);
    ag_log_info("there is room again");
    char *text = log_text();
    ag_check_contains(text, "msg=\"there is room again\"\n");
    ag_check_contains(text, "msg=\"log lines dropped\" count=10\n");
    free(text);
}

/* ---- Files ---------------------------------------------------------------------------------- */

AG_TEST(rotation_loses_nothing) {
    char old[80];
    log_to_file(AG_LOG_TEXT, 0);
    snprintf(old, sizeof old, "%s.1", path);
    ag_log_info("before", ag_kv("i", 1));
    ag_check_int(rename(path, old), 0);
    ag_log_info("still in the old one");
    ag_check_int(ag_log_reopen(), 0);
    ag_log_info("after");
    char *text = log_text();
    ag_check(!strstr(text, "before") && !strstr(text, "still"));
    ag_check_contains(text, "msg=after\n");
    free(text);
    snprintf(path, sizeof path, "%.60s", old);
    text = log_text();
    ag_check_contains(text, "msg=before i=1\n");
    ag_check_contains(text, "msg=\"still in the old one\"\n");
    ag_check_int(lines_of(text), 2);
    free(text);
}

AG_TEST(files_in_quick_succession_get_their_lines) {
    enum { FILES = 50 };
    char paths[FILES][64];
    for (int i = 0; i < FILES; i++) {
        int r;
        snprintf(paths[i], sizeof paths[i], "/tmp/aglet-log-%d-%d", (int)getpid(), i);
        const ag_log_config config = {.path = paths[i], .no_source = true};
        while ((r = ag_log_setup(&config)) == -EBUSY)
            ag_log_flush(AG_SEC);
        ag_check_int(r, 0);
        ag_log_info("file", ag_kv("i", i));
        ag_log_info("file", ag_kv("i", i));
    }
    ag_check_int(ag_log_flush(60 * AG_SEC), 0);
    for (int i = 0; i < FILES; i++) {
        char want[64];
        memcpy(path, paths[i], sizeof path);
        snprintf(want, sizeof want, "level=INFO msg=file i=%d\n", i);
        char *text = log_text();
        ag_check_int(lines_of(text), 2);
        ag_check_contains(text, want);
        free(text);
    }
}

AG_TEST(reopening_that_fails_keeps_the_old_file) {
    char folder[] = "/tmp/aglet-log-XXXXXX";
    ag_check(mkdtemp(folder) != NULL);
    char moved[80], inside[80];
    snprintf(inside, sizeof inside, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s.moved", folder);
    const ag_log_config config = {.path = inside, .no_source = true};
    ag_check_int(ag_log_setup(&config), 0);
    ag_check_int(rename(folder, moved), 0);
    ag_check_int(ag_log_reopen(), -ENOENT);
    ag_log_info("kept");
    snprintf(path, sizeof path, "%.55s/log", moved);
    ag_check_str(log_line(), "level=INFO msg=kept");
    rmdir(moved);
}

/* ---- The end -------------------------------------------------------------------------------- */

/* Runs fn in a child process with the log in the file; returns its status. */
static int in_child(void (*fn)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        const ag_log_config config = {.path = path, .no_source = true};
        ag_log_setup(&config);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        fn();
        exit(0);
    }
    int status;
    ag_check_int(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void make_path(void) {
    snprintf(path, sizeof path, "/tmp/aglet-log-XXXXXX");
    close(mkstemp(path));
}

static void log_last(void) {
    for (int i = 0; i < 1000; i++)
        ag_log_info("last", ag_kv("i", i));
}

static void log_and_exit(void) {
    log_last();
    exit(7);
}
AG_TEST(exit_writes_what_was_logged) {
    make_path();
    ag_check_int(in_child(log_and_exit), 7);
    char *text = log_text();
    ag_check_int(lines_of(text), 1000);
    free(text);
}

static int log_and_panic(void *arg) {
    (void)arg;
    log_last();
    ag_panic("over");
    return 0;
}
static void run_a_panic(void) {
    ag_run(log_and_panic, NULL);
}
AG_TEST(a_panic_writes_what_was_logged) {
    make_path();
    ag_check_int(in_child(run_a_panic), 2);
    char *text = log_text();
    ag_check_int(lines_of(text), 1000);
    free(text);
}

static int log_and_stall(void *arg) {
    (void)arg;
    log_last();
    ag_recv((ag_chan(int))NULL, NULL);
    return 0;
}
static void run_a_deadlock(void) {
    ag_run(log_and_stall, NULL);
}
AG_TEST(a_deadlock_writes_what_was_logged) {
    ag_test_needs_deadlock_report();
#if defined(__SANITIZE_THREAD__)
    ag_test_skip("ThreadSanitizer has a thread of its own in the child, which might wake somebody");
#endif
    make_path();
    ag_check_int(in_child(run_a_deadlock), 2);
    char *text = log_text();
    ag_check_int(lines_of(text), 1000);
    free(text);
}

static int log_in_run(void *arg) {
    (void)arg;
    log_last();
    return 0;
}
AG_TEST(ag_run_returns_when_all_is_written) {
    log_to_file(AG_LOG_TEXT, 0);
    ag_check_int(ag_run(log_in_run, NULL), 0);
    FILE *f = fopen(path, "r");
    char line[4096];
    int n = 0;
    while (fgets(line, sizeof line, f))
        n++;
    fclose(f);
    ag_check_int(n, 1000);
    free(log_text());
}

static void log_in_child(void) {
    ag_log_info("child");
}
AG_TEST(the_child_of_a_fork_logs_its_own_lines_only) {
#if defined(__SANITIZE_THREAD__)
    ag_test_skip("ThreadSanitizer has no threads in the child of a process with threads");
#elif defined(__SANITIZE_ADDRESS__)
    ag_test_skip(
        "the sanitizer's allocator may be locked in the child by a thread that is not there");
#endif
    if (getenv("AG_TEST_EXEC"))
        ag_skip("an emulator makes no threads in the child of a fork");
    log_to_file(AG_LOG_TEXT, 0);
    ag_log_info("parent");
    ag_check_int(in_child(log_in_child), 0);
    char *text = log_text();
    ag_check_contains(text, "msg=parent\n");
    ag_check_contains(text, "msg=child\n");
    ag_check_int(lines_of(text), 2);
    free(text);
}

AG_TEST(lines_are_metrics) {
    log_to_file(AG_LOG_TEXT, 0);
    ag_log_info("one");
    ag_log_error("two");
    ag_log_error("three");
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_contains(text, "aglet_log_lines_total{level=\"info\"} 1\n");
    ag_check_contains(text, "aglet_log_lines_total{level=\"error\"} 2\n");
    ag_check_contains(text, "aglet_log_lines_dropped_total 0\n");
    free(text);
    free(log_text());
}
