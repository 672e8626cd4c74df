/* SPDX-License-Identifier: MIT */
/*
 * Writers, replaced files, group commit, pipes and copies while memory and system calls fail: what
 * says that it worked has worked, what says that it has not leaves what was there.
 */
#include "inject.h"

#include <sys/socket.h>
#include <sys/stat.h>

/* A folder with one file in it, `f`. */
static char folder[64], path[80];

static void set_up(void) {
    snprintf(folder, sizeof folder, "/tmp/aglet-fail-XXXXXX");
    ag_check(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/f", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ag_check(fd >= 0);
    close(fd);
}

static void tear_down(void) {
    ag_check_int(unlink(path), 0);
    ag_check_int(rmdir(folder), 0); /* so nothing else was there */
}

/* What is in the file; nothing fails meanwhile. */
static const char *content(void) {
    static char text[64];
    memset(text, 0, sizeof text);
    FILE *f = fopen(path, "r");
    ag_check(f != NULL);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* ---- Writers -------------------------------------------------------------------------------- */

static char long_text[600];

static void write_close(void) {
    char buf[64];
    ag_writer w;
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return;
    ag_writer_init_fd(&w, fd, buf, sizeof buf, AG_WRITER_SYNC);
    for (int i = 0; i < 5; i++)
        ag_writer_printf(&w, "%d %s", i, i == 2 ? long_text : "");
    int r = ag_writer_close(&w);
    bool worked = ok(r);
    inject_end();
    struct stat st;
    ag_check_int(stat(path, &st), 0);
    if (worked)
        ag_check_int(st.st_size, 10 + (long)strlen(long_text));
}
AG_TEST_RUN(a_writer_writes_all_or_its_close_says_so) {
    set_up();
    memset(long_text, 'x', sizeof long_text - 1);
    WALK(MEMORY | SYSTEM, write_close);
    tear_down();
}

/* Each step that fails is the one that is told, and the later ones do not hide it. */
static void close_fails_at(const char *call, int error, int expected) {
    char buf[64];
    ag_writer w;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ag_writer_init_fd(&w, fd, buf, sizeof buf, AG_WRITER_SYNC);
    ag_writer_text(&w, "text");
    inject(call, error, 1, true);
    int r = ag_writer_close(&w);
    ag_check(inject_end() > 0);
    ag_check_int(r, expected);
    ag_check_int(fcntl(fd, F_GETFD), -1);
}
AG_TEST_RUN(the_close_of_a_writer_tells_each_step) {
    set_up();
    close_fails_at("write", ENOSPC, -ENOSPC);
    close_fails_at("write", EIO, -EIO);
    close_fails_at("fsync", EIO, -EIO);
    close_fails_at("close", EIO, -EIO);
    close_fails_at("close", EINTR, 0); /* closed all the same: no error */
    tear_down();
}

AG_TEST_RUN(a_short_write_goes_on) {
    char buf[64];
    ag_writer w;
    set_up();
    ag_writer_init_fd(&w, open(path, O_WRONLY | O_CLOEXEC), buf, sizeof buf, 0);
    ag_writer_text(&w, "all of it");
    inject("write", -1, 1, true); /* one byte each time */
    ag_check_int(ag_writer_flush(&w), 0);
    ag_check_int(inject_end(), 9);
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_str(content(), "all of it");
    tear_down();
}

/* ---- Replacing ------------------------------------------------------------------------------ */

static int turn;

static void replace(void) {
    char buf[16], text[32], before[64];
    ag_replace r;
    snprintf(before, sizeof before, "%s", content());
    snprintf(text, sizeof text, "content number %d", ++turn);
    int err = ag_replace_begin(&r, path, 0, buf, sizeof buf);
    if (err == 0) {
        ag_writer_text(&r.out, text);
        err = ag_replace_commit(&r);
    }
    bool worked = ok(err);
    inject_end();
    const char *now = content();
    if (worked)
        ag_check_str(now, text);
    else /* the new one, if it was the folder that could not be synced */
        ag_check(strcmp(now, before) == 0 || strcmp(now, text) == 0);
    ag_check_int(names_in(folder), 1);
}
AG_TEST_RUN(a_replacement_is_whole_or_leaves_the_old_file) {
    set_up();
    WALK(MEMORY | SYSTEM, replace);
    tear_down();
}

/* What fails before the new name leaves the old content. */
static void replace_fails_at(const char *call, int error, int n, const char *expected) {
    inject(call, error, n, false);
    int r = ag_replace_file(path, 0, "new", 3);
    ag_check_int(inject_end(), 1);
    ag_check_int(r, -error);
    ag_check_str(content(), expected);
    ag_check_int(names_in(folder), 1);
}
AG_TEST_RUN(each_step_of_a_replacement_may_fail) {
    set_up();
    ag_check_int(ag_replace_file(path, 0, "old", 3), 0);
    replace_fails_at("malloc", ENOMEM, 1, "old");
    replace_fails_at("open", EMFILE, 1, "old");
    replace_fails_at("fstatat", EIO, 1, "old");
    replace_fails_at("openat", ENOSPC, 1, "old");
    replace_fails_at("fchmod", EPERM, 1, "old");
    replace_fails_at("write", ENOSPC, 1, "old");
    replace_fails_at("fsync", EIO, 1, "old");
    replace_fails_at("close", EIO, 1, "old");
    replace_fails_at("renameat", EIO, 1, "old");
    replace_fails_at("fsync", EIO, 2, "new"); /* that of the folder */
    inject("openat", EEXIST, 1, false);       /* the name is taken: another one */
    ag_check_int(ag_replace_file(path, 0, "again", 5), 0);
    ag_check_int(inject_end(), 1);
    ag_check_str(content(), "again");
    inject("fsync", EINVAL, 2, false); /* the file system can't sync a folder */
    ag_check_int(ag_replace_file(path, 0, "more", 4), 0);
    ag_check_int(inject_end(), 1);
    tear_down();
}

/* ---- Group commit --------------------------------------------------------------------------- */

static void append(ag_commit *c, int *ret_result) {
    *ret_result = ag_commit_append(c, "12345678", 8);
}

static void group(void) {
    enum { MANY = 6 };
    int results[MANY], fd = open(path, O_WRONLY | O_APPEND | O_TRUNC | O_CLOEXEC), worked = 0;
    if (fd < 0)
        return;
    ag_commit c = AG_COMMIT_INIT(fd);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < MANY; i++) {
        results[i] = -ECANCELED;
        if (!ok(ag_wg_go(&wg, append, &c, &results[i])))
            results[i] = 0, worked--;
    }
    ag_wg_wait(&wg);
    for (int i = 0; i < MANY; i++)
        worked += ok(results[i]);
    inject_end();
    struct stat st;
    ag_check_int(fstat(fd, &st), 0);
    ag_check(st.st_size >= 8 * worked);
    close(fd);
}
AG_TEST_RUN(an_append_that_returned_0_is_there) {
    set_up();
    WALK(MEMORY | SYSTEM, group);
    tear_down();
}

AG_TEST_RUN(the_first_error_of_a_log_is_its_last) {
    set_up();
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    ag_commit c = AG_COMMIT_INIT(fd);
    inject("writev", -1, 1, false); /* short: it goes on */
    ag_check_int(ag_commit_append(&c, "one ", 4), 0);
    ag_check_int(inject_end(), 1);
    inject("fdatasync", EINTR, 1, false);
    ag_check_int(ag_commit_append(&c, "two ", 4), 0);
    ag_check_int(inject_end(), 1);
    inject("fdatasync", EIO, 1, false);
    ag_check_int(ag_commit_append(&c, "three ", 6), -EIO);
    ag_check_int(inject_end(), 1);
    ag_check_int(ag_commit_append(&c, "four ", 5), -EIO);
    ag_check_str(content(), "one two three "); /* and nothing behind it */
    ag_commit_init(&c, fd);
    inject("writev", ENOSPC, 1, false);
    ag_check_int(ag_commit_append(&c, "five ", 5), -ENOSPC);
    ag_check_int(inject_end(), 1);
    ag_check_int(ag_commit_append(&c, "six ", 4), -ENOSPC);
    ag_check_str(content(), "one two three ");
    close(fd);
    tear_down();
}

/* ---- Pipes and copies ----------------------------------------------------------------------- */

enum { SIZE = 3000 };
static int from_fd = -1, to_fd = -1;

static void copy_checked(int (*copy)(int64_t *ret_n)) {
    static char data[SIZE];
    int64_t n = -1;
    ag_check(lseek(from_fd, 0, SEEK_SET) == 0 && ftruncate(to_fd, 0) == 0 &&
             lseek(to_fd, 0, SEEK_SET) == 0);
    int r = copy(&n);
    bool worked = ok(r);
    inject_end();
    if (worked)
        ag_check_int(n, SIZE);
    ag_check_int(lseek(to_fd, 0, SEEK_END), n); /* as many as it says */
    ag_check_int(pread(to_fd, data, SIZE, 0), n);
    for (int64_t i = 0; i < n; i++)
        ag_check_int((unsigned char)data[i], i % 251);
}

static void open_files(void) {
    char buf[SIZE];
    for (int i = 0; i < SIZE; i++)
        buf[i] = (char)(i % 251);
    set_up();
    from_fd = open(path, O_RDWR | O_CLOEXEC);
    ag_check_int(write(from_fd, buf, SIZE), SIZE);
    FILE *f = tmpfile();
    to_fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 3);
    fclose(f);
}

