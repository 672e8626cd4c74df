/* SPDX-License-Identifier: MIT */
/*
 * The parts of the unwinder one by one, on programs written by hand: every call frame instruction
 * and every expression operation, good and bad; numbers and their limits.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ag_test.h"
#include "os/linux/unwind_frame.h"

typedef unsigned char byte;

/* ---- Expressions ---------------------------------------------------------------------------- */

enum { REG_A = 3, REG_B = 6 };
static uintptr_t words[64]; /* the stack these tests read */
static const ag__stack_view all_words = {(uintptr_t)words, (uintptr_t)(words + 64), NULL};
static ag__frame frame;
static ag__memory memory;
static int simple_count;

static void reset(void) {
    memset(&frame, 0, sizeof frame);
    for (int i = 0; i < 64; i++)
        words[i] = 0x1000 + (uintptr_t)i;
    frame.pc = 0x5555;
    ag__frame_set(&frame, REG_A, 100);
    ag__frame_set(&frame, AG__REG_SP, (uintptr_t)words);
    memory = ag__memory_of(&all_words);
}

static bool eval(const byte *code, size_t size, uintptr_t *ret) {
    reset();
    return ag__expr_eval((ag__cursor){code, code + size, false}, &frame, &memory, NULL, ret);
}

#define BYTES(...)                                                                                 \
    (const byte[]){__VA_ARGS__}, sizeof(const byte[]) {                                            \
        __VA_ARGS__                                                                                \
    }
#define check_value(expected, ...)                                                                 \
    do {                                                                                           \
        uintptr_t v = 0;                                                                           \
        ag_check(eval(BYTES(__VA_ARGS__), &v));                                                    \
        ag_check_int(v, expected);                                                                 \
    } while (0)
#define check_fails(...)                                                                           \
    do {                                                                                           \
        uintptr_t v = 77;                                                                          \
        ag_check(!eval(BYTES(__VA_ARGS__), &v));                                                   \
        ag_check_int(v, 77);                                                                       \
    } while (0)

