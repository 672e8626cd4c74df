/* SPDX-License-Identifier: MIT */
/*
 * ask_safety.c - whatever a program is asked, and however it goes on meanwhile, its results are
 * right, and it ends as it would have ended: every answer of /debug/list, at the Unix socket and
 * over HTTP, under full load, several at once, with clients that die, beside forks, and while the
 * program ends in every way there is.
 */
#include "common.h"

#include "asking.h"
#include <poll.h>
#include <signal.h>

/* --- The program: a sum that is wrong if anything is lost or done twice. --- */

static _Atomic bool over;
static ag_mutex counting;
static int64_t counted;

static void adds(int64_t n) {
    ag_mutex_lock(&counting);
    counted += n;
    ag_mutex_unlock(&counting);
}
static void consumes(ag_chan(int64_t) c, ag_wg *wg) {
    int64_t n;
    while (ag_recv(c, &n))
        adds(n);
    ag_wg_done(wg);
}
static void produces(ag_chan(int64_t) c, int64_t *ret_sent, ag_wg *wg) {
    for (int64_t i = 0; !atomic_load(&over); i++) {
        ag_send(c, i % 100);
        *ret_sent += i % 100;
        if (i % 16 == 0) {
            ag_wg short_lives = AG_WG_INIT;
            ag_wg_go(&short_lives, adds, 1);
            ag_wg_wait(&short_lives);
            *ret_sent += 1;
        }
        if (i % 256 == 0) {
            ag_within(AG_US);
            ag_sleep(AG_MS);
        }
    }
    ag_wg_done(wg);
}

enum { PAIRS = 4 };
static struct load {
    ag_chan(int64_t) c;
    ag_wg producers, consumers;
    int64_t sent[PAIRS];
} load;

static void load_begins(void) {
    load.c = ag_make(int64_t, 3);
    ag_wg_add(&load.producers, PAIRS);
    ag_wg_add(&load.consumers, PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        ag_go(produces, load.c, &load.sent[i], &load.producers);
        ag_go(consumes, load.c, &load.consumers);
    }
}
static void load_ends(void) {
    int64_t sum = 0;
    atomic_store(&over, true);
    ag_wg_wait(&load.producers);
    ag_close(load.c);
    ag_wg_wait(&load.consumers);
    ag_unref(load.c);
    for (int i = 0; i < PAIRS; i++)
        sum += load.sent[i];
    ag_check(sum > 0);
    ag_check_int(counted, sum);
    eventually(ag_count() == 1);
}

/* --- Everything, at both doors, several at once, while the program forks. --- */

static _Atomic int next_question, asked_again;

static void ask_until_answered(int door, const struct target *t, size_t step) {
    for (;;) {
        int fd = says(door, t, 1);
        ag_check(fd >= 0);
        int status = answer_of(fd, step);
        if (status == 200 || status == 501) /* the heap profile without its library */
            return;
        if (status != 503 && status != 409) /* another has it, or too many ask */
            ag_fail("the answer to %s at door %d has status %d", t->path, door, status);
        atomic_fetch_add(&asked_again, 1);
        usleep(1000);
    }
}
static void *asks_all(void *arg) {
    (void)arg;
    for (int n; (n = atomic_fetch_add(&next_question, 1)) < target_count * 4;)
        if (!targets[n / 4].lasts) /* at both doors, twice */
            ask_until_answered(n % 4 / 2, &targets[n / 4], n % 3 == 0 ? 100 : 4096);
    return NULL;
}
static void *asks_one(void *arg) {
    struct target *t = arg;
    ask_until_answered((int)((t - targets) % DOORS), t, 4096);
    return NULL;
}
static pthread_t long_askers[TARGETS];
static void ask_all_that_last(void) {
    for (int i = 0; i < target_count; i++)
        if (targets[i].lasts)
            ag_check_int(pthread_create(&long_askers[i], NULL, asks_one, &targets[i]), 0);
}
static void await_all_that_last(void) {
    for (int i = 0; i < target_count; i++)
        if (targets[i].lasts)
            ag_blocking(joins, &long_askers[i]);
}
enum { CHILDREN = 24 };

