/* SPDX-License-Identifier: MIT */
/*
 * Backtraces: that every way a function may keep its frame is understood, live and in a copy; that
 * the compiler's own unwinder agrees at every single instruction; that broken stacks and broken
 * tables end a walk and nothing else. Call frame programs one by one: linux/unwind_cfi_test.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/unwind.h"

#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "ag_test.h"
#include "os/linux/unwind_frame.h"

enum { MAX = 64 };

/* The compiler's unwinder. <unwind.h> may be found as ours; these three are all that is used. */
struct _Unwind_Context;
extern int _Unwind_Backtrace(int (*fn)(struct _Unwind_Context *, void *), void *arg);
extern uintptr_t _Unwind_GetIPInfo(struct _Unwind_Context *, int *ret_before);

typedef struct trace {
    uintptr_t pc[MAX];
    int count;
} trace;

static int add_theirs(struct _Unwind_Context *context, void *arg) {
    trace *t = arg;
    int before = 0;
    uintptr_t pc = _Unwind_GetIPInfo(context, &before);
    if (t->count < MAX && pc)
        t->pc[t->count++] = pc + (before != 0);
    return 0;
}

/* Memory checkers rightly report what some of these tests do. */
static void not_under_valgrind(void) {
    const char *exec = getenv("AG_TEST_EXEC");
    if (exec && strstr(exec, "valgrind"))
        ag_skip("another checker than valgrind");
}

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static const char *name_of(uintptr_t pc) {
    ag__symbol_info info;
    return ag__symbol(pc, true, &info) == 0 ? info.name : "?";
}

static void print_trace(const trace *t) {
    ag__symbol_info info;
    for (int i = 0; i < t->count; i++) {
        ag__symbol(t->pc[i], i > 0, &info);
        fprintf(stderr, "  %2d %#lx %s+%#lx %s\n", i, (long)t->pc[i], info.name ? info.name : "?",
                (long)info.offset, info.module ? info.module : "?");
    }
}

/* The names, one after the other from `at` on, or a failure that shows the trace. */
static void check_names(const trace *t, int at, const char *const *names) {
    for (int i = 0; names[i]; i++) {
        const char *name = at + i < t->count ? name_of(t->pc[at + i]) : "nothing";
        if (strcmp(name, names[i]) != 0) {
            print_trace(t);
            ag_fail("entry %d is %s, expected %s", at + i, name, names[i]);
        }
    }
}

static void check_same(const trace *ours, const trace *theirs) {
    bool same = ours->count == theirs->count;
    for (int i = 0; same && i < ours->count; i++)
        same = ours->pc[i] == theirs->pc[i];
    if (!same) {
        fprintf(stderr, "ours:\n");
        print_trace(ours);
        fprintf(stderr, "theirs:\n");
        print_trace(theirs);
        ag_fail("two unwinders, two opinions");
    }
}

/* ---- A chain of functions that keep their frames in different ways -------------------------- */

typedef enum visit { VISIT_HERE, VISIT_REGS, VISIT_BOTH } visit;

static trace ours, theirs;
static ag__regs regs_seen;
static uintptr_t stack_top; /* views end here */
static unsigned char stack_copy[1 << 16];
static ag__stack_view view_seen;

/* Byte by byte: not for the sanitizers to see. */
__attribute__((no_sanitize("address"), no_sanitize("thread"), noinline)) static void
copy_bytes(unsigned char *to, uintptr_t from, size_t size) {
    for (size_t i = 0; i < size; i++)
        to[i] = ((volatile unsigned char *)from)[i];
}

static void copy_stack(void) {
    size_t size = stack_top - regs_seen.sp;
    view_seen = (ag__stack_view){regs_seen.sp, stack_top, stack_copy};
    ag_check(size < sizeof stack_copy);
    copy_bytes(stack_copy, regs_seen.sp, size);
}

