/* SPDX-License-Identifier: MIT */
/* A connection is read into a buffer smaller than said. */
// bug: a heap block overflown by `ag_read`
// address: heap-buffer-overflow
#include <aglet.h>

#include <stdlib.h>
#include <sys/socket.h>

static int app(void *arg) {
    (void)arg;
    int ends[2];
    ag_conn *a, *b;
    char *p = malloc(10);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
    ag_conn_from_fd(ends[0], &a);
    ag_conn_from_fd(ends[1], &b);
    ag_write(a, "0123456789012345678901234567890", 31);
    ag_read(b, p, 31);
    free(p);
    ag_unref(a);
    ag_unref(b);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
