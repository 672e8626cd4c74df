/* SPDX-License-Identifier: MIT */
/*
 * elf.h - the program and its libraries: where they are in memory (module), and the files they
 * came from (elf_file). Private to the unwinder, the symbols and the line tables.
 */
#ifndef AG_OS_LINUX_ELF_H
#define AG_OS_LINUX_ELF_H

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "os/linux/dwarf.h"

/* One loaded ELF object. A value; the pointers in it hold while the object is loaded. */
typedef struct ag__module {
    uintptr_t lo, hi; /* all its segments are in here, with holes */
    uintptr_t bias;   /* address in memory minus address in the file */
    const Elf64_Phdr *phdr;
    int phdr_count;
    uintptr_t eh_hdr;           /* its .eh_frame_hdr; 0: none */
    uintptr_t eh_lo, eh_hi;     /* the readable segment around it */
    uintptr_t code_lo, code_hi; /* its first executable segment */
    const char *name;           /* as the loader has it */
} ag__module;

/* Finds the module an address is in. No lock, no allocation once the modules are known. */
bool ag__module_find(uintptr_t pc, ag__module *ret);
/* The segment with all of `flags` (PF_R, PF_X) that holds an address. */
bool ag__module_segment(const ag__module *m, uintptr_t at, unsigned flags, uintptr_t *ret_lo,
                        uintptr_t *ret_hi);
/* Is there code at this address? */
bool ag__module_code(const ag__module *m, uintptr_t pc);
/* Its path; "" for the program, "[vdso]" for the kernel's part. */
const char *ag__module_name(const ag__module *m);
/* Its build id, in its memory; 0: it has none. */
size_t ag__module_build_id(const ag__module *m, const unsigned char **ret);
/* Reads the list of modules again, then calls fn for each. Takes the loader's lock. */
void ag__module_each(void (*fn)(const ag__module *m));

/* Numbers sorted by 32-bit addresses: key = address << 32 | number. */
typedef struct ag__index {
    size_t count, room;
    uint64_t key[];
} ag__index;

ag__index *ag__index_new(size_t room); /* NULL: no memory */
void ag__index_free(ag__index *index);
void ag__index_sort(ag__index *index);
/* The last position with an address <= at, -1 if there is none. */
ptrdiff_t ag__index_floor(const ag__index *index, uint32_t at);
/* Publishes an index at `slot` if nobody was faster; returns the one that is there now. */
const ag__index *ag__index_publish(_Atomic(ag__index *) *slot, ag__index *index);

typedef struct ag__line_table ag__line_table;

typedef struct ag__section {
    const unsigned char *bytes;
    size_t size;
    uint64_t addr, link, entry_size;
} ag__section;

/*
 * The file behind a module, mapped for good. Records are never changed or removed once in the
 * list, except for the slots, each filled once by a compare-and-swap: whoever loses throws his
 * own work away. So there is no lock, and a signal handler can't meet a half-made record.
 */
typedef struct ag__elf_file {
    struct ag__elf_file *next;       /* Constant once in the list. */
    size_t record_bytes;             /* Constant. */
    size_t span, eh_at;              /* Constant; with name the identity: hi - lo, eh_hdr - lo. */
    uintptr_t base;                  /* Constant; lowest address in the file. */
    const unsigned char *bytes;      /* Constant; NULL: no file, or not the one that was loaded. */
    size_t size;                     /* Constant. */
    ag__section symbols, strings;    /* Constant; .symtab or .dynsym, bytes NULL if neither. */
    _Atomic(ag__index *) frames;     /* Slot: call frame entries, if the module has no table. */
    _Atomic(ag__index *) names;      /* Slot: functions. */
    _Atomic(ag__line_table *) lines; /* Slot: line programs. */
    const char *path;                /* Constant; in `text`, like the name. */
    char text[];                     /* Constant; the module's name, then the path. */
} ag__elf_file;

/* The file of a module, mapped when first asked for; NULL: no memory. */
ag__elf_file *ag__elf_file_of(const ag__module *m);
bool ag__elf_section(const ag__elf_file *f, const char *name, ag__section *ret);
bool ag__elf_section_at(const ag__elf_file *f, uint64_t i, ag__section *ret);
/* Zeroed pages; NULL: none left. */
void *ag__elf_pages(size_t bytes);

#endif
