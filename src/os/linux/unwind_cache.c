/* SPDX-License-Identifier: MIT */
/*
 * unwind_cache.c - the rules of addresses that were walked over before.
 *
 * Programs wait, and make goroutines, in few places; a dump of a million goroutines meets the same
 * hundred return addresses again and again. Nearly all of them have simple rules: the CFA is
 * a register plus an offset, and what is saved is saved at an offset from it. Those are kept, at
 * a quarter of the price of finding and running a call frame program.
 *
 *     slot = hash(address):  count | address | module | rules
 *
 * The count is even while the slot is at rest and odd while it is written. A writer makes it odd
 * with a compare-and-swap, or gives up; a reader takes a copy and looks at the count again. Nobody
 * ever waits, so signal handlers may do both, also on top of a half-done write.
 *
 * An address alone is not enough: a library can be unloaded and another one take its place. The
 * slot names the module by its end and the place of its tables.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/linux/unwind_frame.h"

enum {
#ifdef AG_TINY
    SLOT_BITS = 3,
#else
    SLOT_BITS = 9,
#endif
    RULE_WORDS = (sizeof(ag__rules) + 7) / 8,
};

typedef struct slot {
    _Alignas(64) _Atomic uint64_t count; /* odd: being written */
    /* Atomic; guarded by count. */
    _Atomic uint64_t target, module;
    _Atomic uint64_t rules[RULE_WORDS];
} slot;

static slot slots[1 << SLOT_BITS];

static slot *slot_of(uintptr_t target) {
    return &slots[target * 0x9e3779b97f4a7c15 >> (64 - SLOT_BITS)];
}

static uint64_t module_mark(const ag__module *m) {
    return m->hi ^ m->eh_hdr << 20;
}

bool ag__rules_get(const ag__module *m, uintptr_t target, ag__rules *ret) {
    slot *s = slot_of(target);
    uint64_t words[RULE_WORDS];
    /* Pairs with the release store in ag__rules_put. */
    uint64_t count = atomic_load_explicit(&s->count, memory_order_acquire);
    if ((count & 1) || atomic_load_explicit(&s->target, memory_order_relaxed) != target ||
        atomic_load_explicit(&s->module, memory_order_relaxed) != module_mark(m))
        return false;
    for (int i = 0; i < RULE_WORDS; i++)
        words[i] = atomic_load_explicit(&s->rules[i], memory_order_relaxed);
    /* Pairs with the release fence in ag__rules_put. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&s->count, memory_order_relaxed) != count)
        return false;
    memcpy(ret, words, sizeof *ret);
    return true;
}

void ag__rules_put(const ag__module *m, uintptr_t target, const ag__rules *rules) {
    slot *s = slot_of(target);
    uint64_t words[RULE_WORDS] = {0};
    uint64_t count = atomic_load_explicit(&s->count, memory_order_relaxed);
    if ((count & 1) ||
        !atomic_compare_exchange_strong_explicit(&s->count, &count, count + 1, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    atomic_thread_fence(memory_order_release);
    memcpy(words, rules, sizeof *rules);
    atomic_store_explicit(&s->target, target, memory_order_relaxed);
    atomic_store_explicit(&s->module, module_mark(m), memory_order_relaxed);
    for (int i = 0; i < RULE_WORDS; i++)
        atomic_store_explicit(&s->rules[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&s->count, count + 2, memory_order_release);
}

ag__step ag__rules_step(const ag__rules *rules, ag__memory *mem, ag__frame *f) {
    uintptr_t value, pc;
    if (!ag__frame_knows(f, rules->cfa_reg))
        return AG__STEP_BROKEN;
    uintptr_t cfa = f->reg[rules->cfa_reg] + (uintptr_t)(intptr_t)rules->cfa_offset;
    if (rules->ra != AG__RULES_SAME) {
        if (!ag__memory_word(mem, cfa + (uintptr_t)(intptr_t)rules->ra * 8, &pc))
            return AG__STEP_BROKEN;
    } else {
        if (AG__REG_LINK < 0 || !ag__frame_knows(f, (uint64_t)AG__REG_LINK))
            return AG__STEP_BROKEN;
        pc = f->reg[AG__REG_LINK & 31];
    }
    for (int i = 0; i < AG__CALLEE_COUNT; i++) {
        unsigned reg = ag__callee_reg[i];
        if (rules->callee[i] == AG__RULES_SAME)
            continue;
        if (ag__memory_word(mem, cfa + (uintptr_t)(intptr_t)rules->callee[i] * 8, &value))
            ag__frame_set(f, reg, value);
        else
            f->known &= ~((uint64_t)1 << reg);
    }
    ag__frame_set(f, AG__REG_SP, cfa);
    f->pc = ag__pc_plain(pc);
    return AG__STEP_OK;
}
