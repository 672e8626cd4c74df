/* SPDX-License-Identifier: MIT */
/*
 * The test runner, linked into every test program.
 *
 *     PROGRAM [--filter SUBSTRING] [--worlds 1,2,8] [--list] [--run NAME]
 *
 * The parent starts itself again for every test with `--run NAME`: a test that crashes, hangs or
 * leaks takes nobody with it. It uses posix_spawn and never a bare fork, because a process that
 * runs goroutines must not be copied. The child gets three pipes: stdout, stderr, and descriptor 3,
 * on which it says that the body has returned. So a body that calls exit(0) half-way does not pass;
 * and end of file there tells the parent that the child is gone, even if a grandchild still holds
 * stdout.
 *
 * Past its time the child first gets SIGQUIT, on which the runtime dumps all goroutines, and is
 * killed two seconds later. Every test is a process group; what is left of it is killed.
 *
 * Environment: AG_TEST_WORLDS (default of --worlds, itself "2"), AG_TEST_TIMEOUT (seconds, default
 * 60 times ag_test_slow()), AG_TEST_EXEC (command put before the child: valgrind, qemu).
 */
#define _GNU_SOURCE
#include "ag_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef AG_TEST_SLOW
#define AG_TEST_SLOW 1
#endif

enum { SKIPPED = 77, DONE_FD = 3, OUTPUT_MAX = 1 << 20, WORLDS_MAX = 16, FD_MAX = 4096 };

/* Sorted by line. */
static struct ag_test_case *tests;
static bool open_fds_allowed;

void ag_test_register(struct ag_test_case *test) {
    for (const struct ag_test_case *other = tests; other; other = other->next) {
        if (strcmp(other->name, test->name) == 0) {
            fprintf(stderr, "%s:%d: a test is called %s already\n", test->file, test->line,
                    test->name);
            exit(2);
        }
    }
    struct ag_test_case **at = &tests;
    while (*at && (*at)->line < test->line)
        at = &(*at)->next;
    test->next = *at;
    *at = test;
}

void ag_test_allow_open_fds(void) {
    open_fds_allowed = true;
}

int ag_test_slow(void) {
    const char *emulator = getenv("AG_TEST_EXEC");
    return AG_TEST_SLOW > 1 || (emulator && *emulator) ? 5 : 1;
}

bool ag_test_under(const char *program) {
    const char *exec = getenv("AG_TEST_EXEC");
    return exec && strstr(exec, program);
}

void ag_test_needs_deadlock_report(void) {
    int threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks)) != NULL;)
        threads += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
#if defined(__SANITIZE_THREAD__)
    threads--; /* its background thread, which the runtime knows */
#endif
    if (threads > 1)
        ag_skip("a process without an emulator's threads, which might wake somebody");
}

/* ---- Checks --------------------------------------------------------------------------------- */

/* Ends the process. Only the first thread to come here gets to print. */
static void last_words(int status, const char *file, int line, const char *fmt, va_list args) {
    static int taken;
    while (__atomic_exchange_n(&taken, 1, __ATOMIC_SEQ_CST))
        pause();
    if (file)
        dprintf(STDERR_FILENO, "%s:%d: ", file, line);
    else
        dprintf(STDERR_FILENO, "skip: ");
    vdprintf(STDERR_FILENO, fmt, args);
    dprintf(STDERR_FILENO, "\n");
    _exit(status);
}

void ag_test_fail(const char *file, int line, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    last_words(1, file, line, fmt, args);
    va_end(args);
    _exit(1);
}

void ag_test_skip(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    last_words(SKIPPED, NULL, 0, fmt, args);
    va_end(args);
    _exit(SKIPPED);
}

/* " (-ETIMEDOUT)" for a negative error number, "" for other values. */
static const char *error_name(long long value, char buf[32]) {
    const char *name = value < 0 && value > -200 ? strerrorname_np((int)-value) : NULL;
    buf[0] = 0;
    if (name)
        snprintf(buf, 32, " (-%s)", name);
    return buf;
}

void ag_test_check_int(const char *file, int line, const char *what, long long actual,
                       long long expected) {
    char a[32], b[32];
    if (actual != expected)
        ag_test_fail(file, line, "%s is %lld%s, expected %lld%s", what, actual,
                     error_name(actual, a), expected, error_name(expected, b));
}

