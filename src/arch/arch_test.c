/* SPDX-License-Identifier: MIT */
/*
 * arch_test.c - what arch.h promises, on the processor this runs on.
 *
 * Two sides, the main stack and another, fill all callee-saved registers with words of their own
 * before they call into switch.S, and look at them afterwards. That cannot be said in C, so
 * `call_with` below is assembler.
 *
 * The call frame tables are checked instruction by instruction: a trap is taken before each one
 * in switch.S, and the handler walks the stack from there. x86-64 has a flag for that; aarch64
 * gets a breakpoint in one place after the other.
 */
#include "ag_test.h"
#include "arch/arch.h"
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

typedef void any_fn(void);
#define PTR(fn) ((void *)(uintptr_t)(fn))

/*
 * Loads the callee-saved registers from `in`, calls fn(a, b, c), stores the registers in `ret_out`
 * and returns what fn returned. At the call, its frame starts with the words `in` and `ret_out`.
 */
intptr_t call_with(any_fn *fn, void *a, void *b, const void *c, const uint64_t *in,
                   uint64_t *ret_out) __asm__("arch_test_call_with");

/* ---- Processors ----------------------------------------------------------------------------- */

#if defined(__x86_64__)

enum { WORDS = 6, UNWIND_BYTES = 27, STEPS_MIN = 100 };
#define FIRST ag__switch_prepare /* in switch.S */
static const int dwarf_number[WORDS] = {3, 6, 12, 13, 14, 15};

/* clang-format off */
#define PUSH(r) "push %" #r "\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %" #r ", 0\n"
#define POP(r) "pop %" #r "\n .cfi_adjust_cfa_offset -8\n .cfi_restore %" #r "\n"
#define EACH_WORD(w)                                                                               \
    w(0, rbx) w(8, rbp) w(16, r12) w(24, r13) w(32, r14) w(40, r15)
#define LOAD(at, r) "mov " #at "(%r8), %" #r "\n"
#define STORE(at, r) "mov %" #r ", " #at "(%rcx)\n"

__asm__(".text\n"
        ".type arch_test_call_with, @function\n"
        "arch_test_call_with:\n"
        ".cfi_startproc\n" PUSH(rbp) PUSH(rbx) PUSH(r12) PUSH(r13) PUSH(r14) PUSH(r15)
        "sub $24, %rsp\n"
        ".cfi_adjust_cfa_offset 24\n"
        "mov %r8, (%rsp)\n"
        "mov %r9, 8(%rsp)\n"
        "mov %rdi, %rax\n"
        "mov %rsi, %rdi\n"
        "mov %rdx, %rsi\n"
        "mov %rcx, %rdx\n" EACH_WORD(LOAD)
        "call *%rax\n"
        "mov 8(%rsp), %rcx\n" EACH_WORD(STORE)
        "add $24, %rsp\n"
        ".cfi_adjust_cfa_offset -24\n"
        POP(r15) POP(r14) POP(r13) POP(r12) POP(rbx) POP(rbp)
        "ret\n"
        ".cfi_endproc\n"
        ".size arch_test_call_with, .-arch_test_call_with\n");
/* clang-format on */

/* MXCSR below, x87 above; the exception flags are left out. */
static uint64_t control(void) {
    uint32_t sse;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(sse), "=m"(x87));
    return (sse & 0xffc0) | (uint64_t)x87 << 32;
}

static void set_control(uint64_t word) {
    uint32_t sse = (uint32_t)word;
    uint16_t x87 = (uint16_t)(word >> 32);
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(sse), "m"(x87));
}

/* SSE rounds up; SSE flushes to zero; x87 rounds to double precision; x87 rounds down. */
static const uint64_t control_bits[] = {0x4000, 0x8000, 1ull << 40, 1ull << 42};

static uintptr_t pc_of(const ucontext_t *u) {
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
}

