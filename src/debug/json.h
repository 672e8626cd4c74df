/* SPDX-License-Identifier: MIT */
/*
 * json.h - texts in JSON, for the answers that are read by pages and other programs.
 */
#ifndef AG_JSON_H
#define AG_JSON_H

#include <stdio.h>

/* Writes text in quotes, what is no UTF-8 as question marks; null for NULL. */
void ag__json_text(FILE *out, const char *text);

#endif
