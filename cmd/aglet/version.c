/* SPDX-License-Identifier: MIT */
/*
 * version.c - `aglet version`. The number is also in CMakeLists.txt; a test compares the two.
 */
#include "tool.h"
#include <stdio.h>

static const char version[] = "0.1.0";

int tool_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    printf("aglet %s\n", version);
    return TOOL_OK;
}
