/* SPDX-License-Identifier: MIT */
/*
 * Files, filters and event streams of an HTTP server while memory and system calls fail: the first
 * client may lose its connection or be told so, the second one finds all as new.
 */
#include "inject.h"

#include <aglet/http_events.h>
#include <aglet/http_file.h>
#include <aglet/http_filter.h>
#include <aglet/log.h>
#include <fcntl.h>
#include <unistd.h>

enum { LARGE = 30000 };

static char root[] = "/tmp/ag_fail_http.XXXXXX", path[64];

static void make_file(void) {
    static char text[LARGE];
    memset(text, 'x', sizeof text);
    ag_check(mkdtemp(root) != NULL);
    snprintf(path, sizeof path, "%s/large.txt", root);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    ag_check_int(write(fd, text, sizeof text), sizeof text);
    close(fd);
}

static void remove_file(void) {
    unlink(path);
    rmdir(root);
}

static void events(ag_http_request *req, ag_http_response *res) {
    ag_http_events e;
    ag_http_events_begin(&e, req, res, AG_MIN);
    ok_after(ag_http_events_send(&e, "1", "event", "first\nsecond"));
}

static void trailers(ag_http_request *req, ag_http_response *res) {
    char *body;
    if (!ok_after(ag_http_body_all(req, 100, &body, NULL)))
        return;
    const char *value = ag_http_trailer(req, "X-Sum");
    if (ok_ptr(value) && ok(ag_http_trailer_set(res, "X-Sum", value)))
        ok_after((int)ag_http_write(res, body, strlen(body)));
    else
        ag_http_error(res, 500, "no memory");
}

static const char requests[] =
    "GET /f/large.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    "GET /f/large.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9,15000-29999\r\n\r\n"
    "GET /f/large.txt HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    "GET /f/none HTTP/1.1\r\nHost: x\r\n\r\n"
    "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
    "POST /trailers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n"
    "GET /f/large.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\nConnection: close\r\n\r\n";

struct client {
    const char *addr;
    size_t n;
    char answers[3 * LARGE];
};

/* Says everything and takes what comes until the end. Returns false if the line broke. */
static bool talk(struct client *cl) {
    ag_conn *c;
    ssize_t n;
    cl->n = 0;
    if (!ok_after(ag_dial("tcp", cl->addr, &c)))
        return false;
    bool whole = ok_after((int)ag_write(c, requests, sizeof requests - 1));
    do {
        n = whole ? ag_read(c, cl->answers + cl->n, sizeof cl->answers - 1 - cl->n) : 0;
        cl->n += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    ag_unref(c);
    return ok_after((int)n) && whole;
}

static void check_answers(const struct client *cl) {
    static const char *const lines[] = {
        "HTTP/1.1 200 OK\r\n", "HTTP/1.1 206 ",       "multipart/byteranges", "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 404 ",       "HTTP/1.1 200 OK\r\n", "data: second\n",       "HTTP/1.1 200 OK\r\n",
        "\r\nX-Sum: 42\r\n",   "HTTP/1.1 206 ",       "bytes 0-0/30000"};
    const char *at = cl->answers, *end = at + cl->n;
    for (size_t i = 0; i < COUNT(lines); i++) {
        at = memmem(at, (size_t)(end - at), lines[i], strlen(lines[i]));
        if (!at)
            ag_fail("answer without %s in its place", lines[i]);
        at++;
    }
    ag_check(end[-1] == 'x');
}

static void serve(ag_http_server *s, ag_listener *l, atomic_int *served) {
    atomic_store(served, ag_http_serve(s, l));
}

static void stop_serving(ag_http_server *s) {
    if (injected())
        ag_check(ag_http_stop(s, 0) >= 0);
    else
        ag_check_int(ag_http_stop(s, 10 * AG_SEC * ag_test_slow()), 0);
}

static int set_up(ag_http_server *s) {
    ag_panic_info info;
    ag_http_use(s, ag_http_ids, NULL);
    ag_http_use(s, ag_http_traces, NULL);
    ag_http_use(s, ag_http_log, NULL);
    ag_http_use(s, ag_http_gzip, NULL);
    int r = ag_try(&info, ag_http_dir, s, "/f/", root, NULL);
    r = r ? r : ag_try(&info, ag_http_handle, s, "GET /events", events, NULL);
    return r ? r : ag_try(&info, ag_http_handle, s, "POST /trailers", trailers, NULL);
}

static void serve_two(void) {
    static struct client cl;
    atomic_int served = 1;
    ag_wg wg = AG_WG_INIT;
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    if (!ok_ptr(s))
        return;
    int r = set_up(s);
    ag_check(r == 0 || injected() > 0);
    if (r == 0 && ok(ag_listen("tcp", "127.0.0.1:0", &l))) {
        cl.addr = ag_listener_addr(l);
        if (ok(ag_wg_go(&wg, serve, s, l, &served))) {
            if (talk(&cl) && !injected())
                check_answers(&cl);
            if (inject_end() > 0) {
                ag_check(talk(&cl));
                check_answers(&cl);
            }
            stop_serving(s);
            ag_wg_wait(&wg);
            ag_check_int(atomic_load(&served), 0);
        }
        ag_unref(l);
    }
    ag_http_server_free(s);
}

AG_TEST_RUN(files_filters_and_streams_go_on_when_memory_has_run_out) {
    make_file();
    ag_log_set_level(AG_LOG_ERROR + 1);
    WALK(MEMORY, serve_two);
    remove_file();
}

AG_TEST_RUN(files_filters_and_streams_go_on_when_calls_have_failed) {
    make_file();
    ag_log_set_level(AG_LOG_ERROR + 1);
    WALK(SYSTEM, serve_two);
    remove_file();
}
