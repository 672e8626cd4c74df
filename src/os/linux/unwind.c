/* SPDX-License-Identifier: MIT */
/*
 * unwind.c - walking a stack from the inside out.
 *
 * Each step looks for the call frame entry of the address and applies it (unwind_fde.c,
 * unwind_cfi.c). Where there is none, in this order:
 *   - code that returns from a signal handler: all registers are in the signal frame;
 *   - no code at all, and the address was jumped to (a call through a bad pointer): the return
 *     address is where a call has just put it;
 *   - else code without tables: the chain of frame pointers, if there is one.
 *
 * A walk ends at an entry that says so (undefined return address), at a return address that is
 * in no code, when the stack pointer does not move outwards, and at the first read the view
 * refuses. It is bounded by the room for results in any case. So on a broken stack it gives what
 * was found before the break.
 *
 * A return address is looked up one byte before: the call may be the last instruction of its
 * function. An address that was interrupted is looked up as it is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/unwind.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/linux/unwind_frame.h"

enum {
    PAGE = 4096,                         /* or a part of the real one */
    LAST = PAGE - sizeof(uintptr_t) + 1, /* how many words begin and end in a page */
};
_Static_assert(sizeof ag__sigreturn_code <= 2 * sizeof(uintptr_t), "read as two words");

typedef struct walk {
    ag__memory mem;
    ag__module m; /* of the last frame; hi == 0: none yet */
    ag__frame f;
    bool exact; /* f.pc was interrupted, not left by a call */
} walk;

/* ---- Memory --------------------------------------------------------------------------------- */

/*
 * Can this page be read? The kernel is asked to copy a word from there. Where reading processes is
 * not allowed or not known (old containers, emulators), it is asked to read a signal mask from
 * there, for a change that does not exist: EFAULT if it can't read, EINVAL if it can. The second
 * way works everywhere and is quicker, but checkers report that such a mask is not initialised.
 */
static bool readable(uintptr_t page) {
    int saved = errno;
    uintptr_t word;
    struct iovec to = {&word, sizeof word}, from = {(void *)page, sizeof word};
    long n = syscall(SYS_process_vm_readv, (long)getpid(), &to, 1L, &from, 1L, 0L);
    bool ok = n == (long)sizeof word;
    if (n < 0 && (errno == ENOSYS || errno == EPERM))
        ok = syscall(SYS_rt_sigprocmask, -1L, page, NULL, 8L) == 0 || errno != EFAULT;
    errno = saved;
    return ok;
}

ag__memory ag__memory_of(const ag__stack_view *v) {
    if (!v)
        return (ag__memory){.probing = true};
    uintptr_t size = v->hi > v->lo ? v->hi - v->lo : 0;
    return (ag__memory){.lo = v->lo,
                        .room = size < sizeof(uintptr_t) ? 0 : size - sizeof(uintptr_t) + 1,
                        .delta = v->copy ? (uintptr_t)v->copy - v->lo : 0};
}

bool ag__memory_probe(ag__memory *mem, uintptr_t at) {
    uintptr_t page = at & ~(uintptr_t)(PAGE - 1), next = page + PAGE;
    bool crosses = at - page >= LAST;
    /* Page 0 would be no mask, and the one behind the last is page 0. */
    if (!mem->probing || !page || !readable(page) || (crosses && (!next || !readable(next))))
        return false;
    bool grows = mem->room && page == mem->lo + mem->room - LAST + PAGE;
    if (!grows)
        *mem = (ag__memory){.lo = page, .room = LAST, .probing = true};
    else
        mem->room += PAGE;
    if (crosses)
        mem->room += PAGE;
    return true;
}

/* ---- Where is this address? ----------------------------------------------------------------- */

static bool in_code(walk *w, uintptr_t pc) {
    if (pc - w->m.lo >= w->m.hi - w->m.lo && !ag__module_find(pc, &w->m))
        return false;
    return ag__module_code(&w->m, pc);
}

static bool at_sigreturn(uintptr_t pc) {
    ag__memory live = ag__memory_of(NULL);
    uintptr_t words[2];
    return ag__memory_word(&live, pc, &words[0]) && ag__memory_word(&live, pc + 8, &words[1]) &&
           memcmp(words, ag__sigreturn_code, sizeof ag__sigreturn_code) == 0;
}

/* ---- One frame out -------------------------------------------------------------------------- */

static bool leave_signal(walk *w) {
    uintptr_t uc = w->f.reg[AG__REG_SP] + AG__UC_FROM_SP;
    ag__frame f = {.known = 0};
    for (unsigned i = 0; i < AG__REGS; i++) {
        uintptr_t v;
        if (!ag__memory_word(&w->mem, uc + ag__uc_reg_at[i], &v))
            return false;
        ag__frame_set(&f, i, v);
    }
    if (!ag__memory_word(&w->mem, uc + AG__UC_PC_AT, &f.pc))
        return false;
    w->f = f;
    return true;
}