void ag_test_check_ptr(const char *file, int line, const char *what, const void *actual,
                       const void *expected) {
    if (actual != expected)
        ag_test_fail(file, line, "%s is %p, expected %p", what, actual, expected);
}

void ag_test_check_str(const char *file, int line, const char *what, const char *actual,
                       const char *expected) {
    if (!actual || !expected) {
        if (actual != expected)
            ag_test_fail(file, line, "%s is %s, expected %s", what, actual ? actual : "NULL",
                         expected ? expected : "NULL");
    } else if (strcmp(actual, expected) != 0) {
        ag_test_fail(file, line, "%s is \"%s\", expected \"%s\"", what, actual, expected);
    }
}

void ag_test_check_contains(const char *file, int line, const char *what, const char *haystack,
                            const char *needle) {
    if (!haystack || !strstr(haystack, needle))
        ag_test_fail(file, line, "%s does not contain \"%s\":\n%s", what, needle,
                     haystack ? haystack : "NULL");
}

void ag_test_check_mem(const char *file, int line, const char *what, const void *actual,
                       const void *expected, size_t size) {
    const unsigned char *a = (const unsigned char *)actual;
    const unsigned char *b = (const unsigned char *)expected;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            ag_test_fail(file, line, "%s: byte %zu of %zu is 0x%02x, expected 0x%02x", what, i,
                         size, a[i], b[i]);
}

/* ---- The child: one test -------------------------------------------------------------------- */

static void mark_open_fds(bool open[FD_MAX]) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(dir) && fd < FD_MAX)
            open[fd] = true;
    }
    closedir(dir);
}

/* The runtime outlives ag_run and may keep one descriptor of each anonymous kind (epoll, eventfd,
   …) for itself; a second one of a kind, and every other descriptor, is a leak. */
static void check_open_fds(const bool before[FD_MAX]) {
    static bool after[FD_MAX];
    static char kept[8][64];
    int kinds = 0, leaks = 0;
    mark_open_fds(after);
    for (int fd = 0; fd < FD_MAX; fd++) {
        if (!after[fd] || before[fd])
            continue;
        char link[64], target[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n < 0)
            continue; /* closed meanwhile by a thread that is still ending */
        target[n] = 0;
        if (strcmp(target, "/proc/sys/vm/overcommit_memory") == 0)
            continue; /* the C library's malloc, in a thread that is still ending */
        bool runtime = strncmp(target, "anon_inode:", 11) == 0 && kinds < 8;
        for (int i = 0; runtime && i < kinds; i++)
            runtime = strcmp(kept[i], target) != 0;
        if (runtime) {
            memcpy(kept[kinds++], target, sizeof target);
            continue;
        }
        dprintf(STDERR_FILENO, "descriptor %d is still open: %s\n", fd, target);
        leaks++;
    }
    if (leaks)
        _exit(1);
}

