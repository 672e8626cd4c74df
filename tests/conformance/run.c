/* SPDX-License-Identifier: MIT */
/*
 * Running: ag_run, ag_go and its options, numbers and counts, ag_yield, ag_goexit, several runs
 * in one process, configuration, fork.
 */
#include "common.h"

/* ---- ag_run --------------------------------------------------------------------------------- */

static int return_argument(void *arg) {
    return *(int *)arg;
}

AG_TEST(run_returns_what_main_returned) {
    int values[] = {0, 1, 42, -5, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < COUNT(values); i++)
        ag_check_int(ag_run(return_argument, &values[i]), values[i]);
    ag_check_int(ag_run_with(NULL, return_argument, &values[2]), 42);
    ag_check_int(ag_run_with(&(ag_config){.procs = 1}, return_argument, &values[2]), 42);
}

AG_TEST_RUN(main_is_goroutine_one_and_alone) {
    ag_check_int(ag_id(), 1);
    ag_check_int(ag_count(), 1);
}

AG_TEST(outside_of_a_run_there_is_no_goroutine) {
    ag_check_int(ag_id(), 0);
    ag_check_int(ag_count(), 0);
    ag_check_int(ag_go(ag_yield), -ECANCELED);
    int n = 3;
    ag_check_int(ag_run(return_argument, &n), 3);
    ag_check_int(ag_id(), 0);
    ag_check_int(ag_count(), 0);
    ag_check_int(ag_go(ag_yield), -ECANCELED);
}

static int run_again(void *arg) {
    return ag_run(return_argument, arg);
}

static void *run_on_thread(void *arg) {
    *(int *)arg = ag_run(return_argument, arg);
    return NULL;
}

static int run_on_another_thread(void *arg) {
    pthread_t thread;
    pthread_create(&thread, NULL, run_on_thread, arg);
    pthread_join(thread, NULL);
    return 0;
}

AG_TEST(a_run_inside_a_run_is_busy) {
    int n = 1;
    ag_check_int(ag_run(run_again, &n), -EBUSY);
    ag_check_int(ag_run(run_on_another_thread, &n), 0);
    ag_check_int(n, -EBUSY);
}

static int flag_deferred;

static void set_flag(int *flag) {
    *flag = 1;
}

static void waits_with_defer(ag_chan(int) never) {
    ag_defer(set_flag, &flag_deferred);
    ag_recv(never, NULL);
}

static void spins_forever(atomic_int *ready) {
    atomic_store(ready, 1);
    for (volatile long i = 0;; i++)
        continue;
}

static int leaves_others(void *arg) {
    ag_chan(int) never = ag_make(int, 0);
    static atomic_int ready;
    (void)arg;
    atomic_store(&ready, 0);
    for (int i = 0; i < 100; i++)
        ag_go(waits_with_defer, never);
    until_waits(ag_go(waits_with_defer, never));
    ag_go(ag_sleep, AG_MIN);
    ag_go(ag_yield);
    ag_go(spins_forever, &ready);
    eventually(atomic_load(&ready));
    return 17;
}

AG_TEST(when_main_returns_the_others_are_dropped_where_they_stand) {
    ag_time begin = ag_now();
    ag_check_int(ag_run(leaves_others, NULL), 17);
    ag_check(ag_now() - begin < AG_MIN / 2);
    ag_check_int(flag_deferred, 0);
    ag_check_int(ag_count(), 0);
}

static void send_number(ag_chan(int) c, int n) {
    ag_sleep(AG_MS / 10);
    ag_send(c, n);
}

static int a_small_program(void *arg) {
    ag_chan(int) c = ag_make(int, 3);
    int sum = 0, v;
    ag_check_int(ag_id(), 1);
    for (int i = 0; i < 20; i++)
        ag_go(send_number, c, i);
    for (int i = 0; i < 20 && ag_recv(c, &v); i++)
        sum += v;
    ag_unref(c);
    return sum + *(int *)arg;
}

AG_TEST(one_process_may_run_again_and_again) {
    for (int i = 0; i < 50 / ag_test_slow(); i++)
        ag_check_int(ag_run(a_small_program, &i), 190 + i);
}

