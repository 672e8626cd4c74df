/* SPDX-License-Identifier: MIT */
/*
 * The server and clients that are slow, greedy, many, gone or mad.
 */
#include "ag_test.h"

#include "http/server_site_test.h"

#include <malloc.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* A bare socket, so that the memory of the server's side can be told from the client's. */
static int bare_connect(struct site *site) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)strtol(strrchr(ag_listener_addr(site->l), ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ag_check(fd >= 0);
    ag_check_int(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* ---- Time ----------------------------------------------------------------------------------- */

AG_TEST_RUN(a_client_that_says_nothing_is_let_go) {
    struct site site;
    ag_http_options o = {.head_ns = 50 * AG_MS, .idle_ns = AG_SEC};
    start(&site, &o);
    client_open(&cl, &site);
    expect_end(&cl);
    ag_check_int(stats_of(&site).timed_out, 1);
    ag_check_int(stats_of(&site).requests[4], 0);
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(half_a_head_is_answered_408) {
    struct site site;
    ag_http_options o = {.head_ns = 60 * AG_MS};
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, GET("/ok") "GET /ok HTTP/1.1\r\nHo");
    expect(&cl, &r, 200, "ok\n");
    ag_sleep(30 * AG_MS);
    say(&cl, "st: h\r\nA: "); /* drops do not buy time */
    expect(&cl, &r, 408, NULL);
    expect_end(&cl);
    client_close(&cl);
    finish(&site);
}

static char told[2][160];
static atomic_int told_count;
static void note_told(const ag_report *report) {
    int i = atomic_load(&told_count);
    snprintf(told[i & 1], sizeof told[0], "%s: %s", report->kind, report->text);
    atomic_store(&told_count, i + 1);
}
static void asks_twice(ag_time slow_ns) {
    struct site site;
    ag_http_options o = {.slow_ns = slow_ns};
    atomic_store(&told_count, 0);
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    say(&cl, GET("/nowhere"));
    expect(&cl, &r, 404, NULL);
    client_close(&cl);
    finish(&site);
}
AG_TEST_RUN(a_slow_request_leaves_what_ran_before) {
    char folder[] = "/tmp/aglet-slow-XXXXXX", path[64];
    ag_check(mkdtemp(folder) != NULL);
    setenv("AGLET_RECORD_DIR", folder, 1);
    ag_on_report(note_told);
    asks_twice(0);
    asks_twice(AG_MIN);
    ag_check_int(atomic_load(&told_count), 0);
    asks_twice(1);
    ag_check_int(atomic_load(&told_count), 2);
    ag_check_str(told[0], "kept: slow request: /ok took 0 ms");
    ag_check_str(told[1], "kept: slow request: (no route) took 0 ms");
    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof path, "%s/aglet-%d.trace", folder, i);
        ag_check_int(unlink(path), 0);
    }
    ag_check_int(rmdir(folder), 0);
}

AG_TEST_RUN(an_idle_connection_is_closed_and_a_busy_one_is_not) {
    struct site site;
    static struct client busy;
    ag_http_options o = {.idle_ns = 300 * AG_MS * ag_test_slow(), .head_ns = 10 * AG_SEC};
    start(&site, &o);
    client_open(&cl, &site);
    client_open(&busy, &site);
    ag_time begin = ag_now();
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    for (int i = 0; stats_of(&site).timed_out == 0; i++) {
        say(&busy, GET("/ok"));
        expect(&busy, &r, 200, "ok\n");
        ag_sleep(20 * AG_MS);
        ag_check(i < 1000);
    }
    ag_check(ag_now() - begin >= o.idle_ns);
    expect_end(&cl);
    say(&busy, GET("/ok"));
    expect(&busy, &r, 200, "ok\n");
    expect_end(&busy); /* its time comes, too */
    client_close(&busy);
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(a_body_has_a_time_limit) {
    struct site site;
    ag_http_options o = {.body_ns = 50 * AG_MS};
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    expect(&cl, &r, 408, NULL);
    ag_check_int(atomic_load(&last_error), -ETIMEDOUT);
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "POST /body?ms=20000 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    ag_sleep(100 * AG_MS);
    say(&cl, "defghij");
    expect(&cl, &r, 200, "10");
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(a_client_that_does_not_read_is_cut) {
    struct site site;
    ag_http_options o = {.write_ns = 100 * AG_MS};
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, GET("/flood"));
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&last_error), -ETIMEDOUT);
    eventually(stats_of(&site).open == 0);
    ag_check_int(stats_of(&site).timed_out, 1);
    static char data[65536];
    ssize_t n;
    while ((n = ag_read(cl.c, data, sizeof data)) > 0)
        continue;
    ag_check_int(n, -ECONNRESET); /* the kernel does not go on trying */
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(a_slow_handler_does_not_hold_back_the_answer_before_it) {
    struct site site;
    start(&site, NULL);
    client_open(&cl, &site);
    for (int i = 0; i < 3; i++) {
        say(&cl, GET("/ok") GET("/wait"));
        expect(&cl, &r, 200, "ok\n");
        eventually(atomic_load(&entered) == i + 1);
        ag_send(gate, 'x');
        expect(&cl, &r, 200, "waited");
    }
    client_close(&cl);
    finish(&site);
}

/* ---- Size ----------------------------------------------------------------------------------- */

AG_TEST_RUN(large_heads_and_bodies_are_refused) {
    struct site site;
    static char text[70000], pad[60000];
    ag_http_options o = {.head_max = 20000, .fields_max = 10, .body_max = 1000};
    start(&site, &o);
    memset(pad, 'p', sizeof pad - 1);
    client_open(&cl, &site);
    snprintf(text, sizeof text, "GET /ok HTTP/1.1\r\nHost: h\r\nA: %.19000s\r\n\r\n", pad);
    say(&cl, text);
    expect(&cl, &r, 200, "ok\n");
    snprintf(text, sizeof text, "GET /ok HTTP/1.1\r\nHost: h\r\nA: %.50000s\r\n\r\n", pad);
    say(&cl, text);
    expect(&cl, &r, 431, NULL);
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    snprintf(text, sizeof text, "GET /%.9000s HTTP/1.1\r\nHost: h\r\n\r\n", pad);
    say(&cl, text);
    expect(&cl, &r, 414, NULL);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "GET /ok HTTP/1.1\r\nHost: h\r\n1: \r\n2: \r\n3: \r\n4: \r\n5: \r\n6: \r\n7: \r\n"
             "8: \r\n9: \r\n10: \r\n\r\n");
    expect(&cl, &r, 431, NULL);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n");
    expect(&cl, &r, 413, NULL);
    client_close(&cl);
    client_open(&cl, &site);
    snprintf(text, sizeof text,
             "POST /body?max=1001 HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n%.1001s"
             "POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n%.1001s",
             pad, pad);
    say(&cl, text);
    expect(&cl, &r, 200, "1001");
    expect(&cl, &r, 413, NULL);
    client_close(&cl);
    finish(&site);
}

