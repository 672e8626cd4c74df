/* SPDX-License-Identifier: MIT */
/*
 * tool.h - the words of the tool `aglet`. A word is a file of its own with one function, which
 * gets the word as argv[0] and what follows it, and returns the exit status; words.def lists them.
 */
#ifndef TOOL_H
#define TOOL_H

struct tool_word {
    const char *name, *arguments, *about;
    int (*fn)(int argc, char **argv);
};

/** All words, ended by one without a name. */
extern const struct tool_word tool_words[];

/* Exit statuses, as other tools have them. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

#define X(name, arguments, about) int tool_##name(int argc, char **argv);
#include "words.def"
#undef X

#endif
