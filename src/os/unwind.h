/* SPDX-License-Identifier: MIT */
/*
 * unwind.h - backtraces: who called whom, and what the callers are named.
 *
 * Three steps that can be used apart. Walking (`ag__unwind`) turns registers and stack bytes into
 * return addresses; it reads the call frame tables the compiler leaves in every program. Naming
 * (`ag__symbol`) turns an address into a function; it reads the symbol tables of the files the
 * program was loaded from. Placing (`ag__line`) turns an address into a source line, if the file
 * has debug information.
 *
 * Nothing here allocates from the heap, takes a lock or stops a thread, so all of it may be
 * called by any thread and by a signal handler; where the C library has no lock-free look-up of
 * modules, this holds after ag__symbol_prepare. A broken stack ends the walk, it never crashes:
 * each read is checked against the stack view, the loaded segments or the size of the file.
 */
#ifndef AG_OS_UNWIND_H
#define AG_OS_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Where a flow of control stands. `callee` holds the registers a function must preserve:
 *   x86-64:  rbx rbp r12 r13 r14 r15
 *   aarch64: x19 .. x30
 * `fp` is rbp or x29 again; 0 means "take the one in callee". `pc` is the next instruction to
 * run, so no return address unless that instruction follows a call.
 */
typedef struct ag__regs {
    uintptr_t pc, sp, fp;
    uintptr_t callee[12];
} ag__regs;

/*
 * The stack bytes [lo, hi) a walk may read. With `copy`, they are read from there: copy[0] is the
 * byte that was at `lo`. Without, the live memory is read, which must be mapped and belong to the
 * caller or to a goroutine that is parked.
 */
typedef struct ag__stack_view {
    uintptr_t lo, hi;
    const unsigned char *copy;
} ag__stack_view;

typedef struct ag__symbol_info {
    const char *name;   /* function; NULL: no table names it */
    const char *module; /* path of the program or library; NULL: the address is in none */
    uintptr_t offset;   /* from the start of the function, else from the start of the module */
} ag__symbol_info;

typedef struct ag__line_info {
    const char *dir;  /* goes before `file`, with a slash; NULL: nothing does */
    const char *file; /* as the compiler was given it */
    int line;
} ag__line_info;

/*
 * Walks outwards from `start`. pcs[0] is start->pc, the others are return addresses; an address
 * that was interrupted by a signal and not left by a call is stored plus one, so that "minus one"
 * is inside the right instruction for every entry but the first. `v` may be NULL: then live memory
 * is read, each page probed with a system call before its first use.
 * Returns: how many entries, 1 to max (0 if max is 0). Stack use: 2.5 KiB (x86-64), 4 (aarch64).
 * From: anywhere, signal handlers too.
 */
int ag__unwind(const ag__regs *start, const ag__stack_view *v, uintptr_t *ret_pcs, int max);

/* The same from the caller's own frame: entry 0 is in the caller, or `skip` frames further out.
 * All entries are return addresses. */
int ag__unwind_here(uintptr_t *ret_pcs, int max, int skip);

/* The registers of the code a signal interrupted; `ucontext` is the handler's third argument. */
void ag__regs_of_signal(const void *ucontext, ag__regs *ret);

/*
 * Names an address; static functions, too, unless the file was stripped. `is_return` says that
 * the address follows the call that is meant. The strings live as long as the process.
 * Returns: 0; -ENOENT if no name is known: then `module` and `offset` still tell what can be told.
 * The first question about a module maps its file.
 */
int ag__symbol(uintptr_t pc, bool is_return, ag__symbol_info *ret);

/* How many bytes of a symbol's name the program's text has: compilers append where they moved a
 * part of the function (.cold, .part.0) or which copy it is (.isra.0, .constprop.0). */
static inline int ag__symbol_length(const char *name) {
    size_t dots = strspn(name, ".");
    return (int)(dots + strcspn(name + dots, "."));
}

/* The source line of an address. Returns: 0, or -ENOENT if there is no debug information. */
int ag__line(uintptr_t pc, bool is_return, ag__line_info *ret);

/* The mapping of code that holds an address. */
typedef struct ag__mapping_info {
    uintptr_t lo, hi;              /* whole pages */
    uint64_t offset;               /* of lo in the file */
    const char *path;              /* of the file */
    const unsigned char *build_id; /* valid while the module is loaded */
    size_t build_id_bytes;         /* 0: it has none */
} ag__mapping_info;

/* Returns: 0, or -ENOENT if the address is in no code that was loaded from a file. */
int ag__mapping(uintptr_t pc, ag__mapping_info *ret);
/* An address in the program's own code. */
uintptr_t ag__program_pc(void);

/*
 * Looks at the list of loaded modules and maps their files now, so that a crash handler finds
 * all at hand. Call at start, and again after dlopen where the C library has no lock-free look-up
 * (before glibc 2.35, or linked statically). From: ordinary code only.
 */
void ag__symbol_prepare(void);

#endif
