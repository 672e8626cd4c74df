/* SPDX-License-Identifier: MIT */
/*
 * Children under load: many at the same time, started, waited for, signalled and forgotten by many,
 * with and without the reaper; none is left at the end.
 */
#include "stress.h"

#include <signal.h>
#include <sys/wait.h>

static void no_child_is_left(void) {
    ag_check_int(waitpid(-1, NULL, WNOHANG), -1);
    ag_check_int(errno, ECHILD);
}

static void run_one(int code, atomic_int *right, ag_wg *wg) {
    char text[32], expected[16];
    ag_process_output got;
    const char *argv[] = {"sh", "-c", text, NULL};
    snprintf(text, sizeof text, "echo %d; exit %d", code, code % 256);
    snprintf(expected, sizeof expected, "%d\n", code);
    ag_check_int(ag_process_run(&(ag_process_opts){.argv = argv}, 64, &got), 0);
    ag_check_str(got.out, expected);
    atomic_fetch_add(right, got.status.exit_code == code % 256);
    ag_process_output_free(&got);
    ag_wg_done(wg);
}

static void run_many(int count) {
    ag_wg wg = AG_WG_INIT;
    atomic_int right = 0;
    ag_wg_add(&wg, count);
    for (int i = 0; i < count; i++)
        ag_go(run_one, i, &right, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&right), count);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(two_hundred_children_at_once_leave_nothing) {
    run_many(200);
    no_child_is_left();
}

AG_TEST_RUN(the_reaper_steals_nobodys_status) {
    ag_check_int(ag_reap_children(true), 0);
    run_many(scaled(100));
    ag_check_int(ag_reap_children(false), 0);
    no_child_is_left();
}

static int main_without_pidfds(void *arg) {
    (void)arg;
    run_many(scaled(100));
    return 0;
}
AG_TEST(threads_wait_where_there_are_no_pidfds) {
    setenv("AGLET_NO_PIDFD", "1", 1);
    ag_check_int(ag_run(main_without_pidfds, NULL), 0);
    no_child_is_left();
}

static void kill_it(ag_process *p, ag_wg *wg) {
    int r = ag_process_kill(p);
    ag_check(r == 0 || r == -ESRCH);
    ag_unref(p);
    ag_wg_done(wg);
}

/* Waited for, killed and ended by a context at the same time. */
static void contend(int seed, ag_wg *all) {
    struct dice d = {(uint64_t)seed};
    const char *argv[] = {"sleep", "1000", NULL};
    ag_process_opts opts = {.argv = argv, .ends_with_context = true, .grace = AG_MS};
    for (int i = 0; i < scaled(10); i++) {
        ag_wg wg = AG_WG_INIT;
        ag_process *p;
        ag_process_status status;
        {
            ag_within((1 + roll(&d, 20)) * AG_MS);
            int r = ag_process_start(&opts, &p);
            if (r == -ETIMEDOUT)
                continue;
            ag_check_int(r, 0);
            r = ag_process_wait(p, &status);
            ag_check(r == 0 || r == -ETIMEDOUT);
        }
        ag_wg_add(&wg, 2);
        for (int k = 0; k < 2; k++)
            ag_go(kill_it, ag_ref(p), &wg);
        ag_check_int(ag_process_wait(p, &status), 0);
        ag_check(status.signal == SIGTERM || status.signal == SIGKILL);
        ag_wg_wait(&wg);
        ag_unref(p);
    }
    ag_wg_done(all);
}

AG_TEST_RUN(kills_waits_and_contexts_meet) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 8);
    for (int i = 0; i < 8; i++)
        ag_go(contend, i, &wg);
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
    no_child_is_left();
}

static void forget(int count, ag_wg *wg) {
    const char *argv[] = {"true", NULL};
    for (int i = 0; i < count; i++) {
        ag_process *p;
        ag_check_int(ag_process_start(&(ag_process_opts){.argv = argv}, &p), 0);
        ag_unref(p);
    }
    ag_wg_done(wg);
}

/* Without taking its status, as waitpid would. */
static bool has_children(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static int open_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 512; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* What nobody waits for is cleared away by later starts, and at last by the reaper. */
AG_TEST_RUN(forgotten_children_are_cleared_away) {
    ag_wg wg = AG_WG_INIT;
    int fds = open_fds();
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go(forget, scaled(50), &wg);
    ag_wg_wait(&wg);
    ag_check_int(ag_reap_children(true), 0);
    eventually(!has_children() && open_fds() == fds);
    ag_check_int(ag_reap_children(false), 0);
}
