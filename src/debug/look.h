/* SPDX-License-Identifier: MIT */
/*
 * look.h - looking at a goroutine from outside, without stopping it.
 *
 * What must be consistent - the stack of a parked goroutine - is copied between two looks at its
 * resume counter and saved stack pointer: if both are unchanged, it did not run meanwhile, and the
 * copy is unwound at leisure. One that moves is tried a few times. Nothing waits for anybody.
 */
#ifndef AG_LOOK_H
#define AG_LOOK_H

#include "os/unwind.h"
#include "sched/sched.h"

enum { AG__LOOK_BYTES = 64 * 1024 }; /* of the top of a stack */

typedef struct ag__stack_shape {
    size_t used, bytes; /* 0: it has none */
} ag__stack_shape;

/* Fills in where g stands, innermost first; pcs[0] is an instruction, the others are return
 * addresses. `buf` holds AG__LOOK_BYTES. Returns how many; 0: it runs, or was never run. */
int ag__look_at_stack(ag__g *g, unsigned char *buf, uintptr_t *ret_pcs, int max,
                      ag__stack_shape *ret_shape);

/* Copies the name of the goroutine that runs here, or "", without a system call: for who takes
 * samples. ag__g_name copies that of any. */
void ag__look_at_own_name(const ag__g *g, char ret_name[AG__NAME_BYTES]);

/* Whether this frame is of the runtime and in everybody's way. */
bool ag__is_runtime_frame(const ag__symbol_info *symbol, uintptr_t pc, bool is_return);

#endif
