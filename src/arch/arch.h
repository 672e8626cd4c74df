/* SPDX-License-Identifier: MIT */
/*
 * arch.h - what a processor must offer. Each folder beside this file has the same file names:
 * cpu.h (inline) and switch.S.
 *
 * What a goroutine may rely on across a wait: all callee-saved registers of the C calling
 * convention, and the floating-point control word (rounding mode, masked exceptions) of the
 * SSE and x87 units or FPCR. Vector registers, flags and everything caller-saved are dead at a
 * call, as for any function.
 */
#ifndef AG_ARCH_H
#define AG_ARCH_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include "arch/x86_64/cpu.h"
#elif defined(__aarch64__)
#include "arch/aarch64/cpu.h"
#else
#error "aglet runs on x86-64 and aarch64"
#endif

/* Saves the callee-saved registers on the stack, stores the stack pointer in *save_sp, takes
 * load_sp and goes on there. Returns when somebody switches back to *save_sp. Inline on
 * processors that gain by it. */
#ifndef AG__SWITCH_INLINE
void ag__switch(void **save_sp, void *load_sp);
#endif

/* Lays the first frame of a stack that ends at `top` (16-byte aligned): the first switch to the
 * returned stack pointer calls entry(), which must not return. */
void *ag__switch_prepare(void *top, void (*entry)(void));

/* Calls fn with six words. The two are alike; a deferred call that runs because of a panic goes
 * through ag__call_panicking, whose return address ag_recover looks for. */
intptr_t ag__call(void (*fn)(void), const intptr_t args[6]);
intptr_t ag__call_panicking(void (*fn)(void), const intptr_t args[6]);
extern const char ag__call_panicking_return[];

/* Calls fn with six words; returns 0 when it returned. ag__try_unwind(*frame) throws away all
 * that was called since and makes that ag__try_call return 1. *frame is set before the call. */
int ag__try_call(void **frame, void (*fn)(void), const intptr_t args[6]);
void ag__try_unwind(void *frame) __attribute__((noreturn));

#include "arch/frame.h"

#endif