KEPT static void leaf(visit how) {
    switch (how) {
    case VISIT_HERE:
        ours.count = ag__unwind_here(ours.pc, MAX, 0);
        break;
    case VISIT_REGS:
        ag__regs_here(&regs_seen);
        ours.count =
            ag__unwind(&regs_seen, &(ag__stack_view){regs_seen.sp, stack_top, NULL}, ours.pc, MAX);
        copy_stack();
        break;
    case VISIT_BOTH:
        ours.count = ag__unwind_here(ours.pc, MAX, 1);
        theirs.count = 0;
        _Unwind_Backtrace(add_theirs, &theirs);
        memmove(theirs.pc, theirs.pc + 1, sizeof theirs.pc - sizeof theirs.pc[0]);
        theirs.count--;
    }
    STAYS;
}

KEPT static void with_saved_registers(visit how) {
    int a = how + 1, b = how + 2, c = how + 3, d = how + 4, e = how + 5;
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
    leaf(how);
    __asm__ volatile("" ::"r"(a), "r"(b), "r"(c), "r"(d), "r"(e) : "memory");
}

KEPT static void with_aligned_local(visit how) {
    _Alignas(128) unsigned char local[200];
    __asm__ volatile("" ::"r"(local) : "memory");
    with_saved_registers(how);
    __asm__ volatile("" ::"r"(local) : "memory");
}

KEPT static void with_alloca(visit how) {
    unsigned char *local = alloca(100 + (size_t)how * 16);
    __asm__ volatile("" ::"r"(local) : "memory");
    with_aligned_local(how);
    __asm__ volatile("" ::"r"(local) : "memory");
}

KEPT static void with_large_frame(visit how) {
    unsigned char local[9000];
    __asm__ volatile("" ::"r"(local) : "memory");
    with_alloca(how);
    __asm__ volatile("" ::"r"(local) : "memory");
}

KEPT static void with_many_arguments(visit how, int b, int c, int d, int e, int f, int g, int h) {
    with_large_frame(how);
    __asm__ volatile("" ::"r"(b + c + d + e + f + g + h) : "memory");
}

KEPT static void root(visit how) {
    with_many_arguments(how, 1, 2, 3, 4, 5, 6, 7);
    STAYS;
}

static const char *const chain[] = {
    "leaf",
    "with_saved_registers",
    "with_aligned_local",
    "with_alloca",
    "with_large_frame",
    "with_many_arguments",
    "root",
    NULL,
};

AG_TEST(unwind_here_names_static_functions_in_order) {
    root(VISIT_HERE);
    check_names(&ours, 0, chain);
    check_names(&ours, 7, (const char *const[]){__func__, NULL});
    ag_check_int(ours.count < MAX, 1);
}

AG_TEST(unwind_here_skips_and_is_bounded) {
    root(VISIT_BOTH);
    check_names(&ours, 0, chain + 1);
    trace three;
    memset(&three, 0xee, sizeof three);
    ag_check_int(ag__unwind_here(three.pc, 1, 0), 1);
    check_names(&(trace){{three.pc[0]}, 1}, 0, (const char *const[]){__func__, NULL});
    ag_check(three.pc[1] == (uintptr_t)0xeeeeeeeeeeeeeeee);
    ag_check_int(ag__unwind_here(three.pc, 0, 0), 0);
    ag_check_int(ag__unwind_here(three.pc, MAX, 1000), 0);
}

AG_TEST(unwind_walks_a_live_stack_inside_its_view) {
    stack_top = (uintptr_t)__builtin_frame_address(0) + 16;
    root(VISIT_REGS);
    check_names(&ours, 0, chain);
    check_names(&ours, 7, (const char *const[]){__func__, NULL});
    ag_check(ours.pc[0] == regs_seen.pc);
}

