/* SPDX-License-Identifier: MIT */
/*
 * unwind_expr.c - DWARF expressions: a stack machine on words, used by call frame rules that are
 * more than "register plus offset" (procedure linkage tables, signal frames, realigned stacks).
 *
 * Operations on types and on objects do not occur in call frame tables and end the evaluation,
 * as does a value outside the limits below: a broken table must not run for ever.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/linux/unwind_frame.h"

enum { STACK_WORDS = 16, STEPS_MAX = 256 };

typedef struct expr {
    ag__cursor code;
    const unsigned char *start;
    const ag__frame *f;
    ag__memory *mem;
    uintptr_t stack[STACK_WORDS];
    int depth;
    bool bad;
} expr;

static void push(expr *e, uintptr_t v) {
    if (e->depth < STACK_WORDS)
        e->stack[e->depth++] = v;
    else
        e->bad = true;
}

static uintptr_t pop(expr *e) {
    if (e->depth > 0)
        return e->stack[--e->depth];
    e->bad = true;
    return 0;
}

/* A copy of the word `down` places below the top. */
static void pick(expr *e, unsigned down) {
    if (down < (unsigned)e->depth)
        push(e, e->stack[(unsigned)e->depth - 1 - down]);
    else
        e->bad = true;
}

static void push_reg(expr *e, uint64_t reg) {
    int64_t offset = ag__cur_sleb(&e->code);
    if (reg == AG__REG_PC)
        push(e, e->f->pc + (uintptr_t)offset);
    else if (ag__frame_knows(e->f, reg))
        push(e, e->f->reg[reg] + (uintptr_t)offset);
    else
        e->bad = true;
}

/* Compilers read whole words only; so smaller pieces may ask for a whole one to be there, too. */
static void load(expr *e, unsigned bytes) {
    uintptr_t v = 0, at = pop(e);
    bool known = bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    if (!known || !ag__memory_word(e->mem, at, &v))
        e->bad = true;
    push(e, bytes < 8 && known ? v & (((uintptr_t)1 << 8 * bytes) - 1) : v);
}

static void jump(expr *e, bool taken) {
    int64_t by = ag__cur_int(&e->code, 2);
    if (!taken)
        return;
    if (by < e->start - e->code.p || by > e->code.end - e->code.p)
        e->bad = true;
    else
        e->code.p += by;
}

static void rotate(expr *e) {
    if (e->depth < 3) {
        e->bad = true;
        return;
    }
    uintptr_t *top = &e->stack[e->depth - 1], first = top[0];
    top[0] = top[-1];
    top[-1] = top[-2];
    top[-2] = first;
}

/* Operations on one word, and those that move words. False: not one of them. */
static bool unary(expr *e, unsigned op) {
    uintptr_t a, b;
    switch (op) {
    case 0x06: /* deref */
        load(e, 8);
        return true;
    case 0x94: /* deref_size */
        load(e, ag__cur_u8(&e->code));
        return true;
    case 0x12: /* dup */
        pick(e, 0);
        return true;
    case 0x13: /* drop */
        pop(e);
        return true;
    case 0x14: /* over */
        pick(e, 1);
        return true;
    case 0x15: /* pick */
        pick(e, ag__cur_u8(&e->code));
        return true;
    case 0x16: /* swap */
        b = pop(e), a = pop(e);
        push(e, b), push(e, a);
        return true;
    case 0x17: /* rot */
        rotate(e);
        return true;
    case 0x19: /* abs */
        a = pop(e);
        push(e, (intptr_t)a < 0 ? 0 - a : a);
        return true;
    case 0x1f: /* neg */
        push(e, 0 - pop(e));
        return true;
    case 0x20: /* not */
        push(e, ~pop(e));
        return true;
    case 0x23: /* plus_uconst */
        push(e, pop(e) + ag__cur_uleb(&e->code));
        return true;
    default:
        return false;
    }
}