static int waits_for_child(pid_t pid) {
    int status;
    ag_check_int(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
static void forks(int how) {
    static const int expected[] = {7, 8, 0};
    pid_t pid = fork();
    ag_check(pid >= 0);
    if (pid == 0) {
        alarm(30 * (unsigned)ag_test_slow()); /* whoever hangs is killed */
        if (how == 0)
            _exit(7);
        if (how == 1)
            exit(8);
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    ag_check_int(ag_blocking(waits_for_child, pid), expected[how]);
}

static int answers_everything(void *arg) {
    pthread_t threads[6];
    (void)arg;
    open_doors();
    load_begins();
    ask_all_that_last();
    for (size_t i = 0; i < COUNT(threads); i++)
        ag_check_int(pthread_create(&threads[i], NULL, asks_all, NULL), 0);
    int children = CHILDREN / ag_test_slow();
    for (int i = 0; i < children; i++) {
        forks(i % 3);
        ag_sleep(AG_SEC / children);
    }
    for (size_t i = 0; i < COUNT(threads); i++)
        ag_blocking(joins, &threads[i]);
    await_all_that_last();
    load_ends();
    return 0;
}
static void in_place(int (*fn)(void *)) {
    ag_config config = {.quiet = 1};
    place();
    ag_check_int(ag_run_with(&config, fn, NULL), 0);
    clear();
}
AG_TEST(every_answer_comes_whole_under_load_and_beside_forks) {
    in_place(answers_everything);
}

/* --- Clients that die. --- */

static void *dies_often(void *arg) {
    (void)arg;
    for (int n; (n = atomic_fetch_add(&next_question, 1)) < target_count * 9;) {
        int fd = says(n % 3, &targets[n / 9], 100);
        char bytes[4096];
        if (fd < 0)
            continue; /* too many wait at the door */
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (n % 9 / 3 != 0 && poll(&p, 1, 20) == 1)
            (void)!recv(fd, bytes, n % 9 / 3 == 1 ? 1 : sizeof bytes, 0);
        close(fd);
    }
    return NULL;
}
static bool is_free(const struct target *t) {
    int fd = says(HTTP, t, 1);
    return fd >= 0 && answer_of(fd, 4096) == 200;
}
static int outlives_clients(void *arg) {
    pthread_t threads[4];
    (void)arg;
    open_doors();
    ag_http_server *server = mount(NULL);
    load_begins();
    int fds = names_in("/proc/self/fd");
    for (size_t i = 0; i < COUNT(threads); i++)
        ag_check_int(pthread_create(&threads[i], NULL, dies_often, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        ag_blocking(joins, &threads[i]);
    eventually(names_in("/proc/self/fd") <= fds);
    /* What only one may have done at a time is nobody's any more. */
    for (int i = 0; i < target_count; i++)
        if (targets[i].lasts && strstr(targets[i].path, "profile"))
            eventually(ag_blocking(is_free, &targets[i]));
    ag_check_int(ag_trace_stop(), -ESRCH);
    ag_check_int(ag_http_stop(server, 50 * AG_SEC), 0); /* no question is answered still */
    ag_http_server_free(server);
    load_ends();
    return 0;
}
AG_TEST(clients_that_die_leave_nothing_behind_at_any_door) {
    in_place(outlives_clients);
}

/* --- The end, in every way. --- */

static const struct end {
    const char *name;
    int status;
} ends[] = {
    {"returns", 0}, {"exits", 3},    {"exits at once", 4},   {"exits with its deferred calls", 5},
    {"panics", 2},  {"aborts", 134}, {"is told to end", 143}};

static int ends_somehow(void *arg) {
    const char *how = getenv("AG_SAFETY_END");
    (void)arg;
    open_doors();
    load_begins();
    int threads = names_in("/proc/self/task");
    for (int i = 0; i < target_count; i++)
        if (targets[i].lasts || strstr(targets[i].path, "debug=2"))
            ag_check(says(i % DOORS, &targets[i], 100) >= 0);
    eventually(names_in("/proc/self/task") >= threads + 2);
    ag_sleep(20 * AG_MS); /* samples are taken, events written */
    if (!how || strcmp(how, "returns") == 0)
        return 0;
    if (strcmp(how, "exits") == 0)
        exit(3);
    if (strcmp(how, "exits at once") == 0)
        _exit(4);
    if (strcmp(how, "exits with its deferred calls") == 0)
        ag_exit(5);
    if (strcmp(how, "panics") == 0)
        ag_panic("enough");
    if (strcmp(how, "aborts") == 0)
        abort();
    raise(SIGTERM);
    return 9;
}
AG_TEST(a_world_ends_while_everything_is_asked) {
    AG_TEST_LEAKY_FDS(); /* nobody reads the answers */
    in_place(ends_somehow);
}
AG_TEST(a_program_ends_in_every_way_while_everything_is_asked) {
    static struct child child;
    for (size_t i = 0; i < COUNT(ends); i++) {
        setenv("AG_SAFETY_END", ends[i].name, 1);
        run_child(&child, "a_world_ends_while_everything_is_asked");
        if (child.status != ends[i].status)
            ag_fail("a program that %s ends with status %d:\n%s", ends[i].name, child.status,
                    child.text);
    }
}