struct channels {
    ag_chan(int) a, b;
};

static void selects(struct channels *c) {
    ag_select(AG_RECV(c->a, NULL), AG_RECV(c->b, NULL));
}

static void receives(ag_chan(int) c) {
    ag_recv(c, NULL);
}

/* Wakes goroutines and is gone before they run; with one processor, that is. */
static int main_wakes_and_leaves(void *arg) {
    struct channels *c = arg;
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_ctx_enter(ctx);
    for (int i = 0; i < 8; i++)
        ag_go(receives, c->b);
    until_waits(ag_go(selects, c));
    ag_send(c->a, 1);
    ag_ctx_cancel(ctx);
    ag_unref(ctx);
    return 0;
}

static void covers_the_stack(void) {
    volatile char bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)0xa5;
}

static int main_finds_nobody(void *arg) {
    struct channels *c = arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 32; i++)
        ag_wg_go(&wg, covers_the_stack);
    ag_wg_wait(&wg);
    ag_check(!ag_try_send(c->a, 1));
    ag_check(!ag_try_send(c->b, 1));
    until_waits(ag_go(receives, c->b));
    ag_check(ag_try_send(c->b, 1));
    return 0;
}

AG_TEST(channels_outlive_goroutines_that_were_about_to_leave_them) {
    struct channels c = {ag_make(int, 0), ag_make(int, 0)};
    for (int i = 0; i < 20; i++) {
        ag_check_int(ag_run(main_wakes_and_leaves, &c), 0);
        ag_check_int(ag_run(main_finds_nobody, &c), 0);
    }
    ag_unref(c.a);
    ag_unref(c.b);
}

static void *run_small_on_thread(void *arg) {
    *(int *)arg = ag_run(a_small_program, arg);
    return NULL;
}

AG_TEST(any_thread_may_run_after_another_did) {
    for (int i = 0; i < 5; i++) {
        int result = i;
        pthread_t thread;
        pthread_create(&thread, NULL, run_small_on_thread, &result);
        pthread_join(thread, NULL);
        ag_check_int(result, 190 + i);
    }
}

/* ---- ag_go ---------------------------------------------------------------------------------- */

struct six {
    signed char a;
    unsigned b;
    long c;
    const char *d;
    bool e;
    uint64_t f;
};

static void take_six(signed char a, unsigned b, long c, const char *d, bool e, uint64_t f) {
    ag_check(a == -7 && b == 4000000000u && c == INT64_MIN && e && f == UINT64_MAX);
    ag_check_str(d, "text");
}

static long take_none_and_return(void) {
    return 5;
}

AG_TEST_RUN(arguments_of_all_kinds_arrive_and_results_are_dropped) {
    ag_wg wg = AG_WG_INIT;
    ag_check(ag_wg_go(&wg, take_six, -7, 4000000000u, INT64_MIN, "text", true, UINT64_MAX) > 0);
    ag_check(ag_wg_go(&wg, take_none_and_return) > 0);
    ag_wg_wait(&wg);
}

AG_TEST_RUN(arguments_are_evaluated_now) {
    ag_chan(int) c = ag_make(int, 10);
    int n = 0, seen = 0, v;
    for (int i = 0; i < 10; i++)
        ag_go(send_number, c, n++);
    ag_check_int(n, 10);
    n = 1000;
    for (int i = 0; i < 10 && ag_recv(c, &v); i++)
        seen |= 1 << v;
    ag_check_int(seen, 1023);
    ag_unref(c);
}

static void send_own_id(ag_chan(int64_t) c) {
    ag_send(c, ag_id());
}

AG_TEST_RUN(go_returns_the_number_that_the_goroutine_sees) {
    ag_chan(int64_t) c = ag_make(int64_t, 0);
    int64_t last = 1, v = 0;
    for (int i = 0; i < 100; i++) {
        int64_t id = ag_go(send_own_id, c);
        ag_check(id > 1 && id != last);
        ag_check(ag_recv(c, &v));
        ag_check_int(v, id);
        last = id;
    }
    ag_check_int(ag_id(), 1);
    ag_unref(c);
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

AG_TEST_RUN(no_two_goroutines_have_the_same_number) {
    enum { MANY = 5000 };
    static int64_t ids[MANY];
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < MANY; i++)
        ids[i] = ag_wg_go(&wg, ag_yield);
    ag_wg_wait(&wg);
    qsort(ids, MANY, sizeof *ids, compare);
    ag_check(ids[0] > 1);
    for (int i = 1; i < MANY; i++)
        ag_check(ids[i] != ids[i - 1]);
}

