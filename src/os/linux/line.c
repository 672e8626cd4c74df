/* SPDX-License-Identifier: MIT */
/*
 * line.c - the source line of an address, from .debug_line (DWARF 2 to 5).
 *
 * The section is a series of units, each a header (tables of directories and files) and a program
 * that writes rows (address, file, line) in sequences of rising addresses. The first question about
 * a file runs all programs once and sorts the sequences by their first address; a question then
 * runs one sequence again up to its address. Nothing is unpacked, names stay in the file.
 *
 * Sequences outside the module's code are left out: the linker points the tables of functions
 * it dropped to address 0. Compressed sections and separate debug files are not read.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sys/mman.h>

#include "os/linux/elf.h"
#include "os/unwind.h"

enum { FORMATS_MAX = 16 };

/* What a unit's header says. The cursors stand at the first directory, file and instruction. */
typedef struct unit {
    const unsigned char *end; /* the next unit */
    unsigned version;
    bool wide;
    unsigned min_length, line_range, opcode_base;
    int line_base;
    const unsigned char *operand_counts; /* of the opcodes 1 .. opcode_base - 1 */
    ag__cursor tables, program;
} unit;

typedef struct row {
    uint64_t addr, file;
    int64_t line;
} row;

/* A sequence of rows, as the table of all sequences keeps it. */
typedef struct sequence {
    uint64_t lo, hi;
    const unsigned char *unit, *program;
} sequence;

/* Constant once published. */
struct ag__line_table {
    size_t count, room;
    ag__section lines, strings, line_strings;
    ag__index *order; /* of the sequences, by lo */
    sequence at[];
};

/* ---- Headers -------------------------------------------------------------------------------- */

static bool open_unit(ag__cursor *section, unit *u) {
    uint64_t length = ag__cur_length(section, &u->wide);
    ag__cursor c = ag__cur_part(section, length);
    u->end = c.end;
    u->version = (unsigned)ag__cur_uint(&c, 2);
    if (u->version < 2 || u->version > 5)
        return false;
    if (u->version == 5 && (ag__cur_u8(&c) != 8 || ag__cur_u8(&c) != 0))
        return false;
    uint64_t header = ag__cur_offset(&c, u->wide);
    u->tables = ag__cur_part(&c, header);
    u->program = c;
    u->min_length = ag__cur_u8(&u->tables);
    if (u->version >= 4)
        ag__cur_u8(&u->tables); /* operations per instruction: 1 on both processors */
    ag__cur_u8(&u->tables);     /* is a row a statement by default */
    u->line_base = (int)ag__cur_int(&u->tables, 1);
    u->line_range = ag__cur_u8(&u->tables);
    u->opcode_base = ag__cur_u8(&u->tables);
    u->operand_counts = ag__cur_take(&u->tables, u->opcode_base ? u->opcode_base - 1 : 0);
    return !c.bad && !u->tables.bad && u->line_range && u->operand_counts;
}

static const char *string_at(const ag__section *s, uint64_t at) {
    if (at >= s->size || !memchr(s->bytes + at, 0, s->size - at))
        return NULL;
    return (const char *)s->bytes + at;
}

/* Reads one attribute of a version 5 table: its string or number, whichever it is. */
static void attribute(const ag__line_table *t, const unit *u, ag__cursor *c, uint64_t form,
                      const char **ret_string, uint64_t *ret_number) {
    switch (form) {
    case 0x08: /* string */
        *ret_string = ag__cur_string(c);
        break;
    case 0x0e: /* strp */
        *ret_string = string_at(&t->strings, ag__cur_offset(c, u->wide));
        break;
    case 0x1f: /* line_strp */
        *ret_string = string_at(&t->line_strings, ag__cur_offset(c, u->wide));
        break;
    case 0x0b: /* data1 */
        *ret_number = ag__cur_u8(c);
        break;
    case 0x05: /* data2 */
        *ret_number = ag__cur_uint(c, 2);
        break;
    case 0x06: /* data4 */
        *ret_number = ag__cur_uint(c, 4);
        break;
    case 0x07: /* data8 */
        *ret_number = ag__cur_uint(c, 8);
        break;
    case 0x0f: /* udata */
        *ret_number = ag__cur_uleb(c);
        break;
    case 0x1e: /* data16 */
        ag__cur_take(c, 16);
        break;
    case 0x09: /* block */
        ag__cur_take(c, ag__cur_uleb(c));
        break;
    default:
        ag__cur_fail(c);
    }
}

/* Reads a version 5 table up to entry `wanted`; the cursor stops behind that entry, or behind the
 * table if `wanted` is not in it. */
