/* SPDX-License-Identifier: MIT */
/*
 * soak.c - a program under mixed load that is looked at all the time: by clients at every door who
 * read, read slowly, or die; by profiles, traces, dumps and the detector. In rounds: after each all
 * that it began is over, and goroutines, descriptors and memory must be what they were. One round
 * after the other nothing may grow.
 *
 * AG_SOAK_SECONDS says how long; by default it is short. AG_SOAK_LOG is a file for what the rounds
 * came to, else they go to stderr. Not part of the suite: .ci/run has a stage for it.
 */
#include "conformance/common.h"

#include "asking.h"
#include <malloc.h>
#include <stdarg.h>

enum { ROUNDS_MIN = 9, WORKERS = 3 };

static _Atomic bool over;       /* The round is. */
static const char *seeded = ""; /* A fault, for the negative controls. */
static _Atomic int64_t worked;  /* Pieces of work, of every kind. */
static _Atomic int64_t answered, died;

/* --- The load: each piece knows what must come out. --- */

static ag_mutex counting;
static int64_t counted, passed_on; /* Guarded by counting. */

static void count(int64_t n) {
    ag_mutex_lock(&counting);
    counted += n;
    ag_mutex_unlock(&counting);
}
static void receives(ag_chan(int) c, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    for (int n; ag_recv(c, &n);)
        count(n);
}
static void channels(void) {
    ag_chan(int) c = ag_make(int, 2);
    ag_defer(ag_unref, c);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(receives, c, &wg);
    ag_go(receives, c, &wg);
    for (int i = 0; i < 200; i++)
        ag_select(AG_SEND(c, i), AG_AFTER(AG_MIN));
    ag_close(c);
    ag_wg_wait(&wg);
    ag_mutex_lock(&counting);
    passed_on += 199 * 200 / 2 - (strcmp(seeded, "result") == 0);
    ag_mutex_unlock(&counting);
}

static void fires(_Atomic int *fired, ag_wg *wg) {
    atomic_fetch_add(fired, 1);
    ag_wg_done(wg);
}
static void timers(void) {
    _Atomic int fired = 0;
    int stopped = 0;
    ag_wg wg = AG_WG_INIT;
    ag_timer *t[20];
    ag_wg_add(&wg, 20);
    for (int i = 0; i < 20; i++)
        t[i] = ag_timer_start(i % 7 * 50 * AG_US, fires, &fired, &wg);
    for (int i = 0; i < 20; i += 3)
        if (ag_timer_stop(t[i])) {
            stopped++;
            ag_wg_done(&wg);
        }
    ag_wg_wait(&wg);
    for (int i = 0; i < 20; i++)
        ag_unref(t[i]);
    ag_check_int(fired + stopped, 20);
}

static void panics(char *state) {
    ag_defer(strcpy, state, "cleared away");
    ag_panic("it is %d", 42);
}
static void panicking(void) {
    char state[16] = "";
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics, state), AG_PANICKED);
    ag_check_str(info.msg, "it is 42");
    ag_check_str(state, "cleared away");
}

static int waits_for_ever(void) {
    return ag_sleep(AG_MIN);
}
static int gives_up(void) {
    ag_sleep(100 * AG_US);
    return -EPROTO;
}
static void contexts(void) {
    ag_within(AG_MS);
    ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
    ag_shield(AG_MIN);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    for (int i = 0; i < 4; i++)
        ag_scope_go(&s, waits_for_ever);
    ag_scope_go(&s, gives_up);
    ag_check_int(ag_scope_end(&s), -EPROTO);
}

static int sleeps_outside(int us) {
    return usleep((useconds_t)us);
}
static void handing_on(void) {
    ag_check_int(ag_blocking(sleeps_outside, 100), 0);
    usleep(300); /* without a word: the monitor takes the processor */
}

static char address[64];

