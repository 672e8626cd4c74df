/* SPDX-License-Identifier: MIT */
/*
 * unwind_cpu.h - all that unwinding knows about the processor, and the only place that asks which
 * one it is: the DWARF numbers of the registers, how to capture them, where a signal frame keeps
 * them, and how to undo a signed return address.
 */
#ifndef AG_OS_LINUX_UNWIND_CPU_H
#define AG_OS_LINUX_UNWIND_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "os/unwind.h"

#define AG__REG_AT(field) [field] "i"(offsetof(ag__regs, field))
#define AG__CALLEE_AT(i) [c##i] "i"(offsetof(ag__regs, callee) + 8 * (i))

#if defined(__x86_64__)

enum {
    AG__REGS = 16,    /* machine registers with a DWARF number */
    AG__COLUMNS = 17, /* and the return address, which has none of its own */
    AG__REG_FP = 6,
    AG__REG_SP = 7,
    AG__REG_PC = 16,      /* in expressions */
    AG__REG_LINK = -1,    /* calls push the return address */
    AG__SIGNAL_TABLE = 1, /* the call frame table of a signal frame restores all registers */
};

static const unsigned char ag__callee_reg[] = {3, 6, 12, 13, 14, 15};

#define AG__UC_GREG(r) (offsetof(ucontext_t, uc_mcontext.gregs) + 8 * (size_t)(r))
static const unsigned short ag__uc_reg_at[AG__REGS] = {
    AG__UC_GREG(REG_RAX), AG__UC_GREG(REG_RDX), AG__UC_GREG(REG_RCX), AG__UC_GREG(REG_RBX),
    AG__UC_GREG(REG_RSI), AG__UC_GREG(REG_RDI), AG__UC_GREG(REG_RBP), AG__UC_GREG(REG_RSP),
    AG__UC_GREG(REG_R8),  AG__UC_GREG(REG_R9),  AG__UC_GREG(REG_R10), AG__UC_GREG(REG_R11),
    AG__UC_GREG(REG_R12), AG__UC_GREG(REG_R13), AG__UC_GREG(REG_R14), AG__UC_GREG(REG_R15),
};
#define AG__UC_PC_AT AG__UC_GREG(REG_RIP)

/* mov $SYS_rt_sigreturn, %rax; syscall - the code a handler returns to. The handler's `ret` has
 * popped the return address, so the stack pointer is at the ucontext. */