AG_TEST(expr_constants) {
    check_value(0, 0x30);
    check_value(31, 0x4f);
    check_value(0xff, 0x08, 0xff);
    check_value(-1, 0x09, 0xff);
    check_value(0xfffe, 0x0a, 0xfe, 0xff);
    check_value(-2, 0x0b, 0xfe, 0xff);
    check_value(0xfffffffd, 0x0c, 0xfd, 0xff, 0xff, 0xff);
    check_value(-3, 0x0d, 0xfd, 0xff, 0xff, 0xff);
    check_value(0x0807060504030201, 0x0e, 1, 2, 3, 4, 5, 6, 7, 8);
    check_value(-4, 0x0f, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    check_value(0x0807060504030201, 0x03, 1, 2, 3, 4, 5, 6, 7, 8);
    check_value(300, 0x10, 0xac, 0x02);
    check_value(-300, 0x11, 0xd4, 0x7d);
}

AG_TEST(expr_arithmetic) {
    check_value(7, 0x33, 0x34, 0x22);
    check_value(-1, 0x33, 0x34, 0x1c);
    check_value(12, 0x33, 0x34, 0x1e);
    check_value(-3, 0x09, 0xf9, 0x32, 0x1b);
    check_value(1, 0x37, 0x32, 0x1d);
    check_value(2, 0x33, 0x36, 0x1a);
    check_value(7, 0x33, 0x36, 0x21);
    check_value(5, 0x33, 0x36, 0x27);
    check_value(24, 0x33, 0x33, 0x24);
    check_value(3, 0x48, 0x33, 0x25);
    check_value(-1, 0x09, 0xff, 0x33, 0x26);
    check_value(0, 0x33, 0x08, 64, 0x24);
    check_value(0, 0x09, 0xff, 0x08, 200, 0x25);
    check_value(-1, 0x09, 0xff, 0x08, 200, 0x26);
    check_value(5, 0x09, 0xfb, 0x19);
    check_value(-3, 0x33, 0x1f);
    check_value(-4, 0x33, 0x20);
    check_value(303, 0x33, 0x23, 0xac, 0x02);
    check_fails(0x33, 0x30, 0x1b);
    check_fails(0x33, 0x30, 0x1d);
    uintptr_t v;
    ag_check(eval(BYTES(0x0e, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x09, 0xff, 0x1b), &v));
    ag_check_int(v, INT64_MIN); /* the one quotient that does not fit */
}

AG_TEST(expr_comparisons_and_jumps) {
    for (byte op = 0x29; op <= 0x2e; op++) {
        static const byte less[] = {0, 0, 0, 1, 1, 1}, same[] = {1, 1, 0, 1, 0, 0},
                          more[] = {0, 1, 1, 0, 0, 1};
        check_value(less[op - 0x29], 0x09, 0xff, 0x31, op);
        check_value(same[op - 0x29], 0x33, 0x33, op);
        check_value(more[op - 0x29], 0x35, 0x33, op);
    }
    check_value(1, 0x31, 0x2f, 1, 0, 0x32, 0x96);
    check_value(1, 0x31, 0x30, 0x31, 0x28, 2, 0, 0x13, 0x34, 0x13);
    check_value(34, 0x30, 0x30, 0x28, 1, 0, 0x96, 0x23, 34);
    check_fails(0x31, 0x2f, 2, 0, 0x32); /* past the end */
    check_fails(0x31, 0x2f, 0xfb, 0xff); /* before the start */
    check_fails(0x31, 0x2f, 0xfd, 0xff); /* for ever */
    check_fails(0x31, 0x2f, 1);          /* cut short */
}

AG_TEST(expr_stack_moves) {
    check_value(6, 0x33, 0x12, 0x22);
    check_value(3, 0x33, 0x34, 0x13);
    check_value(3, 0x33, 0x34, 0x14);
    check_value(2, 0x32, 0x33, 0x34, 0x15, 2);
    check_value(1, 0x33, 0x34, 0x16, 0x1c);
    check_value(3, 0x32, 0x33, 0x34, 0x17);
    check_value(2, 0x32, 0x33, 0x34, 0x17, 0x13);
    check_value(4, 0x32, 0x33, 0x34, 0x17, 0x13, 0x13);
    check_fails(0x13);
    check_fails(0x12);
    check_fails(0x33, 0x14);
    check_fails(0x33, 0x34, 0x17);
    check_fails(0x33, 0x15, 1);
    check_fails(0x33, 0x22);
    check_fails(0x96);
    check_value(1, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31,
                0x31, 0x31, 0x31);
    check_fails(0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31,
                0x31, 0x31, 0x31);
}

AG_TEST(expr_registers_and_memory) {
    check_value(105, 0x70 + REG_A, 5);
    check_value(99, 0x92, REG_A, 0x7f);
    check_value(0x5557, 0x92, AG__REG_PC, 2);
    check_value(0x1002, 0x70 + AG__REG_SP, 16, 0x06);
    check_value(0x02, 0x70 + AG__REG_SP, 16, 0x94, 1);
    check_value(0x1002, 0x70 + AG__REG_SP, 16, 0x94, 2);
    check_value(0x10, 0x70 + AG__REG_SP, 17, 0x94, 4);
    check_fails(0x70 + REG_B, 0);                     /* not known */
    check_fails(0x92, 0xff, 0x7f, 0);                 /* does not exist */
    check_fails(0x70 + AG__REG_SP, 0x78, 0x06);       /* below the view */
    check_fails(0x70 + AG__REG_SP, 0x80, 0x04, 0x06); /* above */
    check_fails(0x70 + AG__REG_SP, 0xfc, 0x03, 0x06); /* half in */
    check_fails(0x70 + AG__REG_SP, 0, 0x94, 3);       /* no such size */
    check_fails(0xf0);                                /* no such operation */
    check_fails(0x10, 0x80);                          /* cut short */
}

/* ---- Call frame programs -------------------------------------------------------------------- */

enum { LO = 0x400000, RA = AG__REG_LINK < 0 ? 16 : 30, REG_CALLEE = RA == 16 ? 12 : 19 };

/* Runs a program for the instruction at LO + at; data is saved in units of -8. */
static ag__step run_at(unsigned at, const byte *common, size_t common_size, const byte *own,
                       size_t own_size) {
    ag__fde fde = {.lo = LO, .hi = LO + 4096, .code_align = 4, .data_align = -8, .ra = RA};
    reset();
    fde.common = (ag__cursor){common, common + common_size, false};
    fde.own = (ag__cursor){own, own + own_size, false};
    ag__rules rules = {.simple = false};
    ag__step result = ag__cfi_step(&fde, LO + at, &memory, &frame, &rules);
    if (rules.simple) {
        /* The short way comes to the same end. */
        ag__frame full = frame;
        reset();
        ag_check_int(ag__rules_step(&rules, &memory, &frame), result);
        ag_check_mem(&frame, &full, sizeof frame);
        simple_count++;
    }
    return result;
}

/* CFA is 64 bytes up, the return address is just below it. */
#define COMMON BYTES(0x0c, AG__REG_SP, 64, 0x80 + RA, 1)
#define run_own(at, ...) run_at(at, COMMON, BYTES(__VA_ARGS__))
#define check_step(at, ...) ag_check_int(run_own(at, __VA_ARGS__), AG__STEP_OK)
#define check_broken(...) ag_check_int(run_own(0, __VA_ARGS__), AG__STEP_BROKEN)

static int cfa_words(void) {
    return (int)((frame.reg[AG__REG_SP] - (uintptr_t)words) / 8);
}

AG_TEST(cfi_rows_begin_where_the_code_says) {
    check_step(0, 0x00);
    ag_check_int(cfa_words(), 8);
    ag_check_int(frame.pc, 0x1007);
    static const byte own[] = {0x41, 0x0e, 16, 0x02, 2, 0x0e, 24,   0x03, 1,    0,    0x0e,
                               32,   0x04, 1,  0,    0, 0,    0x0e, 40,   0x7f, 0x0e, 48};
    static const int starts[] = {4, 12, 16, 20, 20 + 63 * 4}, sizes[] = {2, 3, 4, 5, 6};
    for (unsigned at = 0; at < 300; at++) {
        int expected = 8;
        for (int i = 0; i < 5; i++)
            expected = (int)at >= starts[i] ? sizes[i] : expected;
        ag_check_int(run_at(at, COMMON, own, sizeof own), AG__STEP_OK);
        ag_check_int(cfa_words(), expected);
        ag_check_int(frame.pc, 0x1000 + expected - 1);
    }
    /* set_loc: an absolute address */
    check_step(7, 0x01, 8, 0, 0x40, 0, 0, 0, 0, 0, 0x0e, 16);
    ag_check_int(cfa_words(), 8);
    check_step(8, 0x01, 8, 0, 0x40, 0, 0, 0, 0, 0, 0x0e, 16);
    ag_check_int(cfa_words(), 2);
}

AG_TEST(cfi_cfa_definitions) {
    check_step(0, 0x0c, AG__REG_SP, 80);
    ag_check_int(cfa_words(), 10);
    check_step(0, 0x12, AG__REG_SP, 0x74); /* -12 times -8 */
    ag_check_int(cfa_words(), 12);
    check_step(0, 0x13, 0x73);
    ag_check_int(cfa_words(), 13);
    check_step(0, 0x0e, 32, 0x0d, AG__REG_SP);
    ag_check_int(cfa_words(), 4);
    check_step(0, 0x0f, 2, 0x70 + AG__REG_SP, 40);
    ag_check_int(cfa_words(), 5);
    check_step(0, 0x0f, 2, 0x70 + AG__REG_SP, 40, 0x0c, AG__REG_SP, 48);
    ag_check_int(cfa_words(), 6);
    check_broken(0x0c, REG_B, 8); /* from a register that is not known */
    check_broken(0x0c, REG_A, 8); /* from one that is no stack address */
    check_broken(0x0f, 2, 0x70 + REG_B, 0);
    check_broken(0x0f, 3, 0x70 + AG__REG_SP, 0);
}

AG_TEST(cfi_register_rules) {
    check_step(0, 0x80 + REG_B, 3);
    ag_check_int(frame.reg[REG_B], 0x1005);
    ag_check_int(frame.reg[REG_A], 100); /* no rule: as it was */
    check_step(0, 0x05, REG_B, 4);
    ag_check_int(frame.reg[REG_B], 0x1004);
    check_step(0, 0x11, REG_B, 0x7d); /* -3 times -8: above the CFA */
    ag_check_int(frame.reg[REG_B], 0x100b);
    check_step(0, 0x2f, REG_B, 2);
    ag_check_int(frame.reg[REG_B], 0x100a);
    check_step(0, 0x14, REG_B, 2);
    ag_check_ptr(frame.reg[REG_B], words + 6);
    check_step(0, 0x15, REG_B, 0x7e);
    ag_check_ptr(frame.reg[REG_B], words + 10);
    check_step(0, 0x09, REG_B, REG_A);
    ag_check_int(frame.reg[REG_B], 100);
    check_step(0, 0x10, REG_B, 3, 0x38, 0x1c, 0x96); /* at CFA - 8 */
    ag_check_int(frame.reg[REG_B], 0x1007);
    check_step(0, 0x16, REG_B, 2, 0x38, 0x1c);
    ag_check_ptr(frame.reg[REG_B], words + 7);
    check_step(0, 0x07, REG_A);
    ag_check(!ag__frame_knows(&frame, REG_A));
    check_step(0, 0x07, REG_A, 0x08, REG_A);
    ag_check_int(frame.reg[REG_A], 100);
    check_step(0, 0x80 + REG_A, 0x7f); /* saved where nothing can be read */
    ag_check(!ag__frame_knows(&frame, REG_A));
}

AG_TEST(cfi_restore_goes_back_to_the_common_entry) {
    check_step(0, 0x80 + RA, 5, 0x41, 0xc0 + RA);
    ag_check_int(frame.pc, 0x1003);
    check_step(4, 0x80 + RA, 5, 0x41, 0xc0 + RA);
    ag_check_int(frame.pc, 0x1007);
    check_step(4, 0x80 + RA, 5, 0x41, 0x06, RA);
    ag_check_int(frame.pc, 0x1007);
    check_step(4, 0x80 + REG_A, 5, 0x41, 0xc0 + REG_A); /* to no rule */
    ag_check_int(frame.reg[REG_A], 100);
}

AG_TEST(cfi_remembers_and_restores_states) {
    check_step(0, 0x0a, 0x0e, 16, 0x80 + RA, 2, 0x0b);
    ag_check_int(cfa_words(), 8);
    ag_check_int(frame.pc, 0x1007);
    check_step(0, 0x0a, 0x0e, 16, 0x0a, 0x0e, 24, 0x0b);
    ag_check_int(cfa_words(), 2);
    check_step(0, 0x0a, 0x0a, 0x0a, 0x0a, 0x0b, 0x0b, 0x0b, 0x0b);
    check_broken(0x0a, 0x0a, 0x0a, 0x0a, 0x0a);
    check_broken(0x0b);
}

AG_TEST(cfi_undefined_return_address_is_the_end) {
    ag_check_int(run_own(0, 0x07, RA), AG__STEP_OUTERMOST);
    ag_check_int(run_own(0, 0x80 + RA, 0x7f), AG__STEP_BROKEN); /* not readable: not an end */
}

AG_TEST(cfi_other_instructions_are_read_over) {
    check_step(0, 0x2d, 0x2c, 0x2e, 0xff, 0x01, 0x00, 0x05, 0xc8, 0x00, 3, 0x0e, 16);
    ag_check_int(cfa_words(), 2);
    check_broken(0x3f);
    check_broken(0x1c);
    check_broken(0x0e);
    check_broken(0x0e, 0x80);
    check_broken(0x10, REG_A, 0x7f, 0x30);
}

AG_TEST(rules_are_simple_only_if_all_is_at_an_offset) {
    check_step(0, 0x80 + REG_CALLEE, 3);
    ag_check_int(simple_count, 1);
    check_step(0, 0x05, 40, 3); /* a register that is not followed */
    ag_check_int(simple_count, 2);
    check_step(0, 0x80 + 1, 3); /* one that calls do not keep */
    check_step(0, 0x14, REG_CALLEE, 2);
    check_step(0, 0x07, REG_CALLEE);
    check_step(0, 0x0f, 2, 0x70 + AG__REG_SP, 40);
    check_step(0, 0x10, REG_CALLEE, 2, 0x38, 0x1c);
    ag_check_int(run_own(0, 0x07, RA), AG__STEP_OUTERMOST);
    ag_check_int(simple_count, 2);
}

AG_TEST(rules_are_kept_by_address_and_module) {
    ag__module m = {.hi = 0x10000, .eh_hdr = 0x8000}, other = {.hi = 0x10000, .eh_hdr = 0x8010};
    ag__rules rules = {.cfa_offset = 16, .cfa_reg = AG__REG_SP, .simple = true, .ra = -1}, got;
    ag_check(!ag__rules_get(&m, 0x4000, &got));
    for (int i = 0; i < 10000; i++) {
        rules.cfa_offset = i;
        ag__rules_put(&m, 0x4000 + (uintptr_t)i, &rules);
        ag_check(ag__rules_get(&m, 0x4000 + (uintptr_t)i, &got));
        ag_check_mem(&got, &rules, sizeof got);
        ag_check(!ag__rules_get(&other, 0x4000 + (uintptr_t)i, &got));
        ag_check(!ag__rules_get(&m, 0x3fff - (uintptr_t)i, &got));
    }
    int kept = 0;
    for (int i = 0; i < 10000; i++)
        kept += ag__rules_get(&m, 0x4000 + (uintptr_t)i, &got) && got.cfa_offset == i;
    ag_check(kept > 0);
}

/* ---- Numbers -------------------------------------------------------------------------------- */

static ag__cursor cursor_on(const byte *bytes, size_t size) {
    return (ag__cursor){bytes, bytes + size, false};
}

AG_TEST(cursor_reads_numbers_and_stops_at_its_end) {
    ag__cursor c = cursor_on(BYTES(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01));
    ag_check(ag__cur_uleb(&c) == (uint64_t)1 << 63 && !c.bad);
    c = cursor_on(BYTES(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f));
    ag_check(ag__cur_sleb(&c) == 0 && !c.bad);
    c = cursor_on(BYTES(0x80, 0x7f, 0x3f, 0x40));
    ag_check_int(ag__cur_sleb(&c), -128);
    ag_check_int(ag__cur_sleb(&c), 63);
    ag_check_int(ag__cur_sleb(&c), -64);
    ag_check(!c.bad);
    ag_check_int(ag__cur_sleb(&c), 0);
    ag_check(c.bad);
    c = cursor_on(BYTES(1, 2, 3));
    ag_check_int(ag__cur_uint(&c, 4), 0);
    ag_check(c.bad && ag__cur_left(&c) == 0 && ag__cur_u8(&c) == 0);
    c = cursor_on(BYTES('a', 'b', 0, 'c'));
    ag_check_str(ag__cur_string(&c), "ab");
    ag_check_str(ag__cur_string(&c), "");
    ag_check(c.bad);
    c = cursor_on(BYTES(0xff, 0xff, 0xff, 0xff, 5, 0, 0, 0, 0, 0, 0, 0));
    bool wide;
    ag_check_int(ag__cur_length(&c, &wide), 5);
    ag_check(wide && !c.bad);
}

AG_TEST(cursor_reads_encoded_addresses) {
    static const byte bytes[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const struct {
        unsigned encoding;
        uintptr_t value;
    } cases[] = {
        {0x00, -2}, {0x02, 0xfffe}, {0x03, 0xfffffffe},    {0x04, -2}, {0x0a, -2}, {0x0b, -2},
        {0x0c, -2}, {0x3b, 998},    {0x1b, (uintptr_t)-3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ag__cursor c = cursor_on(bytes, sizeof bytes);
        uintptr_t expected = cases[i].value;
        if (cases[i].encoding == 0x1b)
            expected = (uintptr_t)bytes - 2;
        ag_check_int(ag__cur_encoded(&c, cases[i].encoding, 1000), expected);
        ag_check(!c.bad);
    }
    ag__cursor c = cursor_on(bytes, sizeof bytes);
    ag__cur_encoded(&c, 0x50, 0); /* aligned: nobody writes it */
    ag_check(c.bad);
    c = cursor_on(bytes, sizeof bytes);
    ag__cur_encoded(&c, 0x07, 0);
    ag_check(c.bad);
}