static bool entry_v5(const ag__line_table *t, const unit *u, ag__cursor *c, uint64_t wanted,
                     const char **ret_name, uint64_t *ret_dir) {
    uint64_t content[FORMATS_MAX], form[FORMATS_MAX];
    unsigned formats = ag__cur_u8(c);
    for (unsigned i = 0; i < formats; i++) {
        uint64_t kind = ag__cur_uleb(c), coded = ag__cur_uleb(c);
        if (i == FORMATS_MAX)
            return false;
        content[i] = kind;
        form[i] = coded;
    }
    uint64_t count = ag__cur_uleb(c);
    for (uint64_t n = 0; n < count && formats && !c->bad; n++) {
        const char *name = NULL;
        uint64_t dir = 0;
        for (unsigned i = 0; i < formats; i++) {
            const char *string = NULL;
            uint64_t number = 0;
            attribute(t, u, c, form[i], &string, &number);
            name = content[i] == 1 ? string : name; /* path */
            dir = content[i] == 2 ? number : dir;   /* directory_index */
        }
        if (n == wanted && !c->bad) {
            *ret_name = name;
            *ret_dir = dir;
            return name != NULL;
        }
    }
    return false;
}

static bool file_v5(const ag__line_table *t, const unit *u, uint64_t number, ag__line_info *ret) {
    ag__cursor dirs = u->tables, files = u->tables;
    uint64_t dir = 0, none;
    const char *name = NULL;
    entry_v5(t, u, &files, UINT64_MAX, &name, &none); /* reads over the directories */
    if (!entry_v5(t, u, &files, number, &ret->file, &dir))
        return false;
    ret->dir = entry_v5(t, u, &dirs, dir, &name, &none) ? name : NULL;
    return true;
}

static bool file_v4(const unit *u, uint64_t number, ag__line_info *ret) {
    ag__cursor dirs = u->tables, c = u->tables;
    while (*ag__cur_string(&c))
        continue;
    for (uint64_t n = 1; !c.bad; n++) {
        const char *name = ag__cur_string(&c);
        uint64_t dir = *name ? ag__cur_uleb(&c) : 0;
        if (!*name)
            return false;
        ag__cur_uleb(&c); /* time */
        ag__cur_uleb(&c); /* size */
        if (n != number)
            continue;
        ret->file = name;
        ret->dir = NULL; /* directory 0 is the compiler's own, which this table does not name */
        for (uint64_t i = 1; i <= dir && !dirs.bad; i++)
            ret->dir = ag__cur_string(&dirs);
        return !dirs.bad;
    }
    return false;
}

/* ---- Programs ------------------------------------------------------------------------------- */

typedef enum event { EVENT_NONE, EVENT_ROW, EVENT_END } event;

static event extended(ag__cursor *c, row *r) {
    ag__cursor body = ag__cur_part(c, ag__cur_uleb(c));
    unsigned op = ag__cur_u8(&body);
    if (op == 1) /* end_sequence */
        return EVENT_END;
    if (op == 2) /* set_address */
        r->addr = ag__cur_uint(&body, 8);
    return EVENT_NONE;
}

static event standard(const unit *u, unsigned op, ag__cursor *c, row *r) {
    switch (op) {
    case 0:
        return extended(c, r);
    case 1: /* copy */
        return EVENT_ROW;
    case 2: /* advance_pc */
        r->addr += ag__cur_uleb(c) * u->min_length;
        break;
    case 3: /* advance_line */
        r->line = (int64_t)((uint64_t)r->line + (uint64_t)ag__cur_sleb(c));
        break;
    case 4: /* set_file */
        r->file = ag__cur_uleb(c);
        break;
    case 8: /* const_add_pc */
        r->addr += (uint64_t)((255 - u->opcode_base) / u->line_range) * u->min_length;
        break;
    case 9: /* fixed_advance_pc */
        r->addr += ag__cur_uint(c, 2);
        break;
    default: /* columns, blocks, statements; others by their number of operands */
        for (unsigned i = u->operand_counts[op - 1]; i > 0; i--)
            ag__cur_uleb(c);
    }
    return EVENT_NONE;
}

/* Runs until a row is written. A sequence that is not ended is broken and its end is EVENT_NONE. */
static event next_row(const unit *u, ag__cursor *c, row *r) {
    while (c->p < c->end) {
        unsigned op = ag__cur_u8(c);
        event what = EVENT_ROW;
        if (op >= u->opcode_base) {
            unsigned step = op - u->opcode_base;
            r->addr += (uint64_t)(step / u->line_range) * u->min_length;
            r->line += u->line_base + (int)(step % u->line_range);
        } else {
            what = standard(u, op, c, r);
        }
        if (c->bad)
            return EVENT_NONE;
        if (what != EVENT_NONE)
            return what;
    }
    return EVENT_NONE;
}

