/* SPDX-License-Identifier: MIT */
/*
 * json.h - texts and places in JSON, for the answers that are read by pages and other programs.
 */
#ifndef AG_JSON_H
#define AG_JSON_H

#include <aglet/base.h>
#include <stdio.h>

/* Writes text in quotes, what is no UTF-8 as question marks; null for NULL. */
void ag__json_text(FILE *out, const char *text);
/* ["call", "by", "file", line] of where a goroutine was made. */
void ag__json_site(FILE *out, const struct ag__site *site);

#endif
