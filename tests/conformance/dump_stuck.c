/* SPDX-License-Identifier: MIT */
/*
 * Dumps wait for nobody: not when every thread is stuck, not for locks that a stuck one holds, not
 * for whoever should read stderr; several at once, and at the end of the program.
 */
#include "dump_text.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

/* ---- SIGQUIT, and what it writes ------------------------------------------------------------ */

static int real_stderr, ends[2];

/* From now on stderr is a pipe. */
static void catch_stderr(void) {
    real_stderr = fcntl(2, F_DUPFD_CLOEXEC, 3);
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    ag_check_int(dup2(ends[1], 2), 2);
}

static void release_stderr(void) {
    ag_check_int(dup2(real_stderr, 2), 2);
    close(real_stderr);
    close(ends[0]);
    close(ends[1]);
}

/* Reads what comes until the last line of a dump has come. On a thread that is no goroutine. */
static void read_dump(char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    while (!strstr(text, "\nstacks of ") || text[n - 1] != '\n') {
        struct pollfd p = {.fd = ends[0], .events = POLLIN};
        ag_check(poll(&p, 1, 60000) == 1);
        ssize_t got = read(ends[0], text + n, size - n - 1);
        ag_check(got > 0);
        n += (size_t)got;
        text[n] = 0;
        if (n > size / 2) { /* what came first has been seen */
            memmove(text, text + n - size / 4, size / 4 + 1);
            n = size / 4;
        }
    }
}

static void *quit_and_read(void *text) {
    kill(getpid(), SIGQUIT);
    read_dump(text, 1 << 18);
    return text;
}

static void check_quit(const char *words) {
    static char text[1 << 18];
    pthread_t thread;
    pthread_create(&thread, NULL, quit_and_read, text);
    pthread_join(thread, NULL); /* keeps this thread, too */
    ag_check_contains(text, words);
}

AG_TEST_RUN(sigquit_when_every_thread_is_stuck) {
    static atomic_int stop, here;
    const int many = 2 * ag_procs(0);
    int pipes[2];
    ag_check_int(pipe2(pipes, O_CLOEXEC), 0);
    ag_chan(int) c = ag_make(int, 0);
    until_waits_for(ag_go(recv_it, c), "chan receive");
    for (int i = 0; i < many; i++) {
        ag_go(burn, &stop, &here);
        ag_go(sit_in_c, pipes[0], &here);
    }
    eventually(atomic_load(&here) >= ag_procs(0));
    catch_stderr();
    check_quit("recv_it(...)");
    release_stderr();
    atomic_store(&stop, 1);
    for (int i = 0; i < many; i++)
        ag_check_int(write(pipes[1], "x", 1), 1);
    ag_close(c);
    eventually(ag_count() == 1);
    close(pipes[0]);
    close(pipes[1]);
    ag_unref(c);
}

static void hold_stderr(int fd, atomic_int *here) {
    char byte;
    flockfile(stderr);
    atomic_fetch_add(here, 1);
    ag_check_int(read(fd, &byte, 1), 1);
    funlockfile(stderr);
}

AG_TEST_RUN(sigquit_when_somebody_holds_the_lock_of_stderr) {
    static atomic_int here;
    int pipes[2];
    ag_check_int(pipe2(pipes, O_CLOEXEC), 0);
    ag_go(hold_stderr, pipes[0], &here);
    eventually(atomic_load(&here) == 1);
    catch_stderr();
    check_quit("hold_stderr");
    release_stderr();
    ag_check_int(write(pipes[1], "x", 1), 1);
    eventually(ag_count() == 1);
    close(pipes[0]);
    close(pipes[1]);
}

/* The dump is given up after some seconds; who waits for signals gets them then. */
AG_TEST_RUN(sigquit_when_nobody_reads_stderr) {
    ag_chan(int) c = ag_make(int, 1);
    char page[4096] = {0};
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    catch_stderr();
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], page, sizeof page) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0);
    kill(getpid(), SIGQUIT);
    ag_yield(); /* the program goes on */
    kill(getpid(), SIGUSR1);
    int got = 0, which = ag_select(AG_RECV(c, &got), AG_AFTER(30 * AG_SEC));
    release_stderr();
    ag_check_int(which, 0);
    ag_check_int(got, SIGUSR1);
    ag_notify_stop(c);
    ag_unref(c);
}

/* ---- Several at once ------------------------------------------------------------------------ */

static void ping(ag_chan(int) a, ag_chan(int) b, ag_mutex *m) {
    while (ag_recv(a, NULL)) {
        ag_mutex_lock(m);
        ag_send(b, 1);
        ag_mutex_unlock(m);
    }
}

static void dump_some(void) {
    for (int i = 0; i < 20; i++) {
        free(dump_as(i % 2 ? AG_DUMP_EACH : AG_DUMP_GROUPS));
        free(entry_of(ag_id()));
    }
}

