/* SPDX-License-Identifier: MIT */
/*
 * Child processes: starting, waiting, signals, pipes, output, and the end with the context.
 */
#include "common.h"

#include <signal.h>
#include <sys/stat.h>

/* Starts `sh -c text` with these options. */
static ag_process *start_with(ag_process_opts opts, const char *text) {
    const char *argv[] = {"sh", "-c", text, NULL};
    ag_process *p = NULL;
    opts.argv = argv;
    ag_check_int(ag_process_start(&opts, &p), 0);
    return p;
}
static ag_process *start(const char *text) {
    return start_with((ag_process_opts){.in = 0}, text);
}

static int code_of(ag_process *p) {
    ag_process_status status;
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check_int(status.pid, ag_process_pid(p));
    return status.exit_code;
}

/* Runs `sh -c text` and compares what it writes. */
static void expect_output(ag_process_opts opts, const char *text, const char *out) {
    const char *argv[] = {"sh", "-c", text, NULL};
    ag_process_output got;
    opts.argv = argv;
    ag_check_int(ag_process_run(&opts, 1 << 16, &got), 0);
    ag_check_str(got.out, out);
    ag_check_int(got.out_size, strlen(out));
    ag_process_output_free(&got);
}

static void check_gone(pid_t pid) {
    ag_check_int(kill(pid, 0), -1);
    ag_check_int(errno, ESRCH);
}

/* ---- Status --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_child_runs_and_its_exit_status_is_told) {
    const int codes[] = {0, 1, 42, 255};
    for (size_t i = 0; i < COUNT(codes); i++) {
        char text[16], words[32];
        snprintf(text, sizeof text, "exit %d", codes[i]);
        ag_process *p = start(text);
        ag_process_status status;
        ag_check(ag_process_pid(p) > 0);
        ag_check_int(ag_process_wait(p, &status), 0);
        ag_check_int(status.exit_code, codes[i]);
        ag_check_int(status.signal, 0);
        ag_check(!status.core_dumped);
        ag_check(status.user >= 0 && status.system >= 0 && status.max_rss > 0);
        snprintf(text, sizeof text, "%d", codes[i]);
        snprintf(words, sizeof words, "exit status %s", text);
        char buf[32];
        ag_process_status_text(&status, buf, sizeof buf);
        ag_check_str(buf, words);
        check_gone(ag_process_pid(p));
        ag_unref(p);
    }
}

AG_TEST_RUN(a_child_that_a_signal_ends_says_which) {
    const struct {
        int sig;
        const char *words;
    } cases[] = {{SIGKILL, "signal: killed"},
                 {SIGTERM, "signal: terminated"},
                 {SIGINT, "signal: interrupt"},
                 {SIGHUP, "signal: hangup"},
                 {SIGUSR1, "signal: user defined signal 1"},
                 {SIGXCPU, "signal: CPU time limit exceeded"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64], buf[64];
        ag_process_status status;
        snprintf(text, sizeof text, "ulimit -c 0; kill -%d $$", cases[i].sig);
        ag_process *p = start(text);
        ag_check_int(ag_process_wait(p, &status), 0);
        ag_check_int(status.exit_code, -1);
        ag_check_int(status.signal, cases[i].sig);
        ag_process_status_text(&status, buf, sizeof buf);
        ag_check_str(buf, cases[i].words);
        ag_unref(p);
    }
}

AG_TEST(a_status_is_told_in_gos_words) {
    char buf[64];
    ag_process_status status = {.exit_code = -1, .signal = SIGABRT, .core_dumped = true};
    ag_process_status_text(&status, buf, sizeof buf);
    ag_check_str(buf, "signal: aborted (core dumped)");
    ag_process_status_text(&status, buf, 9);
    ag_check_str(buf, "signal: ");
    status = (ag_process_status){.exit_code = -1, .signal = SIGRTMIN + 20};
    ag_process_status_text(&status, buf, sizeof buf);
    ag_check_str(buf, "signal: signal 54");
}

AG_TEST_RUN(the_cpu_time_of_the_child_is_told) {
    ag_process *p = start("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    ag_process_status status;
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check(status.user + status.system > 0);
    ag_unref(p);
}

/* ---- What can't be started ------------------------------------------------------------------ */