static uintptr_t sp_of(const ucontext_t *u) {
    return (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
}

/* Runs the steps with the trap flag set. Nothing may be pushed into the red zone. */
static void trace(void (*steps)(void)) {
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
    steps();
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\t"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

/* Whose frames the tables show. At the end of the inline switch, where rbp is the other side's
 * already, they are the other side's, too. */
static uintptr_t shown_of(const ucontext_t *u) {
    const char *pc = (const char *)pc_of(u);
    if (memcmp(pc, "\x48\x8d\x66\x18", 4) == 0) /* leaq 24(%rsi), %rsp */
        return (uintptr_t)u->uc_mcontext.gregs[REG_RSI];
    return sp_of(u);
}

static void rearm(void) {
}
static void disarm(void) {
}

#else

enum { WORDS = 19, UNWIND_BYTES = 24, STEPS_MIN = 100 };
#define FIRST ag__switch
static const int dwarf_number[WORDS] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};

/* clang-format off */
/* x19 .. x28 from `x` on, d8 .. d15 from `d` on. */
#define EACH_PAIR(op, base, x, d)                                                                  \
    op " x19, x20, [" base ", #" x "]\n" op " x21, x22, [" base ", #16+" x "]\n"                   \
    op " x23, x24, [" base ", #32+" x "]\n" op " x25, x26, [" base ", #48+" x "]\n"                \
    op " x27, x28, [" base ", #64+" x "]\n"                                                        \
    op " d8, d9, [" base ", #" d "]\n" op " d10, d11, [" base ", #16+" d "]\n"                     \
    op " d12, d13, [" base ", #32+" d "]\n" op " d14, d15, [" base ", #48+" d "]\n"
#define CFI(r) ".cfi_offset x" #r ", (" #r "-19)*8-160\n"

__asm__(".text\n"
        ".type arch_test_call_with, %function\n"
        "arch_test_call_with:\n"
        ".cfi_startproc\n"
        "hint #34\n"
        "sub sp, sp, #176\n"
        ".cfi_def_cfa_offset 176\n"
        EACH_PAIR("stp", "sp", "16", "112")
        "stp x29, x30, [sp, #96]\n"
        CFI(19) CFI(20) CFI(21) CFI(22) CFI(23) CFI(24)
        CFI(25) CFI(26) CFI(27) CFI(28) CFI(29) CFI(30)
        "stp x4, x5, [sp]\n"
        "mov x9, x0\n"
        "mov x0, x1\n"
        "mov x1, x2\n"
        "mov x2, x3\n"
        EACH_PAIR("ldp", "x4", "0", "88")
        "ldr x29, [x4, #80]\n"
        "blr x9\n"
        "ldr x9, [sp, #8]\n"
        EACH_PAIR("stp", "x9", "0", "88")
        "str x29, [x9, #80]\n"
        EACH_PAIR("ldp", "sp", "16", "112")
        "ldp x29, x30, [sp, #96]\n"
        "add sp, sp, #176\n"
        ".cfi_def_cfa_offset 0\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size arch_test_call_with, .-arch_test_call_with\n");
/* clang-format on */

static uint64_t control(void) {
    uint64_t word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
}

static void set_control(uint64_t word) {
    __asm__ volatile("msr fpcr, %0" ::"r"(word));
}

/* Rounds up; rounds down; flushes to zero; default NaN. */
static const uint64_t control_bits[] = {1 << 22, 1 << 23, 1 << 24, 1 << 25};

static uintptr_t pc_of(const ucontext_t *u) {
    return u->uc_mcontext.pc;
}

static uintptr_t sp_of(const ucontext_t *u) {
    return u->uc_mcontext.sp;
}

static uintptr_t shown_of(const ucontext_t *u) {
    return sp_of(u);
}

/* The instruction that is replaced by a breakpoint, if `armed`. */
static volatile uint32_t *place;
static uint32_t original;
static bool armed;

static void put(uint32_t instruction) {
    *place = instruction;
    __builtin___clear_cache((char *)place, (char *)(place + 1));
}

static void rearm(void) {
    if (place)
        put(0xd4200000);
    armed = place != NULL;
}

static void disarm(void) {
    if (armed)
        put(original);
    armed = false;
}

/* Runs the steps once for each instruction, with a breakpoint on it. */
static void trace(void (*steps)(void)) {
    uintptr_t lo = (uintptr_t)FIRST, hi = (uintptr_t)ag__try_unwind + UNWIND_BYTES;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = lo / page * page;
    if (mprotect((void *)from, hi - from, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        ag_skip("code cannot be made writable here");
    for (uintptr_t pc = lo; pc < hi; pc += 4) {
        place = (volatile uint32_t *)pc;
        original = *place;
        rearm();
        steps();
        disarm();
    }
    place = NULL;
}

#endif

/* ---- The other side ------------------------------------------------------------------------- */

enum { STACK_BYTES = 256 * 1024 };
static char *stack;
static void *main_sp, *other_sp;
static uintptr_t bottom_pc; /* where a new stack starts to run */

static void start(any_fn *entry) {
    uintptr_t callee[12];
    if (!stack)
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ag_check(stack != MAP_FAILED);
    memset(stack + STACK_BYTES - 512, 0xa5, 512);
    other_sp = ag__switch_prepare(stack + STACK_BYTES, entry);
    bottom_pc = ag__frame_read(other_sp, callee);
}

static void fill(uint64_t words[WORDS], uint64_t seed) {
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = (seed << 8 | i) * 0x0101010101010101ull + i;
}

/* Calls fn with registers filled from `seed`, and checks that it kept them. */
static intptr_t check_kept(any_fn *fn, void *a, void *b, const void *c, uint64_t seed) {
    uint64_t in[WORDS], out[WORDS];
    fill(in, seed);
    rearm();
    intptr_t result = call_with(fn, a, b, c, in, out);
    disarm();
    ag_check_mem(out, in, sizeof in);
    return result;
}

static void nothing(void) {
}
static any_fn *volatile other_function = nothing;

/* The switch may be inline; then it needs a function around it that calls others. */
static __attribute__((noinline)) void do_switch(void **save_sp, void *load_sp) {
    other_function();
    ag__switch(save_sp, load_sp);
    other_function();
}

static void to_other(uint64_t seed) {
    check_kept((any_fn *)do_switch, &main_sp, other_sp, NULL, seed);
}

static void to_main(uint64_t seed) {
    check_kept((any_fn *)do_switch, &other_sp, main_sp, NULL, seed);
}

static int visits;

static void visit_for_ever(void) {
    for (;;) {
        visits++;
        to_main(1000 + (uint64_t)visits);
    }
}

AG_TEST(switch_keeps_callee_saved_registers) {
    start(visit_for_ever);
    for (int i = 1; i <= 5; i++) {
        to_other((uint64_t)i);
        ag_check_int(visits, i);
    }
}

static char *entry_cfa;

static void note_the_stack(void) {
    entry_cfa = __builtin_dwarf_cfa();
    to_main(1);
}

AG_TEST(switch_enters_with_an_aligned_stack) {
    start(note_the_stack);
    ag_check((char *)other_sp + AG__FRAME_WORDS * sizeof(void *) <= stack + STACK_BYTES);
    to_other(2);
    ag_check_int((uintptr_t)entry_cfa % 16, 0);
    ag_check(entry_cfa <= stack + STACK_BYTES && entry_cfa > stack + STACK_BYTES - 64);
}

/* ---- Floating point ------------------------------------------------------------------------- */

static uint64_t other_control;

/* What it does not emulate. */
static void needs_all_of_the_fpu(void) {
    if (ag_test_under("valgrind"))
        ag_skip("floating-point flags and the precision of the x87, which valgrind knows not");
}

static void control_other_side(void) {
    for (;;) {
        uint64_t mine = other_control;
        set_control(mine);
        to_main(1);
        ag_check_int(control(), mine);
    }
}

AG_TEST(switch_keeps_each_control_bit) {
    needs_all_of_the_fpu();
    uint64_t normal = control();
    start(control_other_side);
    for (unsigned i = 0; i < sizeof control_bits / sizeof *control_bits; i++) {
        other_control = normal ^ control_bits[i];
        to_other(2 * i);
        ag_check_int(control(), normal);
        other_control = normal;
        to_other(2 * i + 1);
        ag_check_int(control(), normal);
    }
}

static volatile double one = 1, three = 3;

static void round_upward(void) {
    fesetround(FE_UPWARD);
    to_main(1);
    ag_check_int(fegetround(), FE_UPWARD);
    ag_check(one / three * 3 > 1);
    to_main(1);
}

AG_TEST(switch_keeps_the_rounding_mode) {
    needs_all_of_the_fpu();
    start(round_upward);
    fesetround(FE_TOWARDZERO);
    to_other(1);
    ag_check_int(fegetround(), FE_TOWARDZERO);
    ag_check(one / three * 3 < 1);
    to_other(2);
    ag_check_int(fegetround(), FE_TOWARDZERO);
}

static int mode_at_entry;

static void note_the_mode(void) {
    mode_at_entry = fegetround();
    to_main(1);
}

AG_TEST(switch_enters_with_the_mode_of_the_one_that_prepared) {
    fesetround(FE_UPWARD);
    start(note_the_mode);
    fesetround(FE_TONEAREST);
    to_other(1);
    ag_check_int(mode_at_entry, FE_UPWARD);
    ag_check_int(fegetround(), FE_TONEAREST);
}

static int flags_after;

static void raise_and_look(void) {
    ag_check(one / three > 0);
    ag_check(fetestexcept(FE_INEXACT));
    to_main(1);
    flags_after = fetestexcept(FE_INEXACT);
    to_main(1);
}

/* Loading control words is slow, and flags differ nearly always. */
AG_TEST(switch_does_not_load_control_words_for_a_flag) {
    needs_all_of_the_fpu();
    start(raise_and_look);
    to_other(1);
    feclearexcept(FE_ALL_EXCEPT);
    to_other(1);
    ag_check_int(flags_after, 0);
}

static volatile long double zero, sum;

static void trap_on_division(void) {
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_DIVBYZERO);
    to_main(1);
    sum = sum + 1;
    to_main(1);
}

AG_TEST(switch_to_unmasked_exceptions_raises_none_of_the_other_side) {
    if (feenableexcept(FE_DIVBYZERO) == -1 || !(fegetexcept() & FE_DIVBYZERO))
        ag_skip("the processor has no floating-point traps");
    fedisableexcept(FE_DIVBYZERO);
    start(trap_on_division);
    to_other(1);
    sum = 1 / zero;
    to_other(1);
    ag_check(sum > 1e30L);
}

/* ---- Calls with six words ------------------------------------------------------------------- */

static const void *came_from;

static intptr_t six(intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f) {
    intptr_t got[6] = {a, b, c, d, e, f};
    came_from = __builtin_extract_return_addr(__builtin_return_address(0));
    ag_check_int((uintptr_t)__builtin_dwarf_cfa() % 16, 0);
    for (int i = 0; i < 6; i++)
        ag_check_int(got[i], INTPTR_MIN + i * 0x10001);
    return INTPTR_MAX - 7;
}

static const intptr_t six_args[6] = {INTPTR_MIN,           INTPTR_MIN + 0x10001,
                                     INTPTR_MIN + 0x20002, INTPTR_MIN + 0x30003,
                                     INTPTR_MIN + 0x40004, INTPTR_MIN + 0x50005};

AG_TEST(call_passes_six_words_and_the_result) {
    ag_check_int(ag__call((any_fn *)six, six_args), INTPTR_MAX - 7);
    ag_check_int(ag__call_panicking((any_fn *)six, six_args), INTPTR_MAX - 7);
}

AG_TEST(call_keeps_callee_saved_registers) {
    check_kept((any_fn *)ag__call, PTR(six), (void *)six_args, NULL, 1);
    check_kept((any_fn *)ag__call_panicking, PTR(six), (void *)six_args, NULL, 2);
}

AG_TEST(call_of_a_panic_is_known_by_its_return_address) {
    ag__call((any_fn *)six, six_args);
    ag_check(came_from != ag__call_panicking_return);
    ag__call_panicking((any_fn *)six, six_args);
    ag_check_ptr(came_from, ag__call_panicking_return);
}

static int total(int n, ...) {
    int result = 0;
    va_list args;
    va_start(args, n);
    while (n--)
        result += va_arg(args, int);
    va_end(args);
    return result;
}

AG_TEST(call_works_for_variadic_functions) {
    const intptr_t args[6] = {5, 1, 20, 300, 4000, -1};
    ag_check_int((int)ag__call((any_fn *)total, args), 4320);
}

/* ---- Try ------------------------------------------------------------------------------------ */

/* Sanitizers must not poison frames that are thrown away. */
#define THROWN_AWAY __attribute__((no_sanitize("address"), noinline))

static void *try_frame, *outer_frame;
static volatile int reached;

static intptr_t returns(intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f) {
    ag_check(try_frame != NULL);
    reached++;
    return six(a, b, c, d, e, f);
}

/* Unwinds with a wrong rounding mode and wrong words in all callee-saved registers. */
THROWN_AWAY static void unwinds(void *frame) {
    uint64_t in[WORDS], out[WORDS];
    fill(in, 77777);
    reached++;
    fesetround(FE_DOWNWARD);
    rearm();
    call_with((any_fn *)ag__try_unwind, frame, NULL, NULL, in, out);
    ag_fail("ag__try_unwind returned");
}

THROWN_AWAY static void unwinds_itself(void) {
    unwinds(try_frame);
}

AG_TEST(try_call_returns_0_after_a_return) {
    ag_check_int((int)check_kept((any_fn *)ag__try_call, &try_frame, PTR(returns), six_args, 1), 0);
    ag_check_int(reached, 1);
}

AG_TEST(try_unwind_returns_1_and_restores_registers) {
    for (int i = 1; i <= 3; i++) {
        fesetround(FE_UPWARD);
        ag_check_int(
            (int)check_kept((any_fn *)ag__try_call, &try_frame, PTR(unwinds_itself), six_args, 4),
            1);
        ag_check_int(fegetround(), FE_UPWARD);
        ag_check_int(reached, i);
    }
}

THROWN_AWAY static void tries_inside(void) {
    const intptr_t to_outer[6] = {(intptr_t)outer_frame};
    ag_check_int(ag__try_call(&try_frame, unwinds_itself, six_args), 1);
    ag__try_call(&try_frame, (any_fn *)unwinds, to_outer);
    ag_fail("the outer call was not left");
}

AG_TEST(try_unwind_passes_inner_frames) {
    ag_check_int(
        (int)check_kept((any_fn *)ag__try_call, &outer_frame, PTR(tries_inside), six_args, 5), 1);
    ag_check_int(reached, 2);
}

/* ---- Thread-local pointers ------------------------------------------------------------------ */

static char tls_at_start;
extern _Thread_local void *arch_test_tls
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
_Thread_local void *arch_test_tls = &tls_at_start;

static void *read_tls_of_a_thread(void *arg) {
    void *at_start = AG__TLS_LOAD(arch_test_tls);
    arch_test_tls = arg;
    ag_check_ptr(AG__TLS_LOAD(arch_test_tls), arg);
    return at_start;
}

AG_TEST(tls_load_reads_the_pointer_of_this_thread) {
    pthread_t thread;
    void *seen_at_start;
    arch_test_tls = &thread;
    ag_check_int(pthread_create(&thread, NULL, read_tls_of_a_thread, &seen_at_start), 0);
    ag_check_int(pthread_join(thread, &seen_at_start), 0);
    ag_check_ptr(seen_at_start, &tls_at_start);
    ag_check_ptr(AG__TLS_LOAD(arch_test_tls), &thread);
    ag__cpu_pause();
}

/* ---- Call frame tables ---------------------------------------------------------------------- */

struct walk {
    uintptr_t from;      /* where the trap was taken */
    uintptr_t last, end; /* the last two addresses */
    int frames, after;   /* how many; how many from `from` on */
    bool words;          /* a frame of call_with was checked */
};

static bool is_bottom(uintptr_t pc) {
    return pc >= bottom_pc && pc <= bottom_pc + 24;
}

/* The frame is that of call_with: the registers must be those it loaded. */
static void check_words(struct _Unwind_Context *context) {
    const uint64_t *in = *(const uint64_t **)_Unwind_GetCFA(context);
    for (int i = 0; i < WORDS && dwarf_number[i]; i++)
        ag_check_int(_Unwind_GetGR(context, dwarf_number[i]), in[i]);
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg) {
    struct walk *w = arg;
    uintptr_t pc = _Unwind_GetIP(context);
    if (pc == w->from || w->after)
        w->after++;
    if (w->after > 1 && !w->words && pc &&
        (uintptr_t)_Unwind_GetRegionStart(context) == (uintptr_t)call_with) {
        check_words(context);
        w->words = true;
    }
    w->last = w->end;
    w->end = pc;
    return ++w->frames < 200 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

/* All the way out from `from` (0: from here), which stands on the other stack or not. */
static void check_walk(uintptr_t from, bool other) {
    struct walk w = {.from = from};
    ag_check_int(_Unwind_Backtrace(step, &w), _URC_END_OF_STACK);
    ag_check_int(w.end, 0);
    ag_check(!from || is_bottom(from) || w.after > 2);
    ag_check(!other || is_bottom(w.last));
}

static uintptr_t seen[1024];
static int seen_count;

static void note_seen(uintptr_t pc) {
    for (int i = 0; i < seen_count; i++)
        if (seen[i] == pc)
            return;
    ag_check(seen_count < (int)(sizeof seen / sizeof *seen));
    seen[seen_count++] = pc;
}

static bool is_watched(uintptr_t pc) {
    uintptr_t around = (uintptr_t)do_switch;
    if (pc >= around && pc < around + 1024)
        return (uintptr_t)_Unwind_FindEnclosingFunction((void *)(pc + 1)) == around;
    return pc >= (uintptr_t)FIRST && pc < (uintptr_t)ag__try_unwind + UNWIND_BYTES;
}

static void on_trap(int sig, siginfo_t *info, void *ucontext) {
    uintptr_t pc = pc_of(ucontext), sp = shown_of(ucontext);
    bool other = sp > (uintptr_t)stack && sp <= (uintptr_t)stack + STACK_BYTES;
    (void)sig;
    (void)info;
    if (!is_watched(pc))
        return;
    disarm();
    note_seen(pc);
    check_walk(pc, other);
}

static void walk_for_ever(void) {
    for (;;) {
        check_walk(0, true);
        to_main(8);
    }
}

AG_TEST(backtrace_ends_at_the_bottom_of_a_stack) {
    start(walk_for_ever);
    to_other(1);
    to_other(2);
}

/* Everything switch.S offers, on the other side, with both forms of the control words. */
static void do_all(void) {
    uint64_t normal = control();
    ag__switch_prepare(stack + STACK_BYTES / 2, do_all);
    to_main(20);
    set_control(normal ^ control_bits[0]);
    to_main(21);
    set_control(normal ^ control_bits[3]);
    to_main(22);
    set_control(normal);
    check_kept((any_fn *)ag__call, PTR(six), (void *)six_args, NULL, 23);
    check_kept((any_fn *)ag__call_panicking, PTR(six), (void *)six_args, NULL, 24);
    check_kept((any_fn *)ag__try_call, &try_frame, PTR(returns), six_args, 25);
    check_kept((any_fn *)ag__try_call, &try_frame, PTR(unwinds_itself), six_args, 26);
    to_main(27);
}

static void steps(void) {
    start(do_all);
    for (uint64_t i = 0; i < 4; i++)
        to_other(10 + i);
}

AG_TEST(call_frame_tables_hold_at_every_instruction) {
    struct sigaction action = {.sa_flags = SA_SIGINFO};
#if defined(__x86_64__)
    if (getenv("AG_TEST_EXEC"))
        ag_skip("single steps do not work in an emulator");
#endif
    action.sa_sigaction = on_trap;
    sigaction(SIGTRAP, &action, NULL);
    trace(steps);
    if (seen_count < STEPS_MIN)
        ag_fail("only %d instructions were seen", seen_count);
}
