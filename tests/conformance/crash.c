/* SPDX-License-Identifier: MIT */
/*
 * A process that a signal ends says which goroutine did it, where, and who created it; then it ends
 * as it would have without the runtime. Handlers of the program and signals that were sent lose
 * nothing.
 */
#include "common.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Sanitizers have handlers of their own, and stay in charge. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_HANDLERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_HANDLERS 1
#endif
#endif
#ifndef OWN_HANDLERS
#define OWN_HANDLERS 0
#endif

/* Runs the part `name` of a test in a child, which ends in it. */
static struct child child;
static void crash_of(const char *test, const char *part) {
    if (OWN_HANDLERS)
        ag_skip("a build without a sanitizer's handlers");
    if (ag_test_under("valgrind") || ag_test_under("qemu"))
        ag_skip("a machine that raises signals itself");
    setenv("CRASH_PART", part, 1);
    run_child(&child, test);
    unsetenv("CRASH_PART");
}

static void no_core(void) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

/* ---- What is said --------------------------------------------------------------------------- */

static volatile char *volatile nowhere;
static void (*volatile no_function)(void);
static volatile int zero;

static KEPT void write_to_null(void) {
    *nowhere = 1;
    STAYS;
}

static KEPT void call_null(void) {
    no_function();
    STAYS;
}

static KEPT void divide(void) {
#if defined(__x86_64__)
    zero = 7 / zero;
#else
    raise(SIGFPE);
#endif
    STAYS;
}

static KEPT void bad_instruction(void) {
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    __asm__ volatile(".inst 0");
#endif
    STAYS;
}

static KEPT void read_beyond_a_file(void) {
    FILE *f = tmpfile();
    volatile char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
    zero = at[100];
    STAYS;
}

static KEPT void give_up(void) {
    abort();
}

static KEPT long recurse(long n) {
    volatile char room[512];
    room[0] = (char)n;
    return recurse(n + 1) + room[0];
}

static void overflow(void) {
    recurse(1);
}

static void panic(void) {
    ag_panic("oops");
}

static const struct part {
    const char *name;
    void (*fn)(void);
    int signal;
    const char *words, *function;
} parts[] = {
    {"segv", write_to_null, SIGSEGV, "SIGSEGV: segmentation violation\nPC=0x", "write_to_null"},
    {"call", call_null, SIGSEGV, "\nPC=0x0 ", "call_null"},
    {"fpe", divide, SIGFPE, "SIGFPE: arithmetic error\nPC=0x", "divide"},
    {"ill", bad_instruction, SIGILL, "SIGILL: illegal instruction\nPC=0x", "bad_instruction"},
    {"bus", read_beyond_a_file, SIGBUS, "SIGBUS: bus error\nPC=0x", "read_beyond_a_file"},
    {"abort", give_up, SIGABRT, "SIGABRT: abort\nPC=0x", "give_up"},
    {"overflow", overflow, SIGSEGV, "fatal error: stack overflow\n", "recurse"},
    {"panic", panic, SIGABRT, "panic: oops\n", "panic"},
};

static void crashes(const struct part *part) {
    part->fn();
    STAYS;
}

static int main_starts(void *arg) {
    const struct part *part = arg;
    ag_label("customer", "ada");
    ag_go_with(&(ag_go_opts){.name = "diver"}, crashes, part);
    ag_sleep(AG_MIN);
    return 0;
}

static void run_part(void) {
    const char *name = getenv("CRASH_PART");
    no_core();
    for (size_t i = 0; i < COUNT(parts); i++)
        if (strcmp(parts[i].name, name) == 0)
            ag_run(main_starts, (void *)&parts[i]);
    exit(99);
}

AG_TEST(the_goroutine_its_frames_and_its_creation_are_told) {
    if (getenv("CRASH_PART"))
        run_part();
    for (size_t i = 0; i < 6; i++) {
        crash_of("the_goroutine_its_frames_and_its_creation_are_told", parts[i].name);
        ag_check_int(child.status, 128 + parts[i].signal);
        ag_check_contains(child.text, parts[i].words);
        ag_check_contains(child.text, "\n\ngoroutine ");
        ag_check_contains(child.text, " \"diver\" [running]:\nlabels: customer=\"ada\"\n");
        char frame[64];
        snprintf(frame, sizeof frame, "\n%s(...)\n\t", parts[i].function);
        ag_check_contains(child.text, frame);
        const char *at = strstr(child.text, frame);
        ag_check_contains(at, "crash.c:");
        ag_check_contains(at, "\ncrashes(...)\n\t");
        ag_check_contains(at, "\ncreated by main_starts in goroutine 1 at ");
    }
}