static int start_fails(ag_process_opts opts, const char *file) {
    const char *argv[] = {file, NULL};
    ag_process *p = NULL;
    opts.argv = argv;
    int r = ag_process_start(&opts, &p);
    ag_check_ptr(p, NULL);
    return r;
}

AG_TEST_RUN(what_cannot_be_run_is_told_by_the_start) {
    if (getenv("AG_TEST_EXEC"))
        ag_skip("errors of exec through an emulator");
    const ag_process_opts none = {.in = 0};
    ag_check_int(start_fails(none, "/no/such/program"), -ENOENT);
    ag_check_int(start_fails(none, "no-such-program-in-the-path"), -ENOENT);
    ag_check_int(start_fails(none, ""), -ENOENT);
    ag_check_int(start_fails(none, "/"), -EACCES);
    ag_check_int(start_fails(none, "/etc/passwd"), -EACCES);
    ag_check_int(start_fails((ag_process_opts){.dir = "/no/such/place"}, "/bin/sh"), -ENOENT);
    int fd = open("not_a_program", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755);
    ag_check_int(write(fd, "\x7f\x01\x02", 3), 3);
    close(fd);
    ag_check_int(start_fails(none, "./not_a_program"), -ENOEXEC);
    unlink("not_a_program");
    ag_check_int(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left behind */
}

AG_TEST_RUN(impossible_options_are_refused) {
    const char *none[] = {NULL};
    ag_process *p = NULL;
    ag_check_int(ag_process_start(NULL, &p), -EINVAL);
    ag_check_int(ag_process_start(&(ag_process_opts){.argv = NULL}, &p), -EINVAL);
    ag_check_int(ag_process_start(&(ag_process_opts){.argv = none}, &p), -EINVAL);
    ag_check_int(start_fails((ag_process_opts){.out = AG_PROCESS_OUT}, "/bin/sh"), -EINVAL);
    ag_check_int(start_fails((ag_process_opts){.in = -9}, "/bin/sh"), -EINVAL);
    if (!getenv("AG_TEST_EXEC")) /* found out between fork and exec, like errors of exec */
        ag_check_int(start_fails((ag_process_opts){.out = 1000}, "/bin/sh"), -EBADF);
    ag_process_output got;
    const char *argv[] = {"sh", NULL};
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv, .in = AG_PROCESS_PIPE}, 10, &got),
                 -EINVAL);
}

/* ---- Words, environment, place -------------------------------------------------------------- */

AG_TEST_RUN(words_and_environment_arrive) {
    const char *argv[] = {"called", "-c", "printf '%s,' \"$0\" \"$@\"; env | grep ^AG_", "a b", "",
                          "'c",     NULL};
    const char *env[] = {"AG_X=1 2", "PATH=/usr/bin:/bin", NULL};
    ag_process_opts opts = {.argv = argv, .path = "/bin/sh", .env = env};
    ag_process_output got;
    ag_check_int(ag_process_run(&opts, 4096, &got), 0);
    ag_check_str(got.out, "a b,,'c,AG_X=1 2\n");
    ag_process_output_free(&got);
    setenv("AG_Y", "inherited", 1);
    expect_output((ag_process_opts){.in = 0}, "echo $AG_Y", "inherited\n");
}