static void close_files(void) {
    close(from_fd);
    close(to_fd);
    tear_down();
}

static int file_to_file(int64_t *ret_n) {
    return ag_copy(to_fd, from_fd, -1, ret_n);
}
static void copy_files(void) {
    copy_checked(file_to_file);
}

/* The file, into a pipe, out of the pipe: it has room for all. */
static int through_a_pipe(int64_t *ret_n) {
    int ends[2], r = ag_pipe(ends);
    *ret_n = 0;
    if (!ok(r))
        return r;
    r = ag_copy(ends[1], from_fd, -1, ret_n);
    ag_fd_close(ends[1]);
    int r2 = ag_copy(to_fd, ends[0], -1, ret_n);
    ag_fd_close(ends[0]);
    return r != 0 ? r : r2;
}
static void copy_through_a_pipe(void) {
    copy_checked(through_a_pipe);
}

static int through_connections(int64_t *ret_n) {
    int both[2];
    ag_conn *a, *b;
    *ret_n = 0;
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both), 0);
    int r = ag_conn_from_fd(both[0], &a);
    if (r != 0) {
        close(both[1]);
        return r;
    }
    r = ag_conn_from_fd(both[1], &b);
    if (r != 0) {
        ag_unref(a);
        return r;
    }
    r = ag_copy_to_conn(a, from_fd, -1, ret_n);
    ag_conn_close(a);
    int r2 = ag_copy_from_conn(to_fd, b, -1, ret_n);
    ag_unref(a);
    ag_unref(b);
    return r != 0 ? r : r2;
}
static void copy_through_connections(void) {
    copy_checked(through_connections);
}

AG_TEST_RUN(a_copy_between_files_counts_right_whatever_fails) {
    AG_TEST_LEAKY_FDS();
    open_files();
    WALK(MEMORY | SYSTEM | QUIET, copy_files);
    close_files();
}
AG_TEST_RUN(a_copy_through_a_pipe_counts_right_whatever_fails) {
    AG_TEST_LEAKY_FDS();
    open_files();
    WALK(MEMORY | SYSTEM | QUIET, copy_through_a_pipe);
    close_files();
}
AG_TEST_RUN(a_copy_through_connections_counts_right_whatever_fails) {
    AG_TEST_LEAKY_FDS();
    open_files();
    WALK(MEMORY | SYSTEM | QUIET, copy_through_connections);
    close_files();
}
