/* SPDX-License-Identifier: MIT */
/* One goroutine writes into a pipe, another one counts its lines and words as they come. */
#include <aglet.h>
#include <stdbool.h>

static void write_poem(int fd) {
    char buf[256];
    ag_writer out;
    ag_writer_init_fd(&out, fd, buf, sizeof buf, 0);
    ag_defer(ag_writer_done, &out); /* flushes and closes, whatever happens here */
    for (int i = 99; i > 90; i--)
        ag_writer_printf(&out, "%d green bottles hanging on the wall\n", i);
    ag_writer_text(&out, "and a last line without an end");
}

static int app(void *arg) {
    (void)arg;
    int ends[2], lines = 0, words = 0, r;
    char buf[512], *line;
    ag_reader in;
    if (ag_pipe(ends) != 0)
        return 1;
    ag_defer(ag_fd_close, ends[0]);
    ag_go(write_poem, ends[1]);
    ag_reader_init_fd(&in, ends[0], buf, sizeof buf);
    while ((r = ag_reader_line(&in, &line, NULL)) > 0) {
        lines++;
        for (bool inside = false; *line; line++) {
            words += !inside && *line != ' ';
            inside = *line != ' ';
        }
    }
    printf("%d lines, %d words, ended with %d\n", lines, words, r);
    return r;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 10 lines, 70 words, ended with 0
 */