static void says_length(ag_http_request *req, ag_http_response *res) {
    char buf[1000];
    int64_t length = 0;
    for (ssize_t n; (n = ag_http_body_read(req, buf, sizeof buf)) > 0;)
        length += n;
    ag_http_printf(res, "it was %lld bytes", (long long)length);
}
static void requests(void) {
    static const char body[3000];
    char words[128], text[1024];
    ag_conn *c;
    ag_check_int(ag_dial("tcp", address, &c), 0);
    ag_defer(ag_unref, c);
    ag_defer(ag_conn_close, c);
    for (int i = 1; i <= 5; i++) {
        int length = i * 600;
        int n = snprintf(words, sizeof words,
                         "POST /more HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n", length,
                         i == 5 ? "Connection: close\r\n" : "");
        ag_check_int(ag_write(c, words, (size_t)n), n);
        ag_check_int(ag_write(c, body, (size_t)length), length);
        size_t got = 0;
        text[0] = 0;
        snprintf(words, sizeof words, "it was %d bytes", length);
        while (!strstr(text, words)) {
            ssize_t r = ag_read(c, text + got, sizeof text - 1 - got);
            if (r <= 0)
                ag_fail("an answer broke off with %zd: %s", r, text);
            got += (size_t)r;
            text[got] = 0;
        }
    }
}

static void (*const kinds[])(void) = {channels, timers, panicking, contexts, handing_on, requests};

static void works(void (*kind)(void), ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    while (!atomic_load(&over)) {
        kind();
        atomic_fetch_add(&worked, 1);
        ag_yield();
    }
}

/* --- Who looks. --- */