/* From an address without code, right after the call that went there. */
static bool leave_bad_call(walk *w) {
    uintptr_t pc;
    if (AG__REG_LINK >= 0) {
        if (!ag__frame_knows(&w->f, (uint64_t)AG__REG_LINK))
            return false;
        pc = w->f.reg[AG__REG_LINK < 0 ? 0 : AG__REG_LINK];
    } else {
        if (!ag__memory_word(&w->mem, w->f.reg[AG__REG_SP], &pc))
            return false;
        w->f.reg[AG__REG_SP] += sizeof pc;
    }
    w->f.pc = ag__pc_plain(pc);
    return true;
}

/* Both processors: the frame pointer is at the caller's frame pointer, the return address above. */
static bool leave_by_frame_pointer(walk *w) {
    uintptr_t fp = w->f.reg[AG__REG_FP], next, pc;
    if (!ag__frame_knows(&w->f, AG__REG_FP) || fp % sizeof fp || fp < w->f.reg[AG__REG_SP] ||
        !ag__memory_word(&w->mem, fp, &next) || !ag__memory_word(&w->mem, fp + sizeof fp, &pc))
        return false;
    ag__frame caller = {.pc = ag__pc_plain(pc)};
    ag__frame_set(&caller, AG__REG_FP, next);
    ag__frame_set(&caller, AG__REG_SP, fp + 2 * sizeof fp);
    w->f = caller;
    return true;
}

/* By the tables of the module. False: they don't say. */
static bool leave_by_table(walk *w, uintptr_t target, ag__step *ret, bool *ret_signal) {
    ag__rules rules;
    ag__fde fde;
    if (ag__rules_get(&w->m, target, &rules)) {
        *ret = ag__rules_step(&rules, &w->mem, &w->f);
        return true;
    }
    if (!ag__fde_find(&w->m, target, &fde) || (fde.signal && !AG__SIGNAL_TABLE))
        return false;
    *ret = ag__cfi_step(&fde, target, &w->mem, &w->f, &rules);
    *ret_signal = fde.signal;
    if (rules.simple)
        ag__rules_put(&w->m, target, &rules);
    return true;
}

/* False at the end of the stack, or of what can be understood. */
static bool step(walk *w) {
    bool was_exact = w->exact, ok, signal = false;
    uintptr_t sp = w->f.reg[AG__REG_SP], pc = w->f.pc, target = pc - !was_exact;
    bool code = in_code(w, target);
    ag__step by_table;
    if (code && leave_by_table(w, target, &by_table, &signal)) {
        ok = by_table == AG__STEP_OK;
    } else if (at_sigreturn(pc)) {
        ok = leave_signal(w);
        signal = true;
    } else if (was_exact && !code) {
        ok = leave_bad_call(w);
    } else {
        ok = leave_by_frame_pointer(w);
    }
    w->exact = signal;
    if (!ok || signal)
        return ok;
    uintptr_t moved = w->f.reg[AG__REG_SP] - sp;
    if ((intptr_t)moved < 0 || (moved == 0 && (AG__REG_LINK < 0 || w->f.pc == pc)))
        return false;
    return w->f.pc && (in_code(w, w->f.pc - 1) || at_sigreturn(w->f.pc));
}

/* ---- Walks ---------------------------------------------------------------------------------- */

static void begin(walk *w, const ag__regs *start, const ag__stack_view *v) {
    memset(w, 0, sizeof *w);
    w->mem = ag__memory_of(v);
    w->f.pc = start->pc;
    w->exact = true;
    for (int i = 0; i < AG__CALLEE_COUNT; i++)
        ag__frame_set(&w->f, ag__callee_reg[i], start->callee[i]);
    if (start->fp)
        ag__frame_set(&w->f, AG__REG_FP, start->fp);
    ag__frame_set(&w->f, AG__REG_SP, start->sp);
}

int ag__unwind(const ag__regs *start, const ag__stack_view *v, uintptr_t *ret_pcs, int max) {
    walk w;
    int n = 0;
    begin(&w, start, v);
    while (n < max) {
        ret_pcs[n] = w.f.pc + (w.exact && n > 0);
        n++;
        if (!step(&w))
            break;
    }
    return n;
}

__attribute__((noinline)) int ag__unwind_here(uintptr_t *ret_pcs, int max, int skip) {
    walk w;
    ag__regs regs;
    int n = 0;
    ag__regs_here(&regs);
    begin(&w, &regs, NULL);
    /* The page it runs on needs no probe. */
    w.mem.lo = regs.sp & ~(uintptr_t)(PAGE - 1);
    w.mem.room = LAST;
    while (n < max && step(&w)) {
        if (skip-- <= 0)
            ret_pcs[n++] = w.f.pc + w.exact;
    }
    return n;
}

void ag__regs_of_signal(const void *ucontext, ag__regs *ret) {
    const unsigned char *uc = ucontext;
    memset(ret, 0, sizeof *ret);
    memcpy(&ret->pc, uc + AG__UC_PC_AT, sizeof ret->pc);
    memcpy(&ret->sp, uc + ag__uc_reg_at[AG__REG_SP], sizeof ret->sp);
    memcpy(&ret->fp, uc + ag__uc_reg_at[AG__REG_FP], sizeof ret->fp);
    for (int i = 0; i < AG__CALLEE_COUNT; i++)
        memcpy(&ret->callee[i], uc + ag__uc_reg_at[ag__callee_reg[i]], sizeof ret->callee[i]);
}
