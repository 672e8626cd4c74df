/* SPDX-License-Identifier: MIT */
/*
 * help.c - `aglet help`: the table of words, one line each.
 */
#include "tool.h"
#include <stdio.h>
#include <string.h>

int tool_help(int argc, char **argv) {
    (void)argc;
    (void)argv;
    int width = 0;
    for (const struct tool_word *w = tool_words; w->name; w++) {
        int length = (int)(strlen(w->name) + strlen(w->arguments)) + 1;
        width = length > width ? length : width;
    }
    printf("The tool of aglet, Go's concurrency for C.\n\n");
    for (const struct tool_word *w = tool_words; w->name; w++)
        printf("    aglet %s %-*s  %s\n", w->name, width - (int)strlen(w->name) - 1, w->arguments,
               w->about);
    return TOOL_OK;
}