/* ---- Number --------------------------------------------------------------------------------- */

enum { MANY = 2000 };

static void allow_files(rlim_t files) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < files)
        ag_skip("a limit of %lu open files", (unsigned long)files);
    if (limit.rlim_cur < files)
        limit.rlim_cur = files;
    ag_check_int(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Sanitizers and libc keep more than was asked for, so this is about what malloc handed out. Of so
   many that what a new thread of the runtime takes meanwhile does not count. */
AG_TEST_RUN(an_idle_connection_holds_no_goroutine_and_little_memory) {
    struct site site;
    static int fds[MANY];
    char buf[512];
    allow_files(2 * MANY + 100);
    start(&site, NULL);
    int64_t before = 0;
    for (int i = 0; i < MANY; i++) {
        fds[i] = bare_connect(&site);
        ag_check_int(write(fds[i], GET("/ok"), sizeof GET("/ok") - 1), sizeof GET("/ok") - 1);
        eventually(recv(fds[i], buf, sizeof buf, MSG_DONTWAIT) > 0);
        if (i == MANY / 4 - 1) {
            eventually(stats_of(&site).idle == MANY / 4);
            before = (int64_t)mallinfo2().uordblks;
        }
    }
    eventually(stats_of(&site).idle == MANY);
    eventually(ag_count() == 2); /* this one, and the one that accepts */
    int64_t each = ((int64_t)mallinfo2().uordblks - before) / (MANY - MANY / 4);
    fprintf(stderr, "an idle connection: %lld bytes\n", (long long)each);
    ag_check(each <= 1024);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    eventually(stats_of(&site).open == 0);
    finish(&site);
}

static void one_of_many(struct site *site, ag_wg *wg) {
    struct client *c = malloc(sizeof *c);
    struct reply *reply = malloc(sizeof *reply);
    ag_defer(ag_wg_done, wg);
    client_open(c, site);
    for (int i = 0; i < 5; i++) {
        say(c, "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        expect(c, reply, 200, "3");
    }
    client_close(c);
    free(reply);
    free(c);
}

AG_TEST_RUN(a_thousand_clients_are_served_at_once) {
    struct site site;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    int many = files.rlim_cur < 2200 ? (int)files.rlim_cur / 2 - 100 : 1000;
    ag_wg wg = AG_WG_INIT;
    ag_http_options patient = {.head_ns = 10 * AG_MIN, .idle_ns = 10 * AG_MIN};
    start(&site, &patient);
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(one_of_many, &site, &wg);
    ag_wg_wait(&wg);
    ag_check_int(stats_of(&site).requests[2], many * 5);
    ag_check_int(stats_of(&site).accepted, many);
    finish(&site);
}

AG_TEST_RUN(one_connection_too_many_takes_the_place_of_an_idle_one) {
    struct site site;
    static struct client others[3];
    ag_http_options o = {.conns_max = 2};
    start(&site, &o);
    for (int i = 0; i < 3; i++) {
        client_open(&others[i], &site);
        say(&others[i], i == 1 ? GET("/wait") : GET("/ok"));
        if (i != 1)
            expect(&others[i], &r, 200, "ok\n");
        else
            eventually(atomic_load(&entered) == 1);
    }
    expect_end(&others[0]);
    ag_check_int(stats_of(&site).evicted, 1);
    say(&others[2], GET("/wait"));
    eventually(atomic_load(&entered) == 2);
    client_open(&cl, &site); /* nobody is idle */
    eventually(stats_of(&site).refused == 1);
    say(&cl, GET("/ok")); /* too late, and no reason to lose the answer */
    expect(&cl, &r, 503, "too many connections\n");
    expect_end(&cl);
    ag_check_int(stats_of(&site).open, 2);
    ag_close(gate);
    for (int i = 1; i < 3; i++)
        expect(&others[i], &r, 200, "waited");
    for (int i = 0; i < 3; i++)
        client_close(&others[i]);
    client_close(&cl);
    finish(&site);
}

/* With one processor, who connects is seen before the request that comes behind. */
AG_TEST_RUN(who_has_sent_something_makes_no_room) {
    enum { FIRST, SECOND, THIRD, ALL };
    struct site site;
    static struct client c[ALL];
    ag_http_options o = {.conns_max = 2};
    ag_procs(1);
    start(&site, &o);
    for (int i = 0; i < THIRD; i++) {
        client_open(&c[i], &site);
        say(&c[i], GET("/ok"));
        expect(&c[i], &r, 200, "ok\n");
        eventually(stats_of(&site).idle == i + 1);
    }
    client_open(&c[THIRD], &site);
    say(&c[FIRST], GET("/ok"));
    expect(&c[FIRST], &r, 200, "ok\n");
    expect_end(&c[SECOND]);
    ag_check_int(stats_of(&site).evicted, 1);
    say(&c[THIRD], GET("/ok"));
    expect(&c[THIRD], &r, 200, "ok\n");
    for (int i = 0; i < ALL; i++)
        client_close(&c[i]);
    finish(&site);
}

/* So many at once; who comes on top of those is closed without a word. */
AG_TEST_RUN(so_many_are_told_that_they_are_too_many) {
    enum { MANY = AG__HTTP_AWAY + 20 };
    struct site site;
    static struct client c[MANY];
    ag_http_options o = {.conns_max = 1};
    int told = 0;
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, GET("/wait"));
    eventually(atomic_load(&entered) == 1);
    for (int i = 0; i < MANY; i++)
        client_open(&c[i], &site);
    eventually(stats_of(&site).refused == MANY);
    for (int i = 0; i < MANY; i++) {
        char text[512] = "";
        ssize_t n = ag_read(c[i].c, text, sizeof text - 1);
        told += n > 0;
        if (n > 0)
            ag_check(strstr(text, "too many connections"));
    }
    ag_check_int(told, AG__HTTP_AWAY);
    ag_check_int(stats_of(&site).open, 1);
    ag_close(gate);
    expect(&cl, &r, 200, "waited");
    for (int i = 0; i < MANY; i++)
        client_close(&c[i]);
    client_close(&cl);
    finish(&site);
}

/* Not the one that came first, nor the one whose limit is the nearest. */
AG_TEST_RUN(the_connection_that_has_been_idle_for_longest_makes_room) {
    enum { FIRST, SECOND, SILENT, FOURTH, FIFTH, LAST, ALL };
    struct site site;
    static struct client c[ALL];
    static const int ends[] = {[FOURTH] = SECOND, [FIFTH] = SILENT, [LAST] = FIRST};
    ag_http_options o = {.conns_max = 3, .head_ns = 10 * AG_SEC};
    start(&site, &o);
    for (int i = 0; i < ALL; i++) {
        eventually(stats_of(&site).idle == (i < 3 ? i : 3));
        client_open(&c[i], &site);
        eventually(stats_of(&site).accepted == i + 1);
        if (i < SILENT) {
            say(&c[i], GET("/ok"));
            expect(&c[i], &r, 200, "ok\n");
        } else if (i == SILENT) {
            say(&c[FIRST], GET("/ok"));
            expect(&c[FIRST], &r, 200, "ok\n");
        } else {
            expect_end(&c[ends[i]]);
        }
    }
    ag_check_int(stats_of(&site).evicted, 3);
    for (int i = FOURTH; i < ALL; i++) {
        say(&c[i], GET("/ok"));
        expect(&c[i], &r, 200, "ok\n");
    }
    for (int i = 0; i < ALL; i++)
        client_close(&c[i]);
    finish(&site);
}

static int64_t cpu_ns(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * AG_SEC +
           ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * AG_US;
}

AG_TEST_RUN(without_descriptors_accepting_waits_and_does_not_spin) {
    struct site site;
    struct rlimit files, few;
    int spare[64], count = 0, late;
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, GET("/wait")); /* not idle: can't be evicted */
    eventually(atomic_load(&entered) == 1);
    getrlimit(RLIMIT_NOFILE, &files);
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    few = (struct rlimit){(rlim_t)late + 33, files.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    while (count < 64 && (spare[count] = dup(0)) >= 0)
        count++;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)strtol(strrchr(ag_listener_addr(site.l), ':') + 1, NULL, 10));
    ag_check_int(connect(late, (struct sockaddr *)&a, sizeof a), 0);
    ag_check_int(write(late, GET("/ok"), sizeof GET("/ok") - 1), sizeof GET("/ok") - 1);
    int64_t cpu = cpu_ns();
    ag_sleep(500 * AG_MS);
    ag_check(cpu_ns() - cpu < 250 * AG_MS);
    ag_check_int(stats_of(&site).accepted, 1);
    while (count)
        close(spare[--count]);
    setrlimit(RLIMIT_NOFILE, &files);
    char buf[512];
    eventually(recv(late, buf, sizeof buf, MSG_DONTWAIT) > 0);
    ag_check_contains(buf, "200 OK");
    close(late);
    ag_close(gate);
    expect(&cl, &r, 200, "waited");
    client_close(&cl);
    finish(&site);
}