AG_TEST_RUN(a_child_begins_where_it_is_told) {
    expect_output((ag_process_opts){.dir = "/"}, "pwd", "/\n");
    const char *argv[] = {"bin/sh", "-c", "pwd", NULL}; /* counts from there */
    ag_process_output got;
    ag_process_opts opts = {.argv = argv, .dir = "/usr"};
    ag_check_int(ag_process_run(&opts, 4096, &got), 0);
    ag_check_str(got.out, "/usr\n");
    ag_process_output_free(&got);
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

AG_TEST_RUN(a_child_inherits_three_descriptors_and_no_other) {
    int fd = open("/dev/null", O_RDONLY), ends[2]; /* not close-on-exec */
    ag_check_int(pipe(ends), 0);
    ag_chan(int) c = ag_make(int, 1); /* and those of the runtime */
    ag_listener *l;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    expect_output((ag_process_opts){.in = AG_PROCESS_NULL},
                  "for f in /proc/$$/fd/*; do n=${f##*/}; [ -e $f ] && [ $n -lt 10 ] && echo $n; "
                  "done; true",
                  "0\n1\n2\n");
    close(fd);
    close(ends[0]);
    close(ends[1]);
    ag_unref(l);
    ag_unref(c);
}

static void echo_through(ag_process *p, const char *text) {
    char buf[64];
    size_t n = strlen(text), at = 0;
    ag_check_int(ag_fd_write(ag_process_in(p), text, n), n);
    while (at < n) {
        ssize_t got = ag_fd_read(ag_process_out(p), buf + at, n - at);
        ag_check(got > 0);
        at += (size_t)got;
    }
    ag_check_mem(buf, text, n);
}

AG_TEST_RUN(pipes_talk_to_the_child) {
    const char *argv[] = {"cat", NULL};
    ag_process_opts opts = {.argv = argv, .in = AG_PROCESS_PIPE, .out = AG_PROCESS_PIPE};
    ag_process *p;
    char c;
    ag_check_int(ag_process_start(&opts, &p), 0);
    ag_check_int(ag_process_err(p), -EBADF);
    echo_through(p, "hello\n");
    echo_through(p, "again\n");
    ag_check_int(ag_process_close_in(p), 0);
    ag_check_int(ag_process_close_in(p), -EBADF);
    ag_check_int(ag_process_in(p), -EBADF);
    ag_check_int(ag_fd_read(ag_process_out(p), &c, 1), 0);
    ag_check_int(code_of(p), 0);
    ag_check_int(ag_process_close_out(p), 0);
    ag_check_int(ag_process_close_err(p), -EBADF);
    ag_unref(p);
}

AG_TEST_RUN(a_pipe_whose_reader_is_gone_raises_nothing) {
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "exec <&-; exit 0");
    ag_check_int(code_of(p), 0);
    ag_check_int(ag_fd_write(ag_process_in(p), "x", 1), -EPIPE);
    ag_unref(p);
}

static int temporary(void) {
    char name[] = "/tmp/aglet-process-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    ag_check(fd >= 0);
    unlink(name);
    return fd;
}

static const char *text_of(int fd, char buf[256]) {
    ssize_t n = pread(fd, buf, 255, 0);
    ag_check(n >= 0);
    buf[n] = 0;
    return buf;
}

AG_TEST_RUN(given_descriptors_are_the_childs) {
    int in = temporary(), out = temporary();
    char buf[256];
    ag_check_int(pwrite(in, "from a file", 11, 0), 11);
    ag_process *p = start_with((ag_process_opts){.in = in, .out = out, .err = AG_PROCESS_OUT},
                               "cat; echo; echo err >&2");
    ag_check_int(code_of(p), 0);
    ag_unref(p);
    ag_check_str(text_of(out, buf), "from a file\nerr\n");
    ag_check(fcntl(in, F_GETFD) >= 0 && fcntl(out, F_GETFD) >= 0); /* still the caller's */
    close(in);
    close(out);
}

/* Its 3, 4 …, whatever numbers they have here: also those numbers, in another order. */
AG_TEST_RUN(further_descriptors_are_the_childs_3_and_above) {
    int one = temporary(), two = temporary(), out = temporary();
    char buf[256];
    ag_check_int(pwrite(one, "one ", 4, 0), 4);
    ag_check_int(pwrite(two, "two ", 4, 0), 4);
    const int fds[] = {two > one ? two : one, two > one ? one : two, one};
    ag_process *p = start_with((ag_process_opts){.out = out, .fds = fds, .fd_count = 2},
                               "cat <&4 >&1; cat <&3; (true <&5) 2>/dev/null || echo no more");
    ag_check_int(code_of(p), 0);
    ag_unref(p);
    ag_check_str(text_of(out, buf), two > one ? "one two no more\n" : "two one no more\n");
    ag_process_opts opts = {.argv = (const char *[]){"true", NULL}, .fds = fds, .fd_count = -1};
    ag_check_int(ag_process_start(&opts, &p), -EINVAL);
    opts.fd_count = 1001;
    ag_check_int(ag_process_start(&opts, &p), -EINVAL);
    opts.fd_count = 1;
    opts.fds = NULL;
    ag_check_int(ag_process_start(&opts, &p), -EINVAL);
    opts.fds = (int[]){9999};
    ag_check_int(ag_process_start(&opts, &p), -EBADF);
    close(one);
    close(two);
    close(out);
}

AG_TEST_RUN(this_process_has_a_number_too) {
    ag_check_int(ag_process_pid(NULL), getpid());
}

