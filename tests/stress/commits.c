/* SPDX-License-Identifier: MIT */
/*
 * Group commit under load, and a process that is killed in the middle of it: every record whose
 * append returned is in the file, whole and once.
 */
#include "stress.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum { WRITERS = 64, RECORD = 24 };

static int log_fd, ack_fd;
static ag_commit commits;

/* "writer number padding\n", RECORD bytes. */
static void record_of(char *text, int writer, int number) {
    char room[48];
    snprintf(room, sizeof room, "%4d %8d ..........\n", writer, number);
    memcpy(text, room, RECORD);
}

/* Appends records and tells each one that was confirmed. */
static void writer(int me, int rounds) {
    char text[RECORD];
    for (int i = 0; i < rounds; i++) {
        record_of(text, me, i);
        ag_check_int(ag_commit_append(&commits, text, RECORD), 0);
        if (ack_fd >= 0)
            ag_check_int(ag_fd_write(ack_fd, text, RECORD), RECORD);
    }
}

static int write_all(void *rounds) {
    ag_wg wg = AG_WG_INIT;
    ag_commit_init(&commits, log_fd);
    for (int i = 0; i < WRITERS; i++)
        ag_wg_go(&wg, writer, i, *(int *)rounds);
    ag_wg_wait(&wg);
    return 0;
}

/* next[w] is how many of writer w's records are in the log, which must be the first ones. A torn
 * record may be at the end. */
static void read_log(int next[WRITERS], bool killed) {
    char text[RECORD], expected[RECORD];
    int n;
    memset(next, 0, WRITERS * sizeof *next);
    for (off_t at = 0; (n = (int)pread(log_fd, text, RECORD, at)) > 0; at += n) {
        int who = atoi(text);
        if (n < RECORD && killed)
            break;
        ag_check(n == RECORD && who >= 0 && who < WRITERS);
        record_of(expected, who, next[who]++);
        ag_check_mem(text, expected, RECORD);
    }
}

static void open_log(void) {
    char path[] = "/tmp/aglet-commits-XXXXXX";
    log_fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    ag_check(log_fd >= 0);
    unlink(path);
}

AG_TEST(appends_of_many_are_there_once_and_in_order) {
    int next[WRITERS], rounds = scaled(50);
    open_log();
    ack_fd = -1;
    ag_check_int(ag_run(write_all, &rounds), 0);
    read_log(next, false);
    for (int i = 0; i < WRITERS; i++)
        ag_check_int(next[i], rounds);
    ag_check(ag_commit_syncs(&commits) <= WRITERS * rounds);
    close(log_fd);
}

/* Some give up while they wait: what they would have appended is not there, what was confirmed is.
 */
enum { ROUNDS_MAX = 400 };
static signed char outcome[WRITERS][ROUNDS_MAX]; /* 1: appended, -1: not */

static void impatient(int me, int rounds) {
    struct dice d = {(uint64_t)me + 1};
    char text[RECORD];
    for (int i = 0; i < rounds; i++) {
        record_of(text, me, i);
        ag_within(1 + roll(&d, 300) * AG_US);
        int r = ag_commit_append(&commits, text, RECORD);
        ag_check(r == 0 || r == -ETIMEDOUT);
        outcome[me][i] = r == 0 ? 1 : -1;
    }
}

static int write_some(void *rounds) {
    ag_wg wg = AG_WG_INIT;
    ag_commit_init(&commits, log_fd);
    for (int i = 0; i < WRITERS; i++)
        ag_wg_go(&wg, impatient, i, *(int *)rounds);
    ag_wg_wait(&wg);
    return 0;
}

AG_TEST(who_gives_up_has_written_nothing) {
    char text[RECORD], expected[RECORD];
    int rounds = scaled(200), there = 0, confirmed = 0, given_up = 0;
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    open_log();
    ag_check_int(ag_run(write_some, &rounds), 0);
    for (off_t at = 0; pread(log_fd, text, RECORD, at) > 0; at += RECORD) {
        int who = atoi(text), number = atoi(text + 5);
        ag_check(who >= 0 && who < WRITERS && number >= 0 && number < rounds);
        record_of(expected, who, number);
        ag_check_mem(text, expected, RECORD);
        ag_check_int(outcome[who][number], 1);
        outcome[who][number] = 2; /* once */
        there++;
    }
    for (int i = 0; i < WRITERS; i++)
        for (int j = 0; j < rounds; j++) {
            confirmed += outcome[i][j] > 0;
            given_up += outcome[i][j] < 0;
        }
    ag_check_int(there, confirmed);
    ag_check_int(confirmed + given_up, WRITERS * rounds);
    ag_check(confirmed > 0 && given_up > 0);
    close(log_fd);
}

AG_TEST(what_was_confirmed_survives_a_kill) {
    enum { ENDLESS = 1 << 30 };
    int ends[2], next[WRITERS], confirmed[WRITERS] = {0}, endless = ENDLESS, status;
    const int until = scaled(3000);
    open_log();
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        ack_fd = ends[1];
        _exit(ag_run(write_all, &endless));
    }
    ag_check(child > 0);
    close(ends[1]);
    char text[RECORD];
    for (int seen = 0; read(ends[0], text, RECORD) == RECORD; seen++) {
        int who = atoi(text), number = atoi(text + 5);
        ag_check(who >= 0 && who < WRITERS);
        ag_check_int(number, confirmed[who]++);
        if (seen == until)
            ag_check_int(kill(child, SIGKILL), 0); /* what is in the pipe comes still */
    }
    ag_check_int(waitpid(child, &status, 0), child);
    ag_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(ends[0]);
    read_log(next, true);
    for (int i = 0; i < WRITERS; i++)
        ag_check(next[i] >= confirmed[i]);
    close(log_fd);
}
