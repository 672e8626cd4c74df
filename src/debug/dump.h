/* SPDX-License-Identifier: MIT */
/*
 * dump.h - the text dump; its functions are public (aglet/run.h, aglet/debug.h).
 */
#ifndef AG_DUMP_H
#define AG_DUMP_H

#include <aglet/run.h>
#include <aglet/time.h>

#endif