AG_TEST(an_overflow_has_frames_and_ends_by_its_signal_if_asked) {
    if (getenv("CRASH_PART"))
        run_part();
    const char *self = "an_overflow_has_frames_and_ends_by_its_signal_if_asked";
    crash_of(self, "overflow");
    ag_check_int(child.status, 2);
    ag_check_contains(child.text, "\nrecurse(...)\n\t");
    ag_check_contains(child.text, "...additional frames elided...\n");
    ag_check_contains(child.text, "\ncreated by main_starts in goroutine 1 at ");
    setenv("AGLET_TRACEBACK", "crash", 1);
    crash_of(self, "overflow");
    unsetenv("AGLET_TRACEBACK");
    ag_check_int(child.status, 128 + SIGSEGV);
    ag_check_contains(child.text, "stack overflow");
}

AG_TEST(a_panic_that_aborts_is_told_once) {
    if (getenv("CRASH_PART"))
        run_part();
    setenv("AGLET_TRACEBACK", "crash", 1);
    crash_of("a_panic_that_aborts_is_told_once", "panic");
    unsetenv("AGLET_TRACEBACK");
    ag_check_int(child.status, 128 + SIGABRT);
    ag_check_contains(child.text, "panic: oops");
    ag_check(!strstr(child.text, "SIGABRT"));
}

AG_TEST(with_no_signals_the_process_ends_in_silence) {
    if (getenv("CRASH_PART"))
        run_part();
    setenv("AGLET_NO_SIGNALS", "1", 1);
    crash_of("with_no_signals_the_process_ends_in_silence", "segv");
    unsetenv("AGLET_NO_SIGNALS");
    ag_check_int(child.status, 128 + SIGSEGV);
    ag_check(!strstr(child.text, "goroutine"));
}

/* ---- What ran before ------------------------------------------------------------------------ */

AG_TEST(a_crash_leaves_a_record) {
    if (getenv("CRASH_PART"))
        run_part();
    const char *self = "a_crash_leaves_a_record";
    char path[] = "/tmp/aglet-record-XXXXXX", bytes[16] = "", words[64];
    int fd = mkstemp(path);
    ag_check(fd >= 0);
    snprintf(words, sizeof words, "\nwhat ran before: go tool trace %s\n", path);
    static const struct {
        const char *part;
        int status;
    } ends[] = {{"segv", 128 + SIGSEGV}, {"overflow", 2}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        ag_check_int(ftruncate(fd, 0), 0);
        setenv("AGLET_RECORD_FILE", path, 1);
        crash_of(self, ends[i].part);
        unsetenv("AGLET_RECORD_FILE");
        ag_check_int(child.status, ends[i].status);
        ag_check_contains(child.text, words);
        ag_check_int(pread(fd, bytes, sizeof bytes, 0), 16);
        ag_check_mem(bytes, "go 1.23 trace\0\0\0", 16);
    }
    close(fd);
    unlink(path);
}

AG_TEST(a_crash_ends_though_its_record_cannot_be_written) {
    if (getenv("CRASH_PART"))
        run_part();
    char folder[] = "/tmp/aglet-record-XXXXXX", path[64];
    ag_check(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/nobody-reads", folder);
    ag_check_int(mkfifo(path, 0600), 0);
    setenv("AGLET_RECORD_FILE", path, 1);
    crash_of("a_crash_ends_though_its_record_cannot_be_written", "segv");
    unsetenv("AGLET_RECORD_FILE");
    ag_check_int(child.status, 128 + SIGSEGV);
    ag_check_contains(child.text, "\naglet: could not write ");
    unlink(path);
    rmdir(folder);
}

/* ---- Other threads -------------------------------------------------------------------------- */

static void *crash_on_thread(void *arg) {
    write_to_null();
    return arg;
}

static int main_has_a_thread(void *arg) {
    pthread_t thread;
    pthread_create(&thread, NULL, crash_on_thread, NULL);
    ag_sleep(AG_MIN);
    return arg != NULL;
}

AG_TEST(a_thread_that_is_no_goroutine) {
    if (getenv("CRASH_PART")) {
        no_core();
        ag_run(main_has_a_thread, NULL);
    }
    crash_of("a_thread_that_is_no_goroutine", "x");
    ag_check_int(child.status, 128 + SIGSEGV);
    ag_check_contains(child.text, ", no goroutine:\nwrite_to_null(...)\n\t");
    ag_check_contains(child.text, "\ncrash_on_thread(...)\n\t");
}

static atomic_int gathered;

static void crash_together(int count) {
    atomic_fetch_add(&gathered, 1);
    while (atomic_load(&gathered) < count)
        continue;
    write_to_null();
}

static int main_starts_several(void *arg) {
    enum { COUNT = 4 };
    for (int i = 0; i < COUNT; i++)
        ag_go(crash_together, COUNT);
    ag_sleep(AG_MIN);
    return arg != NULL;
}

AG_TEST(of_several_at_once_one_is_told_in_full) {
    if (getenv("CRASH_PART")) {
        no_core();
        ag_run(main_starts_several, NULL);
    }
    for (int i = 0; i < 5; i++) {
        crash_of("of_several_at_once_one_is_told_in_full", "x");
        ag_check_int(child.status, 128 + SIGSEGV);
        ag_check_contains(child.text, "\ncreated by main_starts_several in goroutine 1 at ");
        const char *first = strstr(child.text, "SIGSEGV: ");
        ag_check(first && !strstr(first + 1, "SIGSEGV: "));
    }
}

static KEPT void crash_here(void) {
    write_to_null();
    STAYS;
}

static int main_keeps_stderr(void *arg) {
    flockfile(stderr); /* this thread has it; the goroutine crashes on another */
    ag_go(crash_here);
    pause();
    return arg != NULL;
}

AG_TEST(locks_of_stdio_are_not_waited_for) {
    if (getenv("CRASH_PART")) {
        no_core();
        ag_run(main_keeps_stderr, NULL);
    }
    crash_of("locks_of_stdio_are_not_waited_for", "other");
    ag_check_int(child.status, 128 + SIGSEGV);
    ag_check_contains(child.text, "\ncrash_here(...)\n\t");
}

/* ---- Signals that are sent ------------------------------------------------------------------ */

static int main_kills(void *arg) {
    kill(getpid(), *(int *)arg);
    ag_sleep(AG_MIN);
    return 0;
}

AG_TEST(one_that_is_sent_ends_the_process_too) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    const char *part = getenv("CRASH_PART");
    if (part) {
        no_core();
        ag_run(main_kills, (void *)&signals[atoi(part)]);
    }
    for (int i = 0; i < 5; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        crash_of("one_that_is_sent_ends_the_process_too", text);
        ag_check_int(child.status, 128 + signals[i]);
        ag_check_contains(child.text, " sent by process ");
    }
}