static int64_t random_number(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(*seed >> 33);
}
static void *reads_answers(void *arg) {
    for (uint64_t seed = (uintptr_t)arg; !atomic_load(&over);) {
        struct target *t = &targets[random_number(&seed) % target_count];
        int door = (int)(random_number(&seed) % 3), fd = t->lasts ? -1 : says(door, t, 0);
        if (fd < 0)
            continue;
        int status = answer_of(fd, seed & 1 ? 4096 : 200);
        if (status != 200 && status != 503 && status != 409 && status != 501)
            ag_fail("the answer to %s at door %d has status %d", t->path, door, status);
        atomic_fetch_add(&answered, 1);
    }
    return NULL;
}
static void *dies(void *arg) {
    for (uint64_t seed = (uintptr_t)arg; !atomic_load(&over);) {
        char bytes[2000];
        int64_t n = random_number(&seed);
        struct target *t = &targets[n % target_count];
        int fd = says((int)(random_number(&seed) % 3), t, 100);
        if (fd < 0)
            continue;
        struct timeval patience = {.tv_usec = 2000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (n % 3 != 0)
            (void)!recv(fd, bytes, n % 3 == 1 ? 1 : sizeof bytes, 0);
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
        atomic_fetch_add(&died, 1);
    }
    return NULL;
}
/* Some bytes now and then, and never the end. */
static void *reads_slowly(void *arg) {
    for (uint64_t seed = (uintptr_t)arg; !atomic_load(&over);) {
        char bytes[8];
        int fd =
            says((int)(random_number(&seed) % 3), &targets[random_number(&seed) % target_count], 1);
        if (fd < 0)
            continue;
        for (int i = 0; i < 100 && !atomic_load(&over); i++) {
            (void)!recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
            usleep(2000);
        }
        close(fd);
        atomic_fetch_add(&died, 1);
    }
    return NULL;
}
static void must(int r, int or_this) {
    if (r != 0 && r != or_this)
        ag_fail("%d is neither 0 nor %d", r, or_this);
}
static void looks(FILE *out, FILE *trace, int64_t n) {
    static const char *const names[] = {"goroutine", "offcpu", "spawn",       "profile",
                                        "block",     "mutex",  "threadcreate"};
    int busy = n % 2 ? ag_profile_start(500) : ag_trace_start(trace);
    must(busy, -EBUSY); /* a client has it */
    ag_dump_as(out, n % 3 ? AG_DUMP_GROUPS : AG_DUMP_EACH);
    ag_leaks(NULL);
    usleep(5000);
    if (busy == 0 && n % 2)
        must(ag_profile_stop(), -ESRCH);
    else if (busy == 0)
        must(ag_trace_stop(), -ENOBUFS);
    must(ag_profile_write(names[n % 7], out), 0);
    must(ag_trace_snapshot(out), 0);
    must(ag_metrics_write(out, n % 2 ? AG_METRICS_OPEN : AG_METRICS_PROMETHEUS), 0);
}
static void *looks_from_inside(void *arg) {
    FILE *out = fopen("/dev/null", "we"), *trace = fopen("/dev/null", "we");
    ag_check(out && trace);
    for (int64_t n = 0; !atomic_load(&over); n++)
        looks(out, trace, n);
    fclose(out);
    fclose(trace);
    return arg;
}

static void *(*const lookers[])(void *) = {reads_answers, reads_answers, dies,
                                           dies,          reads_slowly,  looks_from_inside};
enum { LOOKERS = COUNT(lookers) };

static void finds(const ag_report *r) {
    ag_fail("a legal program is reported: %s: %s", r->kind, r->text);
}

/* --- Rounds. --- */

static void *sleeps_on(void *arg) {
    for (;;)
        pause();
    return arg;
}
/* Leaves something behind, if that is what is tested. */
static void sow(void) {
    static void *volatile lost;
    if (strcmp(seeded, "memory") == 0) {
        lost = malloc(4 << 20);
        memset(lost, 1, 4 << 20);
    } else if (strcmp(seeded, "goroutine") == 0) {
        ag_go(waits_for_ever);
    } else if (strcmp(seeded, "descriptor") == 0) {
        ag_check(dup(2) >= 0);
    } else if (strcmp(seeded, "thread") == 0) {
        pthread_t thread;
        for (int i = 0; i < 4; i++)
            ag_check_int(pthread_create(&thread, NULL, sleeps_on, NULL), 0);
    }
}

/* What is there when nothing is under way. */
struct measure {
    int goroutines, descriptors, threads;
    int64_t heap, resident; /* bytes */
};
static int descriptors(void) {
    return names_in("/proc/self/fd") - 1; /* the folder's own */
}
static void measure(struct measure *m) {
    malloc_trim(0);
    struct mallinfo2 info = mallinfo2();
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ag_check(f != NULL && fscanf(f, "%*d %ld", &pages) == 1);
    fclose(f);
    m->goroutines = (int)ag_count();
    m->descriptors = descriptors();
    m->threads = names_in("/proc/self/task");
    m->heap = (int64_t)(info.uordblks + info.hblkhd);
    m->resident = pages * sysconf(_SC_PAGESIZE);
}

static void round_of(ag_time ns) {
    pthread_t threads[LOOKERS];
    ag_wg wg = AG_WG_INIT;
    atomic_store(&over, false);
    for (size_t i = 0; i < COUNT(kinds) * WORKERS; i++) {
        ag_wg_add(&wg, 1);
        ag_go(works, kinds[i / WORKERS], &wg);
    }
    for (uintptr_t i = 0; i < LOOKERS; i++)
        ag_check_int(pthread_create(&threads[i], NULL, lookers[i], (void *)(i + 1)), 0);
    ag_sleep(ns);
    atomic_store(&over, true);
    ag_wg_wait(&wg);
    for (int i = 0; i < LOOKERS; i++)
        ag_blocking(joins, &threads[i]);
    sow();
}

/* A number that has grown all the time: the least of the last third is above the most of the third
 * before, in which all caches were warm, and it has not come there by a step or two, as slabs do
 * when more goroutines live at a time than ever before. */
#define CHECK_STEADY(all, n, member, slack)                                                        \
    do {                                                                                           \
        int64_t most = 0, least = INT64_MAX, allowed = (slack);                                    \
        int rises = 0, looked = 0;                                                                 \
        for (int steady_i = (n) / 3; steady_i < (n); steady_i++) {                                 \
            int64_t v = (all)[steady_i].member;                                                    \
            looked++;                                                                              \
            rises += v - (all)[steady_i - 1].member > allowed / ((n) / 3 + 1);                     \
            if (steady_i < (n)*2 / 3)                                                              \
                most = v > most ? v : most;                                                        \
            else                                                                                   \
                least = v < least ? v : least;                                                     \
        }                                                                                          \
        if (least > most + allowed && rises > looked / 3)                                          \
            ag_fail(#member " grows: from at most %lld to at least %lld", (long long)most,         \
                    (long long)least);                                                             \
    } while (0)

/* Waits until all that a round began is over. */
static void settle(int64_t goroutines, int open) {
    bool vain = strcmp(seeded, "goroutine") == 0 || strcmp(seeded, "descriptor") == 0;
    ag_time end = ag_now() + (vain ? 2 : 40) * AG_SEC * ag_test_slow();
    while (ag_count() != goroutines || descriptors() > open) {
        if (ag_now() > end)
            ag_fail("left over: %lld goroutines instead of %lld, %d descriptors instead of %d",
                    (long long)ag_count(), (long long)goroutines, descriptors(), open);
        ag_sleep(AG_MS);
    }
}

/* Says it where it can be followed, too. */
static void tell(const char *fmt, ...) {
    const char *path = getenv("AG_SOAK_LOG");
    FILE *log = path ? fopen(path, "ae") : NULL;
    va_list args;
    va_start(args, fmt);
    vfprintf(log ? log : stderr, fmt, args);
    va_end(args);
    if (log)
        fclose(log);
}

static void soak(ag_time ns) {
    int n = ns / (15 * AG_SEC) > ROUNDS_MIN ? (int)(ns / (15 * AG_SEC)) : ROUNDS_MIN;
    struct measure all[n + 1];
    for (int door = 0; door < 3; door++) /* what is opened once and stays */
        ag_check_int(answer_of(says(door, &targets[0], 0), 4096), 200);
    int64_t goroutines = 2; /* main, and who listens */
    eventually(ag_count() == goroutines);
    int open = descriptors();
    for (int i = 0; i < n; i++) {
        round_of(ns / n);
        settle(goroutines, open);
        measure(&all[i]);
        tell("round %d of %d: %lld pieces of work, %lld answers, %lld clients died; %d "
             "goroutines, %d descriptors, %d threads, heap %.1f MB, resident %.1f MB\n",
             i + 1, n, (long long)worked, (long long)answered, (long long)died, all[i].goroutines,
             all[i].descriptors, all[i].threads, (double)all[i].heap / 1e6,
             (double)all[i].resident / 1e6);
    }
    ag_check_int(counted, passed_on);
    ag_check(worked > n && answered > 0 && died > 0);
    CHECK_STEADY(all, n, threads, 2);
    CHECK_STEADY(all, n, heap, all[n / 2].heap / 50 + (1 << 20));
    if (ns > AG_MIN) /* first everything is touched for the first time */
        CHECK_STEADY(all, n, resident, all[n / 2].resident / 10 + (8 << 20));
}

static int app(void *arg) {
    ag_report_hook before = ag_on_report(finds);
    ag_http_server *server = mount(says_length);
    snprintf(address, sizeof address, "127.0.0.1:%d", ports[MOUNTED]);
    open_doors();
    ag_profile_block_rate(1);
    ag_profile_mutex_fraction(1);
    soak(*(ag_time *)arg);
    ag_profile_block_rate(0);
    ag_profile_mutex_fraction(0);
    ag_http_stop(server, 10 * AG_SEC);
    ag_http_server_free(server);
    eventually(ag_count() == 1);
    ag_on_report(before);
    return 0;
}
static void run_for(ag_time ns) {
    ag_config config = {.quiet = 1};
    setenv("AGLET_DETECT_MS", "50", 0);
    mallopt(M_ARENA_MAX, 2); /* of many each keeps what it once needed */
    place();
    ag_check_int(ag_run_with(&config, app, &ns), 0);
    clear();
}

AG_TEST(a_program_that_is_looked_at_all_the_time_goes_on_and_leaves_nothing) {
    const char *seconds = getenv("AG_SOAK_SECONDS");
    if (ag_test_under("valgrind"))
        ag_skip("time: one thread at a time");
    run_for(seconds ? atoll(seconds) * AG_SEC : AG_SEC);
}

/* --- Negative controls. --- */

static void run_seeded(const char *fault) {
    if (ag_test_under("valgrind"))
        ag_skip("time: one thread at a time");
    seeded = fault;
    run_for(AG_SEC / 4);
}
static bool heap_is_counted(void) {
    return mallinfo2().uordblks > 0;
}
AG_TEST_DEATH(a_goroutine_that_stays_is_noticed, 1, "left over: 3 goroutines instead of 2") {
    run_seeded("goroutine");
}
AG_TEST_DEATH(a_descriptor_that_stays_is_noticed, 1, "left over: 2 goroutines instead of 2") {
    run_seeded("descriptor");
}
AG_TEST_DEATH(a_result_that_is_wrong_is_noticed, 1, "counted is") {
    run_seeded("result");
}
AG_TEST_DEATH(threads_that_grow_in_number_are_noticed, 1, "threads grows") {
    run_seeded("thread");
}
AG_TEST_DEATH(memory_that_grows_is_noticed, 1, "heap grows: from at most") {
    if (!heap_is_counted())
        ag_skip("a heap whose size is known");
    run_seeded("memory");
}
