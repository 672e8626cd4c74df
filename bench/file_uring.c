/* SPDX-License-Identifier: MIT */
/*
 * Handing a file operation on, as src/io/file.c does, beside io_uring: what one costs.
 *
 *     file_uring PROCS ROUNDS
 *
 * Handing on is the whole: a goroutine calls, another thread may take the processor, the goroutine
 * comes back. io_uring is less than the whole: a plain thread submits, waits for the ring in epoll,
 * as the poller would, and takes the result; parking and readying a goroutine would come on top.
 *
 * `inline`: the kernel tries the operation in the submitting call, and finishes it later in the
 * submitting thread. `async`: the kernel's own threads do it (IOSQE_ASYNC). Rounds of the three are
 * interleaved; the figures are medians.
 *
 * Two counts say what a ring is to a runtime in which goroutines change threads: how many of 50
 * reads that were not cached made the next system call of the thread return EINTR (inline), and how
 * many of 50 were given up by the kernel because the thread that submitted them ended (async).
 */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 64, SIZE = 4096, MANY = 32, TIMES = 50, ROUNDS_MAX = 1000 };

static int ring, poller, fds[MANY];
static int result; /* of what was reaped last */
static char *sq, *cq;
static struct io_uring_sqe *sqes;
static struct io_uring_params params;
static char data[MANY][SIZE];

static unsigned *in(char *map, unsigned offset) {
    return (unsigned *)(void *)(map + offset);
}

static void ring_open(void) {
    const int rw = PROT_READ | PROT_WRITE, how = MAP_SHARED | MAP_POPULATE;
    ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
    if (ring < 0) {
        perror("io_uring_setup");
        exit(1);
    }
    sq = mmap(NULL, params.sq_off.array + ENTRIES * sizeof(unsigned), rw, how, ring,
              IORING_OFF_SQ_RING);
    cq = mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), rw, how,
              ring, IORING_OFF_CQ_RING);
    sqes = mmap(NULL, ENTRIES * sizeof *sqes, rw, how, ring, IORING_OFF_SQES);
    bench_must(sq != MAP_FAILED && cq != MAP_FAILED && (void *)sqes != MAP_FAILED);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    bench_must(epoll_ctl(poller, EPOLL_CTL_ADD, ring, &e) == 0);
}