static void tree(int depth, atomic_int *leaves) {
    if (depth == 0) {
        atomic_fetch_add(leaves, 1);
        return;
    }
    for (int i = 0; i < 4; i++)
        ag_go(tree, depth - 1, leaves);
}

AG_TEST_RUN(goroutines_start_goroutines) {
    static atomic_int leaves;
    ag_go(tree, 6, &leaves);
    eventually(atomic_load(&leaves) == 4096);
    eventually(ag_count() == 1);
}

static int plain;

static void read_plain(ag_wg *wg) {
    ag_check_int(plain, 5);
    plain = 6;
    ag_wg_done(wg);
}

AG_TEST_RUN(what_happened_before_go_happens_before_the_goroutine) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    plain = 5;
    ag_go(read_plain, &wg);
    ag_wg_wait(&wg);
    ag_check_int(plain, 6);
}

static void wait_for_close(ag_chan(int) c) {
    ag_recv(c, NULL);
}

AG_TEST_RUN(count_is_the_number_of_live_goroutines) {
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 10; i++) {
        ag_go(wait_for_close, c);
        ag_check_int(ag_count(), i + 2);
    }
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

/* ---- Options -------------------------------------------------------------------------------- */

AG_TEST_RUN(options_name_the_goroutine_and_are_read_at_once) {
    ag_chan(int) c = ag_make(int, 0);
    char name[64] = "first name", *text = NULL;
    size_t size;
    ag_go_opts opts = {.name = name};
    int64_t id = ag_go_with(&opts, wait_for_close, c);
    memset(name, 'x', sizeof name - 1);
    memset(&opts, 0x55, sizeof opts);
    until_waits(id);
    FILE *out = open_memstream(&text, &size);
    ag_check_int(ag_dump_goroutine(out, id), 0);
    fclose(out);
    ag_check_contains(text, "first name");
    free(text);
    ag_check(ag_go_with(NULL, wait_for_close, c) > 0);
    opts =
        (ag_go_opts){.name = "a name that is much longer than thirty-one characters, so it is cut"};
    ag_check(ag_go_with(&opts, wait_for_close, c) > 0);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

static void append(ag_chan(int) log, int n) {
    ag_send(log, n);
}

AG_TEST_RUN(a_lazy_goroutine_runs) {
    ag_chan(int) log = ag_make(int, 20);
    ag_go_opts lazy = {.lazy = true};
    int seen = 0, v;
    for (int i = 0; i < 20; i++) {
        if (i % 2)
            ag_go_with(&lazy, append, log, i);
        else
            ag_go(append, log, i);
    }
    for (int i = 0; i < 20 && ag_recv(log, &v); i++)
        seen |= 1 << v;
    ag_check_int(seen, (1 << 20) - 1);
    ag_unref(log);
}

AG_TEST_RUN(an_impossible_stack_is_refused) {
    ag_go_opts opts = {.stack_size = SIZE_MAX / 2};
    int64_t id = ag_go_with(&opts, ag_yield);
    ag_check(id == -EINVAL || id == -ENOMEM);
    ag_check_int(ag_count(), 1);
}

AG_TEST(an_impossible_configuration_is_refused) {
    int n = 1;
    const char *procs = getenv("AGLET_PROCS");
    char *kept = procs ? strdup(procs) : NULL;
    unsetenv("AGLET_PROCS");
    ag_check_int(ag_run_with(&(ag_config){.procs = -1}, return_argument, &n), -EINVAL);
    ag_check_int(ag_run_with(&(ag_config){.procs = 1000000}, return_argument, &n), -EINVAL);
    ag_check_int(ag_run_with(&(ag_config){.max_threads = -1}, return_argument, &n), -EINVAL);
    if (kept)
        setenv("AGLET_PROCS", kept, 1);
    free(kept);
    ag_check_int(ag_run(return_argument, &n), 1);
}

AG_TEST(a_program_runs_the_same_under_every_option) {
    const ag_config configs[] = {
        {.spin_us = -1},    {.spin_us = 1000},       {.max_running = 1},
        {.max_threads = 4}, {.stack_size = 1 << 16}, {.stack_size = 1 << 22},
        {.quiet = 1},       {.no_signals = 1},       {.procs = 1},
        {.procs = 7}};
    unsetenv("AGLET_PROCS");
    for (int i = 0; i < (int)COUNT(configs); i++)
        ag_check_int(ag_run_with(&configs[i], a_small_program, &i), 190 + i);
    const char *names[] = {"AGLET_SPIN_US",    "AGLET_MAX_RUNNING", "AGLET_MAX_THREADS",
                           "AGLET_STACK_SIZE", "AGLET_QUIET",       "AGLET_NO_SIGNALS",
                           "AGLET_PROCS"};
    const char *values[] = {"-1", "2", "6", "131072", "1", "1", "3"};
    for (int i = 0; i < (int)COUNT(names); i++) {
        setenv(names[i], values[i], 1);
        ag_check_int(ag_run_with(&configs[i], a_small_program, &i), 190 + i);
    }
}

static int handler_is_default(void *arg) {
    struct sigaction action;
    sigaction(*(int *)arg, NULL, &action);
    return !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL;
}

AG_TEST(without_signals_the_handlers_of_the_process_are_left_alone) {
    ag_config config = {.no_signals = 1};
    int quit = SIGQUIT, segv = SIGSEGV;
    if (ag_test_slow() > 1)
        ag_skip("a process without handlers of a sanitizer");
    ag_check_int(ag_run_with(&config, handler_is_default, &quit), 1);
    ag_check_int(ag_run_with(&config, handler_is_default, &segv), 1);
    /* And stay as they are when the world ends. */
    struct sigaction ours = {.sa_handler = SIG_IGN}, now;
    ag_check_int(sigaction(SIGSEGV, &ours, NULL), 0);
    ag_check_int(ag_run_with(&config, handler_is_default, &quit), 1);
    ag_check_int(sigaction(SIGSEGV, NULL, &now), 0);
    ag_check(now.sa_handler == SIG_IGN);
}

/* ---- ag_yield, ag_goexit -------------------------------------------------------------------- */

static void set_atomic(atomic_int *flag) {
    atomic_store(flag, 1);
}

AG_TEST_RUN(yield_lets_the_others_run) {
    for (int i = 0; i < 100; i++) {
        atomic_int flag = 0;
        ag_go(set_atomic, &flag);
        ag_time end = ag_now() + 20 * AG_SEC;
        while (!atomic_load(&flag) && ag_now() < end)
            ag_yield();
        ag_check(atomic_load(&flag));
    }
}

static void take_turns(atomic_int *turn, int me, int rounds) {
    for (int i = 0; i < rounds; i++) {
        while (atomic_load(turn) != me)
            ag_yield();
        atomic_store(turn, !me);
    }
}

AG_TEST_RUN(two_goroutines_that_yield_make_progress_together) {
    static atomic_int turn;
    ag_wg wg = AG_WG_INIT;
    int rounds = 2000 / ag_test_slow();
    ag_wg_go(&wg, take_turns, &turn, 0, rounds);
    ag_wg_go(&wg, take_turns, &turn, 1, rounds);
    ag_wg_wait(&wg);
}

static void exits_at_once(atomic_int *after) {
    ag_goexit();
    atomic_store(after, 1);
}

AG_TEST_RUN(goexit_ends_only_its_goroutine) {
    atomic_int after = 0;
    for (int i = 0; i < 100; i++)
        ag_go(exits_at_once, &after);
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&after), 0);
}

