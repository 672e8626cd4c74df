/* SPDX-License-Identifier: MIT */
/*
 * What a deferred call costs: bytes, instructions, nanoseconds; beside a plain call.
 *
 * Bytes: what malloc has given out grows while a thousand deferred calls are pending; that the
 * method sees a record on the heap is checked first, by making one. Go counts what it allocates.
 *
 * Instructions: the parent single-steps (ptrace) a child that stops itself before and after
 * rounds of plain calls, of one deferred call, two, and one in a loop. It needs no tool and no
 * hardware counter, counts exactly, and works for Go, too. The least of many short rounds is taken:
 * what a runtime adds because time passes, a preemption, is in few of them. Go's preempting
 * signals are switched off: in single steps their handler takes longer than the 10 ms after which
 * the next one comes, so a round might never end. Refused: callgrind, which is not everywhere, and
 * can't run Go's runtime.
 */
#include "lab.h"
#include <malloc.h>
#include <sys/ptrace.h>

enum { PENDING = 1000, RECORD = 32, CALLS = 4, ROUNDS = 16, STEPS_MAX = 20000, REPEATS = 5 };

static volatile long counter;

static __attribute__((noinline)) void count(void) {
    counter = counter + 1;
}

static __attribute__((noinline)) void call_none(void) {
    count();
}

static __attribute__((noinline)) void call_one(void) {
    ag_defer(count);
}

static __attribute__((noinline)) void call_two(void) {
    ag_defer(count);
    ag_defer(count);
}

/* ---- Bytes ------------------------------------------------------------------------------------
 */

static double heap_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

/* The heap's size with `left` more deferred calls pending. */
static __attribute__((noinline)) double heap_with_pending(long left) {
    if (left == 0)
        return heap_bytes();
    ag_defer(count);
    return heap_with_pending(left - 1);
}

/* The same with a record on the heap for each. */
static double heap_with_records(void **records) {
    for (int i = 0; i < PENDING; i++)
        records[i] = malloc(RECORD);
    double bytes = heap_bytes();
    for (int i = 0; i < PENDING; i++)
        free(records[i]);
    return bytes;
}

/* The least of some repeats: other threads of the runtime may allocate, too. */
static void measure_heap(const char *name) {
    double least = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        const double before = heap_bytes();
        least = fmin(least, heap_with_pending(PENDING) - before);
    }
    lab_print(name, least / PENDING);
}

static void in_goroutine(ag_chan(char) done) {
    ag_defer(ag_close, done);
    measure_heap("goroutine_bytes");
}

static void in_loop(void) {
    double least = INFINITY;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        const double before = heap_bytes();
        double most = before;
        for (int i = 0; i < PENDING; i++) {
            ag_defer(count);
            most = fmax(most, heap_bytes());
        }
        least = fmin(least, most - before);
    }
    lab_print("loop_bytes", least / PENDING);
}

static int bytes(void *arg) {
    (void)arg;
    static void *records[PENDING];
    const double before = heap_bytes();
    if (heap_with_records(records) - before < RECORD * PENDING)
        return 1;
    measure_heap("main_bytes");
    ag_chan(char) done = ag_make(char, 0);
    ag_defer(ag_unref, done);
    ag_go(in_goroutine, done);
    ag_recv(done, NULL);
    in_loop();
    lab_print("stack_bytes", sizeof(struct ag__defer_1));
    return 0;
}

/* ---- Nanoseconds ------------------------------------------------------------------------------
 */

static long goal;
static ag_mutex mutex;

static __attribute__((noinline)) void section_plain(void) {
    ag_mutex_lock(&mutex);
    counter = counter + 1;
    ag_mutex_unlock(&mutex);
}

static __attribute__((noinline)) void section_deferred(void) {
    ag_mutex_lock(&mutex);
    ag_defer(ag_mutex_unlock, &mutex);
    counter = counter + 1;
}

static void per_call(const char *name, void (*fn)(void)) {
    for (long i = 0; i < goal / 10; i++)
        fn();
    const ag_time start = ag_now();
    for (long i = 0; i < goal; i++)
        fn();
    lab_print(name, (double)(ag_now() - start) / (double)goal);
}

static int nanoseconds(void *arg) {
    (void)arg;
    per_call("plain_ns", call_none);
    per_call("one_ns", call_one);
    per_call("two_ns", call_two);
    per_call("section_plain_ns", section_plain);
    per_call("section_deferred_ns", section_deferred);
    return 0;
}

/* ---- Instructions -----------------------------------------------------------------------------
 */

static void round_plain(void) {
    for (int i = 0; i < CALLS; i++)
        call_none();
}

static void round_one(void) {
    for (int i = 0; i < CALLS; i++)
        call_one();
}

static void round_two(void) {
    for (int i = 0; i < CALLS; i++)
        call_two();
}

static void round_loop(void) {
    for (int i = 0; i < CALLS; i++) {
        ag_defer(count);
    }
}

static const struct {
    const char *name;
    void (*fn)(void);
} kinds[] = {{"plain", round_plain}, {"one", round_one}, {"two", round_two}, {"loop", round_loop}};
enum { KINDS = sizeof kinds / sizeof *kinds, STOPS = 2 * KINDS * ROUNDS };

/* The child: stops before and after every round of every kind. */
static int stepped(void *arg) {
    (void)arg;
    ag_lock_thread();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return 1;
    for (int i = 0; i < KINDS * ROUNDS; i++) {
        raise(SIGSTOP);
        kinds[i % KINDS].fn();
        raise(SIGSTOP);
    }
    return 0;
}

/* Steps the child through every round, and notes the least for each kind. A round that is no
 * longer about the calls is given up and runs on unstepped: a signal has come, whose handler is no
 * part of it, or a scheduler is at work. Returns: false if a kind has no round to the end. */