static const unsigned char ag__sigreturn_code[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
#define AG__UC_FROM_SP 0

static inline uintptr_t ag__pc_plain(uintptr_t pc) {
    return pc;
}

/* Reads memory unseen by sanitizers: a stack holds red zones, and belongs to somebody else. */
static inline uintptr_t ag__load_word(uintptr_t at) {
    uintptr_t v;
    __asm__ volatile("movq (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

/* Fills `r` with the registers as they are inside the function this is inlined into. */
static inline __attribute__((always_inline)) void ag__regs_here(ag__regs *r) {
    __asm__ volatile("leaq 0f(%%rip), %%rax\n"
                     "0: movq %%rax, %c[pc](%[r])\n\t"
                     "movq %%rsp, %c[sp](%[r])\n\t"
                     "movq %%rbp, %c[fp](%[r])\n\t"
                     "movq %%rbx, %c[c0](%[r])\n\t"
                     "movq %%rbp, %c[c1](%[r])\n\t"
                     "movq %%r12, %c[c2](%[r])\n\t"
                     "movq %%r13, %c[c3](%[r])\n\t"
                     "movq %%r14, %c[c4](%[r])\n\t"
                     "movq %%r15, %c[c5](%[r])"
                     :
                     : [r] "r"(r), AG__REG_AT(pc), AG__REG_AT(sp), AG__REG_AT(fp), AG__CALLEE_AT(0),
                       AG__CALLEE_AT(1), AG__CALLEE_AT(2), AG__CALLEE_AT(3), AG__CALLEE_AT(4),
                       AG__CALLEE_AT(5)
                     : "rax", "memory");
}

#elif defined(__aarch64__)

enum {
    AG__REGS = 32,    /* x0-x30 and sp */
    AG__COLUMNS = 35, /* and up to 34, the state of the return address' signature */
    AG__REG_FP = 29,
    AG__REG_SP = 31,
    AG__REG_PC = 32,
    AG__REG_LINK = 30,
    AG__SIGNAL_TABLE = 0, /* the kernel's restores x29 and x30 alone */
};

static const unsigned char ag__callee_reg[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30};

#define AG__UC_X(i) (offsetof(ucontext_t, uc_mcontext.regs) + 8 * (size_t)(i))
#define AG__UC_X4(i) AG__UC_X(i), AG__UC_X((i) + 1), AG__UC_X((i) + 2), AG__UC_X((i) + 3)
static const unsigned short ag__uc_reg_at[AG__REGS] = {
    AG__UC_X4(0),
    AG__UC_X4(4),
    AG__UC_X4(8),
    AG__UC_X4(12),
    AG__UC_X4(16),
    AG__UC_X4(20),
    AG__UC_X4(24),
    AG__UC_X(28),
    AG__UC_X(29),
    AG__UC_X(30),
    offsetof(ucontext_t, uc_mcontext.sp),
};
#define AG__UC_PC_AT offsetof(ucontext_t, uc_mcontext.pc)

/* mov x8, #SYS_rt_sigreturn; svc #0 - the code a handler returns to, with the stack pointer at
 * the siginfo before the ucontext. */
static const unsigned char ag__sigreturn_code[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4};
#define AG__UC_FROM_SP 128

/* Takes the signature off a return address: XPACLRI, a hint that older processors ignore. */
static inline uintptr_t ag__pc_plain(uintptr_t pc) {
    register uintptr_t x30 __asm__("x30") = pc;
    __asm__("hint #7" : "+r"(x30));
    return x30;
}

/* Reads memory unseen by sanitizers: a stack holds red zones, and belongs to somebody else. */
static inline uintptr_t ag__load_word(uintptr_t at) {
    uintptr_t v;
    __asm__ volatile("ldr %0, [%1]" : "=r"(v) : "r"(at) : "memory");
    return v;
}

/* Fills `r` with the registers as they are inside the function this is inlined into. */
static inline __attribute__((always_inline)) void ag__regs_here(ag__regs *r) {
    __asm__ volatile("adr x9, 0f\n"
                     "0: mov x10, sp\n\t"
                     "stp x9, x10, [%[r], %[pc]]\n\t"
                     "str x29, [%[r], %[fp]]\n\t"
                     "stp x19, x20, [%[r], %[c0]]\n\t"
                     "stp x21, x22, [%[r], %[c2]]\n\t"
                     "stp x23, x24, [%[r], %[c4]]\n\t"
                     "stp x25, x26, [%[r], %[c6]]\n\t"
                     "stp x27, x28, [%[r], %[c8]]\n\t"
                     "stp x29, x30, [%[r], %[c10]]"
                     :
                     : [r] "r"(r), AG__REG_AT(pc), AG__REG_AT(fp), AG__CALLEE_AT(0),
                       AG__CALLEE_AT(2), AG__CALLEE_AT(4), AG__CALLEE_AT(6), AG__CALLEE_AT(8),
                       AG__CALLEE_AT(10)
                     : "x9", "x10", "memory");
}

#else
#error "unwinding knows x86-64 and aarch64"
#endif

enum { AG__CALLEE_COUNT = sizeof ag__callee_reg };
_Static_assert(AG__CALLEE_COUNT <= sizeof((ag__regs *)0)->callee / sizeof(uintptr_t), "fits");
_Static_assert(sizeof(uintptr_t) == 8, "the tables are read as 64-bit");

#endif
