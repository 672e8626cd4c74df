/* SPDX-License-Identifier: MIT */
/*
 * Stopping in order: ag_stop_ctx, the second signal, and both as process 1.
 */
#include "common.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

enum { SAME = 100 }; /* milliseconds in which a second signal counts as the first */

static bool is_default(int sig) {
    struct sigaction now;
    sigaction(sig, NULL, &now);
    return now.sa_handler == SIG_DFL;
}

/* Until the one before has been handled, and does not count as the same any more. */
static void let_pass(void) {
    ag_shield(AG_SEC);
    ag_sleep((SAME + 1) * AG_MS);
}

static void first_stops(int sig) {
    ag_ctx *c = ag_stop_ctx(NULL);
    ag_check(c != NULL);
    ag_check_int(ag_ctx_err(c), 0);
    kill(getpid(), sig);
    ag_check(!ag_recv(ag_ctx_done(c), NULL));
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), sig);
    ag_unref(c);
}
AG_TEST_RUN(the_first_signal_ends_the_context) {
    first_stops(SIGINT);
    first_stops(SIGTERM); /* begins anew: not the second */
    let_pass();
    first_stops(SIGINT);
    ag_check_int(ag_notify_reset(), 0);
    ag_check(is_default(SIGINT) && is_default(SIGTERM));
}

static int main_forced(void *arg) {
    int *sigs = arg;
    first_stops(sigs[0]);
    let_pass();
    fprintf(stderr, "stopping\n");
    kill(getpid(), sigs[1]);
    return ag_sleep(20 * AG_SEC);
}
AG_TEST_DEATH(a_second_sigint_ends_the_process, 128 + SIGINT, "stopping") {
    int sigs[] = {SIGINT, SIGINT};
    ag_run(main_forced, sigs);
}
AG_TEST_DEATH(a_sigterm_after_a_sigint_counts_as_the_second, 128 + SIGTERM, "stopping") {
    int sigs[] = {SIGINT, SIGTERM};
    ag_run(main_forced, sigs);
}

/* In the handler: nothing of the program needs to work any more. */
static int main_stuck(void *arg) {
    first_stops(SIGTERM);
    let_pass();
    fprintf(stderr, "stuck\n");
    ag_procs(1);
    kill(getpid(), SIGTERM);
    while (arg == NULL)
        continue;
    return 0;
}
AG_TEST_DEATH(the_second_works_while_everything_is_stuck, 128 + SIGTERM, "stuck") {
    ag_run(main_stuck, NULL);
}

/* It is the exit status, not the signal: no handler of exit runs. */
static void says(void) {
    fprintf(stderr, "exit handlers ran\n");
}
AG_TEST(ends_at_once) {
    if (!getenv("AG_TEST_AS_CHILD"))
        return;
    int sigs[] = {SIGINT, SIGINT};
    atexit(says);
    ag_run(main_forced, sigs);
}
AG_TEST(the_second_runs_no_handlers_of_exit) {
    static struct child child;
    setenv("AG_TEST_AS_CHILD", "1", 1);
    run_child(&child, "ends_at_once");
    ag_check_int(child.status, 128 + SIGINT);
    ag_check_contains(child.text, "stopping");
    ag_check(!strstr(child.text, "exit handlers ran"));
}

/* Some send it twice, to the process and to its group. */
AG_TEST_RUN(one_right_after_the_first_counts_as_the_same) {
    ag_ctx *c = ag_stop_ctx(NULL);
    ag_time begin = ag_now();
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGINT);
    if (ag_now() - begin > SAME * AG_MS)
        ag_skip("a machine that sends three signals within 100 ms");
    ag_check(!ag_recv(ag_ctx_done(c), NULL));
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_unref(c);
    ag_notify_ignore(SIGINT, SIGTERM); /* should one be on its way still */
}

AG_TEST_RUN(a_context_that_ends_otherwise_leaves_nothing_behind) {
    ag_ctx *parent = ag_ctx_with_cancel(NULL), *c = ag_stop_ctx(parent);
    ag_check(!is_default(SIGINT) && !is_default(SIGTERM));
    ag_ctx_cancel(parent);
    ag_check_int(ag_ctx_cause(c), -ECANCELED);
    ag_check(is_default(SIGINT) && is_default(SIGTERM));
    ag_unref(c);
    ag_unref(ag_stop_ctx(NULL));
    ag_check(is_default(SIGINT) && is_default(SIGTERM));
    c = ag_stop_ctx(parent); /* born ended */
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check(is_default(SIGINT) && is_default(SIGTERM));
    ag_unref(c);
    ag_unref(parent);
}

