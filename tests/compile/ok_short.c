/* SPDX-License-Identifier: MIT */
/* The bare words, each one, and what they leave alone. */
#include <aglet/short.h>

static void square(chan(int) in, chan(int) out) {
    defer(close, out);
    for (int v; recv(in, &v);)
        send(out, v * v);
}

static void report(const char *what) {
    const ag_panic_info *info = recover();
    if (info)
        yield();
    (void)what;
}

static void work(int n) {
    defer(report, "work");
    if (n < 0)
        panic("negative: %d", n);
}

/* Names that are no calls are left alone. */
struct file_ops {
    ssize_t (*send)(int fd, const void *buf, size_t n, int flags);
    int len, cap, go, make, chan, panic, select, defer, recv, yield;
};

int words(int fd);
int words(int fd) {
    chan(int) in = make(int, 4), out = make(int, 0);
    struct file_ops ops = {send, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0};
    int v = 0, len = 0;
    ag_panic_info info;
    go(square, in, out);
    len += (int)(len(in) + cap(in)) + ops.len;
    switch (select(AG_RECV(out, &v), AG_SEND(in, v), AG_AFTER(AG_SEC), AG_DEFAULT)) {
    case 0:
        close(in);
        break;
    }
    if (try(&info, work, v) == AG_PANICKED)
        return -1;
    /* What a word hides. */
    if ((send)(fd, "x", 1, MSG_NOSIGNAL) < 0 || (recv)(fd, &v, sizeof v, 0) < 0 ||
        (select)(0, NULL, NULL, NULL, NULL) < 0 || ops.send == NULL)
        return ag_fd_close(fd);
    return len;
}