/* This process's own 1 and 2 exchanged for the child, each with the other already replaced. */
AG_TEST_RUN(descriptors_may_be_exchanged) {
    int out = temporary(), err = temporary(), kept[2] = {dup(1), dup(2)};
    char buf[256];
    dup2(out, 1);
    dup2(err, 2);
    ag_process_opts opts = {.in = AG_PROCESS_NULL, .out = 2, .err = 1};
    const char *argv[] = {"sh", "-c", "echo out; echo err >&2", NULL};
    opts.argv = argv;
    ag_process *p;
    int r = ag_process_start(&opts, &p);
    dup2(kept[0], 1);
    dup2(kept[1], 2);
    ag_check_int(r, 0);
    ag_check_int(code_of(p), 0);
    ag_unref(p);
    ag_check_str(text_of(out, buf), "err\n");
    ag_check_str(text_of(err, buf), "out\n");
    close(out);
    close(err);
    close(kept[0]);
    close(kept[1]);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void wait_for(ag_process *p, atomic_int *codes) {
    atomic_fetch_add(codes, code_of(p));
}

AG_TEST_RUN(all_who_wait_are_told_and_so_are_those_who_come_later) {
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "read x; exit 10");
    ag_wg wg = AG_WG_INIT;
    atomic_int codes = 0;
    int64_t id[5];
    for (int i = 0; i < 5; i++)
        id[i] = ag_wg_go(&wg, wait_for, p, &codes);
    for (int i = 0; i < 5; i++)
        until_waits_for(id[i], "IO wait");
    ag_process_close_in(p);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&codes), 50);
    ag_check_int(code_of(p), 10);
    ag_check_int(ag_process_wait(p, NULL), 0);
    ag_unref(p);
}

static void tick(atomic_int *ticks, atomic_int *stop) {
    while (!atomic_load(stop)) {
        atomic_fetch_add(ticks, 1);
        ag_yield();
    }
}

AG_TEST_RUN(who_waits_parks_and_the_others_go_on) {
    atomic_int ticks = 0, stop = 0;
    ag_stats before, after;
    ag_go(tick, &ticks, &stop);
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "read x");
    ag_stats_read(&before);
    int seen = atomic_load(&ticks);
    ag_wg wg = AG_WG_INIT;
    atomic_int codes = 0;
    until_waits_for(ag_wg_go(&wg, wait_for, p, &codes), "IO wait");
    eventually(atomic_load(&ticks) > seen + 100);
    ag_process_close_in(p);
    ag_wg_wait(&wg);
    ag_stats_read(&after);
    atomic_store(&stop, 1);
    ag_unref(p);
    eventually(ag_count() == 1);
}

/* The wait ends with the context; the child goes on and can be waited for again. */
AG_TEST_RUN(the_context_ends_the_wait_and_not_the_child) {
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "read x; exit 3");
    {
        ag_within(10 * AG_MS);
        ag_check_int(ag_process_wait(p, NULL), -ETIMEDOUT);
        ag_check_int(ag_process_wait(p, NULL), -ETIMEDOUT);
    }
    {
        ag_ctx *c = ag_ctx_with_cancel(NULL);
        ag_ctx_enter(c);
        ag_ctx_cancel(c);
        ag_unref(c);
        ag_check_int(ag_process_wait(p, NULL), -ECANCELED);
        const char *argv[] = {"true", NULL};
        ag_process *none = NULL;
        ag_process_output got;
        ag_check_int(ag_process_start(&(ag_process_opts){.argv = argv}, &none), -ECANCELED);
        ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 10, &got), -ECANCELED);
        ag_process_close_in(p);
        while (ag_process_wait(p, NULL) == -ECANCELED) /* what is there at once is told */
            usleep(1000);
    }
    ag_check_int(code_of(p), 3);
    ag_unref(p);
}

/* The program's own wait for any child takes the status of ours. */
AG_TEST_RUN(a_status_that_the_program_took_is_echild) {
    ag_process *p = start("exit 3");
    int status;
    ag_check_int(waitpid(ag_process_pid(p), &status, 0), ag_process_pid(p));
    ag_check_int(ag_process_wait(p, NULL), -ECHILD);
    ag_check_int(ag_process_wait(p, NULL), -ECHILD);
    ag_check_int(ag_process_signal(p, SIGKILL), -ESRCH);
    ag_unref(p);
}

/* ---- Threads that are no goroutines, worlds, kernels without pidfds ------------------------- */