/* Operations on two words: a is the one below. False: not one of them. */
static bool binary(expr *e, unsigned op) {
    bool known = (op >= 0x1a && op <= 0x27) || (op >= 0x29 && op <= 0x2e);
    if (!known || op == 0x1f || op == 0x20 || op == 0x23)
        return false;
    uintptr_t b = pop(e), a = pop(e), v = 0;
    intptr_t sa = (intptr_t)a, sb = (intptr_t)b;
    switch (op) {
    case 0x1a: /* and */
        v = a & b;
        break;
    case 0x1b: /* div */
        v = b == 0 ? 0 : sb == -1 ? 0 - a : (uintptr_t)(sa / sb);
        e->bad = e->bad || b == 0;
        break;
    case 0x1c: /* minus */
        v = a - b;
        break;
    case 0x1d: /* mod */
        v = b == 0 ? 0 : a % b;
        e->bad = e->bad || b == 0;
        break;
    case 0x1e: /* mul */
        v = a * b;
        break;
    case 0x21: /* or */
        v = a | b;
        break;
    case 0x22: /* plus */
        v = a + b;
        break;
    case 0x24: /* shl */
        v = b < 64 ? a << b : 0;
        break;
    case 0x25: /* shr */
        v = b < 64 ? a >> b : 0;
        break;
    case 0x26: /* shra */
        v = (uintptr_t)(sa >> (b < 64 ? b : 63));
        break;
    case 0x27: /* xor */
        v = a ^ b;
        break;
    case 0x29: /* eq */
        v = sa == sb;
        break;
    case 0x2a: /* ge */
        v = sa >= sb;
        break;
    case 0x2b: /* gt */
        v = sa > sb;
        break;
    case 0x2c: /* le */
        v = sa <= sb;
        break;
    case 0x2d: /* lt */
        v = sa < sb;
        break;
    default: /* ne */
        v = sa != sb;
    }
    push(e, v);
    return true;
}

/* Constants and registers. False: not one of them. */
static bool constant(expr *e, unsigned op) {
    if (op == 0x03) /* addr */
        push(e, ag__cur_uint(&e->code, 8));
    else if (op >= 0x08 && op <= 0x0f && op % 2 == 0) /* const1u const2u const4u const8u */
        push(e, ag__cur_uint(&e->code, 1u << (op - 0x08) / 2));
    else if (op >= 0x08 && op <= 0x0f) /* const1s const2s const4s const8s */
        push(e, (uintptr_t)ag__cur_int(&e->code, 1u << (op - 0x09) / 2));
    else if (op == 0x10) /* constu */
        push(e, ag__cur_uleb(&e->code));
    else if (op == 0x11) /* consts */
        push(e, (uintptr_t)ag__cur_sleb(&e->code));
    else if (op >= 0x30 && op <= 0x4f) /* lit0 .. lit31 */
        push(e, op - 0x30);
    else if (op >= 0x70 && op <= 0x8f) /* breg0 .. breg31 */
        push_reg(e, op - 0x70);
    else if (op == 0x92) /* bregx */
        push_reg(e, ag__cur_uleb(&e->code));
    else
        return false;
    return true;
}

bool ag__expr_eval(ag__cursor code, const ag__frame *f, ag__memory *mem, const uintptr_t *first,
                   uintptr_t *ret) {
    expr e = {.code = code, .start = code.p, .f = f, .mem = mem};
    if (first)
        push(&e, *first);
    for (int steps = 0; e.code.p < e.code.end && !e.bad; steps++) {
        unsigned op = ag__cur_u8(&e.code);
        if (steps == STEPS_MAX)
            return false;
        if (op == 0x2f) /* skip */
            jump(&e, true);
        else if (op == 0x28) /* bra */
            jump(&e, pop(&e) != 0);
        else if (op != 0x96 /* nop */ && !constant(&e, op) && !unary(&e, op) && !binary(&e, op))
            return false;
    }
    if (e.bad || e.code.bad || e.depth == 0)
        return false;
    *ret = e.stack[e.depth - 1];
    return true;
}