static int run_one(const char *name) {
    static bool before[FD_MAX];
    struct ag_test_case *test = tests;
    while (test && strcmp(test->name, name) != 0)
        test = test->next;
    if (!test) {
        fprintf(stderr, "there is no test %s\n", name);
        return 2;
    }
    bool watched = getenv("AG_TEST_CHILD") != NULL;
    if (watched) {
        unsetenv("AG_TEST_CHILD");
        fcntl(DONE_FD, F_SETFD, FD_CLOEXEC);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    if (test->death_words)
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setvbuf(stdout, NULL, _IOLBF, 0);
    mark_open_fds(before);
    test->body();
    fflush(stdout);
    if (!open_fds_allowed)
        check_open_fds(before);
    if (watched && write(DONE_FD, "d", 1) != 1)
        return 1;
    return 0; /* through exit(): the leak check of the address sanitizer runs there */
}

/* ---- The parent: one run of a test ---------------------------------------------------------- */

struct text {
    char bytes[OUTPUT_MAX];
    size_t size;
};

struct result {
    int wait_status;
    bool done, late;
    int64_t ms;
    struct text all;  /* stdout and stderr as they came */
    struct text errs; /* stderr alone */
};

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void add(struct text *t, const char *bytes, size_t size) {
    size_t room = OUTPUT_MAX - 1 - t->size;
    size = size < room ? size : room;
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    t->bytes[t->size] = 0;
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "ag_test: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Starts `[AG_TEST_EXEC] self --run name` with the three pipes as descriptors 1, 2 and 3. */
static pid_t start(const char *self, const char *name, const int write_ends[3]) {
    char *argv[32];
    int argc = 0;
    char *words = strdup(getenv("AG_TEST_EXEC") ? getenv("AG_TEST_EXEC") : ""), *rest = words;
    for (char *word; argc < 28 && (word = strtok_r(rest, " ", &rest));)
        argv[argc++] = word;
    argv[argc++] = (char *)self;
    argv[argc++] = (char *)"--run";
    argv[argc++] = (char *)name;
    argv[argc] = NULL;

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&files, write_ends[i], i + 1);
    /* What the runner was started with is none of a test's business: a shell makes background
     * jobs ignore SIGINT and SIGQUIT. */
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    setenv("AG_TEST_CHILD", "1", 1);
    pid_t pid;
    errno = posix_spawnp(&pid, argv[0], &files, &attr, argv, environ);
    if (errno)
        die(argv[0]);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    free(words);
    return pid;
}

/* Reads what is there; true at the end of the file. */
static bool drain(int fd, int which, struct result *r) {
    char buf[16384];
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) != 0;) {
        if (n < 0)
            return false;
        if (which == 2)
            r->done = true;
        else
            add(&r->all, buf, (size_t)n);
        if (which == 1)
            add(&r->errs, buf, (size_t)n);
    }
    return true;
}

static bool has_ended(pid_t pid) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Follows the child until it has ended or was killed. */
static void follow(pid_t pid, const int read_ends[3], int64_t limit_ms, struct result *r) {
    struct pollfd polls[3];
    int64_t begin = now_ms(), kill_at = 0;
    for (int i = 0; i < 3; i++)
        polls[i] = (struct pollfd){.fd = read_ends[i], .events = POLLIN};
    while (!has_ended(pid)) {
        poll(polls, 3, polls[2].fd < 0 ? 1 : 50);
        for (int i = 0; i < 3; i++)
            if (polls[i].fd >= 0 && polls[i].revents && drain(polls[i].fd, i, r))
                polls[i].fd = -1;
        int64_t now = now_ms();
        if (!r->late && now - begin > limit_ms) {
            r->late = true;
            kill(pid, SIGQUIT);
            kill_at = now + 2000;
        } else if (r->late && now > kill_at) {
            kill(-pid, SIGKILL);
        }
    }
    kill(-pid, SIGKILL);
    while (waitpid(pid, &r->wait_status, 0) < 0 && errno == EINTR)
        continue;
    for (int i = 0; i < 3; i++)
        if (polls[i].fd >= 0)
            drain(polls[i].fd, i, r);
    r->ms = now_ms() - begin;
}

static void run_child(const char *self, const char *name, struct result *r) {
    int pipes[3][2], read_ends[3], write_ends[3];
    const char *limit = getenv("AG_TEST_TIMEOUT");
    int64_t limit_ms = (limit ? atoll(limit) : 60LL * ag_test_slow()) * 1000;
    for (int i = 0; i < 3; i++) {
        if (pipe2(pipes[i], O_CLOEXEC) < 0)
            die("pipe");
        read_ends[i] = pipes[i][0];
        fcntl(read_ends[i], F_SETFL, O_NONBLOCK);
        /* Out of the way of 1, 2 and 3, which dup2 fills in the child. */
        write_ends[i] = fcntl(pipes[i][1], F_DUPFD_CLOEXEC, 10);
        close(pipes[i][1]);
    }
    r->done = r->late = false;
    r->all.size = r->errs.size = 0;
    r->all.bytes[0] = r->errs.bytes[0] = 0;
    pid_t pid = start(self, name, write_ends);
    for (int i = 0; i < 3; i++)
        close(write_ends[i]);
    follow(pid, read_ends, limit_ms, r);
    for (int i = 0; i < 3; i++)
        close(read_ends[i]);
}

/* ---- The parent: all tests ------------------------------------------------------------------ */

