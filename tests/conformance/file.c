/* SPDX-License-Identifier: MIT */
/*
 * Files that survive: replaced as a whole, appended to by many with one sync; pipes; copies.
 */
#include "common.h"

#include <sys/socket.h>
#include <sys/stat.h>

/* A folder of the test's own, which must be empty but for `kept` files at its end. */
static char folder[64];

static const char *in_folder(const char *name) {
    static char path[4][128];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void begin(void) {
    snprintf(folder, sizeof folder, "/tmp/aglet-file-XXXXXX");
    ag_check(mkdtemp(folder) != NULL);
}

static void end(int kept, const char *name) {
    ag_check_int(names_in(folder), kept);
    if (kept)
        unlink(in_folder(name));
    ag_check_int(rmdir(folder), 0);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ag_check_int(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void check_content(const char *path, const char *expected) {
    char got[256] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ag_check(fd >= 0 && read(fd, got, sizeof got - 1) >= 0);
    close(fd);
    ag_check_str(got, expected);
}

/* ---- Replacing ------------------------------------------------------------------------------ */

AG_TEST_RUN(a_file_is_replaced_at_the_commit) {
    char buf[32];
    ag_replace r;
    begin();
    const char *path = in_folder("config");
    put(path, "old");
    ag_check_int(ag_replace_begin(&r, path, 0, buf, sizeof buf), 0);
    ag_writer_printf(&r.out, "the new content, number %d\n", 2);
    check_content(path, "old");
    ag_check_int(names_in(folder), 2);
    ag_check_int(ag_replace_commit(&r), 0);
    check_content(path, "the new content, number 2\n");
    ag_replace_cancel(&r); /* nothing happens any more */
    ag_check_int(ag_replace_commit(&r), -ECANCELED);
    check_content(path, "the new content, number 2\n");
    end(1, "config");
}

AG_TEST_RUN(who_has_the_old_file_open_keeps_it) {
    char got[8] = "";
    begin();
    put(in_folder("f"), "old");
    int fd = open(in_folder("f"), O_RDONLY | O_CLOEXEC);
    ag_check_int(ag_replace_file(in_folder("f"), 0, "new", 3), 0);
    ag_check_int(read(fd, got, sizeof got), 3);
    ag_check_str(got, "old");
    close(fd);
    check_content(in_folder("f"), "new");
    end(1, "f");
}

AG_TEST_RUN(a_cancelled_replacement_leaves_the_old_file) {
    ag_replace r;
    begin();
    put(in_folder("f"), "old");
    ag_check_int(ag_replace_begin(&r, in_folder("f"), 0, NULL, 0), 0);
    ag_writer_text(&r.out, "new");
    ag_replace_cancel(&r);
    ag_check_int(ag_writer_text(&r.out, "new"), -ECANCELED);
    check_content(in_folder("f"), "old");
    end(1, "f");
}

static void replace_and_panic(const char *path) {
    ag_replace r;
    ag_check_int(ag_replace_begin(&r, path, 0, NULL, 0), 0);
    ag_defer(ag_replace_cancel, &r);
    ag_writer_text(&r.out, "half of it");
    ag_panic("oh");
}

AG_TEST_RUN(a_panic_leaves_the_old_file_and_no_other) {
    begin();
    put(in_folder("f"), "old");
    ag_check_int(ag_try(NULL, replace_and_panic, in_folder("f")), AG_PANICKED);
    check_content(in_folder("f"), "old");
    end(1, "f");
}

AG_TEST_RUN(an_error_of_the_writer_fails_the_commit) {
    char buf[64];
    ag_replace r;
    begin();
    put(in_folder("f"), "old");
    ag_check_int(ag_replace_begin(&r, in_folder("f"), 0, buf, sizeof buf), 0);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0)
        ag_skip("/dev/full");
    dup2(full, r.ag__fd); /* the disk fills up */
    close(full);
    ag_check_int(ag_writer_text(&r.out, "new"), 3);
    ag_check_int(ag_replace_commit(&r), -ENOSPC);
    check_content(in_folder("f"), "old");
    end(1, "f");
}

AG_TEST_RUN(the_mode_stays_or_is_given) {
    struct stat st;
    begin();
    put(in_folder("f"), "old");
    chmod(in_folder("f"), 0640);
    ag_check_int(ag_replace_file(in_folder("f"), 0, "new", 3), 0);
    ag_check_int(stat(in_folder("f"), &st), 0);
    ag_check_int(st.st_mode & 07777, 0640);
    ag_check_int(ag_replace_file(in_folder("f"), 0600, "new", 3), 0);
    ag_check_int(stat(in_folder("f"), &st), 0);
    ag_check_int(st.st_mode & 07777, 0600);
    unlink(in_folder("f"));
    mode_t mask = umask(027);
    ag_check_int(ag_replace_file(in_folder("f"), 0, "new", 3), 0);
    umask(mask);
    ag_check_int(stat(in_folder("f"), &st), 0);
    ag_check_int(st.st_mode & 07777, 0640);
    end(1, "f");
}

AG_TEST_RUN(what_can_not_be_replaced_says_why) {
    char longest[300], path[400];
    begin();
    ag_check_int(ag_replace_file(in_folder("none/f"), 0, "", 0), -ENOENT);
    ag_check_int(ag_replace_file(in_folder(""), 0, "", 0), -EINVAL);
    ag_check_int(ag_replace_file(in_folder("."), 0, "", 0), -EINVAL);
    ag_check_int(ag_replace_file(in_folder(".."), 0, "", 0), -EINVAL);
    ag_check_int(ag_replace_file("", 0, "", 0), -EINVAL);
    ag_check_int(mkdir(in_folder("d"), 0700), 0);
    ag_check_int(ag_replace_file(in_folder("d"), 0600, "", 0), -EISDIR);
    ag_check_int(rmdir(in_folder("d")), 0);
    memset(longest, 'n', sizeof longest);
    snprintf(path, sizeof path, "%s/%.255s", folder, longest);
    ag_check_int(ag_replace_file(path, 0, "long", 4), 0); /* a name may be as long as it may */
    ag_check_int(unlink(path), 0);
    snprintf(path, sizeof path, "%s/%.256s", folder, longest);
    ag_check_int(ag_replace_file(path, 0, "long", 4), -ENAMETOOLONG);
    end(0, NULL);
}

AG_TEST_RUN(a_relative_path_means_the_folder_of_the_begin) {
    char before[4096];
    ag_replace r;
    begin();
    ag_check(getcwd(before, sizeof before) != NULL);
    ag_check_int(chdir(folder), 0);
    ag_check_int(ag_replace_begin(&r, "f", 0, NULL, 0), 0);
    ag_writer_text(&r.out, "new");
    ag_check_int(chdir(before), 0);
    ag_check_int(ag_replace_commit(&r), 0);
    check_content(in_folder("f"), "new");
    end(1, "f");
}

AG_TEST_RUN(a_context_that_ended_replaces_nothing) {
    ag_replace r, none;
    begin();
    put(in_folder("f"), "old");
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    {
        ag_ctx_enter(c);
        ag_check_int(ag_replace_begin(&r, in_folder("f"), 0, NULL, 0), 0);
        ag_writer_text(&r.out, "new");
        ag_ctx_cancel(c);
        ag_check_int(ag_replace_begin(&none, in_folder("f"), 0, NULL, 0), -ECANCELED);
        ag_replace_cancel(&none);
        ag_check_int(ag_replace_commit(&r), -ECANCELED);
    }
    ag_unref(c);
    check_content(in_folder("f"), "old");
    end(1, "f");
}

AG_TEST_RUN(a_link_is_replaced_itself) {
    struct stat st;
    begin();
    put(in_folder("f"), "old");
    ag_check_int(symlink("f", in_folder("link")), 0);
    ag_check_int(ag_replace_file(in_folder("link"), 0600, "new", 3), 0);
    ag_check_int(lstat(in_folder("link"), &st), 0);
    ag_check(S_ISREG(st.st_mode));
    check_content(in_folder("link"), "new");
    check_content(in_folder("f"), "old");
    unlink(in_folder("link"));
    ag_check_int(link(in_folder("f"), in_folder("other")), 0);
    ag_check_int(ag_replace_file(in_folder("other"), 0600, "new", 3), 0);
    check_content(in_folder("f"), "old"); /* the other name still means the old file */
    unlink(in_folder("other"));
    end(1, "f");
}

AG_TEST_RUN(a_zero_replacement_is_a_cancelled_one) {
    ag_replace r = {.ag__names = NULL};
    ag_check_int(ag_writer_text(&r.out, "text"), -EBADF);
    ag_check_int(ag_replace_commit(&r), -ECANCELED);
    ag_replace_cancel(&r);
}

/* ---- Group commit --------------------------------------------------------------------------- */

static int open_log(void) {
    begin();
    return open(in_folder("log"), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void close_log(int fd) {
    close(fd);
    end(1, "log");
}

AG_TEST_RUN(one_append_is_one_write_and_one_sync) {
    int fd = open_log();
    ag_commit c = AG_COMMIT_INIT(fd);
    ag_check_int(ag_commit_append(&c, "one ", 4), 0);
    ag_check_int(ag_commit_append(&c, "two ", 4), 0);
    ag_check_int(ag_commit_append(&c, NULL, 0), 0);
    ag_check_int(ag_commit_syncs(&c), 3);
    check_content(in_folder("log"), "one two ");
    close_log(fd);
}

/* Holds the lead: the bytes of its append go into a pipe that nobody reads yet. */
static void append_much(ag_commit *c, const char *data, size_t n, atomic_int *result) {
    atomic_store(result, ag_commit_append(c, data, n) - 1000);
}

struct stuck {
    int ends[2];
    ag_commit c;
    char *data;
    atomic_int result;
};

enum { MUCH = 1 << 20 };

static void get_stuck(struct stuck *s) {
    ag_check_int(pipe2(s->ends, O_CLOEXEC), 0);
    s->data = calloc(1, MUCH);
    ag_commit_init(&s->c, s->ends[1]);
    ag_go(append_much, &s->c, s->data, MUCH, &s->result);
    ag_check_int(ag_fd_wait(s->ends[0], AG_READABLE, 0), AG_READABLE); /* it has begun */
}

static void let_go(struct stuck *s) {
    ag_fd_close(s->ends[0]); /* its write ends */
    eventually(atomic_load(&s->result) != 0);
    ag_fd_close(s->ends[1]);
    free(s->data);
}

AG_TEST_RUN(an_error_goes_to_all_in_the_line_and_to_all_that_come) {
    static struct stuck s;
    atomic_int results[10];
    get_stuck(&s);
    for (size_t i = 0; i < COUNT(results); i++) {
        atomic_store(&results[i], 0);
        until_waits_for(ag_go(append_much, &s.c, "x", (size_t)1, &results[i]), "group commit");
    }
    let_go(&s);
    ag_check_int(atomic_load(&s.result), -EPIPE - 1000);
    for (size_t i = 0; i < COUNT(results); i++) {
        eventually(atomic_load(&results[i]) != 0);
        ag_check_int(atomic_load(&results[i]), -EPIPE - 1000);
    }
    ag_check_int(ag_commit_append(&s.c, "x", 1), -EPIPE);
    ag_check_int(ag_commit_syncs(&s.c), 0);
}

static void append_within(ag_commit *c, ag_time ns, atomic_int *result) {
    ag_within(ns);
    append_much(c, "x", 1, result);
}

AG_TEST_RUN(a_context_ends_the_wait_in_the_line) {
    static struct stuck s;
    atomic_int late = 0, cancelled = 0, stays = 0, after = 0;
    get_stuck(&s);
    until_waits_for(ag_go(append_much, &s.c, "x", (size_t)1, &stays), "group commit");
    ag_go(append_within, &s.c, AG_MS, &late);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    {
        ag_ctx_enter(ctx);
        until_waits_for(ag_go(append_much, &s.c, "x", (size_t)1, &cancelled), "group commit");
        ag_ctx_cancel(ctx);
        ag_check_int(ag_commit_append(&s.c, "x", 1), -ECANCELED);
    }
    eventually(atomic_load(&late) != 0 && atomic_load(&cancelled) != 0);
    ag_check_int(atomic_load(&late), -ETIMEDOUT - 1000);
    ag_check_int(atomic_load(&cancelled), -ECANCELED - 1000);
    ag_check_int(atomic_load(&stays), 0);
    until_waits_for(ag_go(append_much, &s.c, "x", (size_t)1, &after), "group commit");
    let_go(&s);
    eventually(atomic_load(&stays) != 0 && atomic_load(&after) != 0);
    ag_check_int(atomic_load(&stays), -EPIPE - 1000);
    ag_check_int(atomic_load(&after), -EPIPE - 1000);
    ag_unref(ctx);
}

static void append_number(ag_commit *c, int i) {
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", i);
    ag_check_int(ag_commit_append(c, text, (size_t)n), 0);
}

static struct stuck left_behind;
static int leaves(void *arg) {
    static atomic_int result;
    (void)arg;
    get_stuck(&left_behind);
    until_waits_for(ag_go(append_much, &left_behind.c, "x", (size_t)1, &result), "group commit");
    return 7;
}
static int appends(void *fd) {
    ag_commit c = AG_COMMIT_INIT(*(int *)fd);
    return ag_commit_append(&c, "text", 4);
}
AG_TEST(who_is_left_in_the_line_does_not_hold_up_the_end) {
    AG_TEST_LEAKY_FDS(); /* the leader is in a write of that pipe still */
    int fd = open_log();
    ag_check_int(ag_run(leaves, NULL), 7);
    ag_check_int(ag_run(appends, &fd), 0);
    check_content(in_folder("log"), "text");
    close_log(fd);
}

AG_TEST_RUN(many_at_once_share_syncs) {
    enum { MANY = 500 };
    static bool seen[MANY];
    char buf[256], *line;
    int fd = open_log();
    ag_commit c;
    ag_wg wg = AG_WG_INIT;
    ag_commit_init(&c, fd);
    for (int i = 0; i < MANY; i++)
        ag_wg_go(&wg, append_number, &c, i);
    ag_wg_wait(&wg);
    ag_check(ag_commit_syncs(&c) < MANY / 4);
    ag_reader in;
    ag_check_int(lseek(fd, 0, SEEK_SET), 0);
    ag_reader_init_fd(&in, fd, buf, sizeof buf);
    int lines = 0;
    for (; ag_reader_line(&in, &line, NULL) > 0; lines++)
        seen[atoi(line)] = true;
    ag_check_int(lines, MANY);
    for (int i = 0; i < MANY; i++)
        ag_check(seen[i]);
    close_log(fd);
}

static void *append_as_thread(void *c) {
    for (int i = 0; i < 20; i++)
        append_number(c, i);
    return NULL;
}

AG_TEST_RUN(threads_that_are_no_goroutines_take_part) {
    pthread_t t[3];
    int fd = open_log();
    ag_commit c = AG_COMMIT_INIT(fd);
    for (size_t i = 0; i < COUNT(t); i++)
        ag_check_int(pthread_create(&t[i], NULL, append_as_thread, &c), 0);
    append_as_thread(&c);
    for (size_t i = 0; i < COUNT(t); i++)
        ag_blocking(pthread_join, t[i], (void **)NULL);
    ag_check_int(lseek(fd, 0, SEEK_END), 4 * (10 * 2 + 10 * 3));
    close_log(fd);
}

/* ---- Pipes ---------------------------------------------------------------------------------- */

AG_TEST_RUN(a_pipe_parks_and_is_not_inherited) {
    int ends[2];
    char got[8];
    ag_check_int(ag_pipe(ends), 0);
    for (int i = 0; i < 2; i++) {
        ag_check(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
        ag_check_int(fcntl(ends[i], F_GETFD), FD_CLOEXEC);
    }
    ag_check_int(ag_fd_write(ends[1], "hello", 5), 5);
    ag_check_int(ag_fd_read(ends[0], got, sizeof got), 5);
    ag_fd_close(ends[1]);
    ag_check_int(ag_fd_read(ends[0], got, sizeof got), 0);
    ag_fd_close(ends[0]);
}

/* ---- Copies --------------------------------------------------------------------------------- */

enum { SIZE = 700000 };

static unsigned char byte_at(size_t i) {
    return (unsigned char)(i * 7 + i / 256);
}

/* A file of SIZE bytes, at its beginning. */
static int source(void) {
    FILE *f = tmpfile();
    for (size_t i = 0; i < SIZE; i++)
        putc(byte_at(i), f);
    fflush(f);
    int fd = dup(fileno(f));
    fclose(f);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int empty_file(void) {
    FILE *f = tmpfile();
    int fd = dup(fileno(f));
    fclose(f);
    return fd;
}

static void check_bytes(const unsigned char *data, size_t n, size_t from) {
    for (size_t i = 0; i < n; i++)
        if (data[i] != byte_at(from + i))
            ag_fail("byte %zu is %d", from + i, data[i]);
}

static void check_file(int fd, size_t from, size_t n) {
    static unsigned char data[SIZE + 1];
    lseek(fd, 0, SEEK_SET);
    size_t at = 0;
    for (ssize_t got; (got = read(fd, data + at, sizeof data - at)) > 0;)
        at += (size_t)got;
    ag_check_int(at, n);
    check_bytes(data, n, from);
}

AG_TEST_RUN(a_copy_of_a_file_begins_where_it_stands) {
    int from = source(), to = empty_file();
    int64_t n = -1;
    ag_check_int(ag_copy(to, from, 1000, &n), 0);
    ag_check_int(n, 1000);
    check_file(to, 0, 1000);
    ag_check_int(ag_copy(to, from, -1, &n), 0);
    ag_check_int(n, SIZE - 1000);
    check_file(to, 0, SIZE);
    ag_check_int(ag_copy(to, from, -1, &n), 0); /* at the end */
    ag_check_int(n, 0);
    ag_check_int(ag_copy(to, from, 0, NULL), 0);
    close(from);
    close(to);
}

AG_TEST_RUN(what_the_kernel_does_not_copy_is_read_and_written) {
    char path[] = "/tmp/aglet-file-XXXXXX";
    int from = source(), proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    int to = mkstemp(path);
    int64_t n;
    ag_check_int(ag_copy(to, proc, -1, &n), 0); /* a file that says it is empty */
    ag_check(n > 100);
    ag_check_int(lseek(to, 0, SEEK_END), n);
    ag_check_int(ftruncate(to, 0), 0);
    int append = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    ag_check_int(ag_copy(append, from, -1, &n), 0); /* not copied in the kernel either */
    ag_check_int(n, SIZE);
    check_file(to, 0, SIZE);
    close(append);
    close(from);
    close(proc);
    close(to);
    unlink(path);
}

static void copy_from_file(int to, atomic_int *ok) {
    int from = source();
    int64_t n;
    atomic_store(ok, ag_copy(to, from, -1, &n) == 0 && n == SIZE ? 1 : -1);
    close(from);
    ag_fd_close(to);
}

AG_TEST_RUN(a_copy_through_a_pipe_parks_at_both_ends) {
    int ends[2], to = empty_file();
    atomic_int ok = 0;
    int64_t n;
    ag_check_int(ag_pipe(ends), 0);
    ag_go(copy_from_file, ends[1], &ok);
    ag_check_int(ag_copy(to, ends[0], -1, &n), 0);
    ag_check_int(n, SIZE);
    check_file(to, 0, SIZE);
    eventually(atomic_load(&ok) == 1);
    ag_fd_close(ends[0]);
    close(to);
}

static void copy_between(int to, int from, atomic_int *done) {
    int64_t n;
    ag_check_int(ag_copy(to, from, -1, &n), 0);
    ag_check_int(n, SIZE);
    ag_fd_close(to);
    ag_fd_close(from);
    atomic_fetch_add(done, 1);
}

/* file -> pipe -> socket = socket -> socket = socket -> pipe -> file */
AG_TEST_RUN(a_chain_of_copies_of_all_kinds_keeps_every_byte) {
    int first[2], last[2], a[2], b[2], to = empty_file();
    atomic_int ok = 0, done = 0;
    int64_t n;
    ag_check_int(ag_pipe(first), 0);
    ag_check_int(ag_pipe(last), 0);
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, a), 0);
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, b), 0);
    ag_go(copy_from_file, first[1], &ok);
    ag_go(copy_between, a[0], first[0], &done);
    ag_go(copy_between, b[0], a[1], &done);
    ag_go(copy_between, last[1], b[1], &done);
    ag_check_int(ag_copy(to, last[0], -1, &n), 0);
    ag_check_int(n, SIZE);
    check_file(to, 0, SIZE);
    eventually(atomic_load(&ok) == 1 && atomic_load(&done) == 3);
    ag_fd_close(last[0]);
    close(to);
}

AG_TEST_RUN(a_copy_says_what_failed) {
    int from = source(), ends[2];
    int64_t n = -1;
    ag_check_int(ag_copy(-1, from, -1, &n), -EBADF);
    ag_check_int(n, 0);
    ag_check_int(ag_copy(from, -1, -1, &n), -EBADF);
    ag_check_int(ag_pipe(ends), 0);
    ag_fd_close(ends[0]);
    ag_check_int(ag_copy(ends[1], from, -1, &n), -EPIPE);
    ag_check_int(n, 0);
    ag_fd_close(ends[1]);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full >= 0) {
        ag_check_int(ag_copy(full, from, -1, &n), -ENOSPC);
        close(full);
    }
    close(from);
}

AG_TEST_RUN(a_copy_ends_with_its_context) {
    int ends[2], to = empty_file();
    int64_t n = -1;
    ag_check_int(ag_pipe(ends), 0);
    ag_check_int(ag_fd_write(ends[1], "some", 4), 4);
    {
        ag_within(5 * AG_MS);
        ag_check_int(ag_copy(to, ends[0], -1, &n), -ETIMEDOUT);
    }
    ag_check_int(n, 4);
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
    close(to);
}

/* ---- Copies and connections ----------------------------------------------------------------- */

static void send_file(ag_conn *c, atomic_int *ok) {
    int from = source();
    int64_t n;
    ag_check_int(ag_copy_to_conn(c, from, -1, &n), 0);
    ag_check_int(n, SIZE);
    ag_check_int(ag_conn_sent(c), SIZE);
    close(from);
    ag_conn_close(c);
    atomic_store(ok, 1);
}

static void pair(ag_conn *c[2]) {
    int both[2];
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both), 0);
    ag_check_int(ag_conn_from_fd(both[0], &c[0]), 0);
    ag_check_int(ag_conn_from_fd(both[1], &c[1]), 0);
}