static void end_process_later(int code) {
    ag_sleep(5 * AG_MS);
    ag_exit(code);
}

static int main_goes_away(void *arg) {
    (void)arg;
    ag_go(end_process_later, 23);
    fprintf(stderr, "main leaves\n");
    ag_goexit();
}

AG_TEST_DEATH(when_main_calls_goexit_the_others_go_on, 23, "main leaves") {
    ag_run(main_goes_away, NULL);
}

static void *goexit_on_thread(void *arg) {
    (void)arg;
    ag_goexit();
}

static int main_waits_for_thread(void *arg) {
    pthread_t thread;
    pthread_create(&thread, NULL, goexit_on_thread, arg);
    pthread_join(thread, NULL);
    return 0;
}

AG_TEST_DEATH(goexit_on_a_foreign_thread_panics, 2, "panic: ") {
    ag_run(main_waits_for_thread, NULL);
}

/* ---- Processes ------------------------------------------------------------------------------ */

static void exit_at_once(int code) {
    _exit(code);
}

/* In the child of a fork there is no other thread, so nothing of the runtime may be promised; what
 * a program does there, exec or _exit, works, and starting a goroutine is refused, not a hang. */
static int main_forks(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 1);
    ag_go(ag_sleep, AG_MS);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        int64_t id = ag_go(exit_at_once, 3);
        _exit(id < 0 ? 42 : 1);
    }
    int status = 0;
    ag_check(pid > 0);
    ag_check_int(ag_blocking(waitpid, pid, &status, 0), pid);
    bool refused = WIFEXITED(status) && WEXITSTATUS(status) == 42;
    bool thrown = (WIFEXITED(status) && WEXITSTATUS(status) == 2) ||
                  (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (!refused && !thrown)
        ag_fail("the child of a fork ended with wait status 0x%x", status);
    ag_send(c, 1); /* the parent goes on */
    ag_recv(c, NULL);
    ag_unref(c);
    return ag_sleep(2 * AG_MS);
}