static int main_is_hard_of_hearing(void *arg) {
    for (int i = 0; i < 3; i++)
        raise(SIGSEGV);
    ag_yield();
    return arg != NULL;
}

AG_TEST(one_that_the_program_ignores_is_ignored) {
    signal(SIGSEGV, SIG_IGN);
    ag_check_int(ag_run(main_is_hard_of_hearing, NULL), 0);
    struct sigaction now;
    sigaction(SIGSEGV, NULL, &now);
    ag_check(now.sa_handler == SIG_IGN);
}

/* ---- Handlers of the program ---------------------------------------------------------------- */

static volatile sig_atomic_t calls, sent_by, code;

static void on_segv(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    calls = calls + 1;
    sent_by = info->si_pid;
    code = info->si_code;
}

static void install(void (*fn)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO};
    ag_check_int(sigaction(SIGSEGV, &action, NULL), 0);
}

static int main_raises(void *arg) {
    raise(SIGSEGV);
    eventually(calls == 1);
    ag_check_int(sent_by, getpid());
    ag_check_int(code, SI_TKILL);
    return arg != NULL;
}

AG_TEST(a_handler_from_before_gets_what_is_sent_as_it_was) {
    install(on_segv);
    ag_check_int(ag_run(main_raises, NULL), 0);
    ag_check_int(calls, 1);
}

static void on_fault(int sig, siginfo_t *info, void *context) {
    static const char text[] = "the program's own handler\n";
    (void)sig, (void)context;
    if (info->si_addr == NULL && info->si_code > 0)
        (void)!write(2, text, sizeof text - 1);
    _exit(44);
}

AG_TEST(a_handler_from_before_gets_a_fault_and_nothing_is_said) {
    if (getenv("CRASH_PART")) {
        install(on_fault);
        run_part();
    }
    crash_of("a_handler_from_before_gets_a_fault_and_nothing_is_said", "segv");
    ag_check_int(child.status, 44);
    ag_check_contains(child.text, "the program's own handler\n");
    ag_check(!strstr(child.text, "SIGSEGV"));
}

static int main_installs_one(void *arg) {
    install(on_segv);
    return arg != NULL;
}

AG_TEST(a_handler_from_within_stays_when_the_world_ends) {
    struct sigaction now;
    ag_check_int(ag_run(main_installs_one, NULL), 0);
    sigaction(SIGSEGV, NULL, &now);
    ag_check(now.sa_sigaction == on_segv);
}

static int main_yields(void *arg) {
    ag_yield();
    return arg != NULL;
}

AG_TEST(after_the_world_all_is_as_before) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction before[COUNT(signals)], now;
    for (size_t i = 0; i < COUNT(signals); i++)
        sigaction(signals[i], NULL, &before[i]);
    ag_check_int(ag_run(main_yields, NULL), 0);
    for (size_t i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], NULL, &now);
        ag_check(now.sa_handler == before[i].sa_handler);
    }
}
