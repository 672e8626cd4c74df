/* SPDX-License-Identifier: MIT */
/*
 * frame.h - a place to come back to, throwing away what was called since.
 *
 * The switch.S way, but under TSan, which keeps its shadow of the stack right over longjmp only.
 */
#ifndef AG_ARCH_FRAME_H
#define AG_ARCH_FRAME_H

#include "base/base.h"

#if AG__TSAN
#include <setjmp.h>

typedef struct ag__frame {
    jmp_buf jump;
} ag__frame;

/* Calls fn(args). False when it returned, true when ag__frame_return was called. A macro for
 * setjmp's sake: the frame must be its caller's. */
#define AG__FRAME_CALL(f, fn, args) (_setjmp((f)->jump) ? true : (ag__call(fn, args), false))

static inline __attribute__((noreturn)) void ag__frame_return(ag__frame *f) {
    longjmp(f->jump, 1);
}

#else

typedef struct ag__frame {
    void *sp;
} ag__frame;

#define AG__FRAME_CALL(f, fn, args) (ag__try_call(&(f)->sp, fn, args) != 0)

static inline __attribute__((noreturn)) void ag__frame_return(ag__frame *f) {
#if AG__ASAN
    __asan_handle_no_return();
#endif
    ag__try_unwind(f->sp);
}

#endif
#endif