/* Channels get the signal as well; two contexts end together. */
AG_TEST_RUN(it_shares_the_signal_with_others) {
    ag_chan(int) log = ag_make(int, 4);
    ag_ctx *a = ag_stop_ctx(NULL), *b = ag_stop_ctx(NULL), *other = ag_notify_ctx(NULL, SIGTERM);
    ag_check_int(ag_notify(log, SIGTERM), 0);
    kill(getpid(), SIGTERM);
    ag_check(!ag_recv(ag_ctx_done(a), NULL) && !ag_recv(ag_ctx_done(b), NULL) &&
             !ag_recv(ag_ctx_done(other), NULL));
    int got;
    ag_check(ag_recv(log, &got));
    ag_check_int(got, SIGTERM);
    ag_notify_stop(log);
    ag_unref(log);
    ag_unref(a);
    ag_unref(b);
    ag_unref(other);
    ag_check(!is_default(SIGTERM)); /* the second would end the process */
    ag_notify_reset(SIGTERM);
    ag_check(is_default(SIGTERM));
    ag_check(!is_default(SIGINT));
    ag_notify_reset(SIGINT);
}

static int main_waits_after_the_stop(void *arg) {
    (void)arg;
    first_stops(SIGTERM);
    ag_recv(ag_make(int, 0), NULL);
    return 0;
}
AG_TEST_DEATH(after_the_stop_a_deadlock_is_found, 2, "all goroutines are asleep") {
    ag_test_needs_deadlock_report();
    ag_run(main_waits_after_the_stop, NULL);
}

/* ---- Process 1 ------------------------------------------------------------------------------ */

static int status_of(pid_t pid) {
    int status;
    ag_check_int(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Between us and process 1: all its children are in the name space, so it has no other. */
static void start_in_name_space(int (*fn)(void), int report) {
    int pid = -1;
    if (unshare(CLONE_NEWPID) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0)
        pid = fork();
    if (pid == 0)
        _exit(fn());
    if (pid < 0)
        pid = -errno;
    ag_check_int(write(report, &pid, sizeof pid), sizeof pid);
    _exit(pid > 0 ? status_of(pid) : 0);
}

struct init {
    pid_t between; /* its status is that of process 1 */
    pid_t pid;     /* of process 1, here */
};

/* Runs fn as process 1 of a name space of its own; its result is what it exits with. */
static struct init start_as_init(int (*fn)(void)) {
    struct init init;
    int report[2];
    if (getenv("AG_TEST_EXEC"))
        ag_skip("name spaces through an emulator");
    ag_check_int(pipe2(report, O_CLOEXEC), 0);
    init.between = fork();
    if (init.between == 0)
        start_in_name_space(fn, report[1]);
    close(report[1]);
    ag_check_int(read(report[0], &init.pid, sizeof init.pid), sizeof init.pid);
    close(report[0]);
    if (init.pid < 0)
        ag_skip("a process in a name space of its own: %s", strerror(-init.pid));
    return init;
}

static int ready[2];

/* Whether the first thread has the signal blocked, as while it starts another one. The kernel drops
   what nobody wants of process 1 if that thread could take it; else it looks for one that can, and
   ends the process. */
static bool first_thread_blocks(int sig) {
    char line[256];
    unsigned long long blocked = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "SigBlk:", 7) == 0)
            blocked = strtoull(line + 7, NULL, 16);
    fclose(f);
    return blocked >> (sig - 1) & 1;
}

static int main_of_init(void *arg) {
    (void)arg;
    ag_check_int(getpid(), 1);
    eventually(!first_thread_blocks(SIGTERM));
    kill(1, SIGTERM); /* nobody asked for it: process 1 has no default actions */
    ag_ctx *c = ag_stop_ctx(NULL);
    ag_check_int(write(ready[1], "1", 1), 1);
    ag_check(!ag_recv(ag_ctx_done(c), NULL));
    ag_check_int(ag_ctx_cause(c), SIGTERM);
    let_pass();
    ag_check_int(write(ready[1], "2", 1), 1);
    ag_sleep(20 * AG_SEC); /* until it is forced */
    return 9;
}
static int init_is_stopped(void) {
    return ag_run(main_of_init, NULL);
}
static void until_ready(void) {
    char c;
    ag_check_int(read(ready[0], &c, 1), 1);
}
AG_TEST(process_1_is_stopped_and_forced_by_sigterm) {
    ag_check_int(pipe2(ready, O_CLOEXEC), 0);
    struct init init = start_as_init(init_is_stopped);
    close(ready[1]);
    until_ready();
    kill(init.pid, SIGTERM);
    until_ready();
    kill(init.pid, SIGTERM);
    ag_check_int(status_of(init.between), 128 + SIGTERM);
    close(ready[0]);
}

