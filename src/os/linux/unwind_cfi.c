/* SPDX-License-Identifier: MIT */
/*
 * unwind_cfi.c - from a frame to its caller, by the rules the compiler wrote down.
 *
 * A call frame program describes a table with a row for each instruction: how to compute the CFA
 * (the stack pointer as the caller has it) and, for each register, where the caller's value is.
 * The program is run from the start of the function up to the wanted instruction, which leaves
 * one row; the row is then applied to the registers. The common entry's program gives the row a
 * function starts with, and what DW_CFA_restore goes back to.
 *
 * Registers without a rule keep their value: so a frame interrupted by a signal, whose registers
 * are all known, can be left by a rule that uses any of them. Registers the machine description
 * does not list (vector registers) are read over.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/linux/unwind_frame.h"

enum { SAVED_ROWS = 4 }; /* compilers nest remember and restore once; 4 is generous */

typedef enum rule_kind {
    RULE_SAME, /* also: no rule */
    RULE_UNDEFINED,
    RULE_AT_OFFSET,     /* saved at CFA + value */
    RULE_IS_OFFSET,     /* is CFA + value */
    RULE_REGISTER,      /* is in register `value` */
    RULE_AT_EXPRESSION, /* saved at the result of the expression at address `value` */
    RULE_IS_EXPRESSION,
} rule_kind;

typedef struct row {
    unsigned char kind[AG__COLUMNS];
    int64_t value[AG__COLUMNS];
    uint64_t cfa_reg;
    int64_t cfa_offset;
    const unsigned char *cfa_expr; /* NULL: register and offset */
} row;

typedef struct machine {
    const ag__fde *fde;
    row now, first, saved[SAVED_ROWS];
    int saved_count;
    uintptr_t loc;
    bool bad;
} machine;

/* ---- Running programs ----------------------------------------------------------------------- */

static void set_rule(machine *vm, uint64_t column, rule_kind kind, int64_t value) {
    if (column < AG__COLUMNS) {
        vm->now.kind[column] = (unsigned char)kind;
        vm->now.value[column] = value;
    }
}

static int64_t scaled(const machine *vm, int64_t n) {
    return (int64_t)((uint64_t)n * (uint64_t)vm->fde->data_align);
}

static void set_cfa(machine *vm, uint64_t reg, int64_t offset) {
    vm->now.cfa_reg = reg;
    vm->now.cfa_offset = offset;
    vm->now.cfa_expr = NULL;
}

/* Skips an expression block and returns where its length is. */
static const unsigned char *block(ag__cursor *c) {
    const unsigned char *at = c->p;
    ag__cur_take(c, ag__cur_uleb(c));
    return at;
}

static void restore_rule(machine *vm, uint64_t column) {
    if (column < AG__COLUMNS)
        set_rule(vm, column, vm->first.kind[column], vm->first.value[column]);
}

static void remember(machine *vm, bool restore) {
    if (restore && vm->saved_count > 0)
        vm->now = vm->saved[--vm->saved_count];
    else if (!restore && vm->saved_count < SAVED_ROWS)
        vm->saved[vm->saved_count++] = vm->now;
    else
        vm->bad = true;
}

/* The instructions that set the CFA. False: not one of them. */
static bool run_cfa(machine *vm, unsigned op, ag__cursor *c) {
    uint64_t reg;
    switch (op) {
    case 0x0c: /* def_cfa */
        reg = ag__cur_uleb(c);
        set_cfa(vm, reg, (int64_t)ag__cur_uleb(c));
        return true;
    case 0x12: /* def_cfa_sf */
        reg = ag__cur_uleb(c);
        set_cfa(vm, reg, scaled(vm, ag__cur_sleb(c)));
        return true;
    case 0x0d: /* def_cfa_register */
        set_cfa(vm, ag__cur_uleb(c), vm->now.cfa_offset);
        return true;
    case 0x0e: /* def_cfa_offset */
        set_cfa(vm, vm->now.cfa_reg, (int64_t)ag__cur_uleb(c));
        return true;
    case 0x13: /* def_cfa_offset_sf */
        set_cfa(vm, vm->now.cfa_reg, scaled(vm, ag__cur_sleb(c)));
        return true;
    case 0x0f: /* def_cfa_expression */
        vm->now.cfa_expr = block(c);
        return true;
    default:
        return false;
    }
}

