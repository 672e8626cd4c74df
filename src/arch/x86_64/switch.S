/* SPDX-License-Identifier: MIT */
/*
 * switch.S (x86-64) - stack switch and calls with six words.
 *
 * The switch itself is inline, in cpu.h, with the picture of a suspended stack.
 */
    .text

/* void *ag__switch_prepare(void *top, void (*entry)(void)) */
    .globl  ag__switch_prepare
    .hidden ag__switch_prepare
    .type   ag__switch_prepare, @function
    .p2align 4
ag__switch_prepare:
    .cfi_startproc
    endbr64
    leaq    -48(%rdi), %rax
    stmxcsr (%rax)
    fnstcw  4(%rax)
    movq    %rsi, 8(%rax)              /* rbp: entry */
    leaq    .Lfirst(%rip), %rcx
    movq    %rcx, 16(%rax)
    ret
    .cfi_endproc
    .size   ag__switch_prepare, .-ag__switch_prepare

/* The bottom of every goroutine's stack: backtraces end here. The nop stands for the call that
 * a return address is taken to follow. */
    .type   ag__switch_bottom, @function
    .p2align 4
ag__switch_bottom:
    .cfi_startproc
    .cfi_undefined %rip
    nop
.Lfirst:
    endbr64
    movq    %rbp, %rbx
    xorl    %ebp, %ebp
    subq    $8, %rsp
    callq   *%rbx
    ud2
    .cfi_endproc
    .size   ag__switch_bottom, .-ag__switch_bottom

/* %al tells a variadic function that no argument is in a vector register. */
    .macro  CALL_SIX fn, args
    movq    \fn, %r11
    movq    \args, %r10
    movq    0(%r10), %rdi
    movq    8(%r10), %rsi
    movq    16(%r10), %rdx
    movq    24(%r10), %rcx
    movq    32(%r10), %r8
    movq    40(%r10), %r9
    xorl    %eax, %eax
    callq   *%r11
    .endm

/* intptr_t ag__call(void (*fn)(void), const intptr_t args[6]) */
    .globl  ag__call
    .hidden ag__call
    .type   ag__call, @function
    .p2align 4
ag__call:
    .cfi_startproc
    endbr64
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    CALL_SIX %rdi, %rsi
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size   ag__call, .-ag__call

    .globl  ag__call_panicking
    .hidden ag__call_panicking
    .type   ag__call_panicking, @function
    .p2align 4
ag__call_panicking:
    .cfi_startproc
    endbr64
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    CALL_SIX %rdi, %rsi
    .globl  ag__call_panicking_return
    .hidden ag__call_panicking_return
ag__call_panicking_return:
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size   ag__call_panicking, .-ag__call_panicking

/* int ag__try_call(void **frame, void (*fn)(void), const intptr_t args[6]) */
    .globl  ag__try_call
    .hidden ag__try_call
    .type   ag__try_call, @function
    .p2align 4
ag__try_call:
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movq    %rsp, (%rdi)
    CALL_SIX %rsi, %rdx
    xorl    %eax, %eax
5:  addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    ret
    .cfi_endproc
    .size   ag__try_call, .-ag__try_call

/* void ag__try_unwind(void *frame): ag__try_call returns 1. */
    .globl  ag__try_unwind
    .hidden ag__try_unwind
    .type   ag__try_unwind, @function
    .p2align 4
ag__try_unwind:
    .cfi_startproc
    endbr64
    movq    %rdi, %rsp
    .cfi_def_cfa_offset 64
    .cfi_offset %rbp, -16
    .cfi_offset %rbx, -24
    .cfi_offset %r12, -32
    .cfi_offset %r13, -40
    .cfi_offset %r14, -48
    .cfi_offset %r15, -56
    ldmxcsr (%rsp)
    fnclex
    fldcw   4(%rsp)
    movl    $1, %eax
    jmp     5b
    .cfi_endproc
    .size   ag__try_unwind, .-ag__try_unwind

    .section .note.GNU-stack, "", @progbits
    .section .note.gnu.property, "a", @note
    .p2align 3
    .long   4
    .long   16
    .long   5
    .asciz  "GNU"
    .long   0xc0000002
    .long   4
    .long   1                          /* branch targets are marked; no shadow stack */
    .long   0