static int main_of_init_notified(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGTERM, SIGUSR1), 0);
    ag_check_int(write(ready[1], "1", 1), 1);
    int got = 0;
    ag_check(ag_recv(c, &got));
    ag_check_int(got, SIGTERM);
    ag_notify_stop(c);
    ag_unref(c);
    kill(1, SIGTERM); /* does nothing again */
    return 5;
}
static int init_is_notified(void) {
    return ag_run(main_of_init_notified, NULL);
}
AG_TEST(signals_arrive_on_channels_of_process_1) {
    ag_check_int(pipe2(ready, O_CLOEXEC), 0);
    struct init init = start_as_init(init_is_notified);
    close(ready[1]);
    until_ready();
    kill(init.pid, SIGTERM);
    ag_check_int(status_of(init.between), 5);
    close(ready[0]);
}

/* ---- Orphans -------------------------------------------------------------------------------- */

static bool has_children(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A child that leaves `count` orphans, each of which ends by itself. */
static void leave_orphans(int count, int expected) {
    char text[128];
    snprintf(text, sizeof text,
             "i=0; while [ $i -lt %d ]; do (sleep 0.0$i) & i=$((i+1)); done; exit 7", count);
    const char *argv[] = {"sh", "-c", text, NULL};
    ag_process *p;
    ag_process_status status;
    ag_check_int(ag_process_start(&(ag_process_opts){.argv = argv}, &p), 0);
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check_int(status.exit_code, expected);
    ag_unref(p);
}

static int main_reaps(void *arg) {
    (void)arg;
    ag_check_int(ag_reap_children(true), 0);
    ag_check_int(ag_reap_children(true), 0);
    for (int i = 0; i < 3; i++)
        leave_orphans(5, 7);
    eventually(!has_children());
    ag_check_int(ag_reap_children(false), 0);
    return 0;
}
static int init_reaps(void) {
    return ag_run(main_reaps, NULL);
}
AG_TEST(process_1_clears_away_orphans) {
    ag_check_int(status_of(start_as_init(init_reaps).between), 0);
}
AG_TEST(a_subreaper_clears_away_orphans) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        ag_skip("prctl(PR_SET_CHILD_SUBREAPER): %s", strerror(errno));
    ag_check_int(ag_run(main_reaps, NULL), 0);
}

static bool is_zombie(pid_t pid) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static pid_t start_of_its_own(const char *text) {
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)text, NULL};
    pid_t pid;
    ag_check_int(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ), 0);
    return pid;
}

/* While it is off the program waits for its own; while it is on they are cleared away. */
AG_TEST_RUN(children_of_the_programs_own_are_cleared_away_too_while_it_is_on) {
    int status;
    pid_t pid = start_of_its_own("exit 3");
    eventually(is_zombie(pid));
    ag_check_int(waitpid(pid, &status, 0), pid);
    ag_check_int(WEXITSTATUS(status), 3);
    ag_check_int(ag_reap_children(true), 0);
    start_of_its_own("exit 3");
    eventually(!has_children());
    ag_check_int(ag_reap_children(false), 0);
    pid = start_of_its_own("exit 4");
    eventually(is_zombie(pid));
    ag_check_int(waitpid(pid, &status, 0), pid);
    ag_check_int(WEXITSTATUS(status), 4);
    struct sigaction now;
    sigaction(SIGCHLD, NULL, &now);
    ag_check(now.sa_handler == SIG_DFL);
}

/* What is there already is cleared away when it begins. */
AG_TEST_RUN(what_has_ended_before_is_cleared_away) {
    pid_t pid = start_of_its_own("exit 3");
    eventually(is_zombie(pid));
    ag_check_int(ag_reap_children(true), 0);
    eventually(!has_children());
    ag_reap_children(false);
}

/* The reaper collects for those who ask later, and SIGCHLD still arrives. */
AG_TEST_RUN(the_status_of_started_children_is_kept) {
    enum { MANY = 8 };
    ag_process *p[MANY];
    ag_process_status status;
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGCHLD), 0);
    ag_check_int(ag_reap_children(true), 0);
    const char *argv[] = {"sh", "-c", "exit 6", NULL};
    for (int i = 0; i < MANY; i++)
        ag_check_int(ag_process_start(&(ag_process_opts){.argv = argv}, &p[i]), 0);
    ag_check(ag_recv(c, NULL));
    eventually(!has_children());
    for (int i = 0; i < MANY; i++) {
        ag_check_int(ag_process_wait(p[i], &status), 0);
        ag_check_int(status.exit_code, 6);
        ag_check_int(ag_process_kill(p[i]), -ESRCH);
        ag_unref(p[i]);
    }
    ag_check_int(ag_notify_ignore(SIGCHLD), 0); /* and it still reaps */
    start_of_its_own("exit 3");
    eventually(!has_children());
    ag_check(ag_notify_ignored(SIGCHLD));
    ag_reap_children(false);
    ag_notify_reset();
    ag_unref(c);
}
