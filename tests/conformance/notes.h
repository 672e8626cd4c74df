/* SPDX-License-Identifier: MIT */
/*
 * notes.h - `note` writes letters into a text, so that the order of what ran is one string to
 * compare.
 */
#ifndef NOTES_H
#define NOTES_H

#include "common.h"

static char notes[256];

static void note(int letter) {
    size_t n = strlen(notes);
    ag_check(n + 1 < sizeof notes);
    notes[n] = (char)letter;
    notes[n + 1] = 0;
}

/* Compares, and begins anew. */
static inline void check_notes(const char *expected) {
    ag_check_str(notes, expected);
    notes[0] = 0;
}

#endif
