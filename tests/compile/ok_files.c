/* SPDX-License-Identifier: MIT */
/* Buffers, replaced files, group commit, pipes, copies: every name, used as a program does. */
#include <aglet.h>

static ag_commit static_commit = AG_COMMIT_INIT(-1);
static ag_writer zero_writer;

static ssize_t give(void *arg, void *buf, size_t n) {
    (void)arg;
    (void)buf;
    (void)n;
    return 0;
}

static ssize_t take(void *arg, const void *buf, size_t n) {
    (void)arg;
    (void)buf;
    return (ssize_t)n;
}

int read_part(int fd, ag_conn *c);
int read_part(int fd, ag_conn *c) {
    char buf[64], *line;
    size_t length;
    const char *data;
    ag_reader r;
    ag_reader_init_fd(&r, fd, buf, sizeof buf);
    ag_reader_init_conn(&r, c, buf, sizeof buf);
    ag_reader_init(&r, give, NULL, buf, sizeof buf);
    if (ag_reader_line(&r, &line, &length) > 0 && ag_reader_line(&r, &line, NULL) > 0)
        return (int)ag_reader_peek(&r, 4, &data);
    if (ag_reader_fill(&r) < 0 || ag_reader_buffered(&r) > 3 || ag_reader_byte(&r) < 0)
        return (int)ag_reader_skip(&r, 2);
    char to[AG_READER_MIN];
    return (int)(ag_reader_read(&r, to, 1) + ag_reader_read_full(&r, to, 2) +
                 ag_reader_read_until(&r, ';', to, sizeof to));
}

int write_part(int fd, ag_conn *c, int *err);
int write_part(int fd, ag_conn *c, int *err) {
    static const ag_sink sink = {take, NULL, NULL};
    char buf[64];
    ag_writer w, other;
    ag_writer_init(&w, &sink, NULL, buf, sizeof buf, AG_WRITER_SYNC | AG_WRITER_KEEP);
    ag_writer_init_conn(&other, c, buf, sizeof buf, 0);
    ag_writer_init_fd(&other, fd, NULL, 0, AG_WRITER_KEEP);
    ag_defer(ag_writer_done, &w);
    ag_defer(ag_writer_close_into, &other, err);
    if (ag_writer_write(&w, "x", 1) < 0 || ag_writer_text(&w, "x") < 0)
        return ag_writer_error(&w);
    ag_writer_byte(&w, 'x');
    ag_writer_printf(&w, "%d %s", 1, "x");
    if (ag_writer_buffered(&w) > 0)
        return ag_writer_flush(&w);
    ag_writer_close(&zero_writer);
    return ag_writer_sync(&w) != 0 ? -1 : ag_writer_close(&w);
}

int file_part(const char *path, ag_conn *c);
int file_part(const char *path, ag_conn *c) {
    char buf[64];
    int ends[2];
    int64_t n;
    ag_commit commit;
    ag_replace r;
    int err = ag_replace_begin(&r, path, 0644, buf, sizeof buf);
    if (err)
        return err;
    ag_defer(ag_replace_cancel, &r);
    ag_writer_text(&r.out, "x");
    ag_commit_init(&commit, 1);
    if (ag_commit_append(&commit, "x", 1) || ag_commit_syncs(&static_commit) > 0)
        return ag_replace_file(path, 0, "x", 1);
    if (ag_pipe(ends) == 0)
        return ag_copy(ends[1], ends[0], -1, &n) + ag_copy_to_conn(c, ends[0], 10, &n) +
               ag_copy_from_conn(ends[1], c, 10, NULL);
    return ag_replace_commit(&r);
}
