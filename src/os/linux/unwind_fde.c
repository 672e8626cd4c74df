/* SPDX-License-Identifier: MIT */
/*
 * unwind_fde.c - from an address to the call frame entry that describes it.
 *
 * A module's .eh_frame is a series of entries: a common one (CIE: alignments, the encoding of
 * addresses, the first rules) and one for each function (FDE: a range of code and a program of
 * rules). The linker sorts them by address in .eh_frame_hdr, which is loaded and found through a
 * program header:
 *
 *     .eh_frame_hdr   version  encodings  count  (address, entry) (address, entry) ...
 *
 * so one binary search finds an entry. Programs linked with -static by gcc have no such header;
 * for them the section is found in the file and sorted once.
 *
 * All tables are read in place, inside the readable segment they are in. Entries in other formats
 * than the one linkers write (offsets from the table, 4 bytes) count as no table.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/linux/unwind_frame.h"

enum {
    PE_ABSPTR = 0x00,
    PE_ULEB = 0x01,
    PE_UDATA2 = 0x02,
    PE_UDATA4 = 0x03,
    PE_UDATA8 = 0x04,
    PE_SLEB = 0x09,
    PE_SDATA2 = 0x0a,
    PE_SDATA4 = 0x0b,
    PE_SDATA8 = 0x0c,
    PE_PCREL = 0x10,
    PE_DATAREL = 0x30,
};

/* A cursor on loaded tables, up to the end of the segment. */
static ag__cursor cursor_at(const ag__module *m, uintptr_t at) {
    uintptr_t lo, hi = m->eh_hi;
    if (at - m->eh_lo >= m->eh_hi - m->eh_lo && !ag__module_segment(m, at, PF_R, &lo, &hi))
        return ag__cur_none();
    return (ag__cursor){(const unsigned char *)at, (const unsigned char *)hi, false};
}

uintptr_t ag__cur_encoded(ag__cursor *c, unsigned encoding, uintptr_t data) {
    uintptr_t base = 0, v = 0;
    if ((encoding & 0x70) == PE_PCREL)
        base = (uintptr_t)c->p;
    else if ((encoding & 0x70) == PE_DATAREL)
        base = data;
    else if (encoding & 0x70)
        ag__cur_fail(c);
    switch (encoding & 0x0f) {
    case PE_ABSPTR:
    case PE_UDATA8:
    case PE_SDATA8:
        v = ag__cur_uint(c, 8);
        break;
    case PE_ULEB:
        v = ag__cur_uleb(c);
        break;
    case PE_UDATA2:
        v = ag__cur_uint(c, 2);
        break;
    case PE_UDATA4:
        v = ag__cur_uint(c, 4);
        break;
    case PE_SLEB:
        v = (uintptr_t)ag__cur_sleb(c);
        break;
    case PE_SDATA2:
        v = (uintptr_t)ag__cur_int(c, 2);
        break;
    case PE_SDATA4:
        v = (uintptr_t)ag__cur_int(c, 4);
        break;
    default:
        ag__cur_fail(c);
    }
    return base + v;
}

/* ---- Entries -------------------------------------------------------------------------------- */

/* The data a 'z' augmentation announces: a letter for each item. Unknown letters are skipped with
 * all that follows, as the announced size allows. */
static bool augmentation(ag__cursor *c, const char *letters, ag__fde *fde) {
    ag__cursor data = ag__cur_part(c, ag__cur_uleb(c));
    for (const char *p = letters + 1; *p; p++) {
        unsigned encoding;
        switch (*p) {
        case 'R':
            fde->encoding = (unsigned char)ag__cur_u8(&data);
            break;
        case 'S':
            fde->signal = true;
            break;
        case 'P':
            encoding = ag__cur_u8(&data);
            ag__cur_encoded(&data, encoding & 0x0f, 0);
            break;
        case 'L':
            ag__cur_u8(&data);
            break;
        case 'B': /* return addresses are signed with the second key */
        case 'G': /* tagged stack */
            break;
        default:
            return !data.bad;
        }
    }
    return !data.bad;
}

static bool parse_common(const ag__module *m, uintptr_t at, ag__fde *fde) {
    ag__cursor c = cursor_at(m, at);
    bool wide;
    uint64_t length = ag__cur_length(&c, &wide);
    c = ag__cur_part(&c, length);
    uint64_t id = ag__cur_offset(&c, wide);
    unsigned version = ag__cur_u8(&c);
    const char *letters = ag__cur_string(&c);
    if (c.bad || id != 0 || (version != 1 && version != 3 && version != 4))
        return false;
    if (version == 4 && (ag__cur_u8(&c) != 8 || ag__cur_u8(&c) != 0))
        return false;
    fde->code_align = ag__cur_uleb(&c);
    fde->data_align = ag__cur_sleb(&c);
    fde->ra = version == 1 ? ag__cur_u8(&c) : ag__cur_uleb(&c);
    fde->encoding = PE_ABSPTR;
    fde->augmented = *letters == 'z';
    if (fde->augmented ? !augmentation(&c, letters, fde) : *letters != 0)
        return false;
    fde->common = c;
    return !c.bad;
}

