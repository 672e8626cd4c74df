/* SPDX-License-Identifier: MIT */
/*
 * peer.h - another process that is an aglet program, and how to ask it: over its Unix socket, in
 * HTTP (src/debug/ask_door.c and ask_http.c are the other end). What goes wrong is said on stderr
 * in words that tell what to do, once, by these functions.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A number of a process as an argument. False, after saying so, if it is none. */
bool peer_number(const char *word, const char *text, long *ret_pid);

/* Where the socket of this process is; false: nowhere. `size` as of a sockaddr_un. */
bool peer_socket(long pid, char *ret_path, size_t size);

/* Whether a process has threads of the runtime. */
bool peer_is_aglet(long pid);

struct peer_answer {
    int status;      /* 200 …; 0: there was none */
    char type[80];   /* its content type */
    char error[400]; /* what is wrong, if the answer is not whole and good; else "" */
};

/* Asks `GET target`, and hands the body of a good answer on. `take` may be told to stop: it returns
 * whether it goes on. Waits at most patience_s for any next byte. Returns whether the answer was
 * good and came whole; `ret_answer->error` tells the rest. Says nothing. */
bool peer_try(long pid, const char *target, double patience_s,
              bool (*take)(void *arg, const char *data, size_t n), void *arg,
              struct peer_answer *ret_answer);

/* The same into a stream, with what is wrong said on stderr. Returns TOOL_OK or TOOL_FAILED. */
int peer_ask(long pid, const char *target, double patience_s, FILE *out);

/* The same into memory, for short answers: a string to be freed, or NULL. Says nothing. */
char *peer_text(long pid, const char *target, double patience_s, struct peer_answer *ret_answer);

/* "NAME": number of a JSON object of numbers; -1: it is not there. */
int64_t peer_json(const char *text, const char *name);

/* The words that the process was started with, at most `size` bytes, "" unknown. */
void peer_command(long pid, char *ret_text, size_t size);
/* Seconds since it was started, or -1. */
double peer_uptime(long pid);
/* A line of /proc/PID/status, as a number; -1: unknown. */
long peer_status(long pid, const char *key);

#endif
