/* SPDX-License-Identifier: MIT */
/*
 * idle - very many connections at once, each of which has had one answer.
 *
 *     idle ADDRESS:PORT PATH CONNECTIONS
 *
 * Prints `open N count` when they are open and answered, and waits for a line: the time to look at
 * the server's memory. Then each asks once more, all of them as fast as one thread can; `again` is
 * the time from the first of these requests to the last answer. A connection that the server has
 * closed meanwhile is an error.
 */
#include "load.h"

#define BATCH 64 /* so many are under way while they are opened */

static int *fds;
static uint32_t *got;
static int n, epoll;

static void open_batch(int from, int to) {
    for (int i = from; i < to; i++)
        fds[i] = load_connect(i);
    load_first(fds[from]);
    for (int i = from + 1; i < to; i++)
        load_ask(fds[i]);
    for (int i = from; i < to; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        load_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e) == 0, "epoll_ctl");
    }
}

/* Returns how many answers are complete with what has come. */
static int collect(int wait_ms) {
    struct epoll_event events[256];
    int done = 0, ready = epoll_wait(epoll, events, 256, wait_ms);
    for (int i = 0; i < ready; i++)
        done += load_answered(fds[events[i].data.u32], &got[events[i].data.u32]);
    return done;
}

int main(int argc, char **argv) {
    int answers = 0;
    if (argc != 4 || (n = atoi(argv[3])) < 1)
        load_die("usage: idle ADDRESS:PORT PATH CONNECTIONS");
    load_target(argv[1], argv[2]);
    fds = calloc((size_t)n, sizeof *fds);
    got = calloc((size_t)n, sizeof *got);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    load_must(fds && got && epoll >= 0, "epoll_create1");
    for (int i = 0; i < n; i += BATCH) {
        int to = i + BATCH < n ? i + BATCH : n;
        open_batch(i, to);
        for (answers++; answers < to;)
            answers += collect(1000);
    }
    printf("open %d count\n", n);
    fflush(stdout);
    if (getchar() == EOF)
        return 0;
    const int64_t begin = load_now();
    answers = 0;
    for (int i = 0; i < n; i++) {
        load_ask(fds[i]);
        if (i % BATCH == BATCH - 1)
            answers += collect(0);
    }
    while (answers < n)
        answers += collect(1000);
    printf("again %.3f s\n", (double)(load_now() - begin) / (double)LOAD_SEC);
    return 0;
}
