/* SPDX-License-Identifier: MIT */
/*
 * unwind_frame.h - the parts of the unwinder: finding the call frame entry of an address
 * (unwind_fde.c), running its program (unwind_cfi.c, unwind_expr.c), keeping what came out
 * (unwind_cache.c), reading the stack and walking (unwind.c).
 */
#ifndef AG_OS_LINUX_UNWIND_FRAME_H
#define AG_OS_LINUX_UNWIND_FRAME_H

#include "os/linux/dwarf.h"
#include "os/linux/elf.h"
#include "os/linux/unwind_cpu.h"

/*
 * A window on a stack: words can be read at the addresses [lo, lo + room), from `delta` bytes
 * further on. With a view the window is fixed; on live memory without a view it moves to where a
 * probe of the page succeeds.
 */
typedef struct ag__memory {
    uintptr_t lo, room, delta;
    bool probing;
} ag__memory;

ag__memory ag__memory_of(const ag__stack_view *v);
/* Moves the window to hold the word at `at`. False: nothing there. */
bool ag__memory_probe(ag__memory *mem, uintptr_t at);

static inline bool ag__memory_word(ag__memory *mem, uintptr_t at, uintptr_t *ret) {
    if (at - mem->lo >= mem->room && !ag__memory_probe(mem, at))
        return false;
    *ret = ag__load_word(at + mem->delta);
    return true;
}

/* The registers of one frame, and which of them are known. */
typedef struct ag__frame {
    uintptr_t pc;
    uintptr_t reg[AG__REGS];
    uint64_t known;
} ag__frame;

static inline bool ag__frame_knows(const ag__frame *f, uint64_t reg) {
    return reg < AG__REGS && (f->known >> reg & 1);
}

static inline void ag__frame_set(ag__frame *f, unsigned reg, uintptr_t value) {
    f->reg[reg] = value;
    f->known |= (uint64_t)1 << reg;
}

/* One function's (or part of a function's) call frame entry, with what its common entry says. */
typedef struct ag__fde {
    uintptr_t lo, hi;
    ag__cursor common, own; /* programs */
    uint64_t code_align;
    int64_t data_align;
    uint64_t ra;            /* column of the return address */
    unsigned char encoding; /* of addresses */
    bool augmented;         /* entries announce extra data */
    bool signal;            /* the caller was interrupted, it did not call */
} ag__fde;

bool ag__fde_find(const ag__module *m, uintptr_t pc, ag__fde *ret);
/* Reads an address encoded as the DW_EH_PE byte says; `data` is the base of "datarel". */
uintptr_t ag__cur_encoded(ag__cursor *c, unsigned encoding, uintptr_t data);

typedef enum ag__step { AG__STEP_OK, AG__STEP_OUTERMOST, AG__STEP_BROKEN } ag__step;

/* Rules that are simple enough to be kept: everything is at an offset from the CFA, in words. */
typedef struct ag__rules {
    int32_t cfa_offset; /* in bytes */
    unsigned char cfa_reg;
    bool simple; /* the rest holds */
    int16_t ra, callee[AG__CALLEE_COUNT];
} ag__rules;

enum { AG__RULES_SAME = INT16_MAX }; /* an offset: not saved */

/* From a frame to its caller; `target` is in the instruction the frame is at. Tells the rules it
 * used, if they are simple. */
ag__step ag__cfi_step(const ag__fde *fde, uintptr_t target, ag__memory *mem, ag__frame *f,
                      ag__rules *ret_rules);

/* The rules kept for an address in a module, and a step by them. */
bool ag__rules_get(const ag__module *m, uintptr_t target, ag__rules *ret);
void ag__rules_put(const ag__module *m, uintptr_t target, const ag__rules *rules);
ag__step ag__rules_step(const ag__rules *rules, ag__memory *mem, ag__frame *f);

/* Evaluates a DWARF expression; `first`, if any, is on the stack at its start. */
bool ag__expr_eval(ag__cursor code, const ag__frame *f, ag__memory *mem, const uintptr_t *first,
                   uintptr_t *ret);

#endif
