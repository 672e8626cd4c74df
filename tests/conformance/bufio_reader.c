/* SPDX-License-Identifier: MIT */
/*
 * The buffered reader: what Go's bufio.Reader, Scanner and io.ReadFull promise, and where ours
 * differs: lines and peeks are limited by the buffer, errors win over short counts.
 */
#include "common.h"

#include <sys/socket.h>

/* A source that gives its text in pieces of `step` bytes, and `error` once, at `error_at`. */
struct script {
    const char *text;
    size_t n, at, step;
    size_t error_at;
    int error, calls;
    size_t asked; /* by the last call */
};

static ssize_t give(void *arg, void *buf, size_t n) {
    struct script *s = arg;
    size_t left = s->n - s->at;
    s->calls++;
    s->asked = n;
    if (s->error && s->at >= s->error_at) {
        int error = s->error;
        s->error = 0;
        return error;
    }
    if (s->error && left > s->error_at - s->at)
        left = s->error_at - s->at;
    n = n < left ? n : left;
    n = s->step && n > s->step ? s->step : n;
    memcpy(buf, s->text + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static char buffer[4096];

static struct script of(const char *text, size_t step) {
    return (struct script){.text = text, .n = strlen(text), .step = step};
}

static ag_reader over(struct script *s, size_t size) {
    ag_reader r;
    ag_reader_init(&r, give, s, buffer, size);
    return r;
}

AG_TEST(a_read_takes_what_is_there_and_asks_once) {
    struct script s = of("hello, world", 5);
    ag_reader r = over(&s, 64);
    char buf[64];
    ag_check_int(ag_reader_read(&r, buf, 3), 3);
    ag_check_mem(buf, "hel", 3);
    ag_check_int(ag_reader_buffered(&r), 2);
    ag_check_int(ag_reader_read(&r, buf, 60), 2); /* no second read for more */
    ag_check_int(s.calls, 1);
    ag_check_int(ag_reader_read(&r, buf, 60), 5);
    ag_check_mem(buf, ", wor", 5);
    ag_check_int(ag_reader_read(&r, buf, 0), 0);
}

AG_TEST(a_read_larger_than_the_buffer_goes_past_it) {
    char text[300], buf[300];
    memset(text, 'x', sizeof text);
    struct script s = {.text = text, .n = sizeof text};
    ag_reader r = over(&s, 32);
    ag_check_int(ag_reader_read(&r, buf, 200), 200);
    ag_check_int(s.asked, 200);
    ag_check_int(ag_reader_read(&r, buf, 10), 10);
    ag_check_int(s.asked, 31);
}

AG_TEST(at_the_end_a_read_is_0_and_the_next_one_asks_again) {
    struct script s = of("ab", 0);
    ag_reader r = over(&s, 16);
    char buf[4];
    ag_check_int(ag_reader_read(&r, buf, 4), 2);
    ag_check_int(ag_reader_read(&r, buf, 4), 0);
    s.text = "abcd";
    s.n = 4; /* it has grown */
    ag_check_int(ag_reader_read(&r, buf, 4), 2);
    ag_check_mem(buf, "cd", 2);
}

AG_TEST(an_error_comes_behind_the_data_and_once) {
    struct script s = of("abcdef", 0);
    s.error = -EIO;
    s.error_at = 4;
    ag_reader r = over(&s, 16);
    char buf[8];
    ag_check_int(ag_reader_read(&r, buf, 8), 4);
    ag_check_int(ag_reader_read(&r, buf, 8), -EIO);
    ag_check_int(ag_reader_read(&r, buf, 8), 2); /* it goes on where it was */
    ag_check_mem(buf, "ef", 2);
}

AG_TEST(read_full_is_short_at_the_end_only) {
    struct script s = of("0123456789", 3);
    ag_reader r = over(&s, 16);
    char buf[16];
    ag_check_int(ag_reader_read_full(&r, buf, 7), 7);
    ag_check_mem(buf, "0123456", 7);
    ag_check_int(ag_reader_read_full(&r, buf, 7), 3);
    ag_check_int(ag_reader_read_full(&r, buf, 7), 0);
    s = of("0123456789", 3);
    s.error = -ETIMEDOUT;
    s.error_at = 5;
    r = over(&s, 16);
    ag_check_int(ag_reader_read_full(&r, buf, 7), -ETIMEDOUT);
}

AG_TEST(peek_leaves_what_it_shows) {
    struct script s = of("0123456789abcdefghij", 4);
    ag_reader r = over(&s, 16);
    const char *p;
    char buf[16];
    ag_check_int(ag_reader_peek(&r, 6, &p), 6);
    ag_check_mem(p, "012345", 6);
    ag_check_int(ag_reader_buffered(&r), 8);
    ag_check_int(ag_reader_peek(&r, 16, &p), -ENOBUFS);
    ag_check_int(ag_reader_peek(&r, 15, &p), 15);
    ag_check_int(ag_reader_fill(&r), -ENOBUFS);
    ag_check_int(ag_reader_read_full(&r, buf, 12), 12);
    ag_check_int(ag_reader_peek(&r, 10, &p), 8); /* the end */
    ag_check_mem(p, "cdefghij", 8);
    ag_check_int(ag_reader_peek(&r, 0, &p), 0);
    s.error = -EIO;
    s.error_at = 0;
    ag_check_int(ag_reader_peek(&r, 10, &p), -EIO);
    ag_check_int(ag_reader_buffered(&r), 8); /* nothing is lost */
}

AG_TEST(skip_drops_bytes_of_any_number) {
    char text[100];
    for (int i = 0; i < 100; i++)
        text[i] = (char)i;
    struct script s = {.text = text, .n = sizeof text, .step = 7};
    ag_reader r = over(&s, 16);
    ag_check_int(ag_reader_skip(&r, 3), 3);
    ag_check_int(ag_reader_byte(&r), 3);
    ag_check_int(ag_reader_skip(&r, 60), 60);
    ag_check_int(ag_reader_byte(&r), 64);
    ag_check_int(ag_reader_skip(&r, 60), 35);
    ag_check_int(ag_reader_skip(&r, 0), 0);
    ag_check_int(ag_reader_byte(&r), -ENODATA);
}

AG_TEST(a_byte_is_no_negative_number) {
    struct script s = of("\xff\x80", 0);
    ag_reader r = over(&s, 16);
    ag_check_int(ag_reader_byte(&r), 255);
    ag_check_int(ag_reader_byte(&r), 128);
}

/* The lines of `text`, joined by |, whatever the pieces. */
static void check_lines(const char *text, const char *expected) {
    for (size_t step = 1; step < 12; step++) {
        struct script s = of(text, step);
        ag_reader r = over(&s, 16);
        char got[200] = "", *line;
        size_t length, at = 0;
        int status;
        while ((status = ag_reader_line(&r, &line, &length)) > 0) {
            ag_check_int(strlen(line), length);
            at += (size_t)snprintf(got + at, sizeof got - at, "%s|", line);
        }
        ag_check_int(status, 0);
        ag_check_str(got, expected);
    }
}

AG_TEST(lines_come_without_their_ends) {
    check_lines("", "");
    check_lines("\n", "|");
    check_lines("one\ntwo\n", "one|two|");
    check_lines("one\r\n\r\ntwo", "one||two|");
    check_lines("a\n\n\nb", "a|||b|");
    check_lines("fourteen bytes\nand the same .", "fourteen bytes|and the same .|");
    check_lines("x\ry\r\n\r", "x\ry||");
}

AG_TEST(a_line_too_long_for_the_buffer_stays_there) {
    struct script s = of("0123456789abcdefghij\nnext\n", 5);
    ag_reader r = over(&s, 16);
    char *line, buf[16];
    ag_check_int(ag_reader_line(&r, &line, NULL), -EMSGSIZE);
    ag_check_int(ag_reader_line(&r, &line, NULL), -EMSGSIZE);
    ag_check_int(ag_reader_read_until(&r, '\n', buf, 16), -EMSGSIZE);
    ag_check_mem(buf, "0123456789abcdef", 16);
    ag_check_int(ag_reader_read_until(&r, '\n', buf, 16), 5);
    ag_check_mem(buf, "ghij\n", 5);
    ag_check_int(ag_reader_line(&r, &line, NULL), 1);
    ag_check_str(line, "next");
    ag_check_int(ag_reader_line(&r, &line, NULL), 0);
}

AG_TEST(a_line_cut_by_an_error_goes_on_afterwards) {
    struct script s = of("half and half\n", 0);
    s.error = -ETIMEDOUT;
    s.error_at = 6;
    ag_reader r = over(&s, 32);
    char *line;
    size_t length;
    ag_check_int(ag_reader_line(&r, &line, &length), -ETIMEDOUT);
    ag_check_int(ag_reader_line(&r, &line, &length), 1);
    ag_check_str(line, "half and half");
    ag_check_int(length, 13);
}

AG_TEST(a_line_may_hold_a_nul) {
    struct script s = {.text = "a\0b\n", .n = 4};
    ag_reader r = over(&s, 16);
    char *line;
    size_t length;
    ag_check_int(ag_reader_line(&r, &line, &length), 1);
    ag_check_int(length, 3);
    ag_check_mem(line, "a\0b", 4);
}

AG_TEST(read_until_copies_through_the_delimiter) {
    char text[200], buf[200];
    memset(text, 'x', sizeof text);
    text[149] = ';';
    for (size_t step = 1; step < 60; step += 7) {
        struct script s = {.text = text, .n = sizeof text, .step = step};
        ag_reader r = over(&s, 32);
        ag_check_int(ag_reader_read_until(&r, ';', buf, sizeof buf), 150);
        ag_check_int(buf[149], ';');
        ag_check_int(ag_reader_read_until(&r, ';', buf, sizeof buf), 50); /* the end */
        ag_check_int(ag_reader_read_until(&r, ';', buf, sizeof buf), 0);
    }
}

AG_TEST_DEATH(a_buffer_too_small_panics, 2, "bufio: buffer too small") {
    struct script s = of("", 0);
    over(&s, AG_READER_MIN - 1);
}

static ssize_t lie(void *arg, void *buf, size_t n) {
    (void)arg;
    (void)buf;
    return (ssize_t)n + 1;
}
AG_TEST_DEATH(a_source_that_returns_too_much_panics, 2, "returned more than asked") {
    ag_reader r;
    char byte;
    ag_reader_init(&r, lie, NULL, buffer, 64);
    ag_reader_read(&r, &byte, 1);
}

/* ---- Descriptors and connections ------------------------------------------------------------ */

static void say_slowly(int fd, const char *text) {
    for (; *text; text++) {
        ag_yield();
        ag_check_int(ag_fd_write(fd, text, 1), 1);
    }
    ag_fd_close(fd);
}

AG_TEST_RUN(lines_of_a_pipe_park_the_goroutine) {
    int ends[2];
    ag_reader r;
    char *line;
    ag_check_int(ag_pipe(ends), 0);
    ag_reader_init_fd(&r, ends[0], buffer, 64);
    ag_go(say_slowly, ends[1], "first\nsecond");
    ag_check_int(ag_reader_line(&r, &line, NULL), 1);
    ag_check_str(line, "first");
    ag_check_int(ag_reader_line(&r, &line, NULL), 1);
    ag_check_str(line, "second");
    ag_check_int(ag_reader_line(&r, &line, NULL), 0);
    ag_fd_close(ends[0]);
    ag_check_int(ag_reader_line(&r, &line, NULL), -EBADF);
}

AG_TEST_RUN(lines_of_a_file_are_read_to_its_end) {
    FILE *out = tmpfile();
    enum { LINES = 5000 };
    for (int i = 0; i < LINES; i++)
        fprintf(out, "line %d\n", i);
    fflush(out);
    rewind(out);
    ag_reader r;
    char *line, expected[32];
    ag_reader_init_fd(&r, fileno(out), buffer, 512);
    int lines = 0;
    for (; ag_reader_line(&r, &line, NULL) > 0; lines++) {
        snprintf(expected, sizeof expected, "line %d", lines);
        ag_check_str(line, expected);
    }
    ag_check_int(lines, LINES);
    fclose(out);
}

AG_TEST_RUN(a_deadline_interrupts_and_does_not_lose) {
    int both[2];
    ag_conn *a, *b;
    ag_reader r;
    char *line;
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
    ag_check_int(ag_conn_from_fd(both[0], &a), 0);
    ag_check_int(ag_conn_from_fd(both[1], &b), 0);
    ag_reader_init_conn(&r, a, buffer, sizeof buffer);
    ag_check_int(ag_write(b, "half ", 5), 5);
    ag_set_read_deadline(a, ag_now() + 5 * AG_MS);
    ag_check_int(ag_reader_line(&r, &line, NULL), -ETIMEDOUT);
    ag_set_read_deadline(a, 0);
    ag_check_int(ag_write(b, "a line\n", 7), 7);
    ag_check_int(ag_reader_line(&r, &line, NULL), 1);
    ag_check_str(line, "half a line");
    ag_within(5 * AG_MS);
    ag_check_int(ag_reader_line(&r, &line, NULL), -ETIMEDOUT);
    ag_unref(a);
    ag_unref(b);
}