static void *on_a_thread(void *arg) {
    ag_process *p = start("exit 5");
    ag_check_int(code_of(p), 5);
    ag_unref(p);
    return arg;
}

static int start_and_wait(void *arg) {
    on_a_thread(arg);
    pthread_t t;
    ag_check_int(pthread_create(&t, NULL, on_a_thread, NULL), 0);
    ag_blocking(pthread_join, t, NULL);
    return 0;
}

AG_TEST(children_work_without_a_world_and_in_several) {
    on_a_thread(NULL);
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "read x; exit 8");
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_run(start_and_wait, NULL), 0);
    ag_process_close_in(p);
    ag_check_int(code_of(p), 8);
    ag_unref(p);
}

static int main_without_pidfds(void *arg) {
    (void)arg;
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "read x; exit 9");
    {
        ag_within(5 * AG_MS);
        ag_check_int(ag_process_wait(p, NULL), -ETIMEDOUT);
    }
    ag_wg wg = AG_WG_INIT;
    atomic_int codes = 0;
    for (int i = 0; i < 3; i++)
        until_waits_for(ag_wg_go(&wg, wait_for, p, &codes), "IO wait");
    ag_process_close_in(p);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&codes), 27);
    ag_unref(p);
    p = start("sleep 100");
    ag_check_int(ag_process_kill(p), 0);
    ag_check_int(code_of(p), -1);
    ag_check_int(ag_process_kill(p), -ESRCH);
    ag_unref(p);
    return 0;
}
AG_TEST(children_work_where_there_are_no_pidfds) {
    setenv("AGLET_NO_PIDFD", "1", 1);
    ag_check_int(ag_run(main_without_pidfds, NULL), 0);
    on_a_thread(NULL);
}

/* ---- Signals -------------------------------------------------------------------------------- */

AG_TEST_RUN(signals_go_to_the_child) {
    ag_process *p = start_with((ag_process_opts){.out = AG_PROCESS_PIPE},
                               "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.01; "
                               "done");
    char buf[6];
    ag_check_int(ag_fd_read(ag_process_out(p), buf, 6), 6);
    ag_check_int(ag_process_signal(p, 0), 0);
    ag_check_int(ag_process_signal(p, 1000), -EINVAL);
    ag_check_int(ag_process_signal_group(p, SIGTERM), -EINVAL); /* it leads none */
    ag_check_int(ag_process_signal(p, SIGTERM), 0);
    ag_check_int(ag_fd_read(ag_process_out(p), buf, 4), 4);
    ag_check_mem(buf, "got\n", 4);
    ag_check_int(code_of(p), 7);
    ag_check_int(ag_process_signal(p, SIGTERM), -ESRCH);
    ag_check_int(ag_process_kill(p), -ESRCH);
    ag_unref(p);
}

AG_TEST_RUN(one_that_has_ended_unnoticed_takes_signals_and_does_nothing) {
    ag_process *p = start_with((ag_process_opts){.out = AG_PROCESS_PIPE}, "exit 2");
    char c;
    ag_check_int(ag_fd_read(ag_process_out(p), &c, 1), 0);
    ag_check_int(ag_process_kill(p), 0);
    ag_process_status status;
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check(status.exit_code == 2 || status.signal == SIGKILL);
    ag_unref(p);
}

AG_TEST_RUN(a_group_gets_signals_together) {
    ag_process_opts opts = {.out = AG_PROCESS_PIPE, .new_group = true};
    /* Both in the background: dash starts what is in the foreground by vfork(), and who is killed
     * between its vfork() and its exec may leave the program that it started alive. */
    ag_process *p = start_with(opts, "sleep 1000 & sleep 1000 & echo x; wait");
    char c[2];
    ag_check_int(ag_fd_read(ag_process_out(p), c, 2), 2);
    ag_check_int(getpgid(ag_process_pid(p)), ag_process_pid(p));
    ag_check_int(ag_process_signal_group(p, SIGTERM), 0);
    ag_check_int(ag_fd_read(ag_process_out(p), c, 1), 0); /* both ends are closed */
    ag_check_int(code_of(p), -1);
    ag_check_int(ag_process_signal_group(p, SIGTERM), -ESRCH);
    ag_unref(p);
}

/* ---- The end with the context --------------------------------------------------------------- */