static row first_row(void) {
    return (row){.file = 1, .line = 1};
}

/* Walks over all sequences; keeps those in code of the module, as long as there is room. */
static size_t collect(const ag__module *m, const ag__section *lines, ag__line_table *t) {
    ag__cursor section = {lines->bytes, lines->bytes + lines->size, false};
    size_t count = 0;
    while (section.p < section.end) {
        const unsigned char *start = section.p;
        unit u;
        if (!open_unit(&section, &u))
            continue;
        while (u.program.p < u.program.end) {
            sequence s = {UINT64_MAX, 0, start, u.program.p};
            row r = first_row();
            event what;
            while ((what = next_row(&u, &u.program, &r)) == EVENT_ROW)
                s.lo = r.addr < s.lo ? r.addr : s.lo;
            s.hi = r.addr;
            if (what != EVENT_END)
                break;
            if (s.lo >= s.hi || !ag__module_code(m, m->bias + s.lo))
                continue;
            if (t && count < t->room)
                t->at[count] = s;
            count++;
        }
    }
    return count;
}

/* ---- Tables --------------------------------------------------------------------------------- */

static size_t table_bytes(size_t room) {
    return sizeof(ag__line_table) + room * sizeof(sequence);
}

static ag__line_table *build(const ag__module *m, const ag__elf_file *f) {
    ag__section lines = {.size = 0};
    size_t room = ag__elf_section(f, ".debug_line", &lines) ? collect(m, &lines, NULL) : 0;
    ag__line_table *t = ag__elf_pages(table_bytes(room));
    ag__index *order = ag__index_new(room);
    if (!t || !order) {
        if (t)
            munmap(t, table_bytes(room));
        if (order)
            ag__index_free(order);
        return NULL;
    }
    t->room = room;
    t->lines = lines;
    t->order = order;
    ag__elf_section(f, ".debug_str", &t->strings);
    ag__elf_section(f, ".debug_line_str", &t->line_strings);
    if (room)
        t->count = collect(m, &lines, t);
    for (; order->count < t->count; order->count++)
        order->key[order->count] = (t->at[order->count].lo - f->base) << 32 | order->count;
    ag__index_sort(order);
    return t;
}

static const ag__line_table *table_of(const ag__module *m, ag__elf_file *f) {
    ag__line_table *there = atomic_load_explicit(&f->lines, memory_order_acquire);
    ag__line_table *t = there ? there : build(m, f);
    if (!t || there)
        return t;
    if (atomic_compare_exchange_strong_explicit(&f->lines, &there, t, memory_order_release,
                                                memory_order_acquire))
        return t;
    ag__index_free(t->order);
    munmap(t, table_bytes(t->room));
    return there;
}

/* The line that covers an address in a sequence: of the last row before it that has a line. */
static int search(const ag__line_table *t, const sequence *s, uint64_t at, ag__line_info *ret) {
    const unsigned char *end = t->lines.bytes + t->lines.size;
    ag__cursor section = {s->unit, end, false};
    unit u;
    if (!open_unit(&section, &u))
        return -ENOENT;
    ag__cursor c = {s->program, u.end, false};
    row r = first_row(), best = {.line = 0};
    while (next_row(&u, &c, &r) == EVENT_ROW && r.addr <= at)
        if (r.line > 0)
            best = r;
    ag__line_info found = {.line = (int)best.line};
    if (best.line <= 0 || best.line > INT32_MAX)
        return -ENOENT;
    if (!(u.version == 5 ? file_v5(t, &u, best.file, &found) : file_v4(&u, best.file, &found)))
        return -ENOENT;
    if (*found.file == '/')
        found.dir = NULL;
    *ret = found;
    return 0;
}

int ag__line(uintptr_t pc, bool is_return, ag__line_info *ret) {
    ag__module m;
    int saved = errno, result = -ENOENT;
    pc -= is_return;
    ag__elf_file *f = ag__module_find(pc, &m) ? ag__elf_file_of(&m) : NULL;
    const ag__line_table *t = f && f->bytes ? table_of(&m, f) : NULL;
    uint64_t at = pc - m.bias;
    ptrdiff_t i = -1;
    if (t && at - f->base <= UINT32_MAX)
        i = ag__index_floor(t->order, (uint32_t)(at - f->base));
    if (i >= 0) {
        const sequence *s = &t->at[(uint32_t)t->order->key[i]];
        if (at < s->hi)
            result = search(t, s, at, ret);
    }
    errno = saved;
    return result;
}
