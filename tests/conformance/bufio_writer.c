/* SPDX-License-Identifier: MIT */
/*
 * The buffered writer: Go's bufio.Writer, with a close that tells the first error of write, sync
 * and close, and deferred closes that lose none.
 */
#include "common.h"

#include <sys/socket.h>

/* A sink that notes what is done to it, and fails to order. */
struct notes {
    char text[4096];
    size_t n;
    int writes, syncs, closes;
    int write_error, sync_error, close_error; /* of the next ones */
    bool is_short;
};

static ssize_t note_write(void *arg, const void *buf, size_t n) {
    struct notes *t = arg;
    t->writes++;
    if (t->write_error)
        return t->write_error;
    if (t->is_short)
        n--;
    memcpy(t->text + t->n, buf, n);
    t->n += n;
    return (ssize_t)n;
}
static int note_sync(void *arg) {
    struct notes *t = arg;
    t->syncs++;
    return t->sync_error;
}
static int note_close(void *arg) {
    struct notes *t = arg;
    t->closes++;
    return t->close_error;
}
static const ag_sink sink = {note_write, note_sync, note_close};

static char buffer[16];

static void open_over(ag_writer *w, struct notes *t, int flags) {
    ag_writer_init(w, &sink, t, buffer, sizeof buffer, flags);
}

AG_TEST(bytes_stay_in_the_buffer_until_it_is_full) {
    struct notes t = {.n = 0};
    ag_writer w;
    open_over(&w, &t, 0);
    ag_check_int(ag_writer_write(&w, "0123456789", 10), 10);
    ag_check_int(ag_writer_text(&w, "abcdef"), 6);
    ag_check_int(t.writes, 0);
    ag_check_int(ag_writer_buffered(&w), 16);
    ag_check_int(ag_writer_byte(&w, 'g'), 1);
    ag_check_int(t.n, 16);
    ag_check_int(ag_writer_buffered(&w), 1);
    ag_check_int(ag_writer_flush(&w), 0);
    ag_check_int(ag_writer_flush(&w), 0);
    ag_check_int(t.writes, 2);
    ag_check_mem(t.text, "0123456789abcdefg", 17);
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(t.closes, 1);
    ag_check_int(t.syncs, 0);
}

AG_TEST(what_is_larger_than_the_empty_buffer_goes_past_it) {
    struct notes t = {.n = 0};
    ag_writer w;
    char much[100];
    memset(much, 'm', sizeof much);
    open_over(&w, &t, 0);
    ag_check_int(ag_writer_write(&w, much, 100), 100);
    ag_check_int(t.writes, 1);
    ag_check_int(ag_writer_write(&w, "x", 1), 1);
    ag_check_int(ag_writer_write(&w, much, 100), 100); /* fills it first, as in Go */
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(t.writes, 3);
    ag_check_int(t.n, 201);
    ag_check_int(t.text[100], 'x');
}

AG_TEST(without_a_buffer_each_write_goes_out) {
    struct notes t = {.n = 0};
    ag_writer w;
    ag_writer_init(&w, &sink, &t, NULL, 0, 0);
    ag_check_int(ag_writer_write(&w, "ab", 2), 2);
    ag_check_int(ag_writer_write(&w, "", 0), 0);
    ag_check_int(ag_writer_printf(&w, "%d", 12345), 5);
    ag_check_int(t.writes, 2);
    ag_check_mem(t.text, "ab12345", 7);
    ag_check_int(ag_writer_close(&w), 0);
}

AG_TEST(printf_writes_texts_of_any_length) {
    struct notes t = {.n = 0};
    ag_writer w;
    char expected[2000];
    size_t n = 0;
    open_over(&w, &t, 0);
    for (int i = 0; i < 40; i++) {
        ag_check_int(ag_writer_printf(&w, "%*d.", i, i), i < 2 ? 2 : i + 1);
        n += (size_t)snprintf(expected + n, sizeof expected - n, "%*d.", i, i);
    }
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(t.n, n);
    ag_check_mem(t.text, expected, n);
}

AG_TEST(the_first_error_stays) {
    struct notes t = {.write_error = -ENOSPC};
    ag_writer w;
    open_over(&w, &t, AG_WRITER_SYNC);
    ag_check_int(ag_writer_text(&w, "lost"), 4);
    ag_check_int(ag_writer_flush(&w), -ENOSPC);
    t.write_error = 0;
    t.close_error = -EIO;
    ag_check_int(ag_writer_text(&w, "more"), -ENOSPC);
    ag_check_int(ag_writer_printf(&w, "more"), -ENOSPC);
    ag_check_int(ag_writer_byte(&w, 'm'), -ENOSPC);
    ag_check_int(ag_writer_flush(&w), -ENOSPC);
    ag_check_int(ag_writer_sync(&w), -ENOSPC);
    ag_check_int(ag_writer_error(&w), -ENOSPC);
    ag_check_int(t.writes, 1);
    ag_check_int(ag_writer_close(&w), -ENOSPC);
    ag_check_int(t.closes, 1); /* it is closed all the same */
    ag_check_int(t.syncs, 0);
}

