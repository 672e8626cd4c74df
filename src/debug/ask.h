/* SPDX-License-Identifier: MIT */
/*
 * ask.h - what a running program can be asked: a table of paths below /debug/ and the functions
 * that answer them. Who carries questions and answers - the Unix socket, an HTTP server - is
 * somebody else: ag_debug_answer (aglet/debug.h) is the way in.
 *
 * An answer is written for a program in trouble: it runs on a thread that is no goroutine, or
 * inside one, and must come out when every worker is stuck. So it takes no lock that is held while
 * goroutines run, and waits for nothing but time.
 *
 * To add one: the function, and a line in ask.def. To add to the pages: a file in pages/.
 */
#ifndef AG_ASK_H
#define AG_ASK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One request: path and query. */
typedef struct ag__question ag__question;

/* The value of `key` in the query as a whole number; `otherwise` if it is not given. What is no
 * number is the asker's mistake: he gets an error page, and the question counts as given up. */
int64_t ag__question_number(const ag__question *q, const char *key, int64_t otherwise);
/* The value of `key`, decoded; NULL: not given. Lives as long as the question. */
const char *ag__question_text(const ag__question *q, const char *key);
const char *ag__question_path(const ag__question *q);
/* The client's field Accept; NULL: it has none. */
const char *ag__question_accept(const ag__question *q);
/* The client has gone, or its question makes no sense: stop early. Cheap enough for a loop. */
bool ag__question_is_given_up(const ag__question *q);
/* Another content type than the table's; before the first byte is written. With `debug=1` and
 * above in the query it is text without being told, as in Go's profiles. */
void ag__question_set_type(const ag__question *q, const char *content_type);
/* What the error page says, in place of the usual words; a constant, NULL: the usual ones. */
void ag__question_set_reason(const ag__question *q, const char *reason);

/* Writes the answer. Returns 0, or a negative errno value: an error page, if nothing of the answer
 * has left yet; else an answer that breaks off, which clients can tell from a whole one. */
typedef int (*ag__answer_fn)(const ag__question *q, FILE *out);

typedef struct ag__answer {
    const char *path, *content_type;
    ag__answer_fn fn;
    const char *about;
} ag__answer;

/* All that can be asked, in the order of ask.def. */
const ag__answer *ag__answers(int *ret_count);

/* Sleeps for so long, in a goroutine or not, but no longer than anybody waits for the answer.
 * False: the question was given up. */
bool ag__question_sleep(const ag__question *q, int64_t ns);

/* AGLET_DEBUG_TOKEN; NULL: there is none. */
const char *ag__ask_token(void);

/* The doors of this process; see ask_door.c. Where a world begins and where it ends. */
void ag__ask_open(void);
void ag__ask_close(void);

#define ASK(path, content_type, fn, about) int fn(const ag__question *q, FILE *out);
#include "debug/ask.def"
#undef ASK

#endif