AG_TEST_RUN(a_file_goes_through_a_connection_into_a_file) {
    ag_conn *c[2];
    int to = empty_file();
    atomic_int ok = 0;
    int64_t n;
    pair(c);
    ag_go(send_file, c[0], &ok);
    ag_check_int(ag_copy_from_conn(to, c[1], -1, &n), 0);
    ag_check_int(n, SIZE);
    check_file(to, 0, SIZE);
    eventually(atomic_load(&ok) == 1);
    ag_unref(c[0]);
    ag_unref(c[1]);
    close(to);
}

AG_TEST_RUN(a_pipe_goes_into_a_connection) {
    ag_conn *c[2];
    int ends[2];
    char got[16];
    int64_t n;
    pair(c);
    ag_check_int(ag_pipe(ends), 0);
    ag_check_int(ag_fd_write(ends[1], "0123456789", 10), 10);
    ag_check_int(ag_copy_to_conn(c[0], ends[0], 4, &n), 0);
    ag_check_int(n, 4);
    ag_check_int(ag_read(c[1], got, sizeof got), 4);
    ag_check_mem(got, "0123", 4);
    ag_check_int(ag_fd_read(ends[0], got, sizeof got), 6); /* no byte too many was taken */
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
    ag_unref(c[0]);
    ag_unref(c[1]);
}

