/* SPDX-License-Identifier: MIT */
/*
 * elf_file.c - the files behind the loaded modules, mapped for reading their symbol and line
 * tables, which are not loaded with the program.
 *
 * A file is mapped whole and stays: names point into it. It may have been replaced since the
 * program started, so it is used only if its program headers and its build id are those in
 * memory; else the record stays without bytes, and there are no names rather than wrong ones. The
 * vdso has no file: its image in memory has everything a file would have.
 *
 * The list of records only grows, by compare-and-swap at its head (see ag__elf_file). System calls
 * are made directly where the C library would add a cancellation point.
 *
 * A file that is cut short while it is mapped gives SIGBUS; a linker and a package manager make
 * new files instead, and the program would not survive losing its own pages either.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/linux/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* Atomic; release on publishing, acquire on use. */
static _Atomic(ag__elf_file *) files;

/* ---- Memory --------------------------------------------------------------------------------- */

void *ag__elf_pages(size_t bytes) {
    AG__TSAN_LOOK_AWAY(); /* it takes a mapping for a write */
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    AG__TSAN_LOOK();
    return at == MAP_FAILED ? NULL : at;
}

static size_t index_bytes(size_t room) {
    return sizeof(ag__index) + room * sizeof(uint64_t);
}

ag__index *ag__index_new(size_t room) {
    ag__index *index = ag__elf_pages(index_bytes(room));
    if (index)
        index->room = room;
    return index;
}

void ag__index_free(ag__index *index) {
    munmap(index, index_bytes(index->room));
}

const ag__index *ag__index_publish(_Atomic(ag__index *) *slot, ag__index *index) {
    ag__index *there = NULL;
    if (atomic_compare_exchange_strong_explicit(slot, &there, index, memory_order_release,
                                                memory_order_acquire))
        return index;
    ag__index_free(index);
    return there;
}

/* ---- Sorting: a heap, because it needs no memory and has no bad case ------------------------ */

static void sift_down(uint64_t *key, size_t root, size_t count) {
    uint64_t moved = key[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && key[child] < key[child + 1])
            child++;
        if (key[child] <= moved)
            break;
        key[root] = key[child];
    }
    key[root] = moved;
}

void ag__index_sort(ag__index *index) {
    uint64_t *key = index->key;
    for (size_t i = index->count / 2; i-- > 0;)
        sift_down(key, i, index->count);
    for (size_t left = index->count; left > 1;) {
        uint64_t largest = key[0];
        key[0] = key[--left];
        key[left] = largest;
        sift_down(key, 0, left);
    }
}