AG_TEST(close_checks_flush_sync_and_close) {
    struct notes at_flush = {.write_error = -EDQUOT, .sync_error = -EIO, .close_error = -EINTR};
    struct notes at_sync = {.sync_error = -EIO, .close_error = -ENOSPC};
    struct notes at_close = {.close_error = -ENOSPC};
    struct notes *all[] = {&at_flush, &at_sync, &at_close};
    const int expected[] = {-EDQUOT, -EIO, -ENOSPC};
    for (int i = 0; i < 3; i++) {
        ag_writer w;
        open_over(&w, all[i], AG_WRITER_SYNC);
        ag_writer_text(&w, "text");
        ag_check_int(ag_writer_close(&w), expected[i]);
        ag_check_int(all[i]->closes, 1);
        ag_check_int(ag_writer_close(&w), expected[i]); /* again: the same, nothing is done */
        ag_check_int(all[i]->closes, 1);
        ag_check_int(ag_writer_text(&w, "text"), expected[i]);
    }
    ag_check_int(at_close.syncs, 1);
}

AG_TEST(after_the_close_nothing_is_written) {
    struct notes t = {.n = 0};
    ag_writer w, never = {.ag__buf = NULL};
    open_over(&w, &t, 0);
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(ag_writer_text(&w, "text"), -ECANCELED);
    ag_check_int(ag_writer_flush(&w), -ECANCELED);
    ag_check_int(ag_writer_sync(&w), -ECANCELED);
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(ag_writer_text(&never, "text"), -EBADF);
    ag_check_int(ag_writer_flush(&never), -EBADF);
    ag_check_int(ag_writer_close(&never), 0);
    ag_writer_done(&never);
}

AG_TEST(a_short_write_of_a_sink_is_an_error) {
    struct notes t = {.is_short = true};
    ag_writer w;
    open_over(&w, &t, 0);
    ag_writer_text(&w, "text");
    ag_check_int(ag_writer_close(&w), -EIO);
}

AG_TEST(keep_leaves_it_open_and_sync_syncs) {
    struct notes t = {.n = 0};
    ag_writer w;
    open_over(&w, &t, AG_WRITER_KEEP);
    ag_writer_text(&w, "text");
    ag_check_int(ag_writer_sync(&w), 0);
    ag_check_int(t.n, 4);
    ag_check_int(t.syncs, 1);
    ag_writer_text(&w, "more");
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(t.n, 8);
    ag_check_int(t.closes, 0);
}

/* ---- Deferred closes ------------------------------------------------------------------------ */

static int reports;
static char report_kind[32], report_text[200];
static int report_count;

static void on_report(const ag_report *r) {
    reports++;
    report_count = r->count;
    snprintf(report_kind, sizeof report_kind, "%s", r->kind);
    snprintf(report_text, sizeof report_text, "%s", r->text);
}

AG_TEST_RUN(close_into_gives_the_error_to_who_waits_for_it) {
    struct notes full = {.write_error = -ENOSPC}, fine = {.n = 0};
    int err = 0, earlier = -EINVAL;
    ag_writer w;
    ag_on_report(on_report);
    {
        open_over(&w, &full, 0);
        ag_defer(ag_writer_close_into, &w, &err);
        ag_writer_text(&w, "text");
    }
    ag_check_int(err, -ENOSPC);
    {
        open_over(&w, &full, 0);
        ag_defer(ag_writer_close_into, &w, &earlier);
        ag_writer_text(&w, "text");
    }
    ag_check_int(earlier, -EINVAL); /* the first one stays */
    err = 0;
    {
        open_over(&w, &fine, 0);
        ag_defer(ag_writer_close_into, &w, &err);
        ag_writer_text(&w, "text");
    }
    ag_check_int(err, 0);
    ag_check_int(fine.n, 4);
    ag_check_int(reports, 0);
}

static void write_and_panic(struct notes *t) {
    ag_writer w;
    open_over(&w, t, 0);
    ag_defer(ag_writer_done, &w);
    ag_writer_text(&w, "before");
    ag_panic("oh");
}