/* One operation on file i. */
static void submit(int opcode, int i, int flags) {
    unsigned tail = *in(sq, params.sq_off.tail), at = tail & *in(sq, params.sq_off.ring_mask);
    memset(&sqes[at], 0, sizeof sqes[at]);
    sqes[at].opcode = (unsigned char)opcode;
    sqes[at].flags = (unsigned char)flags;
    sqes[at].fd = fds[i];
    sqes[at].user_data = (unsigned)i;
    if (opcode != IORING_OP_FSYNC) {
        sqes[at].addr = (uintptr_t)data[i];
        sqes[at].len = SIZE;
    }
    in(sq, params.sq_off.array)[at] = at;
    __atomic_store_n(in(sq, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    bench_must(syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) == 1);
}

/* The number of the next file whose operation is done. */
static int reap(void) {
    for (;;) {
        unsigned head = *in(cq, params.cq_off.head);
        if (head != __atomic_load_n(in(cq, params.cq_off.tail), __ATOMIC_ACQUIRE)) {
            struct io_uring_cqe *all = (struct io_uring_cqe *)(void *)(cq + params.cq_off.cqes);
            struct io_uring_cqe *one = &all[head & *in(cq, params.cq_off.ring_mask)];
            int i = (int)one->user_data;
            result = one->res;
            __atomic_store_n(in(cq, params.cq_off.head), head + 1, __ATOMIC_RELEASE);
            return i;
        }
        struct epoll_event e;
        epoll_wait(poller, &e, 1, -1);
    }
}

/* ---- One after the other, and many at once ----------------------------------------------------
 */

static void handed(int opcode, int i) {
    intptr_t n;
    if (opcode == IORING_OP_FSYNC)
        n = ag_blocking(fsync, fds[i]);
    else
        n = ag_blocking(pwrite, fds[i], data[i], (size_t)SIZE, (off_t)0);
    bench_must(n >= 0);
}

static void write_and_sync(int i) {
    handed(IORING_OP_WRITE, i);
    handed(IORING_OP_FSYNC, i);
}

static ag_time by_hand(int opcode, int files) {
    ag_wg wg = AG_WG_INIT;
    ag_time start = ag_now();
    if (files == 1) {
        handed(opcode, 0);
    } else {
        for (int i = 0; i < files; i++)
            ag_wg_go(&wg, write_and_sync, i);
        ag_wg_wait(&wg);
    }
    return (ag_now() - start) / files;
}

static ag_time by_ring(int opcode, int files, int flags) {
    ag_time start = ag_now();
    if (files == 1) {
        submit(opcode, 0, flags);
        reap();
        bench_must(result >= 0);
    } else {
        bool synced[MANY] = {false};
        for (int i = 0; i < files; i++)
            submit(IORING_OP_WRITE, i, flags);
        for (int left = files; left > 0;) {
            int i = reap();
            bench_must(result >= 0);
            left -= synced[i];
            if (!synced[i])
                submit(IORING_OP_FSYNC, i, flags);
            synced[i] = true;
        }
    }
    return (ag_now() - start) / files;
}

/* ---- What belongs to the submitting thread ----------------------------------------------------
 */

/* A read from the disk. */
static void *read_cold(void *flags) {
    bench_must(posix_fadvise(fds[0], 0, 0, POSIX_FADV_DONTNEED) == 0);
    submit(IORING_OP_READ, 0, *(int *)flags);
    return NULL;
}

static void count_interrupts(void) {
    int n = 0, flags = 0, other = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < TIMES; i++) {
        struct epoll_event e;
        read_cold(&flags);
        n += epoll_wait(other, &e, 1, 20) < 0 && errno == EINTR;
        reap();
    }
    close(other);
    bench_report("uring_inline_interrupts_of_50", n, "calls");
}

static void count_cancels(void) {
    int n = 0, flags = IOSQE_ASYNC;
    for (int i = 0; i < TIMES; i++) {
        pthread_t t;
        bench_must(pthread_create(&t, NULL, read_cold, &flags) == 0);
        pthread_join(t, NULL);
        reap();
        n += result == -ECANCELED;
    }
    bench_report("uring_async_cancels_of_50", n, "reads");
}

static void compare(const char *what, int opcode, int files, int rounds) {
    static ag_time times[3][ROUNDS_MAX];
    static const char *const ways[] = {"handed_on", "uring_inline", "uring_async"};
    for (int i = 0; i < rounds; i++) {
        times[0][i] = by_hand(opcode, files);
        times[1][i] = by_ring(opcode, files, 0);
        times[2][i] = by_ring(opcode, files, IOSQE_ASYNC);
    }
    for (int way = 0; way < 3; way++) {
        char name[64];
        qsort(times[way], (size_t)rounds, sizeof times[way][0], bench_compare);
        snprintf(name, sizeof name, "%s_%s", what, ways[way]);
        bench_report(name, (double)times[way][rounds / 2], "ns");
    }
}

static int app(void *arg) {
    (void)arg;
    int rounds = (int)bench_arg(2, 300);
    rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    for (int i = 0; i < MANY; i++) {
        char path[] = "/tmp/aglet-bench-XXXXXX";
        fds[i] = mkostemp(path, O_CLOEXEC);
        unlink(path);
        bench_must(pwrite(fds[i], data[i], SIZE, 0) == SIZE && fsync(fds[i]) == 0);
    }
    ring_open();
    compare("write_4k", IORING_OP_WRITE, 1, rounds);
    compare("sync_clean", IORING_OP_FSYNC, 1, rounds);
    compare("write_sync_32_files", 0, MANY, rounds / 10 + 1);
    count_interrupts();
    count_cancels();
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, app);
}
