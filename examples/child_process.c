/* SPDX-License-Identifier: MIT */
/* Child processes: one whose output is collected, one that is talked to by pipes, one that can't be
 * started, and one that ends with the context of who started it. */
#include <aglet.h>
#include <string.h>

static void count_words(void) {
    const char *argv[] = {"sh", "-c", "echo one two three | wc -w | tr -d ' '", NULL};
    ag_process_output got = {.out = NULL};
    ag_process_run(&(ag_process_opts){.argv = argv}, 4096, &got);
    printf("words: %s", got.out ? got.out : "?\n");
    ag_process_output_free(&got);
}

static void sort(const char *lines) {
    const char *argv[] = {"sort", NULL};
    ag_process_opts opts = {.argv = argv, .in = AG_PROCESS_PIPE, .out = AG_PROCESS_PIPE};
    ag_process *p;
    char buf[256];
    ssize_t n;
    if (ag_process_start(&opts, &p) != 0)
        return;
    ag_defer(ag_unref, p);
    ag_fd_write(ag_process_in(p), lines, strlen(lines));
    ag_process_close_in(p); /* sort waits for the end */
    while ((n = ag_fd_read(ag_process_out(p), buf, sizeof buf)) > 0)
        printf("sorted: %.*s", (int)n, buf);
    ag_process_wait(p, NULL);
}

static void run_for_a_while(const char *program) {
    const char *argv[] = {program, "1000", NULL};
    ag_process_opts opts = {.argv = argv, .ends_with_context = true};
    ag_process_output got;
    ag_within(50 * AG_MS);
    int r = ag_process_run(&opts, 4096, &got); /* parks this goroutine, not its thread */
    printf("%s: %s\n", program, strerror(-r));
}

static int app(void *arg) {
    (void)arg;
    count_words();
    sort("b\na\n");
    run_for_a_while("/no/such/program");
    run_for_a_while("sleep");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * words: 3
 * sorted: a
 * b
 * /no/such/program: No such file or directory
 * sleep: Connection timed out
 */