AG_TEST_RUN(done_writes_also_when_a_panic_passes) {
    struct notes t = {.n = 0};
    ag_check_int(ag_try(NULL, write_and_panic, &t), AG_PANICKED);
    ag_check_mem(t.text, "before", 6);
    ag_check_int(t.closes, 1);
}

AG_TEST_RUN(an_error_of_a_deferred_close_is_reported) {
    struct notes full = {.write_error = -ENOSPC}, torn = {.sync_error = -EIO},
                 slow = {.close_error = -EIO};
    ag_writer w;
    ag_on_report(on_report);
    {
        open_over(&w, &full, 0);
        ag_defer(ag_writer_done, &w);
        ag_writer_text(&w, "text");
    }
    ag_check_int(reports, 1);
    ag_check_str(report_kind, "lost error");
    ag_check_int(report_count, 1);
    ag_check_contains(report_text, "write of a sink: No space left on device");
    {
        open_over(&w, &torn, AG_WRITER_SYNC);
        ag_defer(ag_writer_done, &w);
    }
    ag_check_contains(report_text, "sync of a sink: ");
    {
        open_over(&w, &slow, 0);
        ag_defer(ag_writer_done, &w);
    }
    ag_check_contains(report_text, "close of a sink: ");
    ag_check_int(reports, 3);
}

static int write_late(struct notes *t) {
    char own[16];
    ag_writer w;
    ag_writer_init(&w, &sink, t, own, sizeof own, 0);
    ag_defer(ag_writer_done, &w);
    ag_writer_text(&w, "text");
    return 0;
}

static int wait_for_the_end(void) {
    return ag_sleep(3600 * AG_SEC);
}

AG_TEST_RUN(in_a_scope_an_error_of_a_deferred_close_is_its_failure) {
    struct notes full = {.write_error = -ENOSPC}, fine = {.n = 0};
    ag_scope s;
    ag_on_report(on_report);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, wait_for_the_end); /* which it cancels, as any failure */
    ag_scope_go(&s, write_late, &fine);
    ag_scope_go(&s, write_late, &full);
    ag_check_int(ag_scope_end(&s), -ENOSPC);
    ag_check_int(fine.n, 4);
    ag_check_int(reports, 0);
}

static void *write_late_in_a_job(struct notes *t) {
    write_late(t);
    return t;
}

AG_TEST_RUN(in_a_job_an_error_of_a_deferred_close_is_reported) {
    struct notes full = {.write_error = -ENOSPC};
    void *result = NULL;
    ag_on_report(on_report);
    ag_job *j = ag_async(write_late_in_a_job, &full);
    ag_check_int(ag_job_await(j, &result), 0);
    ag_check(result == &full);
    ag_check_int(reports, 1);
    ag_check_contains(report_text, "write of a sink: No space left on device");
    ag_unref(j);
}

/* The opposite: whoever saw it hears nothing more. */
AG_TEST_RUN(an_error_that_was_told_is_not_reported) {
    struct notes t = {.write_error = -ENOSPC};
    ag_writer w;
    ag_on_report(on_report);
    {
        open_over(&w, &t, 0);
        ag_defer(ag_writer_done, &w);
        ag_writer_text(&w, "text");
        ag_check_int(ag_writer_close(&w), -ENOSPC);
    }
    {
        open_over(&w, &t, 0);
        ag_defer(ag_writer_done, &w);
        ag_writer_text(&w, "text");
        ag_check_int(ag_writer_flush(&w), -ENOSPC);
    }
    {
        open_over(&w, &t, 0);
        ag_defer(ag_writer_done, &w);
        ag_check_int(ag_writer_write(&w, "more than fits into it", 22), -ENOSPC);
    }
    ag_check_int(reports, 0);
}

AG_TEST_RUN(who_writes_on_after_an_error_has_not_seen_it) {
    struct notes t = {.write_error = -ENOSPC};
    ag_writer w;
    ag_on_report(on_report);
    {
        open_over(&w, &t, 0);
        ag_defer(ag_writer_done, &w);
        ag_writer_write(&w, "more than fits into it", 22);
        ag_writer_text(&w, "and more");
    }
    ag_check_int(reports, 1);
    {
        open_over(&w, &t, 0);
        ag_defer(ag_writer_done, &w);
        ag_writer_write(&w, "more than fits into it", 22);
        ag_writer_text(&w, "and more");
        ag_check_int(ag_writer_error(&w), -ENOSPC); /* now it has */
    }
    ag_check_int(reports, 1);
}

