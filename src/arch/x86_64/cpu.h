/* SPDX-License-Identifier: MIT */
/*
 * cpu.h (x86-64) - the inline half of arch.h.
 */
#ifndef AG_ARCH_CPU_H
#define AG_ARCH_CPU_H

#define AG__ARCH_NAME "x86-64"

static inline void ag__cpu_pause(void) {
    __asm__ volatile("pause" ::: "memory");
}

/* Reads the thread-local pointer `sym` anew each time: volatile, so that no compiler keeps the
 * value or its address over a call that may change threads. */
#define AG__TLS_LOAD(sym)                                                                          \
    __extension__({                                                                                \
        void *ag__tls;                                                                             \
        __asm__ volatile("movq " #sym "@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"                 \
                         : "=r"(ag__tls)::"memory");                                               \
        ag__tls;                                                                                   \
    })

/*
 * What a suspended goroutine's stack holds, growing down:
 *
 *     sp + 16   where it goes on
 *     sp +  8   rbp
 *     sp        MXCSR (4 bytes), x87 control word (2 bytes)
 *
 * The other callee-saved registers are clobbered by the switch, so the compiler has saved those
 * that are in use where the call frame tables say.
 */
#define AG__FRAME_WORDS 3

/* Where a suspended goroutine goes on, and its callee-saved registers in the order of the
 * processor's manual (rbx rbp r12-r15), from a copy of its frame. */
static inline uintptr_t ag__frame_read(const uintptr_t *frame, uintptr_t callee[12]) {
    for (int i = 0; i < 12; i++)
        callee[i] = 0;
    callee[1] = frame[1];
    return frame[2];
}

#ifdef __AVX512F__
#define AG__CLOBBER_AVX512                                                                         \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",  \
        "k7"
#else
#define AG__CLOBBER_AVX512
#endif
#define AG__CLOBBER_VECTORS                                                                        \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15" AG__CLOBBER_AVX512

/*
 * The switch of arch.h. Inlined, so that the processor's stack of return addresses stays paired:
 * a function that is entered by a call and left by a jump leaves one behind, and every return
 * after it is mispredicted. What is saved lies below the stack pointer, in the red zone, until
 * the stack is left; so the compiler's call frame tables hold until rbp is loaded. From there to
 * the jump tables of our own say that the other side has called us: it goes on at rdx, with the
 * stack pointer rsi + 24, rbp as it is, and nothing in the registers that the switch clobbers. The
 * function this is inlined into must call others: then the compiler keeps nothing in the red zone.
 *
 * The control words are compared and loaded only when they differ, since loading them costs more
 * than all the rest. The exception flags, the lowest six bits of MXCSR, are no control bits.
 */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define AG__CFI_OTHER_SIDE                                                                         \
    ".cfi_remember_state\n\t"                                                                      \
    ".cfi_def_cfa %%rsi, 24\n\t"                                                                   \
    ".cfi_register %%rip, %%rdx\n\t"                                                               \
    ".cfi_same_value %%rbp\n\t"                                                                    \
    ".cfi_undefined %%rbx\n\t"                                                                     \
    ".cfi_undefined %%r12\n\t"                                                                     \
    ".cfi_undefined %%r13\n\t"                                                                     \
    ".cfi_undefined %%r14\n\t"                                                                     \
    ".cfi_undefined %%r15\n\t"
#define AG__CFI_THIS_SIDE ".cfi_restore_state\n"
#else /* compiled without tables */
#define AG__CFI_OTHER_SIDE ""
#define AG__CFI_THIS_SIDE ""
#endif
static inline __attribute__((always_inline)) void ag__switch(void **save_sp, void *load_sp) {
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, -8(%%rsp)\n\t"
                     "movq %%rbp, -16(%%rsp)\n\t"
                     "stmxcsr -24(%%rsp)\n\t"
                     "fnstcw -20(%%rsp)\n\t"
                     "leaq -24(%%rsp), %%rdx\n\t"
                     "movl -24(%%rsp), %%eax\n\t"
                     "movzwl -20(%%rsp), %%ecx\n\t"
                     "movq %%rdx, (%0)\n\t"
                     "movq 16(%1), %%rdx\n\t"
                     "xorl (%1), %%eax\n\t"
                     "testl $0xffc0, %%eax\n\t"
                     "jne 2f\n"
                     "3:\tcmpw 4(%1), %%cx\n\t"
                     "jne 4f\n"
                     "5:\tmovq 8(%1), %%rbp\n\t" AG__CFI_OTHER_SIDE "leaq 24(%1), %%rsp\n\t"
                     "jmpq *%%rdx\n" AG__CFI_THIS_SIDE "2:\tldmxcsr (%1)\n\t"
                     "jmp 3b\n"
                     "4:\tfnclex\n\t"
                     "fldcw 4(%1)\n\t"
                     "jmp 5b\n"
                     "1:\tendbr64"
                     : "+D"(save_sp), "+S"(load_sp)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc", AG__CLOBBER_VECTORS);
}
#undef AG__CFI_OTHER_SIDE
#undef AG__CFI_THIS_SIDE
#define AG__SWITCH_INLINE 1

#endif