AG_TEST(unwind_walks_a_copy_when_the_functions_have_returned) {
    stack_top = (uintptr_t)__builtin_frame_address(0) + 16;
    root(VISIT_REGS);
    trace live = ours, copied;
    with_large_frame(VISIT_HERE); /* overwrites the stack */
    copied.count = ag__unwind(&regs_seen, &view_seen, copied.pc, MAX);
    check_same(&copied, &live);
    check_names(&copied, 0, chain);

    /* Half a stack gives the inner half of the trace. */
    ag__stack_view half = view_seen;
    half.hi = half.lo + 9000;
    copied.count = ag__unwind(&regs_seen, &half, copied.pc, MAX);
    check_names(&copied, 0, (const char *const[]){chain[0], chain[1], chain[2], chain[3], NULL});
    ag_check(copied.count < live.count);
    ag_check_int(ag__unwind(&regs_seen, &half, copied.pc, 0), 0);
}

AG_TEST(unwind_agrees_with_the_compilers_unwinder) {
    root(VISIT_BOTH);
    check_same(&ours, &theirs);
}

static void *thread_main(void *arg) {
    root(VISIT_BOTH);
    return arg;
}

AG_TEST(unwind_finds_the_end_of_a_threads_stack) {
    pthread_t thread;
    ag_check_int(pthread_create(&thread, NULL, thread_main, NULL), 0);
    pthread_join(thread, NULL);
    check_same(&ours, &theirs);
    check_names(&ours, 6, (const char *const[]){"thread_main", NULL});
}

/* ---- Through other people's frames ---------------------------------------------------------- */

static int compare_and_look(const void *a, const void *b) {
    if (!ours.count)
        root(VISIT_BOTH);
    return *(const int *)a - *(const int *)b;
}

AG_TEST(unwind_goes_through_qsort) {
    int numbers[] = {5, 3, 9, 1, 7};
    ours.count = 0;
    qsort(numbers, 5, sizeof numbers[0], compare_and_look);
    check_same(&ours, &theirs);
    check_names(&ours, 6, (const char *const[]){"compare_and_look", NULL});
    int here = 0;
    while (here < ours.count && strcmp(name_of(ours.pc[here]), __func__) != 0)
        here++;
    ag_check(here > 7 && here < ours.count);
}

static void on_signal(int sig, siginfo_t *info, void *context) {
    ag__regs regs;
    (void)sig;
    (void)info;
    root(VISIT_BOTH);
    trace inner;
    ag__regs_of_signal(context, &regs);
    inner.count = ag__unwind(&regs, NULL, inner.pc, MAX);
    /* From the interrupted registers or through the signal frame: the same callers. */
    int shift = ours.count - inner.count;
    ag_check(shift > 6);
    ag_check(ours.pc[shift] == inner.pc[0] + 1);
    for (int i = 1; i < inner.count; i++)
        ag_check(ours.pc[shift + i] == inner.pc[i]);
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};
    ag_check_int(sigaction(sig, &action, NULL), 0);
}

KEPT static void interrupted(void) {
    raise(SIGUSR1);
    STAYS;
}

static void check_interrupted(const char *name) {
    int i = 0;
    while (i < ours.count && strcmp(name_of(ours.pc[i]), "interrupted") != 0)
        i++;
    check_names(&ours, 6, (const char *const[]){"on_signal", NULL});
    check_names(&ours, i, (const char *const[]){"interrupted", name, NULL});
}

AG_TEST(unwind_goes_through_a_signal_frame) {
    handle(SIGUSR1, on_signal, 0);
    interrupted();
    check_interrupted(__func__);
}

AG_TEST(unwind_goes_from_a_signal_stack_to_the_interrupted_one) {
    static unsigned char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    ag_check_int(sigaltstack(&alternate, NULL), 0);
    handle(SIGUSR1, on_signal, SA_ONSTACK);
    interrupted();
    check_interrupted(__func__);
}

/* ---- Exactly at every instruction ----------------------------------------------------------- */

#if defined(__x86_64__)
enum { TRACE_FLAG = 0x100 };
static int steps_taken;
static volatile bool steps_wanted;

