/* SPDX-License-Identifier: MIT */
/*
 * ask_socket.c - the socket at which a program answers its owner: where it is and when, who gets
 * an answer, and that no client, however it behaves, is noticed by the program.
 */
#include "common.h"

#include "asking.h"
#include <sys/stat.h>

static char *const sock = at_socket.sun_path;

static int run(int (*fn)(void *)) {
    ag_config config = {.quiet = 1};
    return ag_run_with(&config, fn, NULL);
}
static void in_place(int (*fn)(void *)) {
    place();
    ag_check_int(run(fn), 0);
    ag_check_int(access(sock, F_OK), -1); /* the world has ended */
    clear();
}

/* --- A client of few words. --- */

static int call(void) {
    return connects(SOCKET);
}
static int say(const char *words) {
    return sends(call(), words);
}
static char *ask(const char *words) {
    return rest_of(say(words));
}
static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}
#define GET(path) "GET " path " HTTP/1.1\r\nHost: aglet\r\n\r\n"

/* --- Where and when. --- */

static int looks_at_place(void *arg) {
    (void)arg;
    struct stat st;
    char inner[80];
    snprintf(inner, sizeof inner, "%s/aglet", folder);
    ag_check_int(lstat(inner, &st), 0);
    ag_check_int(st.st_mode & 07777, 0700);
    ag_check_int(lstat(sock, &st), 0);
    ag_check(S_ISSOCK(st.st_mode));
    ag_check_int(st.st_mode & 07777, 0600);
    ag_check_int(names_in(inner), 1);
    return 0;
}
AG_TEST(the_socket_is_the_owners_alone_and_goes_with_the_world) {
    umask(0);
    in_place(looks_at_place);
}
AG_TEST(a_strict_umask_does_not_lock_the_owner_out) {
    umask(0777);
    place();
    chmod(folder, 0700);
    ag_check_int(run(looks_at_place), 0);
    clear();
}
static int asks_for_stats(void *arg) {
    (void)arg;
    char *text = ask(GET("/debug/stats"));
    ag_check_contains(text, "HTTP/1.1 200 OK\r\n");
    ag_check_contains(text, "\"goroutines\": 1,");
    free(text);
    return 0;
}
AG_TEST(every_world_of_a_process_has_it) {
    place();
    for (int i = 0; i < 20; i++)
        ag_check_int(run(asks_for_stats), 0);
    clear();
}
static int finds_none(void *arg) {
    (void)arg;
    ag_check_int(access(sock, F_OK), -1);
    return 0;
}
AG_TEST(an_option_leaves_it_out) {
    place();
    ag_config config = {.no_socket = 1};
    ag_check_int(ag_run_with(&config, finds_none, NULL), 0);
    setenv("AGLET_NO_SOCKET", "1", 1);
    ag_check_int(ag_run(finds_none, NULL), 0);
    setenv("AGLET_NO_SOCKET", "0", 1);
    ag_check_int(ag_run_with(&config, looks_at_place, NULL), 0);
    clear();
}
AG_TEST(what_a_dead_process_of_this_number_left_is_replaced) {
    place();
    char inner[80];
    snprintf(inner, sizeof inner, "%s/aglet", folder);
    ag_check_int(mkdir(inner, 0700), 0);
    close(open(sock, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ag_check_int(run(asks_for_stats), 0);
    clear();
}

/* --- Folders that can't be trusted. --- */

static int finds_it_in_tmp(void *arg) {
    (void)arg;
    snprintf(sock, sizeof at_socket.sun_path, "/tmp/aglet-%d/%d.sock", (int)geteuid(),
             (int)getpid());
    ag_check_int(access(sock, F_OK), 0);
    return asks_for_stats(NULL);
}
AG_TEST(a_runtime_folder_that_others_may_write_to_is_not_used) {
    place();
    ag_check_int(chmod(folder, 0777), 0);
    ag_check_int(run(finds_it_in_tmp), 0);
    ag_check_int(rmdir(folder), 0);
}
AG_TEST(without_a_runtime_folder_it_is_in_tmp) {
    unsetenv("XDG_RUNTIME_DIR");
    ag_check_int(run(finds_it_in_tmp), 0);
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    ag_check_int(run(finds_it_in_tmp), 0);
    setenv("XDG_RUNTIME_DIR", "/tmp/not/there", 1);
    ag_check_int(run(finds_it_in_tmp), 0);
}
AG_TEST(a_path_that_is_too_long_for_a_socket_is_not_used) {
    place();
    char longer[300];
    memset(longer, 'x', sizeof longer);
    int n = snprintf(longer, sizeof longer, "%s/", folder);
    longer[n] = 'x';
    longer[200] = 0;
    ag_check_int(mkdir(longer, 0700), 0);
    setenv("XDG_RUNTIME_DIR", longer, 1);
    ag_check_int(run(finds_it_in_tmp), 0);
    ag_check_int(rmdir(longer), 0);
    ag_check_int(rmdir(folder), 0);
}
AG_TEST(a_folder_that_is_open_or_a_link_is_refused_and_the_program_runs) {
    place();
    char inner[80];
    snprintf(inner, sizeof inner, "%s/aglet", folder);
    ag_check_int(mkdir(inner, 0700), 0);
    ag_check_int(chmod(inner, 0750), 0);
    ag_check_int(run(finds_none), 0);
    ag_check_int(rmdir(inner), 0);
    ag_check_int(symlink("/tmp", inner), 0);
    ag_check_int(run(finds_none), 0);
    ag_check_int(unlink(inner), 0);
    ag_check_int(rmdir(folder), 0);
}

/* --- Who gets an answer. --- */

static int asks_as_another_user(void *arg) {
    (void)arg;
    char inner[80];
    snprintf(inner, sizeof inner, "%s/aglet", folder);
    ag_check_int(chmod(folder, 0755) | chmod(inner, 0755) | chmod(sock, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        bool changed = setresuid(65534, 65534, 65534) == 0;
        bool connected = connect(fd, (struct sockaddr *)&at_socket, sizeof at_socket) == 0;
        (void)!send(fd, GET("/debug/stats"), strlen(GET("/debug/stats")), MSG_NOSIGNAL);
        _exit(changed && connected && read(fd, &byte, 1) <= 0 ? 0 : 1);
    }
    int status;
    ag_check_int(waitpid(pid, &status, 0), pid);
    ag_check_int(status, 0);
    return asks_for_stats(NULL);
}
AG_TEST(another_user_gets_no_byte_even_where_the_files_are_open_to_him) {
    if (geteuid() != 0)
        ag_skip("only root can become another user");
    in_place(asks_as_another_user);
}

static int asks_in_many_ways(void *arg) {
    (void)arg;
    static const struct {
        const char *words, *answer, *end;
    } rows[] = {
        {GET("/debug/list"), "HTTP/1.1 200 OK\r\n", "\r\n0\r\n\r\n"},
        {"GET /debug/list HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "for go tool trace\n"},
        {"GET /debug/list HTTP/1.1\n\n", "HTTP/1.1 200 OK\r\n", "\r\n0\r\n\r\n"},
        {GET("/debug/none"), "HTTP/1.1 404 Not Found\r\n", "\r\n0\r\n\r\n"},
        {GET("/debug/goroutines?id=x"), "HTTP/1.1 400 Bad Request\r\n", "\r\n0\r\n\r\n"},
        {GET("/debug/goroutines?id=77777777"), "HTTP/1.1 404 Not Found\r\n", "\r\n0\r\n\r\n"},
        {"POST /debug/list HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method", "only GET is answered\n"},
        {"GET debug HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad", "no HTTP/1 request\n"},
        {"GET /debug/list\r\n\r\n", "HTTP/1.1 400 Bad", "no HTTP/1 request\n"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 Bad", "no HTTP/1 request\n"},
        {"\r\n\r\n", "HTTP/1.1 400 Bad", "no HTTP/1 request\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = ask(rows[i].words);
        if (strncmp(text, rows[i].answer, strlen(rows[i].answer)) != 0 ||
            !ends_with(text, rows[i].end))
            ag_fail("%s is answered with %s", rows[i].words, text);
        free(text);
    }
    char longer[8192];
    memset(longer, 'a', sizeof longer);
    memcpy(longer, "GET /", 5);
    longer[sizeof longer - 1] = 0;
    char *text = ask(longer);
    ag_check_contains(text, "HTTP/1.1 400 Bad");
    free(text);
    int fd = call();
    ag_check_int(write(fd, "GET /\0\r\n\r\n", 10), 10);
    text = rest_of(fd);
    ag_check_contains(text, "HTTP/1.1 400 Bad");
    free(text);
    return 0;
}
AG_TEST(each_question_has_its_status_and_a_whole_answer_an_end) {
    in_place(asks_in_many_ways);
}

static int asks_in_pieces(void *arg) {
    (void)arg;
    const char *words = GET("/debug/list");
    int fd = call();
    for (const char *at = words; *at; at++) {
        ag_check_int(write(fd, at, 1), 1);
        ag_yield();
    }
    char *text = rest_of(fd);
    ag_check_contains(text, "HTTP/1.1 200 OK\r\n");
    free(text);
    return 0;
}
AG_TEST(a_question_may_come_in_pieces) {
    in_place(asks_in_pieces);
}

/* --- When every worker is stuck. --- */

static _Atomic bool burn;
static _Atomic int burning;
static void burns(void) {
    burning++;
    while (burn)
        ;
}
static void *asks_from_outside(void *fd) {
    (void)fd;
    char *text = ask(GET("/debug/goroutines?debug=2"));
    ag_check(strstr(text, "created by burns_all in goroutine 1") != NULL);
    ag_check(ends_with(text, "\r\n0\r\n\r\n"));
    free(text);
    burn = false;
    return NULL;
}
static int burns_all(void *arg) {
    (void)arg;
    pthread_t thread;
    burn = true;
    for (int i = 0; i < 12; i++) /* more than the processors, and the threads that may burn */
        ag_go(burns);
    while (burning < 1)
        ag_yield();
    ag_check_int(pthread_create(&thread, NULL, asks_from_outside, NULL), 0);
    while (burn)
        ;
    pthread_join(thread, NULL);
    return 0;
}
AG_TEST(the_answer_comes_when_every_worker_is_stuck) {
    place();
    ag_config config = {.quiet = 1, .max_running = 1};
    ag_check_int(ag_run_with(&config, burns_all, NULL), 0);
    clear();
}

/* --- Clients that behave badly. --- */

static void sleeps(void) {
    ag_sleep(3600 * AG_SEC);
}
/* Enough goroutines that a dump does not fit into a socket's buffer. */
static void crowd(int n) {
    for (int i = 0; i < n; i++)
        ag_go(sleeps);
}
static int meets_bad_clients(void *arg) {
    (void)arg;
    crowd(1500);
    int before = names_in("/proc/self/fd");
    const char *words = GET("/debug/goroutines?debug=2");
    for (int i = 0; i < 60 / ag_test_slow(); i++) {
        close(call());
        size_t n = (size_t)i % strlen(words);
        int fd = call();
        ag_check_int(send(fd, words, n, 0), n);
        close(fd);
        close(say(words)); /* gone while it is answered */
        fd = say(words);
        shutdown(fd, SHUT_WR);
        char byte;
        ag_check_int(recv(fd, &byte, 1, 0), 1);
        close(fd);
    }
    eventually(names_in("/proc/self/fd") == before);
    return 0;
}
AG_TEST(clients_that_go_away_leave_nothing_behind) {
    in_place(meets_bad_clients);
}

static int slow[6];
static int64_t slow_since;
static int has_slow_clients(void *arg) {
    (void)arg;
    crowd(4000);
    slow[0] = call();
    slow[1] = say("GET /deb");
    for (int i = 2; i < 6; i++)
        slow[i] = say(GET("/debug/goroutines?debug=2"));
    for (int i = 0; i < 3; i++) {
        char *text = ask(GET("/debug/stats"));
        /* In the tiny build there are two answers at a time, and they are taken. */
        ag_check(strstr(text, "200 OK") || strstr(text, "503 Service"));
        free(text);
    }
    slow_since = ag_now();
    return 0;
}
AG_TEST(slow_clients_keep_neither_others_nor_the_end_of_the_world) {
    place();
    ag_check_int(run(has_slow_clients), 0);
    ag_check(ag_now() - slow_since < 15 * AG_SEC * ag_test_slow());
    for (int i = 0; i < 6; i++) {
        char *text = rest_of(slow[i]);
        ag_check(!ends_with(text, "0\r\n\r\n")); /* what broke off does not look whole */
        free(text);
    }
    clear();
}

static _Atomic int answered, sent_away;
static void *asks_often(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) {
        char *text = ask(GET("/debug/goroutines?debug=2"));
        bool later = strstr(text, "503 Service") != NULL;
        if (!later && !ends_with(text, "\r\n0\r\n\r\n"))
            ag_fail("an answer broke off: %.200s", text);
        later ? sent_away++ : answered++;
        free(text);
    }
    return NULL;
}
static int has_many_clients(void *arg) {
    (void)arg;
    pthread_t threads[24];
    for (size_t i = 0; i < COUNT(threads); i++)
        ag_check_int(pthread_create(&threads[i], NULL, asks_often, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        ag_blocking(joins, &threads[i]);
    ag_check_int(answered + sent_away, 24 * 20);
    ag_check(answered > 0);
    return 0;
}
AG_TEST(many_clients_at_once_are_answered_or_told_to_come_later) {
    in_place(has_many_clients);
}

/* --- The end, a fork, all descriptors closed. --- */

static _Atomic bool over;
static void *asks_until_the_end(void *arg) {
    (void)arg;
    while (!over) {
        int fd = call();
        if (fd < 0)
            continue;
        const char *words = GET("/debug/goroutines?debug=2");
        (void)!send(fd, words, strlen(words), MSG_NOSIGNAL);
        free(rest_of(fd));
    }
    return NULL;
}
static int returns_soon(void *arg) {
    (void)arg;
    for (int i = 0; i < 50; i++)
        ag_go(sleeps);
    return 0;
}
AG_TEST(worlds_end_while_questions_come) {
    place();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ag_check_int(pthread_create(&threads[i], NULL, asks_until_the_end, NULL), 0);
    for (int i = 0; i < 100; i++)
        ag_check_int(run(returns_soon), 0);
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    clear();
}

static int child_waits[2];
static pid_t child_pid;
static int forks(void *arg) {
    (void)arg;
    char byte;
    ag_check_int(pipe2(child_waits, O_CLOEXEC), 0);
    child_pid = fork();
    if (child_pid == 0) { /* lives on, and ends as programs end */
        close(child_waits[1]);
        exit(read(child_waits[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(child_waits[0]);
    char *text = ask(GET("/debug/stats")); /* its copy of the client is no client */
    ag_check(ends_with(text, "\r\n0\r\n\r\n"));
    free(text);
    char other[160];
    snprintf(other, sizeof other, "%s.kept", sock);
    ag_check_int(link(sock, other), 0);
    return 0;
}
AG_TEST(a_forked_child_does_not_listen) {
    place();
    ag_check_int(run(forks), 0);
    /* Whose name this is: nobody's, though the child lives. */
    memcpy(sock + strlen(sock), ".kept", 6);
    ag_check_int(access(sock, F_OK), 0);
    ag_check_int(call(), -1);
    ag_check_int(errno, ECONNREFUSED);
    close(child_waits[1]);
    int status;
    ag_check_int(waitpid(child_pid, &status, 0), child_pid);
    ag_check_int(status, 0);
    clear();
}

static int has_a_child_that_exits(void *arg) {
    pid_t pid = fork();
    if (pid == 0)
        exit(0);
    int status;
    ag_check_int(waitpid(pid, &status, 0), pid);
    ag_check_int(status, 0);
    return asks_for_stats(arg);
}
AG_TEST(the_exit_of_a_forked_child_leaves_the_socket_there) {
    in_place(has_a_child_that_exits);
}

static int closes_all(void *arg) {
    (void)arg;
    for (int fd = 3; fd < 64; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
            close(fd);
    }
    return 0;
}
AG_TEST(a_program_that_closes_all_sockets_still_ends) {
    in_place(closes_all);
}
static int reuses_the_number(void *arg) {
    (void)arg;
    int pair[2];
    closes_all(NULL);
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ag_check_int(write(pair[0], "x", 1), 1);
    slow[0] = pair[0];
    slow[1] = pair[1];
    return 0;
}
AG_TEST(a_number_that_means_another_socket_now_is_left_alone) {
    in_place(reuses_the_number);
    char byte = 0;
    ag_check_int(read(slow[1], &byte, 1), 1);
    ag_check_int(write(slow[1], "y", 1), 1);
    ag_check_int(close(slow[0]) | close(slow[1]), 0);
}

static int exits(void *arg) {
    (void)arg;
    ag_check_int(access(sock, F_OK), 0);
    fprintf(stderr, "%s", sock);
    exit(3);
}
static int panics(void *arg) {
    (void)arg;
    fprintf(stderr, "%s\n", sock);
    ag_panic("enough");
    return 0;
}
AG_TEST_DEATH(the_program_exits, 3, "") {
    place();
    run(exits);
}
AG_TEST_DEATH(the_program_panics, 2, "enough") {
    place();
    run(panics);
}
AG_TEST(the_socket_goes_with_exit_and_with_a_panic) {
    static struct child child;
    static const char *const names[] = {"the_program_exits", "the_program_panics"};
    for (size_t i = 0; i < COUNT(names); i++) {
        run_child(&child, names[i]);
        child.text[strcspn(child.text, "\n")] = 0;
        ag_check_contains(child.text, "/aglet/");
        ag_check_int(access(child.text, F_OK), -1);
        for (int up = 0; up < 2; up++) {
            *strrchr(child.text, '/') = 0;
            ag_check_int(rmdir(child.text), 0);
        }
    }
}