static void *dump_on_thread(void *arg) {
    for (int i = 0; i < 20; i++)
        free(dump_as(i % 2 ? AG_DUMP_EACH : AG_DUMP_GROUPS));
    return arg;
}

AG_TEST_RUN(several_at_once_under_load) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 8);
    static ag_mutex m;
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[3];
    for (int i = 0; i < 4; i++)
        ag_go(ping, a, b, &m);
    for (int i = 0; i < 3; i++) {
        ag_wg_go(&wg, dump_some);
        pthread_create(&threads[i], NULL, dump_on_thread, NULL);
    }
    kill(getpid(), SIGQUIT);
    for (int i = 0; i < 4000 / ag_test_slow(); i++) {
        ag_send(a, i);
        ag_go(ag_yield);
        ag_recv(b, NULL);
    }
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_close(a);
    eventually(ag_count() == 1);
    ag_unref(a);
    ag_unref(b);
}

/* ---- A thread that stops anywhere ----------------------------------------------------------- */

static atomic_int frozen, is_there, worker_tid;

static void freeze(int sig) {
    (void)sig;
    int saved = errno;
    atomic_store(&is_there, 1);
    while (atomic_load(&frozen))
        usleep(1000);
    atomic_store(&is_there, 0);
    errno = saved;
}

static void work(ag_chan(int) a, ag_mutex *m, atomic_int *stop) {
    while (!atomic_load(stop)) {
        atomic_store(&worker_tid, (int)syscall(SYS_gettid));
        for (int i = 0; i < 20; i++) {
            ag_mutex_lock(m);
            ag_try_send(a, 1);
            ag_mutex_unlock(m);
            ag_try_recv(a, NULL);
            ag_yield();
        }
    }
}

static atomic_int rounds_done;

static void *freeze_and_dump(void *arg) {
    for (int i = 0; i < 50 / ag_test_slow() + 5; i++) {
        atomic_store(&frozen, 1);
        syscall(SYS_tgkill, getpid(), atomic_load(&worker_tid), SIGUSR2);
        for (int k = 0; k < 200 && !atomic_load(&is_there); k++)
            usleep(1000);
        free(dump_as(AG_DUMP_EACH));
        atomic_store(&frozen, 0);
        while (atomic_load(&is_there))
            usleep(100);
    }
    atomic_store(&rounds_done, 1);
    return arg;
}

/* Whatever lock of the runtime it holds there. */
AG_TEST_RUN(when_a_thread_is_stopped_in_the_midst_of_the_runtime) {
    static ag_mutex m;
    static atomic_int stop;
    ag_chan(int) a = ag_make(int, 1);
    struct sigaction action = {.sa_handler = freeze, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(SIGUSR2, &action, NULL);
    for (int i = 0; i < 3; i++)
        ag_go(work, a, &m, &stop);
    eventually(atomic_load(&worker_tid) != 0);
    pthread_t thread;
    pthread_create(&thread, NULL, freeze_and_dump, NULL);
    while (!atomic_load(&rounds_done))
        ag_sleep(AG_MS);
    pthread_join(thread, NULL);
    atomic_store(&stop, 1);
    eventually(ag_count() == 1);
    ag_unref(a);
}

/* ---- At the end of the program -------------------------------------------------------------- */

static int quit_and_return(void *arg) {
    static ag_chan(int) c; /* for those who come to it as the world ends */
    if (!c)
        c = ag_make(int, 0);
    for (int i = 0; i < 20; i++)
        ag_go(recv_it, c);
    if (arg)
        ag_yield();
    kill(getpid(), SIGQUIT);
    return 7;
}

static void quit_and_return_often(void) {
    for (int i = 0; i < 20 / ag_test_slow() + 2; i++)
        ag_check_int(ag_run(quit_and_return, i % 2 ? &frozen : NULL), 7);
}

AG_TEST(the_world_ends_while_it_is_dumped) {
    quit_and_return_often();
}

/* Nothing but the runtime's own thread receives it, and may do so when the world is over. */
AG_TEST(the_world_ends_before_it_is_dumped) {
    sigset_t quit;
    sigemptyset(&quit);
    sigaddset(&quit, SIGQUIT);
    pthread_sigmask(SIG_BLOCK, &quit, NULL);
    quit_and_return_often();
}

static int quit_and_exit(void *arg) {
    quit_and_return(arg);
    ag_exit(33);
}

AG_TEST_DEATH(the_process_exits_while_it_is_dumped, 33, "") {
    ag_run(quit_and_exit, NULL);
}

AG_TEST(it_does_so_every_time) {
    static struct child child;
    for (int i = 0; i < 10 / ag_test_slow() + 1; i++) {
        run_child(&child, "the_process_exits_while_it_is_dumped");
        ag_check_int(child.status, 33);
    }
}