static ag_process_status status_of(ag_process *p) {
    ag_process_status status;
    ag_check_int(ag_process_wait(p, &status), 0);
    return status;
}

AG_TEST_RUN(a_child_ends_with_its_context) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_process *p;
    {
        ag_ctx_enter(c);
        p = start_with((ag_process_opts){.ends_with_context = true}, "exec sleep 1000");
    }
    ag_ctx_cancel(c);
    ag_check_int(status_of(p).signal, SIGTERM);
    ag_unref(p);
    ag_unref(c);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(one_that_stays_is_killed_after_the_grace) {
    ag_process *p;
    {
        ag_within(50 * AG_MS);
        p = start_with((ag_process_opts){.ends_with_context = true,
                                         .grace = 20 * AG_MS,
                                         .out = AG_PROCESS_PIPE},
                       "trap '' TERM; echo x; while :; do sleep 0.01; done");
    }
    char c[2];
    ag_fd_read(ag_process_out(p), c, 2);
    int sig = status_of(p).signal;
    ag_check(sig == SIGKILL || sig == SIGTERM); /* SIGTERM: before its trap */
    ag_unref(p);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(one_that_ends_in_its_grace_ends_by_itself) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_process *p;
    char buf[2];
    {
        ag_ctx_enter(c);
        p = start_with((ag_process_opts){.ends_with_context = true, .out = AG_PROCESS_PIPE},
                       "trap 'exit 6' TERM; echo x; while :; do sleep 0.01; done");
    }
    ag_check_int(ag_fd_read(ag_process_out(p), buf, 2), 2);
    ag_ctx_cancel(c);
    ag_check_int(status_of(p).exit_code, 6);
    ag_unref(p);
    ag_unref(c);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(without_a_grace_it_is_killed_at_once_and_its_group_with_it) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_process *p;
    char buf[2];
    {
        ag_ctx_enter(c);
        p = start_with(
            (ag_process_opts){
                .ends_with_context = true, .grace = -1, .new_group = true, .out = AG_PROCESS_PIPE},
            "trap '' TERM; sleep 1000 & echo x; wait");
    }
    ag_check_int(ag_fd_read(ag_process_out(p), buf, 2), 2);
    ag_ctx_cancel(c);
    ag_check_int(status_of(p).signal, SIGKILL);
    ag_check_int(ag_fd_read(ag_process_out(p), buf, 1), 0);
    ag_unref(p);
    ag_unref(c);
    eventually(ag_count() == 1);
}

/* Nobody has a reference: the watching goroutine sees to it, and nothing is left. */
AG_TEST_RUN(a_forgotten_child_ends_with_its_context_too) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    int pid;
    {
        ag_ctx_enter(c);
        ag_process *p = start_with((ag_process_opts){.ends_with_context = true}, "exec sleep 1000");
        pid = ag_process_pid(p);
        ag_unref(p);
    }
    ag_ctx_cancel(c);
    eventually(ag_count() == 1);
    check_gone(pid);
    ag_unref(c);
}

AG_TEST_RUN(a_child_that_ends_first_leaves_nothing_to_the_context) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    {
        ag_ctx_enter(c);
        ag_process *p = start_with((ag_process_opts){.ends_with_context = true}, "exit 1");
        ag_check_int(code_of(p), 1);
        ag_unref(p);
    }
    eventually(ag_count() == 1);
    ag_ctx_cancel(c);
    ag_unref(c);
    const char *argv[] = {"/no/such/program", NULL};
    ag_process *none;
    ag_process_opts opts = {.argv = argv, .ends_with_context = true};
    if (!getenv("AG_TEST_EXEC"))
        ag_check_int(ag_process_start(&opts, &none), -ENOENT);
    eventually(ag_count() == 1);
}

/* ---- References ----------------------------------------------------------------------------- */

AG_TEST_RUN(what_a_forgotten_child_leaves_goes_at_later_starts) {
    ag_process *p = start_with((ag_process_opts){.in = AG_PROCESS_PIPE}, "read x");
    int pid = ag_process_pid(p);
    ag_unref(p); /* which closes its pipe, and so it ends */
    siginfo_t info = {.si_pid = 0};
    eventually(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid);
    for (int i = 0; i < 3; i++) {
        p = start("exit 0");
        ag_check_int(code_of(p), 0);
        ag_unref(p);
    }
    check_gone(pid);
    ag_check_int(waitpid(-1, NULL, WNOHANG), -1);
}

