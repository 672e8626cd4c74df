/* SPDX-License-Identifier: MIT */
/*
 * cpu.h (aarch64) - the inline half of arch.h.
 */
#ifndef AG_ARCH_CPU_H
#define AG_ARCH_CPU_H

#define AG__ARCH_NAME "aarch64"

/* isb and not yield: yield does nothing on most cores, isb waits for some tens of cycles. */
static inline void ag__cpu_pause(void) {
    __asm__ volatile("isb" ::: "memory");
}

/* Reads the thread-local pointer `sym` anew each time: volatile, so that no compiler keeps the
 * value or its address over a call that may change threads. */
#define AG__TLS_LOAD(sym)                                                                          \
    __extension__({                                                                                \
        void *ag__tls, *ag__tls_base;                                                              \
        __asm__ volatile("mrs %1, tpidr_el0\n\t"                                                   \
                         "adrp %0, :gottprel:" #sym "\n\t"                                         \
                         "ldr %0, [%0, #:gottprel_lo12:" #sym "]\n\t"                              \
                         "ldr %0, [%1, %0]"                                                        \
                         : "=&r"(ag__tls), "=&r"(ag__tls_base)::"memory");                         \
        ag__tls;                                                                                   \
    })

/* What a suspended goroutine's stack holds from its saved stack pointer up. */
#define AG__FRAME_WORDS 22 /* x19 .. x30, d8 .. d15, FPCR, nothing */

/* Where a suspended goroutine goes on, and its callee-saved registers x19-x30, from a copy of
 * its frame. */
static inline uintptr_t ag__frame_read(const uintptr_t *frame, uintptr_t callee[12]) {
    for (int i = 0; i < 12; i++)
        callee[i] = frame[i];
    return frame[11];
}

#endif
