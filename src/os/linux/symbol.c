/* SPDX-License-Identifier: MIT */
/*
 * symbol.c - the name of the function an address is in.
 *
 * Names come from the .symtab of the module's file, which has static functions too, or from its
 * .dynsym if the file was stripped. The first question about a file sorts its functions by
 * address once (8 bytes each); without memory for that, the table is searched from end to end.
 *
 * Of several symbols around an address the one that starts last wins; of several with one start:
 * functions before labels, names without a leading underscore, then global before weak before
 * local. A symbol without a size (hand-written assembly) names what follows it, up to the next
 * symbol or the end of its section, if no symbol with a size does.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "os/linux/elf.h"
#include "os/unwind.h"

enum {
    LOOK_BACK = 64, /* symbols that may lie between an address and the start of its own */
    SIZED = 16,     /* part of a rank: the symbol has a size */
};

typedef struct candidate {
    const Elf64_Sym *symbol;
    const char *name;
    int rank;
    uint64_t nearest; /* where the last symbol before the address starts, fitting or not */
} candidate;

/* NULL: empty, broken, or a mark for disassemblers ("$x"). */
static const char *name_of(const ag__elf_file *f, const Elf64_Sym *s) {
    if (s->st_name >= f->strings.size)
        return NULL;
    const char *name = (const char *)f->strings.bytes + s->st_name;
    return *name && *name != '$' && memchr(name, 0, f->strings.size - s->st_name) ? name : NULL;
}

static bool is_code(const Elf64_Sym *s) {
    int type = ELF64_ST_TYPE(s->st_info);
    return s->st_shndx != SHN_UNDEF && s->st_shndx != SHN_ABS &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

/* Is `at` in the section this symbol is in? */
static bool same_section(const ag__elf_file *f, const Elf64_Sym *s, uint64_t at) {
    ag__section section;
    return ag__elf_section_at(f, s->st_shndx, &section) && at - section.addr < section.size &&
           s->st_value - section.addr <= section.size;
}

static int rank_of(const Elf64_Sym *s, const char *name) {
    int bind = ELF64_ST_BIND(s->st_info);
    int rank = bind == STB_GLOBAL ? 2 : bind == STB_WEAK ? 1 : 0;
    return rank + (*name != '_') * 4 + (ELF64_ST_TYPE(s->st_info) != STT_NOTYPE) * 8 +
           (s->st_size != 0) * SIZED;
}

/* Is a symbol of this rank a better answer than the best so far? */
static bool better(const Elf64_Sym *s, int rank, const candidate *best) {
    bool sized = rank >= SIZED, best_sized = best->rank >= SIZED;
    if (!best->symbol || sized != best_sized)
        return !best->symbol || sized;
    if (s->st_value != best->symbol->st_value)
        return s->st_value > best->symbol->st_value;
    return rank > best->rank;
}

/* Takes s as the best so far if it is around the address and better. */
static void consider(const ag__elf_file *f, const Elf64_Sym *s, uint64_t at, candidate *best) {
    const char *name = is_code(s) && s->st_value <= at ? name_of(f, s) : NULL;
    if (!name)
        return;
    if (s->st_value > best->nearest)
        best->nearest = s->st_value;
    if (s->st_size ? at - s->st_value >= s->st_size : !same_section(f, s, at))
        return;
    int rank = rank_of(s, name);
    if (better(s, rank, best))
        *best = (candidate){s, name, rank, best->nearest};
}

/* Does the best symbol name the address? */
static bool accepted(const candidate *best) {
    return best->symbol && (best->rank >= SIZED || best->symbol->st_value == best->nearest);
}

static bool in_index(const ag__elf_file *f, const Elf64_Sym *s) {
    return is_code(s) && s->st_value - f->base <= UINT32_MAX;
}

/* The functions of a file by address; NULL: no memory for that. */
static const ag__index *index_of(ag__elf_file *f, const Elf64_Sym *table, size_t count) {
    ag__index *index = atomic_load_explicit(&f->names, memory_order_acquire);
    size_t room = 0;
    if (index)
        return index;
    for (size_t i = 0; i < count; i++)
        room += in_index(f, &table[i]);
    index = ag__index_new(room);
    if (!index)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (in_index(f, &table[i]))
            index->key[index->count++] = (uint64_t)(table[i].st_value - f->base) << 32 | i;
    ag__index_sort(index);
    return ag__index_publish(&f->names, index);
}

/* Finds the symbol for an address in the file's terms. */
static bool find_name(ag__elf_file *f, uint64_t at, candidate *best) {
    const Elf64_Sym *table = (const Elf64_Sym *)f->symbols.bytes;
    size_t count = f->symbols.size / sizeof *table;
    if (!table || at - f->base > UINT32_MAX)
        return false;
    const ag__index *index = index_of(f, table, count);
    if (!index) {
        for (size_t i = 0; i < count; i++)
            consider(f, &table[i], at, best);
        return accepted(best);
    }
    ptrdiff_t i = ag__index_floor(index, (uint32_t)(at - f->base));
    for (int looked = 0; i >= 0 && looked < LOOK_BACK; looked++, i--) {
        const Elf64_Sym *s = &table[(uint32_t)index->key[i]];
        if (best->rank >= SIZED && s->st_value < best->symbol->st_value)
            break;
        consider(f, s, at, best);
    }
    return accepted(best);
}

int ag__symbol(uintptr_t pc, bool is_return, ag__symbol_info *ret) {
    ag__module m;
    candidate best = {.symbol = NULL};
    int saved = errno;
    pc -= is_return;
    *ret = (ag__symbol_info){.offset = pc + is_return};
    if (!ag__module_find(pc, &m))
        return -ENOENT;
    ag__elf_file *f = ag__elf_file_of(&m);
    ret->module = f ? f->path : ag__module_name(&m);
    ret->offset = pc + is_return - m.lo;
    bool found = f && find_name(f, pc - m.bias, &best);
    if (found) {
        ret->name = best.name;
        ret->offset = pc + is_return - m.bias - best.symbol->st_value;
    }
    errno = saved;
    return found ? 0 : -ENOENT;
}

int ag__mapping(uintptr_t pc, ag__mapping_info *ret) {
    ag__module m;
    int saved = errno, r = -ENOENT;
    if (ag__module_find(pc, &m)) {
        uintptr_t page = (uintptr_t)getpagesize() - 1;
        ag__elf_file *f = ag__elf_file_of(&m);
        for (int i = 0; i < m.phdr_count; i++) {
            const Elf64_Phdr *ph = &m.phdr[i];
            uintptr_t lo = m.bias + ph->p_vaddr;
            if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || pc - lo >= ph->p_memsz)
                continue;
            *ret = (ag__mapping_info){.lo = lo & ~page,
                                      .hi = (lo + ph->p_memsz + page) & ~page,
                                      .offset = ph->p_offset & ~(uint64_t)page,
                                      .path = f ? f->path : ag__module_name(&m)};
            ret->build_id_bytes = ag__module_build_id(&m, &ret->build_id);
            r = 0;
        }
    }
    errno = saved;
    return r;
}

uintptr_t ag__program_pc(void) {
    int saved = errno;
    uintptr_t at = getauxval(AT_ENTRY);
    errno = saved;
    return at;
}

static void map_one(const ag__module *m) {
    ag__elf_file_of(m);
}

void ag__symbol_prepare(void) {
    int saved = errno;
    ag__module_each(map_one);
    errno = saved;
}
