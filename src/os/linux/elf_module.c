/* SPDX-License-Identifier: MIT */
/*
 * elf_module.c - which loaded object is this address in?
 *
 * Asked for every frame of every backtrace, and by crash handlers, so the answer must not wait for
 * the loader's lock. glibc 2.35 and later answer without one (_dl_find_object). Elsewhere - musl,
 * an older glibc, a static program - the list is read once with dl_iterate_phdr and published as a
 * whole; it is read again only when ordinary code asks (ag__module_each), never by a look-up. The
 * kernel's vdso comes from the auxiliary vector, because static programs may not list it.
 *
 * Lists that were replaced are not freed: a reader may be inside, and there is no way to know.
 * There is one per round of dlopen, a few kilobytes each.
 *
 * Refused: calling dl_iterate_phdr on each look-up (a lock, and 1 us); /proc/self/maps (slow, and
 * it names mappings, not modules).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/linux/elf.h"
#include "os/os.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>

typedef struct module_list {
    int count, room;
    size_t bytes;
    unsigned long long adds, subs; /* the loader's counters when the list was read */
    ag__module at[];
} module_list;

/* Atomic; release on publishing, acquire on use. NULL until first needed. */
static _Atomic(module_list *) modules;

#ifdef DLFO_STRUCT_HAS_EH_DBASE
#pragma weak _dl_find_object
#endif

/* ---- From program headers to a module ------------------------------------------------------- */

static void measure(ag__module *m) {
    m->lo = UINTPTR_MAX;
    for (int i = 0; i < m->phdr_count; i++) {
        const Elf64_Phdr *ph = &m->phdr[i];
        uintptr_t lo = m->bias + ph->p_vaddr, hi = lo + ph->p_memsz;
        if (ph->p_type == PT_GNU_EH_FRAME)
            m->eh_hdr = lo;
        if (ph->p_type != PT_LOAD)
            continue;
        if (lo < m->lo)
            m->lo = lo;
        if (hi > m->hi)
            m->hi = hi;
        if ((ph->p_flags & PF_X) && !m->code_hi) {
            m->code_lo = lo;
            m->code_hi = hi;
        }
    }
    if (!ag__module_segment(m, m->eh_hdr, PF_R, &m->eh_lo, &m->eh_hi))
        m->eh_hdr = 0;
}

/* getauxval, which sets errno, without that: 0 if there is no such value. */
static uintptr_t aux_value(unsigned long key) {
    int saved = errno;
    uintptr_t v = getauxval(key);
    errno = saved;
    return v;
}

static bool holds_aux(const ag__module *m, unsigned long key) {
    uintptr_t at = aux_value(key);
    return at && at - m->lo < m->hi - m->lo;
}

const char *ag__module_name(const ag__module *m) {
    if (*m->name == '/')
        return m->name;
    if (holds_aux(m, AT_SYSINFO_EHDR))
        return "[vdso]";
    return holds_aux(m, AT_PHDR) ? "" : m->name;
}

/* False if it has no segments at all. */
static bool describe(uintptr_t bias, const Elf64_Phdr *phdr, int count, const char *name,
                     ag__module *ret) {
    ag__module m = {.bias = bias, .phdr = phdr, .phdr_count = count, .name = name ? name : ""};
    measure(&m);
    if (m.lo >= m.hi)
        return false;
    *ret = m;
    return true;
}

/* The program headers of an ELF header in memory, if they are in its first page. */
static const Elf64_Phdr *headers_at(uintptr_t at, int *ret_count) {
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)at;
    if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_phentsize != sizeof(Elf64_Phdr) ||
        eh->e_phoff > 4096 || eh->e_phnum > (4096 - eh->e_phoff) / sizeof(Elf64_Phdr))
        return NULL;
    *ret_count = eh->e_phnum;
    return (const Elf64_Phdr *)(at + eh->e_phoff);
}