/* Static programs have stubs without a table, at which their unwinder stops: there ours goes on. */
static bool they_stopped_early(const trace *mine, const trace *other) {
    for (int i = 0; i < other->count && i < mine->count; i++)
        if (mine->pc[i] != other->pc[i])
            return false;
    return other->count < 4 && mine->count > other->count;
}

static void on_step(int sig, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    trace mine, other;
    mine.count = ag__unwind_here(mine.pc, MAX, 0);
    other.count = 0;
    _Unwind_Backtrace(add_theirs, &other);
    mine.pc[0] = other.pc[0]; /* two places in this function */
    if (!they_stopped_early(&mine, &other))
        check_same(&mine, &other);
    steps_taken += mine.count > 6;
    if (steps_wanted)
        uc->uc_mcontext.gregs[REG_EFL] |= TRACE_FLAG;
    else
        uc->uc_mcontext.gregs[REG_EFL] &= ~TRACE_FLAG;
}

static int compare_only(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

KEPT static void stepped(void) {
    int numbers[] = {5, 3, 9, 1};
    char text[64];
    steps_wanted = true;
    raise(SIGTRAP);
    qsort(numbers, 4, sizeof numbers[0], compare_only);
    snprintf(text, sizeof text, "%d %s %5.2f", numbers[0], "text", 1.5);
    with_saved_registers(VISIT_HERE);
    steps_wanted = false;
    STAYS;
}

AG_TEST(unwind_agrees_at_every_instruction) {
    if (ag_test_slow() > 1)
        ag_skip("a fast machine: sanitizers and emulators single-step for ever, or not at all");
    handle(SIGTRAP, on_step, SA_NODEFER);
    stepped();
    ag_check(steps_taken > 1000);
}
#endif

/* ---- The corners of calling ----------------------------------------------------------------- */

static jmp_buf way_out;

__attribute__((noreturn)) KEPT static void never_returns(void) {
    root(VISIT_HERE);
    longjmp(way_out, 1);
}

/* The call is the last instruction: the return address is outside. */
__attribute__((noreturn)) KEPT static void ends_with_a_call(void) {
    never_returns();
}

KEPT static void after_it(void) {
    STAYS;
}

AG_TEST(unwind_names_the_caller_of_a_function_that_does_not_return) {
    if (!setjmp(way_out))
        ends_with_a_call();
    after_it();
    check_names(&ours, 7,
                (const char *const[]){"never_returns", "ends_with_a_call", __func__, NULL});
}

static sigjmp_buf after_crash;

static void on_crash(int sig, siginfo_t *info, void *context) {
    ag__regs regs;
    (void)sig;
    (void)info;
    ag__regs_of_signal(context, &regs);
    ours.count = ag__unwind(&regs, NULL, ours.pc, MAX);
    theirs.count = ag__unwind_here(theirs.pc, MAX, 0);
    siglongjmp(after_crash, 1);
}

KEPT static void calls(void (*volatile fn)(void)) {
    fn();
    STAYS;
}

KEPT static void check_bad_call(uintptr_t address, const char *name) {
    if (!sigsetjmp(after_crash, 1))
        calls((void (*)(void))address);
    ag_check(ours.pc[0] == address);
    check_names(&ours, 1, (const char *const[]){"calls", "check_bad_call", name, NULL});
    ag_check(theirs.count > ours.count);
    ag_check(theirs.pc[theirs.count - ours.count] == address + 1);
}

AG_TEST(unwind_names_the_caller_through_a_bad_pointer) {
    not_under_valgrind();
    handle(SIGSEGV, on_crash, 0);
    check_bad_call(0, __func__);
    check_bad_call(0x10, __func__);
    void *data = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_bad_call((uintptr_t)data + 64, __func__);
    check_bad_call((uintptr_t)&stack_copy[64], __func__);
    STAYS;
}

/* A function without a call frame entry, with a frame pointer; then bytes that belong to nobody. */
void without_table(void (*fn)(visit), visit how);
#if defined(__x86_64__)
__asm__(
    ".pushsection .text\n.globl without_table\n.type without_table, @function\nwithout_table:\n\t"
    "pushq %rbp\n\tmovq %rsp, %rbp\n\tsubq $48, %rsp\n\tmovq %rdi, %rax\n\tmovl %esi, %edi\n\t"
    "call *%rax\n\tmovq %rbp, %rsp\n\tpopq %rbp\n\tret\n"
    ".size without_table, . - without_table\n\t.skip 64\n.popsection");
#else
__asm__(
    ".pushsection .text\n.globl without_table\n.type without_table, %function\nwithout_table:\n\t"
    "stp x29, x30, [sp, #-48]!\n\tmov x29, sp\n\tmov x9, x0\n\tmov w0, w1\n\t"
    "blr x9\n\tldp x29, x30, [sp], #48\n\tret\n"
    ".size without_table, . - without_table\n\t.skip 64\n.popsection");
#endif

/* Has a frame pointer in every build: the size of its frame is not known. */
KEPT static void with_frame_pointer(visit how) {
    unsigned char *local = alloca(64 + (size_t)how);
    __asm__ volatile("" ::"r"(local) : "memory");
    without_table(root, how);
    __asm__ volatile("" ::"r"(local) : "memory");
}

AG_TEST(unwind_follows_frame_pointers_where_there_is_no_table) {
    with_frame_pointer(VISIT_HERE);
    check_names(&ours, 6,
                (const char *const[]){"root", "without_table", "with_frame_pointer", NULL});
}

AG_TEST(unwind_keeps_errno) {
    ag__regs regs = {.pc = 8, .sp = 8, .fp = 8};
    uintptr_t pcs[4];
    errno = 77;
    ag__unwind(&regs, NULL, pcs, 4);
    root(VISIT_HERE);
    name_of(ours.pc[0]);
    ag_check_int(errno, 77);
}

/* ---- Broken stacks, broken tables ----------------------------------------------------------- */

AG_TEST(unwind_survives_broken_stacks) {
    static unsigned char damaged[sizeof stack_copy];
    uint64_t seed = 1;
    not_under_valgrind();
    stack_top = (uintptr_t)__builtin_frame_address(0) + 16;
    root(VISIT_REGS);
    trace whole = ours, t;
    size_t size = view_seen.hi - view_seen.lo;
    int shorter = 0, rounds = 20000 / ag_test_slow();
    for (int round = 0; round < rounds; round++) {
        ag__regs regs = regs_seen;
        ag__stack_view v = {view_seen.lo, view_seen.hi, damaged};
        memcpy(damaged, stack_copy, size);
        for (int i = round % 50; i >= 0; i--) {
            uint64_t word = random_next(&seed), at = random_next(&seed) % (size / 8);
            word = word % 4 == 0 ? word % size + v.lo : word % 4 == 1 ? whole.pc[word % 7] : word;
            memcpy(damaged + at * 8, &word, 8);
        }
        if (round % 3 == 0)
            regs.callee[round % 12] = random_next(&seed);
        if (round % 7 == 0)
            regs.fp = v.lo + random_next(&seed) % size;
        t.count = ag__unwind(&regs, &v, t.pc, MAX);
        ag_check(t.count >= 1 && t.count <= MAX && t.pc[0] == regs.pc);
        shorter += t.count < whole.count;
    }
    ag_check(shorter > rounds / 50);
}

AG_TEST(unwind_survives_broken_registers) {
    uint64_t seed = 2;
    trace t;
    not_under_valgrind();
    for (int round = 0; round < 20000 / ag_test_slow(); round++) {
        ag__regs regs;
        uint64_t code = (uintptr_t)root + random_next(&seed) % 4096;
        regs.pc = round % 2 ? code : random_next(&seed);
        for (int i = 0; i < 12; i++)
            regs.callee[i] = random_next(&seed) >> (round % 64);
        regs.fp = round % 4 == 3 ? (uintptr_t)&regs : random_next(&seed) >> (round % 64);
        regs.sp = round % 4 ? (uintptr_t)&regs & ~(uintptr_t)15 : random_next(&seed);
        t.count = ag__unwind(&regs, NULL, t.pc, MAX);
        ag_check(t.count >= 1 && t.count <= MAX);
    }
}

AG_TEST(unwind_probes_memory_page_by_page) {
    unsigned char *at =
        mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ag_check(at != MAP_FAILED);
    ag_check_int(munmap(at + 2 * 4096, 4096), 0);
    ag_check_int(mprotect(at + 4 * 4096, 4096, PROT_NONE), 0);
    ag__memory mem = ag__memory_of(NULL);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 5 * 4096; i++) {
            uintptr_t v, page = i / 4096, last = (i + 7) / 4096;
            bool there = page != 2 && last != 2 && page != 4 && last < 4;
            ag_check_int(ag__memory_word(&mem, (uintptr_t)at + i, &v), there);
        }
        mem = round ? ag__memory_of(NULL) : mem;
        mem.room = round ? 0 : mem.room;
    }
    uintptr_t v;
    for (int i = -4096; i < 4096; i++)
        ag_check(!ag__memory_word(&mem, (uintptr_t)i, &v));
    ag_check(!ag__memory_word(&mem, (uintptr_t)1 << 63, &v));
    ag_check(!ag__memory_word(&mem, 0x7ffffffffff8, &v));
}

