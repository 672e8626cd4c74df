/* SPDX-License-Identifier: MIT */
/*
 * stall.h - where a world begins and ends, looking for goroutines that keep their thread.
 */
#ifndef AG_STALL_H
#define AG_STALL_H

void ag__stall_begin(void);
void ag__stall_end(void);

#endif