/* The instructions that set the rule of one register. False: not one of them. */
static bool run_rule(machine *vm, unsigned op, ag__cursor *c) {
    static const unsigned char kinds[] = {
        [0x05] = RULE_AT_OFFSET,     /* offset_extended */
        [0x06] = RULE_SAME,          /* restore_extended */
        [0x07] = RULE_UNDEFINED,     /* undefined */
        [0x08] = RULE_SAME,          /* same_value */
        [0x09] = RULE_REGISTER,      /* register */
        [0x10] = RULE_AT_EXPRESSION, /* expression */
        [0x11] = RULE_AT_OFFSET,     /* offset_extended_sf */
        [0x14] = RULE_IS_OFFSET,     /* val_offset */
        [0x15] = RULE_IS_OFFSET,     /* val_offset_sf */
        [0x16] = RULE_IS_EXPRESSION, /* val_expression */
        [0x2f] = RULE_AT_OFFSET,     /* GNU_negative_offset_extended */
    };
    if (op >= sizeof kinds || (!kinds[op] && op != 0x06 && op != 0x08))
        return false;
    uint64_t reg = ag__cur_uleb(c);
    int64_t value = 0;
    if (op == 0x05 || op == 0x14)
        value = scaled(vm, (int64_t)ag__cur_uleb(c));
    else if (op == 0x11 || op == 0x15)
        value = scaled(vm, ag__cur_sleb(c));
    else if (op == 0x2f)
        value = scaled(vm, (int64_t)(0 - ag__cur_uleb(c)));
    else if (op == 0x09)
        value = (int64_t)ag__cur_uleb(c);
    else if (op == 0x10 || op == 0x16)
        value = (int64_t)(uintptr_t)block(c);
    if (op == 0x06)
        restore_rule(vm, reg);
    else
        set_rule(vm, reg, kinds[op], value);
    return true;
}

static void run_other(machine *vm, unsigned op, ag__cursor *c) {
    switch (op) {
    case 0x00: /* nop */
        break;
    case 0x01: /* set_loc */
        vm->loc = ag__cur_encoded(c, vm->fde->encoding, 0);
        break;
    case 0x02: /* advance_loc1 */
        vm->loc += ag__cur_u8(c) * vm->fde->code_align;
        break;
    case 0x03: /* advance_loc2 */
        vm->loc += ag__cur_uint(c, 2) * vm->fde->code_align;
        break;
    case 0x04: /* advance_loc4 */
        vm->loc += ag__cur_uint(c, 4) * vm->fde->code_align;
        break;
    case 0x0a: /* remember_state */
    case 0x0b: /* restore_state */
        remember(vm, op == 0x0b);
        break;
    case 0x2c: /* AARCH64_negate_ra_state_with_pc */
    case 0x2d: /* AARCH64_negate_ra_state: signatures are always taken off */
        break;
    case 0x2e: /* GNU_args_size */
        ag__cur_uleb(c);
        break;
    default:
        vm->bad = vm->bad || (!run_cfa(vm, op, c) && !run_rule(vm, op, c));
    }
}

/* Runs a program up to, and including, the rows for `target`. */
static bool run(machine *vm, ag__cursor c, uintptr_t target) {
    while (c.p < c.end && vm->loc <= target && !vm->bad) {
        unsigned op = ag__cur_u8(&c), low = op & 0x3f;
        switch (op & 0xc0) {
        case 0x40: /* advance_loc */
            vm->loc += low * vm->fde->code_align;
            break;
        case 0x80: /* offset */
            set_rule(vm, low, RULE_AT_OFFSET, scaled(vm, (int64_t)ag__cur_uleb(&c)));
            break;
        case 0xc0: /* restore */
            restore_rule(vm, low);
            break;
        default:
            run_other(vm, low, &c);
        }
    }
    return !c.bad && !vm->bad;
}

/* ---- Applying a row ------------------------------------------------------------------------- */

/* An expression block ends inside the program it is part of, which was checked when it was run;
 * so its length can be read again without a bound. */
static bool eval_block(const unsigned char *at, const ag__frame *f, ag__memory *mem,
                       const uintptr_t *first, uintptr_t *ret) {
    ag__cursor c = {at, at + 10, false};
    uint64_t length = ag__cur_uleb(&c);
    return ag__expr_eval((ag__cursor){c.p, c.p + length, false}, f, mem, first, ret);
}

static bool find_cfa(const row *r, const ag__frame *f, ag__memory *mem, uintptr_t *ret) {
    if (r->cfa_expr)
        return eval_block(r->cfa_expr, f, mem, NULL, ret);
    if (!ag__frame_knows(f, r->cfa_reg))
        return false;
    *ret = f->reg[r->cfa_reg] + (uintptr_t)r->cfa_offset;
    return true;
}