static bool step_through(double least[KINDS]) {
    long steps = 0;
    bool step = false;
    for (int stops = 0, status; stops < STOPS;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 || !WIFSTOPPED(status))
            return false;
        const int sig = WSTOPSIG(status);
        const bool mark = sig == SIGSTOP, signalled = !mark && sig != SIGTRAP;
        if (mark) {
            if (step)
                least[stops / 2 % KINDS] = fmin(least[stops / 2 % KINDS], (double)steps);
            step = stops++ % 2 == 0;
            steps = 0;
        }
        steps++;
        step = step && !signalled && steps < STEPS_MAX;
        if (ptrace(step ? PTRACE_SINGLESTEP : PTRACE_CONT, thread, NULL,
                   (void *)(intptr_t)(signalled ? sig : 0)) != 0)
            return false;
    }
    for (int i = 0; i < KINDS; i++)
        if (isinf(least[i]))
            return false;
    return true;
}

/* Instructions of one call beyond a plain one, for aglet's child or Go's. */
static struct lab_values count_steps(char *const argv[]) {
    struct lab_values v = {.count = 0};
    double least[KINDS];
    for (int i = 0; i < KINDS; i++)
        least[i] = INFINITY;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    bool good = child > 0 && step_through(least);
    if (child > 0)
        kill(child, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0) {
    }
    if (!good)
        snprintf(v.missing, sizeof v.missing, "n/a: no single steps");
    for (int i = 0; i < KINDS && good; i++, v.count++) {
        snprintf(v.at[i].name, sizeof v.at[i].name, "%s", kinds[i].name);
        v.at[i].value = (least[i] - least[0]) / CALLS;
    }
    return v;
}

static int bytes_part(long n) {
    return n < 0 ? 1 : ag_run(bytes, NULL);
}

static int nanoseconds_part(long n) {
    goal = n;
    return ag_run(nanoseconds, NULL);
}

static int stepped_part(long n) {
    const ag_config config = {.procs = 1};
    return n < 0 ? 1 : ag_run_with(&config, stepped, NULL);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static int table(void) {
    const long n = lab_much(200000, 1000000, 10000000);
    struct lab_values us = lab_self("bytes", 0), us_ns = lab_self("nanoseconds", n);
    struct lab_values go = lab_go("bytes", 1000000), go_ns = lab_go("nanoseconds", n);
    struct lab_values us_steps =
        count_steps((char *[]){"/proc/self/exe", "--part", "stepped", "0", NULL});
    struct lab_values go_steps = go;
    setenv("GODEBUG", "asyncpreemptoff=1", 1);
    if (lab_go_ready())
        go_steps = count_steps((char *[]){lab_go_program, "stepped", "0", NULL});

    lab_begin("What a deferred call costs", "one deferred call", "article", "Go here",
              "aglet here");
    lab_row("heap, in the main flow", "0 B", lab_cell(&go, "main_bytes", "%.1f B"),
            lab_cell(&us, "main_bytes", "%.1f B"));
    lab_row("heap, in a goroutine", "32 B", lab_cell(&go, "goroutine_bytes", "%.1f B"),
            lab_cell(&us, "goroutine_bytes", "%.1f B"));
    lab_row("heap, in a loop", "", lab_cell(&go, "loop_bytes", "%.1f B"),
            lab_cell(&us, "loop_bytes", "%.1f B"));
    lab_row("instructions beyond a plain call", "~15", lab_cell(&go_steps, "one", "%.1f"),
            lab_cell(&us_steps, "one", "%.1f"));
    lab_row("the same for two", "~30+", lab_cell(&go_steps, "two", "%.1f"),
            lab_cell(&us_steps, "two", "%.1f"));
    lab_row("the same in a loop", "", lab_cell(&go_steps, "loop", "%.1f"),
            lab_cell(&us_steps, "loop", "%.1f"));
    lab_row("a plain call", "", lab_cell(&go_ns, "plain_ns", "%.2f ns"),
            lab_cell(&us_ns, "plain_ns", "%.2f ns"));
    lab_row("the same call deferred", "", lab_cell(&go_ns, "one_ns", "%.2f ns"),
            lab_cell(&us_ns, "one_ns", "%.2f ns"));
    lab_row("1,000,000 x lock, direct unlock", "32.1 ms",
            lab_cell(&go_ns, "section_plain_ns", "%.1f ms"),
            lab_cell(&us_ns, "section_plain_ns", "%.1f ms"));
    lab_row("1,000,000 x lock, deferred unlock", "48.7 ms",
            lab_cell(&go_ns, "section_deferred_ns", "%.1f ms"),
            lab_cell(&us_ns, "section_deferred_ns", "%.1f ms"));
    lab_row("heap of those million", "192 KB",
            lab_scaled(&go, "section_bytes", 1e6 / 1024, "%.0f KB").text,
            lab_scaled(&us, "main_bytes", 1e6 / 1024, "%.0f KB").text);
    lab_end("aglet's record of a deferred call lives in its block on the stack: it never costs "
            "heap, not even in a\nloop, where Go's does. It is linked and unlinked in the block "
            "itself: some 20 instructions, where Go's\ncompiler needs 7, and about as much time.");
    return isnan(lab_get(&us, "main_bytes")) || isnan(lab_get(&us_ns, "one_ns"));
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"bytes", bytes_part},
                                            {"nanoseconds", nanoseconds_part},
                                            {"stepped", stepped_part},
                                            {NULL, NULL}};
    static const struct lab lab = {"defer-cost", "bytes, instructions and time of a deferred call",
                                   parts, table};
    return lab_main(argc, argv, &lab);
}
