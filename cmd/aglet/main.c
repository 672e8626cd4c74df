/* SPDX-License-Identifier: MIT */
/*
 * main.c - `aglet WORD ARGUMENTS…`: finds the word in the table and calls its function.
 */
#include "tool.h"
#include <stdio.h>
#include <string.h>

const struct tool_word tool_words[] = {
#define X(name, arguments, about) {#name, arguments, about, tool_##name},
#include "words.def"
#undef X
    {NULL, NULL, NULL, NULL}};

int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "help";
    if (strcmp(word, "--help") == 0 || strcmp(word, "--version") == 0)
        word += 2;
    for (const struct tool_word *w = tool_words; w->name; w++)
        if (strcmp(w->name, word) == 0) {
            int status = argc > 1 ? w->fn(argc - 1, argv + 1) : w->fn(argc, argv);
            /* What was printed into a full disk or a closed pipe was not said. */
            return fflush(stdout) != 0 && status == TOOL_OK ? TOOL_FAILED : status;
        }
    fprintf(stderr, "aglet: unknown word '%s'; `aglet help` lists them\n", word);
    return TOOL_USAGE;
}