static int loses(void *arg) {
    (void)arg;
    ag_writer w;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ag_writer_init_fd(&w, fd, buffer, sizeof buffer, 0);
    ag_defer(ag_writer_done, &w);
    ag_writer_text(&w, "text");
    return 0;
}
AG_TEST_DEATH(a_lost_error_is_told_on_stderr, 7,
              "aglet: lost error: ag_writer_done: write of descr") {
    ag_run(loses, NULL);
    exit(7);
}

/* ---- Descriptors and connections ------------------------------------------------------------ */

AG_TEST_RUN(a_file_is_written_synced_and_closed) {
    char path[] = "/tmp/aglet-bufio-XXXXXX", read_back[64] = "";
    int fd = mkstemp(path);
    ag_writer w;
    ag_writer_init_fd(&w, fd, buffer, sizeof buffer, AG_WRITER_SYNC);
    ag_writer_printf(&w, "%s, %s\n", "a text longer than the buffer", "in two pieces");
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(fcntl(fd, F_GETFD), -1);
    fd = open(path, O_RDONLY);
    ag_check_int(read(fd, read_back, sizeof read_back - 1), 45);
    ag_check_str(read_back, "a text longer than the buffer, in two pieces\n");
    close(fd);
    unlink(path);
}

AG_TEST_RUN(a_pipe_without_a_reader_is_an_error_and_no_signal) {
    int ends[2];
    ag_writer w;
    ag_check_int(ag_pipe(ends), 0);
    ag_fd_close(ends[0]);
    ag_writer_init_fd(&w, ends[1], buffer, sizeof buffer, AG_WRITER_SYNC);
    ag_writer_text(&w, "text");
    ag_check_int(ag_writer_close(&w), -EPIPE);
    ag_check_int(fcntl(ends[1], F_GETFD), -1);
}

AG_TEST_RUN(what_is_no_file_is_flushed_by_a_sync) {
    int ends[2];
    char got[8];
    ag_writer w;
    ag_check_int(ag_pipe(ends), 0);
    ag_writer_init_fd(&w, ends[1], buffer, sizeof buffer, 0);
    ag_writer_text(&w, "text");
    ag_check_int(ag_writer_sync(&w), 0);
    ag_check_int(ag_fd_read(ends[0], got, 8), 4);
    ag_check_int(ag_writer_close(&w), 0);
    ag_fd_close(ends[0]);
}

AG_TEST_RUN(a_full_disk_is_told_by_the_close) {
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        ag_skip("/dev/full");
    ag_writer w;
    ag_writer_init_fd(&w, fd, buffer, sizeof buffer, 0);
    ag_check_int(ag_writer_text(&w, "text"), 4);
    ag_check_int(ag_writer_close(&w), -ENOSPC);
}

AG_TEST_RUN(a_connection_gets_what_was_flushed) {
    int both[2];
    ag_conn *a, *b;
    ag_writer w;
    char got[32];
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
    ag_check_int(ag_conn_from_fd(both[0], &a), 0);
    ag_check_int(ag_conn_from_fd(both[1], &b), 0);
    ag_writer_init_conn(&w, a, buffer, sizeof buffer, 0);
    ag_writer_printf(&w, "hello, %s", "you");
    ag_check_int(ag_writer_sync(&w), 0);
    ag_check_int(ag_read(b, got, sizeof got), 10);
    ag_check_int(ag_writer_close(&w), 0);
    ag_check_int(ag_read(b, got, sizeof got), 0);
    ag_check_int(ag_conn_close(a), -ECANCELED); /* the writer has closed it */
    ag_unref(a);
    ag_unref(b);
}

/* In a context that has ended a flush fails, but the close closes; a shield lets it write. */
AG_TEST_RUN(an_ended_context_can_close_and_a_shield_can_flush) {
    char path[] = "/tmp/aglet-bufio-XXXXXX";
    int fd = mkstemp(path), again = dup(fd);
    ag_writer w;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel(c);
    ag_ctx_enter(c);
    ag_writer_init_fd(&w, fd, buffer, sizeof buffer, 0);
    ag_writer_text(&w, "text");
    ag_check_int(ag_writer_close(&w), -ECANCELED);
    ag_check_int(fcntl(fd, F_GETFD), -1);
    ag_writer_init_fd(&w, again, buffer, sizeof buffer, 0);
    ag_writer_text(&w, "text");
    {
        ag_shield(20 * AG_SEC);
        ag_check_int(ag_writer_close(&w), 0);
    }
    fd = open(path, O_RDONLY);
    ag_check_int(lseek(fd, 0, SEEK_END), 4);
    close(fd);
    unlink(path);
    ag_unref(c);
}