/* The caller's value in a column that has a rule. */
static bool apply(const row *r, unsigned column, uintptr_t cfa, const ag__frame *f, ag__memory *mem,
                  uintptr_t *ret) {
    int64_t value = r->value[column];
    const unsigned char *expr = (const unsigned char *)(uintptr_t)value;
    uintptr_t at = cfa + (uintptr_t)value;
    switch ((rule_kind)r->kind[column]) {
    case RULE_AT_OFFSET:
        return ag__memory_word(mem, at, ret);
    case RULE_IS_OFFSET:
        *ret = at;
        return true;
    case RULE_REGISTER:
        if (!ag__frame_knows(f, (uint64_t)value))
            return false;
        *ret = f->reg[value];
        return true;
    case RULE_AT_EXPRESSION:
        return eval_block(expr, f, mem, &cfa, &at) && ag__memory_word(mem, at, ret);
    case RULE_IS_EXPRESSION:
        return eval_block(expr, f, mem, &cfa, ret);
    default:
        return false;
    }
}

static ag__step apply_row(const row *r, uint64_t ra, ag__memory *mem, ag__frame *f) {
    uintptr_t cfa, value;
    if (!find_cfa(r, f, mem, &cfa))
        return AG__STEP_BROKEN;
    ag__frame caller = *f;
    ag__frame_set(&caller, AG__REG_SP, cfa);
    for (unsigned i = 0; i < AG__REGS; i++) {
        if (r->kind[i] == RULE_SAME)
            continue;
        if (apply(r, i, cfa, f, mem, &value))
            ag__frame_set(&caller, i, value);
        else
            caller.known &= ~((uint64_t)1 << i);
    }
    if (r->kind[ra] == RULE_UNDEFINED)
        return AG__STEP_OUTERMOST;
    if (r->kind[ra] == RULE_SAME) {
        if (!ag__frame_knows(f, ra))
            return AG__STEP_BROKEN;
        value = f->reg[ra];
    } else if (!apply(r, (unsigned)ra, cfa, f, mem, &value)) {
        return AG__STEP_BROKEN;
    }
    caller.pc = ag__pc_plain(value);
    *f = caller;
    return AG__STEP_OK;
}

/* A rule as an offset in words; false if it is not that simple. */
static bool simple_rule(const row *r, uint64_t column, int16_t *ret) {
    int64_t value = r->value[column];
    *ret = AG__RULES_SAME;
    if (r->kind[column] == RULE_SAME)
        return true;
    *ret = (int16_t)(value / 8);
    return r->kind[column] == RULE_AT_OFFSET && value % 8 == 0 && value / 8 == *ret &&
           *ret != AG__RULES_SAME;
}

static void tell_rules(const row *r, const ag__fde *fde, ag__rules *ret) {
    uint64_t kept = (uint64_t)1 << fde->ra;
    ret->simple = !fde->signal && !r->cfa_expr && r->cfa_reg < AG__REGS &&
                  r->cfa_offset == (int32_t)r->cfa_offset && simple_rule(r, fde->ra, &ret->ra) &&
                  (ret->ra != AG__RULES_SAME || fde->ra == (uint64_t)AG__REG_LINK);
    for (int i = 0; i < AG__CALLEE_COUNT && ret->simple; i++) {
        ret->simple = simple_rule(r, ag__callee_reg[i], &ret->callee[i]);
        kept |= (uint64_t)1 << ag__callee_reg[i];
    }
    for (unsigned i = 0; i < AG__REGS && ret->simple; i++)
        ret->simple = r->kind[i] == RULE_SAME || (kept >> i & 1);
    ret->cfa_reg = (unsigned char)r->cfa_reg;
    ret->cfa_offset = (int32_t)r->cfa_offset;
}

ag__step ag__cfi_step(const ag__fde *fde, uintptr_t target, ag__memory *mem, ag__frame *f,
                      ag__rules *ret_rules) {
    machine vm;
    ret_rules->simple = false;
    if (fde->ra >= AG__COLUMNS)
        return AG__STEP_BROKEN;
    vm.fde = fde;
    vm.saved_count = 0;
    vm.bad = false;
    memset(&vm.now, 0, sizeof vm.now);
    vm.first = vm.now;
    vm.loc = 0;
    if (!run(&vm, fde->common, UINTPTR_MAX))
        return AG__STEP_BROKEN;
    vm.first = vm.now;
    vm.loc = fde->lo;
    if (!run(&vm, fde->own, target))
        return AG__STEP_BROKEN;
    tell_rules(&vm.now, fde, ret_rules);
    return apply_row(&vm.now, fde->ra, mem, f);
}
