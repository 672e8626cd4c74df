/* SPDX-License-Identifier: MIT */
/*
 * switch.S (aarch64) - stack switch and calls with six words.
 *
 * A suspended stack looks like this, growing down:
 *
 *     sp + 168  nothing
 *     sp + 160  FPCR
 *     sp + 152  d15
 *     …
 *     sp +  96  d8
 *     sp +  88  x30, where the goroutine goes on
 *     sp +  80  x29
 *     …
 *     sp        x19
 *
 * FPCR is compared and loaded only when it differs, since writing it waits for the pipeline.
 *
 * Branch targets: every entry is marked (hint #34 is `bti c`, nothing on older processors). The
 * switch goes on behind a call, where no compiler puts a mark: there a marked build returns, and
 * an ordinary one jumps, since the return would be predicted to the other side's caller. Only the
 * marked build says in its property note that it is marked.
 */
#if defined(__ARM_FEATURE_BTI_DEFAULT) && __ARM_FEATURE_BTI_DEFAULT
#define MARKED 1
#define GO_ON ret x16
#else
#define MARKED 0
#define GO_ON br x16
#endif

#define FRAME 176

    .macro  FUNCTION name
    .globl  \name
    .hidden \name
    .type   \name, %function
    .p2align 4
\name:
    .cfi_startproc
    hint    #34
    .endm

    .macro  END name
    .cfi_endproc
    .size   \name, .-\name
    .endm

    .macro  SAVE_ALL
    sub     sp, sp, #FRAME
    .cfi_adjust_cfa_offset FRAME
    stp     x19, x20, [sp]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mrs     x9, fpcr
    str     x9, [sp, #160]
    ALL_SAVED
    .endm

/* The CFI from here on: all is in the frame at sp. 19 .. 30 are x, 72 .. 79 are d8 .. d15. */
    .macro  ALL_SAVED
    .irp    reg, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
    .cfi_offset \reg, (\reg - 19) * 8 - FRAME
    .endr
    .irp    reg, 72, 73, 74, 75, 76, 77, 78, 79
    .cfi_offset \reg, 96 + (\reg - 72) * 8 - FRAME
    .endr
    .endm

    .macro  LOAD_ALL
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    add     sp, sp, #FRAME
    .cfi_adjust_cfa_offset -FRAME
    .irp    reg, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
    .cfi_restore \reg
    .endr
    .irp    reg, 72, 73, 74, 75, 76, 77, 78, 79
    .cfi_restore \reg
    .endr
    .endm

/* Calls \fn with the six words at \args; neither may be x0 .. x5. */
    .macro  CALL_SIX fn, args
    ldp     x0, x1, [\args]
    ldp     x2, x3, [\args, #16]
    ldp     x4, x5, [\args, #32]
    blr     \fn
    .endm

    .text

/* void ag__switch(void **save_sp, void *load_sp) */
    FUNCTION ag__switch
    SAVE_ALL
    mov     x10, sp
    str     x10, [x0]
    mov     sp, x1
    /* The same layout holds on the stack we took, so the CFI stays true. */
    ldr     x10, [sp, #160]
    cmp     x9, x10
    b.ne    2f
1:  .cfi_remember_state
    LOAD_ALL
    mov     x16, x30
    GO_ON
2:  .cfi_restore_state
    msr     fpcr, x10
    b       1b
    END     ag__switch

/* void *ag__switch_prepare(void *top, void (*entry)(void)) */
    FUNCTION ag__switch_prepare
    sub     x0, x0, #(FRAME + 16)
    stp     x1, xzr, [x0]               /* x19: entry */
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    stp     xzr, xzr, [x0, #64]
    adrp    x9, .Lfirst
    add     x9, x9, #:lo12:.Lfirst
    stp     xzr, x9, [x0, #80]          /* x29: the chain of frames ends; x30 */
    stp     xzr, xzr, [x0, #96]
    stp     xzr, xzr, [x0, #112]
    stp     xzr, xzr, [x0, #128]
    stp     xzr, xzr, [x0, #144]
    mrs     x9, fpcr
    stp     x9, xzr, [x0, #160]
    ret
    END     ag__switch_prepare

/* The bottom of every goroutine's stack: backtraces end here. The nop stands for the call that
 * a return address is taken to follow. */
    .type   ag__switch_bottom, %function
    .p2align 4
ag__switch_bottom:
    .cfi_startproc
    .cfi_undefined x30
    nop
.Lfirst:
    hint    #34
    blr     x19
    brk     #1
    END     ag__switch_bottom

/* intptr_t ag__call(void (*fn)(void), const intptr_t args[6]) */
    FUNCTION ag__call
    stp     x29, x30, [sp, #-16]!
    .cfi_adjust_cfa_offset 16
    .cfi_offset x29, -16
    .cfi_offset x30, -8
    mov     x29, sp
    mov     x9, x0
    mov     x10, x1
    CALL_SIX x9, x10
    ldp     x29, x30, [sp], #16
    .cfi_adjust_cfa_offset -16
    .cfi_restore x29
    .cfi_restore x30
    ret
    END     ag__call

/* intptr_t ag__call_panicking(void (*fn)(void), const intptr_t args[6]) */
    FUNCTION ag__call_panicking
    stp     x29, x30, [sp, #-16]!
    .cfi_adjust_cfa_offset 16
    .cfi_offset x29, -16
    .cfi_offset x30, -8
    mov     x29, sp
    mov     x9, x0
    mov     x10, x1
    CALL_SIX x9, x10
    .globl  ag__call_panicking_return
    .hidden ag__call_panicking_return
ag__call_panicking_return:
    ldp     x29, x30, [sp], #16
    .cfi_adjust_cfa_offset -16
    .cfi_restore x29
    .cfi_restore x30
    ret
    END     ag__call_panicking

/* int ag__try_call(void **frame, void (*fn)(void), const intptr_t args[6]) */
    FUNCTION ag__try_call
    SAVE_ALL
    mov     x9, sp
    str     x9, [x0]
    add     x29, sp, #80
    mov     x9, x1
    mov     x10, x2
    CALL_SIX x9, x10
    mov     w0, #0
5:  LOAD_ALL
    ret
    END     ag__try_call

/* void ag__try_unwind(void *frame): ag__try_call returns 1. */
    FUNCTION ag__try_unwind
    mov     sp, x0
    .cfi_def_cfa_offset FRAME
    ALL_SAVED
    ldr     x9, [sp, #160]
    msr     fpcr, x9
    mov     w0, #1
    b       5b
    END     ag__try_unwind

    .section .note.GNU-stack, "", %progbits
#if MARKED
    .section .note.gnu.property, "a", %note
    .p2align 3
    .long   4
    .long   16
    .long   5
    .asciz  "GNU"
    .long   0xc0000000
    .long   4
    .long   1                           /* every entry is marked with bti */
    .long   0
#endif