AG_TEST(in_the_child_of_a_fork_the_runtime_is_refused_and_the_parent_goes_on) {
    ag_check_int(ag_run(main_forks, NULL), 0);
}

static int main_execs(void *arg) {
    (void)arg;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("true", "true", (char *)NULL);
        _exit(9);
    }
    int status = -1;
    ag_check_int(ag_blocking(waitpid, pid, &status, 0), pid);
    return status;
}

AG_TEST(fork_and_exec_work_in_a_goroutine) {
    ag_check_int(ag_run(main_execs, NULL), 0);
}

/* ---- What an ended run leaves behind --------------------------------------------------------- */

static atomic_int burning, go_on, gone;

static void burn_past_the_end(void) {
    atomic_fetch_add(&burning, 1);
    while (!atomic_load(&go_on))
        continue;
    atomic_fetch_add(&gone, 1);
    ag_yield(); /* never comes back */
    atomic_fetch_add(&gone, 1000);
}

static int main_leaves_burners(void *arg) {
    for (int i = 0; i < *(int *)arg; i++)
        ag_go(burn_past_the_end);
    eventually(atomic_load(&burning) == *(int *)arg);
    return 0;
}

static void yields(ag_wg *wg) {
    for (int i = 0; i < 20; i++)
        ag_yield();
    ag_wg_done(wg);
}

static int main_works_beside_them(void *arg) {
    atomic_store(&go_on, 1);
    eventually(atomic_load(&gone) == *(int *)arg);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 20; i++) {
        ag_wg_add(&wg, 500);
        for (int j = 0; j < 500; j++)
            ag_go(yields, &wg);
        ag_wg_wait(&wg);
    }
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&gone), *(int *)arg);
    return 7;
}

/* Loops beyond the limit keep their processors, past the end of the run. */
AG_TEST(threads_of_an_ended_run_keep_out_of_the_next) {
    int burners = 3;
    setenv("AGLET_PROCS", "4", 1);
    setenv("AGLET_MAX_RUNNING", "1", 1);
    for (int i = 0; i < 20 / ag_test_slow(); i++) {
        burning = go_on = gone = 0;
        ag_check_int(ag_run(main_leaves_burners, &burners), 0);
        ag_check_int(ag_run(main_works_beside_them, &burners), 7);
    }
}
