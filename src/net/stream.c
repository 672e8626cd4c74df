/* SPDX-License-Identifier: MIT */
/*
 * stream.c - connections below buffered readers and writers, and as one end of a copy.
 */
#include "net/net.h"
#include "os/file.h"
#include <aglet/bufio.h>
#include <aglet/file.h>

/* --- Buffers. --- */

static ssize_t read_conn(void *c, void *buf, size_t n) {
    return ag_read(c, buf, n);
}

static ssize_t write_conn(void *c, const void *buf, size_t n) {
    return ag_write(c, buf, n);
}

static int close_conn(void *c) {
    return ag_conn_close(c);
}

void ag_reader_init_conn(ag_reader *r, ag_conn *c, void *buf, size_t size) {
    ag_reader_init(r, read_conn, c, buf, size);
}

void ag_writer_init_conn(ag_writer *w, ag_conn *c, void *buf, size_t size, int flags) {
    static const ag_sink sink = {write_conn, NULL, close_conn};
    ag_writer_init(w, &sink, c, buf, size, flags);
}

/* --- Copies. --- */

static ssize_t take_conn(ag__copy *c, void *buf, size_t n) {
    return ag_read(c->conn, buf, n);
}

/* The turn of a writer is taken for each piece, so another one's write may come in between, and a
 * close at any time. */
static ssize_t give_conn(ag__copy *c, const void *buf, size_t n) {
    return ag__conn_give(c->conn, buf, -1, n);
}

static ssize_t move_to_conn(ag__copy *c, size_t n) {
    return ag__conn_give(c->conn, NULL, c->from, n);
}

int ag_copy_to_conn(ag_conn *to, int from, int64_t max, int64_t *ret_copied) {
    int kind = ag__file_kind(from);
    ag__copy c = {.take = ag__copy_take_fd,
                  .give = give_conn,
                  .move = kind == AG__FILE_DISK && !ag__conn_layer(to) ? move_to_conn : NULL,
                  .conn = to,
                  .from = from,
                  .from_kind = kind};
    return ag__copy_run(&c, max, ret_copied);
}

int ag_copy_from_conn(int to, ag_conn *from, int64_t max, int64_t *ret_copied) {
    ag__copy c = {.take = take_conn,
                  .give = ag__copy_give_fd,
                  .conn = from,
                  .to = to,
                  .to_kind = ag__file_kind(to)};
    return ag__copy_run(&c, max, ret_copied);
}