struct totals {
    int passed, failed, skipped;
};

/* Why the run failed, or NULL. */
static const char *verdict(const struct ag_test_case *test, const struct result *r, char buf[128]) {
    int status = r->wait_status;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (r->late) {
        snprintf(buf, 128, "time is up after %.1f s", (double)r->ms / 1000);
    } else if (test->death_words) {
        if (code != test->death_status)
            snprintf(buf, 128, "ended with status %d, expected %d", code, test->death_status);
        else if (!strstr(r->errs.bytes, test->death_words))
            snprintf(buf, 128, "stderr does not contain \"%.60s\"", test->death_words);
        else
            return NULL;
    } else if (WIFSIGNALED(status)) {
        snprintf(buf, 128, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    } else if (code != 0) {
        snprintf(buf, 128, "ended with status %d", code);
    } else if (!r->done) {
        snprintf(buf, 128, "the process ended before the test did");
    } else {
        return NULL;
    }
    return buf;
}

static void print_indented(const char *text) {
    while (*text) {
        size_t n = strcspn(text, "\n");
        printf("    %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void run_in_world(const char *self, const struct ag_test_case *test, const char *world,
                         bool name_world, struct totals *totals) {
    static struct result r;
    char where[48] = "", took[32] = "", buf[128];
    setenv("AGLET_PROCS", world, 1);
    run_child(self, test->name, &r);
    if (name_world)
        snprintf(where, sizeof where, " [procs %s]", world);
    if (r.ms > 1000)
        snprintf(took, sizeof took, " (%.1f s)", (double)r.ms / 1000);
    const char *why = verdict(test, &r, buf);
    const char *skip = strstr(r.errs.bytes, "skip: ");
    if (!why) {
        totals->passed++;
        printf("ok %s%s%s\n", test->name, where, took);
    } else if (skip && !r.late && WIFEXITED(r.wait_status) &&
               WEXITSTATUS(r.wait_status) == SKIPPED) {
        totals->skipped++;
        printf("skipped %s%s: %.*s\n", test->name, where, (int)strcspn(skip + 6, "\n"), skip + 6);
    } else {
        totals->failed++;
        printf("FAILED %s%s%s: %s\n", test->name, where, took, why);
        print_indented(r.all.bytes);
        printf("    again: AGLET_PROCS=%s %s --run %s\n", world, self, test->name);
    }
    fflush(stdout);
}

static int run_all(const char *self, const char *filter, const char *worlds_text) {
    struct totals totals = {0, 0, 0};
    char *text = strdup(worlds_text), *rest = text, *worlds[WORLDS_MAX];
    int worlds_n = 0;
    for (char *world; worlds_n < WORLDS_MAX && (world = strtok_r(rest, ",", &rest));)
        worlds[worlds_n++] = world;
    for (struct ag_test_case *test = tests; test; test = test->next)
        for (int i = 0; i < worlds_n && strstr(test->name, filter); i++)
            run_in_world(self, test, worlds[i], worlds_n > 1, &totals);
    printf("%d passed, %d failed", totals.passed, totals.failed);
    if (totals.skipped)
        printf(", %d skipped", totals.skipped);
    printf("\n");
    free(text);
    return totals.failed ? 1 : 0;
}

int main(int argc, char **argv) {
    const char *filter = "", *worlds = getenv("AG_TEST_WORLDS"), *run = NULL;
    bool list = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--list") == 0) {
            list = true;
            continue;
        }
        if (value && strcmp(argv[i], "--filter") == 0)
            filter = value;
        else if (value && strcmp(argv[i], "--worlds") == 0)
            worlds = value;
        else if (value && strcmp(argv[i], "--run") == 0)
            run = value;
        else {
            fprintf(stderr,
                    "usage: %s [--filter SUBSTRING] [--worlds 1,2,8] [--list] "
                    "[--run NAME]\n",
                    argv[0]);
            return 2;
        }
        i++;
    }
    if (run)
        return run_one(run);
    for (struct ag_test_case *test = tests; list && test; test = test->next)
        printf("%s\n", test->name);
    if (list)
        return 0;
    return run_all(argv[0], filter, worlds && *worlds ? worlds : "2");
}