bool ag__module_segment(const ag__module *m, uintptr_t at, unsigned flags, uintptr_t *ret_lo,
                        uintptr_t *ret_hi) {
    for (int i = 0; i < m->phdr_count; i++) {
        const Elf64_Phdr *ph = &m->phdr[i];
        uintptr_t lo = m->bias + ph->p_vaddr;
        if (ph->p_type == PT_LOAD && (ph->p_flags & flags) == flags && at - lo < ph->p_memsz) {
            *ret_lo = lo;
            *ret_hi = lo + ph->p_memsz;
            return true;
        }
    }
    return false;
}

bool ag__module_code(const ag__module *m, uintptr_t pc) {
    uintptr_t lo, hi;
    return pc - m->code_lo < m->code_hi - m->code_lo || ag__module_segment(m, pc, PF_X, &lo, &hi);
}

/* ---- Looking up ----------------------------------------------------------------------------- */

static bool find_vdso(uintptr_t pc, ag__module *ret) {
    uintptr_t at = aux_value(AT_SYSINFO_EHDR), bias = at;
    int count;
    const Elf64_Phdr *phdr = at ? headers_at(at, &count) : NULL;
    if (!phdr)
        return false;
    for (int i = 0; i < count; i++)
        if (phdr[i].p_type == PT_LOAD) {
            bias = at + phdr[i].p_offset - phdr[i].p_vaddr;
            break;
        }
    ag__module m;
    if (!describe(bias, phdr, count, "[vdso]", &m) || pc - m.lo >= m.hi - m.lo)
        return false;
    *ret = m;
    return true;
}

static int add_module(struct dl_phdr_info *info, size_t size, void *arg) {
    module_list *list = arg;
    bool counters = size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs;
    list->adds = counters ? info->dlpi_adds : 0;
    list->subs = counters ? info->dlpi_subs : 0;
    if (list->count < list->room && describe(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum,
                                             info->dlpi_name, &list->at[list->count]))
        list->count++;
    return 0;
}

static int count_module(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)info;
    (void)size;
    ++*(int *)arg;
    return 0;
}

/* Reads the list from the loader and publishes it, if it is not the one that is there. */
static module_list *read_list(void) {
    module_list *old = atomic_load_explicit(&modules, memory_order_acquire);
    int room = 8; /* for what is loaded between counting and reading */
    dl_iterate_phdr(count_module, &room);
    size_t bytes = sizeof(module_list) + (size_t)room * sizeof(ag__module);
    module_list *list = ag__elf_pages(bytes);
    if (!list)
        return old;
    list->room = room;
    list->bytes = bytes;
    dl_iterate_phdr(add_module, list);
    bool known = old && list->adds && old->adds == list->adds && old->subs == list->subs;
    if (!known && atomic_compare_exchange_strong_explicit(
                      &modules, &old, list, memory_order_release, memory_order_acquire))
        return list;
    munmap(list, bytes);
    return old;
}

static bool find_in_list(uintptr_t pc, ag__module *ret) {
    module_list *list = atomic_load_explicit(&modules, memory_order_acquire);
    if (!list)
        list = read_list();
    for (int i = 0; list && i < list->count; i++)
        if (pc - list->at[i].lo < list->at[i].hi - list->at[i].lo) {
            *ret = list->at[i];
            return true;
        }
    return find_vdso(pc, ret);
}

bool ag__module_find(uintptr_t pc, ag__module *ret) {
#ifdef DLFO_STRUCT_HAS_EH_DBASE
    struct dl_find_object found;
    int count;
    if (_dl_find_object) {
        if (_dl_find_object((void *)pc, &found) != 0)
            return find_vdso(pc, ret);
        const Elf64_Phdr *phdr = headers_at((uintptr_t)found.dlfo_map_start, &count);
        const struct link_map *map = found.dlfo_link_map;
        if (phdr && map && describe(map->l_addr, phdr, count, map->l_name, ret))
            return true;
    }
#endif
    return find_in_list(pc, ret);
}

void *ag__os_exported(const char *name) {
    return dlsym(RTLD_DEFAULT, name);
}

void ag__module_each(void (*fn)(const ag__module *m)) {
    module_list *list = read_list();
    for (int i = 0; list && i < list->count; i++)
        fn(&list->at[i]);
}