/*
 * Reads the entry at an address and its common entry. False for a common entry, the end mark and
 * anything broken; *ret_next is the address after it, 0 if there is none.
 */
static bool parse_entry(const ag__module *m, uintptr_t at, ag__fde *ret, uintptr_t *ret_next) {
    ag__fde fde = {.signal = false};
    ag__cursor c = cursor_at(m, at);
    bool wide;
    uint64_t length = ag__cur_length(&c, &wide);
    c = ag__cur_part(&c, length);
    *ret_next = c.bad || !length ? 0 : (uintptr_t)c.end;
    uintptr_t here = (uintptr_t)c.p;
    uint64_t back = ag__cur_offset(&c, wide);
    if (c.bad || !length || !back || !parse_common(m, here - back, &fde))
        return false;
    fde.lo = ag__cur_encoded(&c, fde.encoding, m->eh_hdr);
    fde.hi = fde.lo + ag__cur_encoded(&c, fde.encoding & 0x0f, 0);
    if (fde.augmented)
        ag__cur_take(&c, ag__cur_uleb(&c));
    fde.own = c;
    *ret = fde;
    return !c.bad;
}

/* ---- With the linker's table ---------------------------------------------------------------- */

typedef struct table_row {
    int32_t code, entry; /* relative to the table's header */
} table_row;

/* The table and its number of rows; NULL if it is missing or of another format. */
static const table_row *find_table(const ag__module *m, size_t *ret_count) {
    ag__cursor c = cursor_at(m, m->eh_hdr);
    unsigned version = ag__cur_u8(&c), entries = ag__cur_u8(&c), number = ag__cur_u8(&c);
    if (ag__cur_u8(&c) != (PE_DATAREL | PE_SDATA4) || version != 1)
        return NULL;
    ag__cur_encoded(&c, entries, m->eh_hdr);
    uint64_t count = ag__cur_encoded(&c, number, m->eh_hdr);
    if (c.bad || (uintptr_t)c.p % _Alignof(table_row) ||
        count > ag__cur_left(&c) / sizeof(table_row))
        return NULL;
    *ret_count = count;
    return (const table_row *)c.p;
}

static bool search_table(const ag__module *m, const table_row *table, size_t count, uintptr_t pc,
                         uintptr_t *ret) {
    size_t lo = 0, hi = count;
    int64_t target = (int64_t)(pc - m->eh_hdr);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (table[mid].code <= target)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo)
        *ret = m->eh_hdr + (uintptr_t)(intptr_t)table[lo - 1].entry;
    return lo > 0;
}

/* ---- Without -------------------------------------------------------------------------------- */

/* Puts every entry of the section into `index`, if given; returns how many there are. */
static size_t collect(const ag__module *m, uintptr_t section, size_t size, ag__index *index) {
    size_t count = 0;
    for (uintptr_t at = section, next; at && at - section < size; at = next) {
        ag__fde fde;
        if (!parse_entry(m, at, &fde, &next) || fde.lo - m->lo > UINT32_MAX)
            continue;
        if (index && count < index->room)
            index->key[count] = (uint64_t)(fde.lo - m->lo) << 32 | (at - section);
        count++;
    }
    if (index)
        index->count = count < index->room ? count : index->room;
    return count;
}

static bool search_index(const ag__module *m, uintptr_t pc, uintptr_t *ret) {
    ag__section section;
    ag__elf_file *f = ag__elf_file_of(m);
    if (!f || !ag__elf_section(f, ".eh_frame", &section) || section.size > UINT32_MAX)
        return false;
    uintptr_t start = m->bias + section.addr;
    const ag__index *index = atomic_load_explicit(&f->frames, memory_order_acquire);
    if (!index) {
        ag__index *made = ag__index_new(collect(m, start, section.size, NULL));
        if (!made)
            return false;
        collect(m, start, section.size, made);
        ag__index_sort(made);
        index = ag__index_publish(&f->frames, made);
    }
    ptrdiff_t i = pc - m->lo > UINT32_MAX ? -1 : ag__index_floor(index, (uint32_t)(pc - m->lo));
    if (i >= 0)
        *ret = start + (uint32_t)index->key[i];
    return i >= 0;
}

bool ag__fde_find(const ag__module *m, uintptr_t pc, ag__fde *ret) {
    size_t count = 0;
    uintptr_t at = 0, next;
    const table_row *table = m->eh_hdr ? find_table(m, &count) : NULL;
    bool found = table ? search_table(m, table, count, pc, &at) : search_index(m, pc, &at);
    return found && parse_entry(m, at, ret, &next) && pc - ret->lo < ret->hi - ret->lo;
}