AG_TEST(unwind_reads_nothing_outside_a_view) {
    static const unsigned char copy[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    uintptr_t v = 0;
    for (uintptr_t size = 0; size <= 16; size++) {
        ag__memory mem = ag__memory_of(&(ag__stack_view){1000, 1000 + size, copy});
        for (uintptr_t at = 980; at < 1030; at++) {
            bool there = at >= 1000 && at + 8 <= 1000 + size;
            ag_check_int(ag__memory_word(&mem, at, &v), there);
            ag_check(!there || (v & 0xff) == at - 999);
        }
    }
    ag__memory none = ag__memory_of(&(ag__stack_view){2000, 1000, copy});
    ag_check(!ag__memory_word(&none, 1500, &v));
}

/* The program's segments at another place, tables and all. */
static ag__module copy_module(const ag__module *m, unsigned char **ret_bytes) {
    ag__module copy = *m;
    size_t size = m->hi - m->lo;
    unsigned char *bytes =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ag_check(bytes != MAP_FAILED);
    uintptr_t delta = (uintptr_t)bytes - m->lo;
    for (int i = 0; i < m->phdr_count; i++)
        if (m->phdr[i].p_type == PT_LOAD && !(m->phdr[i].p_flags & PF_W))
            copy_bytes(bytes + (m->bias + m->phdr[i].p_vaddr - m->lo), m->bias + m->phdr[i].p_vaddr,
                       m->phdr[i].p_memsz);
    copy.bias += delta, copy.lo += delta, copy.hi += delta;
    copy.eh_lo += delta, copy.eh_hi += delta, copy.eh_hdr += delta;
    copy.code_lo += delta, copy.code_hi += delta;
    *ret_bytes = bytes;
    return copy;
}

static int try_steps(const ag__module *m, const ag__module *copy, const ag__stack_view *v) {
    int found = 0;
    for (int i = 0; i < 7; i++) {
        ag__fde fde;
        ag__rules rules;
        ag__memory mem = ag__memory_of(v);
        ag__frame f = {.pc = ours.pc[i] - m->lo + copy->lo};
        for (unsigned r = 0; r < AG__REGS; r++)
            ag__frame_set(&f, r, v->lo + r * 64);
        if (ag__fde_find(copy, f.pc - 1, &fde))
            found += ag__cfi_step(&fde, f.pc - 1, &mem, &f, &rules) == AG__STEP_OK;
    }
    return found;
}

AG_TEST(unwind_survives_broken_tables) {
    ag__module m;
    ag__fde fde;
    unsigned char *bytes;
    uint64_t seed = 3;
    root(VISIT_HERE);
    ag_check(ag__module_find(ours.pc[0], &m));
    if (!m.eh_hdr)
        ag_skip("linked without .eh_frame_hdr");
    ag__module copy = copy_module(&m, &bytes);
    size_t from = m.eh_hdr - m.lo, size = m.eh_hi - m.eh_hdr;
    unsigned char *good = malloc(size);
    memcpy(good, bytes + from, size);
    ag__stack_view v = {(uintptr_t)stack_copy, (uintptr_t)stack_copy + sizeof stack_copy, NULL};
    int whole = try_steps(&m, &copy, &v), fewer = 0, rounds = 20000 / ag_test_slow();
    ag_check_int(whole, 7);
    /* Damage the start of the search table, an entry, its common entry, or anything. */
    for (int round = 0; round < rounds; round++) {
        memcpy(bytes + from, good, size);
        ag_check(ag__fde_find(&copy, ours.pc[round % 7] - 1 - m.lo + copy.lo, &fde));
        unsigned char *places[] = {bytes + from, (unsigned char *)fde.own.p - 17,
                                   (unsigned char *)fde.common.p - 17, bytes + from};
        size_t span = round % 4 == 3 ? size : 32;
        for (int hits = 1 + round % 13; hits > 0; hits--)
            places[round % 4][random_next(&seed) % span] = (unsigned char)random_next(&seed);
        fewer += try_steps(&m, &copy, &v) < whole;
    }
    ag_check(fewer > rounds / 10);
    free(good);
}

/* ---- Names ---------------------------------------------------------------------------------- */

int public_function(int n);
KEPT int public_function(int n) {
    return n + 1;
}

AG_TEST(symbol_tells_name_module_and_offset) {
    ag__symbol_info info;
    ag_check_int(ag__symbol((uintptr_t)public_function, false, &info), 0);
    ag_check_str(info.name, "public_function");
    ag_check_int(info.offset, 0);
    ag_check_contains(info.module, "/");
    ag_check_int(ag__symbol((uintptr_t)after_it + 1, true, &info), 0);
    ag_check_str(info.name, "after_it");
    ag_check_int(info.offset, 1);
    ag_check_int(
        ag__symbol((uintptr_t)after_it, true, &info) == 0 && !strcmp(info.name, "after_it"), 0);
}

AG_TEST(symbol_of_no_module_is_unknown) {
    ag__symbol_info info;
    ag_check_int(ag__symbol(16, false, &info), -ENOENT);
    ag_check(!info.name && !info.module);
    ag_check_int(info.offset, 16);
    ag_check_int(ag__symbol((uintptr_t)&info, false, &info), -ENOENT);
    ag_check(!info.module);
}

AG_TEST(mapping_is_the_one_the_kernel_lists) {
    char line[4352], path[4096];
    unsigned long lo, hi, offset;
    bool found = false;
    ag__mapping_info m;
    ag_check_int(ag__mapping((uintptr_t)root, &m), 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        *path = 0;
        sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095s", &lo, &hi, &offset, path);
        if ((uintptr_t)root < lo || (uintptr_t)root >= hi)
            continue;
        found = true;
        ag_check_int(m.lo, lo);
        ag_check_int(m.hi, hi);
        ag_check_int(m.offset, offset);
        ag_check_str(m.path, path);
    }
    fclose(maps);
    ag_check(found);
    uintptr_t program = ag__program_pc();
    ag_check(program >= m.lo && program < m.hi);
    ag_check_int(ag__mapping((uintptr_t)&m, &m), -ENOENT);
}

AG_TEST(symbol_ends_with_its_size) {
    ag__symbol_info info;
    ag_check_int(ag__symbol((uintptr_t)without_table + 16, false, &info), 0);
    ag_check_str(info.name, "without_table");
    ag_check_int(ag__symbol((uintptr_t)without_table + 60, false, &info), -ENOENT);
    ag_check(!info.name);
    ag_check_contains(info.module, "/");
}

AG_TEST(what_compilers_append_to_names_is_known) {
    ag_check_int(ag__symbol_length("plain"), 5);
    ag_check_int(ag__symbol_length("waits_here.cold"), 10);
    ag_check_int(ag__symbol_length("copies.constprop.0.isra.0"), 6);
    ag_check_int(ag__symbol_length(".starts_with_it"), 15);
    ag_check_int(ag__symbol_length(""), 0);
}

AG_TEST(symbol_names_functions_of_libraries) {
    ag__symbol_info info;
    void (*volatile fn)(void *, size_t, size_t, int (*)(const void *, const void *)) = qsort;
    ag__symbol_prepare();
    ag_check_int(ag__symbol((uintptr_t)fn, false, &info), 0);
    ag_check_str(info.name, "qsort");
    ag_check_int(info.offset, 0);
}

AG_TEST(symbol_names_functions_of_the_kernels_part) {
    ag__module m;
    ag__symbol_info info;
    uintptr_t at = getauxval(AT_SYSINFO_EHDR);
    if (!at)
        ag_skip("there is no vdso");
    ag_check(ag__module_find(at, &m));
    ag_check_str(ag__module_name(&m), "[vdso]");
    int named = 0;
    for (uintptr_t pc = m.code_lo; pc < m.code_hi; pc += 16)
        if (ag__symbol(pc, false, &info) == 0) {
            named += strstr(info.name, "gettime") != NULL;
            ag_check_str(info.module, "[vdso]");
        }
    ag_check(named > 0);
}

static void *ask_names(void *arg) {
    for (int i = 0; i < 7; i++)
        ag_check_str(name_of(theirs.pc[i]), chain[i]);
    return arg;
}

AG_TEST(symbol_may_be_asked_first_by_many_threads) {
    pthread_t threads[8];
    ours.count = ag__unwind_here(ours.pc, MAX, 0);
    root(VISIT_HERE);
    theirs = ours;
    for (int i = 0; i < 8; i++)
        ag_check_int(pthread_create(&threads[i], NULL, ask_names, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

AG_TEST(index_sorts_and_finds_the_floor) {
    uint64_t seed = 4;
    ag__index *index = ag__index_new(1000);
    ag_check_int(ag__index_floor(index, 5), -1);
    for (index->count = 0; index->count < index->room; index->count++)
        index->key[index->count] = (random_next(&seed) % 500 * 10) << 32 | index->count;
    ag__index_sort(index);
    for (size_t i = 1; i < index->count; i++)
        ag_check(index->key[i - 1] < index->key[i]);
    for (uint32_t at = 0; at < 5010; at++) {
        ptrdiff_t i = ag__index_floor(index, at);
        ag_check(i < 0 || index->key[i] >> 32 <= at);
        ag_check(i + 1 == (ptrdiff_t)index->count || index->key[i + 1] >> 32 > at);
    }
    ag__index_free(index);
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static int called_on_line;

KEPT static void remembers_its_line(void) {
    ours.count = ag__unwind_here(ours.pc, MAX, 0), called_on_line = __LINE__;
    STAYS;
}

AG_TEST(line_tells_the_line_of_a_call) {
    ag__line_info line;
    remembers_its_line();
    int result = ag__line(ours.pc[0], true, &line);
    if (result == -ENOENT)
        ag_skip("built without line tables");
    ag_check_int(result, 0);
    ag_check_int(line.line, called_on_line);
    ag_check_contains(line.file, "unwind_test.c");
    ag_check_int(ag__line((uintptr_t)remembers_its_line, false, &line), 0);
    ag_check_int(line.line, called_on_line - 1);
    ag_check(!line.dir || *line.file != '/');
}

AG_TEST(line_of_no_module_is_unknown) {
    ag__line_info line;
    ag_check_int(ag__line(16, false, &line), -ENOENT);
    ag_check_int(ag__line((uintptr_t)&line, false, &line), -ENOENT);
}