ptrdiff_t ag__index_floor(const ag__index *index, uint32_t at) {
    size_t lo = 0, hi = index->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (index->key[mid] >> 32 <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (ptrdiff_t)lo - 1;
}

/* ---- Is this the file that was loaded? ------------------------------------------------------ */

/* Finds the build id in a series of notes; returns its size, 0 if there is none. */
static size_t build_id(ag__cursor notes, const unsigned char **ret) {
    while (ag__cur_left(&notes) >= sizeof(Elf64_Nhdr)) {
        uint64_t name_size = ag__cur_uint(&notes, 4), size = ag__cur_uint(&notes, 4);
        uint64_t type = ag__cur_uint(&notes, 4);
        const unsigned char *name = ag__cur_take(&notes, (name_size + 3) & ~(uint64_t)3);
        const unsigned char *id = ag__cur_take(&notes, (size + 3) & ~(uint64_t)3);
        if (name && id && type == NT_GNU_BUILD_ID && name_size == 4 && !memcmp(name, "GNU", 4)) {
            *ret = id;
            return size;
        }
    }
    return 0;
}

/* The notes of a module in memory, if this header is of notes; NULL: it is not. */
static const unsigned char *live_notes(const ag__module *m, const Elf64_Phdr *ph) {
    uintptr_t at = m->bias + ph->p_vaddr, lo, hi;
    if (ph->p_type != PT_NOTE || !ag__module_segment(m, at, PF_R, &lo, &hi) ||
        ph->p_filesz > hi - at)
        return NULL;
    return (const unsigned char *)at;
}

size_t ag__module_build_id(const ag__module *m, const unsigned char **ret) {
    size_t n = 0;
    for (int i = 0; n == 0 && i < m->phdr_count; i++) {
        const unsigned char *live = live_notes(m, &m->phdr[i]);
        if (live)
            n = build_id((ag__cursor){live, live + m->phdr[i].p_filesz, false}, ret);
    }
    return n;
}

static bool same_build(const ag__module *m, const unsigned char *bytes, size_t size) {
    for (int i = 0; i < m->phdr_count; i++) {
        const Elf64_Phdr *ph = &m->phdr[i];
        const unsigned char *loaded, *stored, *live = live_notes(m, ph);
        if (!live || ph->p_offset > size || ph->p_filesz > size - ph->p_offset)
            continue;
        const unsigned char *file = bytes + ph->p_offset;
        size_t n = build_id((ag__cursor){live, live + ph->p_filesz, false}, &loaded);
        size_t k = build_id((ag__cursor){file, file + ph->p_filesz, false}, &stored);
        if (n)
            return n == k && memcmp(loaded, stored, n) == 0;
    }
    return true;
}

static bool same_file(const ag__module *m, const unsigned char *bytes, size_t size) {
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)bytes;
    size_t table = (size_t)m->phdr_count * sizeof(Elf64_Phdr);
    return size >= sizeof *eh && memcmp(eh->e_ident, ELFMAG, SELFMAG) == 0 &&
           eh->e_ident[EI_CLASS] == ELFCLASS64 && eh->e_phnum == m->phdr_count &&
           eh->e_phoff <= size && table <= size - eh->e_phoff &&
           memcmp(bytes + eh->e_phoff, m->phdr, table) == 0 && same_build(m, bytes, size);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static bool map_file(const char *path, const ag__module *m, ag__elf_file *f) {
    struct stat st;
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    void *at = MAP_FAILED;
    if (fstat((int)fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0);
    syscall(SYS_close, fd);
    if (at == MAP_FAILED)
        return false;
    if (!same_file(m, at, (size_t)st.st_size)) {
        munmap(at, (size_t)st.st_size);
        return false;
    }
    f->bytes = at;
    f->size = (size_t)st.st_size;
    return true;
}

static void fill_program(const ag__module *m, ag__elf_file *f, char *path) {
    ssize_t n = readlink("/proc/self/exe", path, PATH_BYTES - 1);
    const char *asked = (const char *)getauxval(AT_EXECFN);
    path[n > 0 ? n : 0] = 0;
    if (map_file("/proc/self/exe", m, f))
        return;
    /* Started by naming the loader: /proc/self/exe is the loader. */
    if (asked && strlen(asked) < PATH_BYTES && (map_file(asked, m, f) || n <= 0))
        memcpy(path, asked, strlen(asked) + 1);
}

static uintptr_t lowest_address(const ag__module *m) {
    uintptr_t base = UINTPTR_MAX;
    for (int i = 0; i < m->phdr_count; i++)
        if (m->phdr[i].p_type == PT_LOAD && m->phdr[i].p_vaddr < base)
            base = m->phdr[i].p_vaddr;
    return base;
}

static void find_symbols(ag__elf_file *f) {
    ag__section symbols, strings;
    if (!ag__elf_section(f, ".symtab", &symbols) && !ag__elf_section(f, ".dynsym", &symbols))
        return;
    if (symbols.entry_size != sizeof(Elf64_Sym) || (uintptr_t)symbols.bytes % _Alignof(Elf64_Sym) ||
        !ag__elf_section_at(f, symbols.link, &strings))
        return;
    f->symbols = symbols;
    f->strings = strings;
}

static ag__elf_file *open_file(const ag__module *m, const char *name) {
    size_t name_bytes = strlen(name) + 1;
    size_t path_bytes = *name ? name_bytes : PATH_BYTES;
    size_t bytes = sizeof(ag__elf_file) + name_bytes + path_bytes;
    ag__elf_file *f = ag__elf_pages(bytes);
    if (!f)
        return NULL;
    char *path = f->text + name_bytes;
    f->record_bytes = bytes;
    f->span = m->hi - m->lo;
    f->eh_at = m->eh_hdr - m->lo;
    f->base = lowest_address(m);
    f->path = path;
    memcpy(f->text, name, name_bytes);
    memcpy(path, name, name_bytes);
    if (!*name) {
        fill_program(m, f, path);
    } else if (strcmp(name, "[vdso]") == 0) {
        f->bytes = (const unsigned char *)m->lo;
        f->size = ((m->hi - m->lo) + 4095) & ~(size_t)4095;
    } else {
        map_file(name, m, f);
    }
    find_symbols(f);
    return f;
}

static void throw_away(ag__elf_file *f) {
    if (f->bytes && strcmp(f->text, "[vdso]") != 0)
        munmap((void *)f->bytes, f->size);
    munmap(f, f->record_bytes);
}

/* Looks from `f` up to, not including, `end`. */
static ag__elf_file *find_record(ag__elf_file *f, const ag__elf_file *end, const ag__module *m,
                                 const char *name) {
    for (; f != end; f = f->next)
        if (f->span == m->hi - m->lo && f->eh_at == m->eh_hdr - m->lo && strcmp(f->text, name) == 0)
            return f;
    return NULL;
}

static ag__elf_file *find_or_open(const ag__module *m) {
    ag__elf_file *seen = atomic_load_explicit(&files, memory_order_acquire);
    const char *name = ag__module_name(m);
    ag__elf_file *known = find_record(seen, NULL, m, name);
    if (known)
        return known;
    ag__elf_file *f = open_file(m, name);
    if (!f)
        return NULL;
    f->next = seen;
    while (!atomic_compare_exchange_weak_explicit(&files, &seen, f, memory_order_release,
                                                  memory_order_acquire)) {
        known = find_record(seen, f->next, m, name);
        if (known) {
            throw_away(f);
            return known;
        }
        f->next = seen;
    }
    return f;
}

ag__elf_file *ag__elf_file_of(const ag__module *m) {
    AG__TSAN_LOOK_AWAY();
    ag__elf_file *f = find_or_open(m);
    AG__TSAN_LOOK();
    return f;
}

/* ---- Sections ------------------------------------------------------------------------------- */

/* The i-th section header; NULL if the file has none such. */
static const Elf64_Shdr *header(const ag__elf_file *f, uint64_t i) {
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)f->bytes;
    if (!f->bytes || !eh->e_shoff || eh->e_shentsize != sizeof(Elf64_Shdr) ||
        eh->e_shoff % _Alignof(Elf64_Shdr) || eh->e_shoff > f->size ||
        i >= (f->size - eh->e_shoff) / sizeof(Elf64_Shdr))
        return NULL;
    const Elf64_Shdr *sh = (const Elf64_Shdr *)(f->bytes + eh->e_shoff);
    uint64_t count = eh->e_shnum ? eh->e_shnum : sh->sh_size;
    return i < count ? sh + i : NULL;
}

bool ag__elf_section_at(const ag__elf_file *f, uint64_t i, ag__section *ret) {
    const Elf64_Shdr *sh = header(f, i);
    if (!sh || sh->sh_type == SHT_NOBITS || (sh->sh_flags & SHF_COMPRESSED) ||
        sh->sh_offset > f->size || sh->sh_size > f->size - sh->sh_offset)
        return false;
    *ret = (ag__section){f->bytes + sh->sh_offset, sh->sh_size, sh->sh_addr, sh->sh_link,
                         sh->sh_entsize};
    return true;
}

bool ag__elf_section(const ag__elf_file *f, const char *name, ag__section *ret) {
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)f->bytes;
    const Elf64_Shdr *first = header(f, 0), *sh;
    ag__section names;
    size_t size = strlen(name) + 1;
    if (!first)
        return false;
    uint64_t at = eh->e_shstrndx == SHN_XINDEX ? first->sh_link : eh->e_shstrndx;
    if (!ag__elf_section_at(f, at, &names))
        return false;
    for (uint64_t i = 1; (sh = header(f, i)); i++)
        if (sh->sh_name < names.size && size <= names.size - sh->sh_name &&
            memcmp(names.bytes + sh->sh_name, name, size) == 0)
            return ag__elf_section_at(f, i, ret);
    return false;
}