/* ---- Clients that disappear ----------------------------------------------------------------- */

AG_TEST_RUN(a_client_that_goes_away_frees_its_handler) {
    struct site site;
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, GET("/flood"));
    eventually(atomic_load(&entered) == 1);
    client_close(&cl); /* with data unread: a reset */
    eventually(atomic_load(&left) == 1);
    ag_check(atomic_load(&last_error) == -EPIPE || atomic_load(&last_error) == -ECONNRESET);
    client_open(&cl, &site);
    say(&cl, "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    eventually(atomic_load(&entered) == 2);
    client_close(&cl);
    eventually(atomic_load(&left) == 2);
    ag_check_int(atomic_load(&last_error), -ECONNRESET);
    client_open(&cl, &site);
    say(&cl, "GET /ok HT");
    client_close(&cl);
    client_open(&cl, &site);
    client_close(&cl);
    eventually(stats_of(&site).open == 0);
    eventually(ag_count() == 2);
    finish(&site);
}

/* ---- Madness -------------------------------------------------------------------------------- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint32_t roll(uint32_t n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 32) * n >> 32);
}

static size_t mutate(char *text, size_t n, size_t room) {
    static const char *const words[] = {"\r\n",
                                        "\n",
                                        " ",
                                        ":",
                                        "chunked",
                                        "Content-Length: ",
                                        "Transfer-Encoding: chunked\r\n",
                                        "0\r\n\r\n",
                                        "%",
                                        "\0",
                                        "99999999999",
                                        "Expect: 100-continue\r\n",
                                        "HTTP/1.0"};
    for (uint32_t i = roll(4); i > 0 && n; i--) {
        size_t at = roll((uint32_t)n);
        const char *word = words[roll(sizeof words / sizeof *words)];
        size_t len = strlen(word) + !*word;
        switch (roll(4)) {
        case 0:
            text[at] = (char)roll(256);
            break;
        case 1:
            if (n + len < room) {
                memmove(text + at + len, text + at, n - at);
                memcpy(text + at, word, len);
                n += len;
            }
            break;
        case 2:
            memmove(text + at, text + at + 1, n - at - 1);
            n--;
            break;
        default:
            n = at;
        }
    }
    return n;
}

#define PUT                                                                                        \
    "PUT /body?ms=10 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nab"

AG_TEST_RUN(whatever_comes_the_server_stays_up) {
    static const char *const seeds[] = {
        GET("/ok"), "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" GET("/ok"),
        "POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n" GET("/ok?a=b"),
        PUT};
    struct site site;
    ag_http_options o = {.head_ns = 20 * AG_MS, .body_ns = 20 * AG_MS, .idle_ns = 50 * AG_MS};
    const char *seconds = getenv("AG_HTTP_MADNESS_S");
    ag_time end = ag_now() + (seconds ? strtol(seconds, NULL, 10) * AG_SEC : 1500 * AG_MS);
    start(&site, &o);
    while (ag_now() < end) {
        char text[1024], answer[4096];
        const char *from = seeds[roll(4)];
        size_t n = strlen(from);
        memcpy(text, from, n);
        n = mutate(text, n, sizeof text);
        client_open(&cl, &site);
        ag_write(cl.c, text, n);
        if (roll(2))
            ag_conn_shutdown(cl.c, SHUT_WR);
        if (roll(8))
            while (ag_read(cl.c, answer, sizeof answer) > 0)
                continue;
        client_close(&cl);
    }
    client_open(&cl, &site);
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    client_close(&cl);
    eventually(stats_of(&site).open == 0);
    ag_check(stats_of(&site).bad_requests > 10);
    finish(&site);
}