AG_TEST_RUN(a_copy_to_who_does_not_read_ends_at_the_deadline_and_at_the_close) {
    ag_conn *c[2];
    int from = source();
    int64_t n = -1;
    pair(c);
    ag_set_write_deadline(c[0], ag_now() + 10 * AG_MS);
    ag_check_int(ag_copy_to_conn(c[0], from, -1, &n), -ETIMEDOUT);
    ag_check(n > 0 && n < SIZE);
    ag_check_int(ag_conn_sent(c[0]), n);
    ag_check_int(lseek(from, 0, SEEK_CUR), n);
    ag_conn_close(c[0]);
    ag_check_int(ag_copy_to_conn(c[0], from, -1, &n), -ECANCELED);
    ag_check_int(n, 0);
    ag_unref(c[0]);
    ag_unref(c[1]);
    close(from);
}

AG_TEST_RUN(a_copy_from_who_says_nothing_ends_at_the_deadline) {
    ag_conn *c[2];
    int to = empty_file();
    int64_t n = -1;
    pair(c);
    ag_check_int(ag_write(c[0], "some", 4), 4);
    ag_set_read_deadline(c[1], ag_now() + 10 * AG_MS);
    ag_check_int(ag_copy_from_conn(to, c[1], -1, &n), -ETIMEDOUT);
    ag_check_int(n, 4);
    ag_unref(c[0]);
    ag_unref(c[1]);
    close(to);
}

AG_TEST_RUN(a_copy_to_who_is_gone_is_an_error_and_no_signal) {
    ag_conn *c[2];
    int from = source();
    int64_t n = -1;
    pair(c);
    ag_conn_close(c[1]);
    ag_check_int(ag_copy_to_conn(c[0], from, -1, &n), -EPIPE);
    ag_check_int(n, 0);
    ag_unref(c[0]);
    ag_unref(c[1]);
    close(from);
}