static void read_out(ag_process *p, ssize_t *result, ag_wg *wg) {
    char c;
    *result = ag_fd_read(ag_process_out(p), &c, 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(closing_a_pipe_wakes_who_reads_there) {
    ag_process *p =
        start_with((ag_process_opts){.in = AG_PROCESS_PIPE, .out = AG_PROCESS_PIPE}, "read x");
    ag_wg wg = AG_WG_INIT;
    ssize_t result = 0;
    ag_wg_add(&wg, 1);
    until_waits_for(ag_go(read_out, p, &result, &wg), "IO wait");
    ag_check_int(ag_process_close_out(p), 0);
    ag_wg_wait(&wg);
    ag_check_int(result, -ECANCELED);
    ag_process_close_in(p);
    ag_process_wait(p, NULL);
    ag_unref(p);
}

/* ---- Output --------------------------------------------------------------------------------- */

AG_TEST_RUN(both_streams_are_collected) {
    const char *argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    ag_process_output got;
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 4096, &got), 0);
    ag_check_str(got.out, "out\n");
    ag_check_str(got.err, "err\n");
    ag_check_int(got.out_size, 4);
    ag_check_int(got.err_size, 4);
    ag_check(!got.is_cut);
    ag_check_int(got.status.exit_code, 3);
    ag_process_output_free(&got);
    ag_check_ptr(got.out, NULL);
    ag_process_output_free(&got);
}

AG_TEST_RUN(both_may_come_as_one) {
    expect_output((ag_process_opts){.err = AG_PROCESS_OUT}, "echo a; echo b >&2; echo c",
                  "a\nb\nc\n");
    expect_output((ag_process_opts){.out = AG_PROCESS_NULL}, "echo a", "");
    expect_output((ag_process_opts){.in = AG_PROCESS_NULL}, "cat", "");
}

/* More than a pipe holds on both: neither may be left full while the other is waited for. */
AG_TEST_RUN(much_on_both_is_read_up_to_the_limit) {
    const char *argv[] = {"sh", "-c",
                          "head -c 300000 /dev/zero >&2; head -c 200001 /dev/zero; "
                          "head -c 300000 /dev/zero >&2",
                          NULL};
    ag_process_output got;
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 200000, &got), 0);
    ag_check_int(got.out_size, 200000);
    ag_check_int(got.err_size, 200000);
    ag_check(got.is_cut);
    ag_check_int(got.status.exit_code, 0);
    ag_process_output_free(&got);
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 600000, &got), 0);
    ag_check_int(got.out_size, 200001);
    ag_check_int(got.err_size, 600000);
    ag_check(!got.is_cut);
    ag_check(got.out[200000] == 0 && got.err[600000] == 0);
    ag_process_output_free(&got);
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 0, &got), 0);
    ag_check(got.out_size == 0 && got.is_cut && got.out[0] == 0);
    ag_process_output_free(&got);
}

AG_TEST_RUN(a_run_ends_with_its_context_and_so_does_the_child) {
    const char *argv[] = {"sh", "-c", "exec sleep 1000", NULL};
    ag_process_output got = {.out_size = 77};
    ag_process_opts opts = {.argv = argv, .grace = 100 * AG_MS};
    {
        ag_within(50 * AG_MS);
        ag_check_int(ag_process_run(&opts, 4096, &got), -ETIMEDOUT);
    }
    ag_check_int(got.out_size, 77); /* untouched */
    eventually(ag_count() == 1);
    ag_check_int(waitpid(-1, NULL, WNOHANG), -1);
}

/* It has closed its pipes and lives on. */
AG_TEST_RUN(a_run_waits_for_a_child_that_has_closed_its_pipes) {
    const char *argv[] = {"sh", "-c", "exec >&- 2>&-; sleep 0.05; exit 4", NULL};
    ag_process_output got;
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 4096, &got), 0);
    ag_check_int(got.status.exit_code, 4);
    ag_process_output_free(&got);
    const char *stays[] = {"sh", "-c", "exec >&- 2>&-; exec sleep 1000", NULL};
    {
        ag_within(50 * AG_MS);
        ag_check_int(ag_process_run(&(ag_process_opts){.argv = stays}, 4096, &got), -ETIMEDOUT);
    }
    ag_check_int(waitpid(-1, NULL, WNOHANG), -1);
}
