/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server while memory and system calls fail: a request may be lost with its connection,
 * the server may not.
 */
#include "inject.h"

#include <aglet/http.h>
#include <stdarg.h>

/* ---- Making a server ------------------------------------------------------------------------ */

static void nothing_to_say(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
}

static void add_route(ag_http_server *s, const char *pattern) {
    ag_http_handle(s, pattern, nothing_to_say, NULL);
}

static void make(void) {
    static const char *const patterns[] = {"GET /a/{id}", "/a/", "POST host.example/b/{rest...}",
                                           "/c/{$}"};
    ag_panic_info info;
    ag_http_server *s = ag_http_server_new(NULL);
    if (!ok_ptr(s))
        return;
    for (size_t i = 0; i < COUNT(patterns); i++) {
        int r = ag_try(&info, add_route, s, patterns[i]);
        if (r == 0)
            continue;
        ag_check(injected() > 0);
        ag_check(strstr(info.msg, "memory") != NULL);
        /* The route is not there, and nothing is in its way. */
        ag_http_handle(s, patterns[i], nothing_to_say, NULL);
    }
    ag_http_server_free(s);
}
AG_TEST_RUN(a_server_without_memory_is_null_and_a_route_panics) {
    WALK(MEMORY | GROW, make);
}

/* ---- Serving -------------------------------------------------------------------------------- */

enum { LARGE = 100000, HEAD = 20000 };

static void after(atomic_int *count) {
    atomic_fetch_add(count, 1);
}

static void hello(ag_http_request *req, ag_http_response *res) {
    static atomic_int ran;
    const char *name = ag_http_path_value(req, "name"), *q = ag_http_query_value(req, "q");
    void *memory = ag_http_alloc(req, 10000);
    if (!ok_ptr(name) || !ok_ptr(q) || !ok_ptr(memory) || !ok(ag_http_set(res, "X-Name", name)) ||
        !ok(ag_http_after(req, after, &ran))) {
        ag_http_error(res, 500, "no memory");
        return;
    }
    ag_check_str(name, "bob");
    ag_check_str(q, "a b");
    ok_after(ag_http_text(res, 200, name));
}

static void body(ag_http_request *req, ag_http_response *res) {
    char *text;
    size_t n;
    int r = ag_http_body_all(req, 1 << 20, &text, &n);
    if (!ok_after(r)) {
        ag_http_error(res, 500, "no body");
        return;
    }
    ag_check_int(n, HEAD);
    ok_after(ag_http_text(res, 200, "got it"));
}

static void large(ag_http_request *req, ag_http_response *res) {
    (void)req;
    for (int i = 0; i < LARGE / 2000; i++)
        if (!ok_after(ag_http_printf(res, "%02000d", i)))
            return;
    ok_after(ag_http_flush(res));
}

static void filter(ag_http_request *req, ag_http_response *res) {
    ag_http_next(req, res);
}

static char requests[2 * HEAD + 1000];

static void write_requests(void) {
    static char many[HEAD + 1];
    memset(many, 'a', HEAD);
    snprintf(requests, sizeof requests,
             "GET /hello/bob?q=a%%20b HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n"
             "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
             "%x\r\n%s\r\n0\r\n\r\n"
             "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
             "PUT /hello/bob HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
             "GET //large HTTP/1.1\r\nHost: x\r\n\r\n"
             "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             many, HEAD, many);
}

struct client {
    const char *addr;
    size_t n;
    char answers[LARGE + 10000];
};

/* Says everything and takes what comes until the end. Returns false if the line broke. */
static bool talk(struct client *cl) {
    ag_conn *c;
    ssize_t n;
    cl->n = 0;
    if (!ok_after(ag_dial("tcp", cl->addr, &c)))
        return false;
    bool whole = ok_after(ag_write(c, requests, strlen(requests)));
    do {
        n = whole ? ag_read(c, cl->answers + cl->n, sizeof cl->answers - 1 - cl->n) : 0;
        cl->n += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    ag_unref(c);
    cl->answers[cl->n] = 0;
    return ok_after(n) && whole;
}

static void check_answers(const struct client *cl) {
    static const char *const lines[] = {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n",
                                        "HTTP/1.1 404 ",       "HTTP/1.1 405 ",
                                        "HTTP/1.1 307 ",       "HTTP/1.1 200 OK\r\n"};
    const char *at = cl->answers;
    for (size_t i = 0; i < COUNT(lines); i++) {
        at = strstr(at, "HTTP/1.1 ");
        ag_check(at && strncmp(at, lines[i], strlen(lines[i])) == 0);
        at++;
    }
    ag_check(cl->n > LARGE);
}

static void serve(ag_http_server *s, ag_listener *l, atomic_int *served) {
    atomic_store(served, ag_http_serve(s, l));
}

/* A graceful stop looks for late clients for some 25 ms. Every walk ends with a run in which
 * nothing failed; in the others the server stops at once. */
static void stop_serving(ag_http_server *s) {
    if (injected())
        ag_check(ag_http_stop(s, 0) >= 0);
    else
        ag_check_int(ag_http_stop(s, 10 * AG_SEC * ag_test_slow()), 0);
}

static const struct language {
    bool (*talk)(struct client *cl);
    void (*check)(const struct client *cl);
} http1 = {talk, check_answers}, *spoken;

/* The first client meets the failure; the second one finds a server as good as new. */
static void serve_two(void) {
    static struct client cl;
    atomic_int served = 1;
    ag_wg wg = AG_WG_INIT;
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    if (!ok_ptr(s))
        return;
    ag_panic_info info;
    int r = ag_try(&info, ag_http_handle, s, "GET /hello/{name}", hello, NULL);
    r = r ? r : ag_try(&info, ag_http_handle, s, "POST /body", body, NULL);
    r = r ? r : ag_try(&info, ag_http_handle, s, "GET /large", large, NULL);
    ag_http_use(s, filter, NULL);
    ag_check(r == 0 || injected() > 0);
    if (r == 0 && ok(ag_listen("tcp", "127.0.0.1:0", &l))) {
        cl.addr = ag_listener_addr(l);
        if (ok(ag_wg_go(&wg, serve, s, l, &served))) {
            if (spoken->talk(&cl) && !injected())
                spoken->check(&cl);
            if (inject_end() > 0) {
                ag_check(spoken->talk(&cl));
                spoken->check(&cl);
            }
            stop_serving(s);
            ag_wg_wait(&wg);
            ag_check_int(atomic_load(&served), 0);
        }
        ag_unref(l);
    }
    ag_http_server_free(s);
}
AG_TEST_RUN(a_server_goes_on_when_memory_has_run_out) {
    write_requests();
    spoken = &http1;
    WALK(MEMORY, serve_two);
}
AG_TEST_RUN(a_server_goes_on_when_calls_have_failed) {
    write_requests();
    spoken = &http1;
    WALK(SYSTEM | THREAD, serve_two);
}

/* ---- HTTP/2 --------------------------------------------------------------------------------- */

enum { H2_DATA, H2_HEADERS, H2_RESET = 3, H2_SETTINGS, H2_WINDOW = 8 }; /* types of frames */
enum { H2_END_STREAM = 1, H2_END_HEADERS = 4, H2_FRAME = 9, H2_STREAMS = 3 };

static size_t h2_n; /* of requests */

static void h2_put(const void *bytes, size_t n) {
    ag_check(h2_n + n <= sizeof requests);
    memcpy(requests + h2_n, bytes, n);
    h2_n += n;
}

static void h2_frame(int type, int flags, int stream, const void *payload, size_t n) {
    unsigned char head[H2_FRAME] = {[1] = (unsigned char)(n >> 8),
                                    (unsigned char)n,
                                    (unsigned char)type,
                                    (unsigned char)flags,
                                    [8] = (unsigned char)stream};
    h2_put(head, sizeof head);
    h2_put(payload, n);
}

/* Fields as literals, but for what has numbers of its own: RFC 7541, appendix A. */
static void h2_request(int stream, bool post, const char *path) {
    unsigned char fields[64];
    size_t n = strlen(path);
    int length = snprintf((char *)fields, sizeof fields, "%c\x86\x04%c%s\x01\x01x",
                          post ? 0x83 : 0x82, (int)n, path);
    h2_frame(H2_HEADERS, H2_END_HEADERS | (post ? 0 : H2_END_STREAM), stream, fields,
             (size_t)length);
}

static void write_h2_requests(void) {
    static const unsigned char much[] = {0, 4, 0, 16, 0, 0}; /* a window of 1 MiB */
    static char many[HEAD];
    h2_n = 0;
    h2_put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    h2_frame(H2_SETTINGS, 0, 0, much, 6);
    h2_frame(H2_WINDOW, 0, 0, much + 2, 4);
    h2_request(1, false, "/hello/bob?q=a%20b");
    h2_request(3, true, "/body");
    h2_frame(H2_DATA, 0, 3, many, HEAD / 2);
    h2_frame(H2_DATA, H2_END_STREAM, 3, many, HEAD / 2);
    h2_request(5, false, "/large");
}

struct h2_answers {
    size_t taken; /* bytes of cl->answers */
    size_t bytes[H2_STREAMS];
    int status[H2_STREAMS]; /* the first byte of the fields: 0x88 is 200 */
    int ended;
    bool reset;
};

static void h2_take(struct h2_answers *a, const struct client *cl) {
    const unsigned char *at;
    size_t n;
    for (; cl->n - a->taken >= H2_FRAME; a->taken += H2_FRAME + n) {
        at = (const unsigned char *)cl->answers + a->taken;
        n = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        if (cl->n - a->taken < H2_FRAME + n)
            return;
        int type = at[3], i = at[8] / 2;
        if (at[8] == 0)
            continue;
        ag_check(i < H2_STREAMS);
        if (type == H2_HEADERS && !a->status[i])
            a->status[i] = at[H2_FRAME];
        if (type == H2_DATA)
            a->bytes[i] += n;
        a->reset |= type == H2_RESET;
        a->ended += type == H2_RESET ||
                    ((type == H2_DATA || type == H2_HEADERS) && (at[4] & H2_END_STREAM));
    }
}

/* Until all streams have ended. */
static bool h2_talk(struct client *cl) {
    struct h2_answers a = {.taken = 0};
    ag_conn *c;
    ssize_t n;
    cl->n = 0;
    if (!ok_after(ag_dial("tcp", cl->addr, &c)))
        return false;
    bool whole = ok_after(ag_write(c, requests, h2_n));
    do {
        n = whole ? ag_read(c, cl->answers + cl->n, sizeof cl->answers - 1 - cl->n) : 0;
        cl->n += n > 0 ? (size_t)n : 0;
        h2_take(&a, cl);
    } while (n > 0 && a.ended < H2_STREAMS);
    ag_unref(c);
    if (strncmp(cl->answers, "HTTP/1", 6) == 0)
        ag_skip("a build without nghttp2");
    return ok_after(n) && whole && a.ended == H2_STREAMS && !a.reset;
}

static void h2_check(const struct client *cl) {
    struct h2_answers a = {.taken = 0};
    h2_take(&a, cl);
    for (int i = 0; i < H2_STREAMS; i++)
        ag_check_int(a.status[i], 0x88);
    ag_check_int(a.bytes[0], 3);
    ag_check_int(a.bytes[1], 6);
    ag_check_int(a.bytes[2], LARGE);
}

static const struct language http2 = {h2_talk, h2_check};

AG_TEST_RUN(a_server_of_http2_goes_on_when_memory_has_run_out) {
    write_h2_requests();
    spoken = &http2;
    WALK(MEMORY, serve_two);
}
AG_TEST_RUN(a_server_of_http2_goes_on_when_calls_have_failed) {
    write_h2_requests();
    spoken = &http2;
    WALK(SYSTEM | THREAD, serve_two);
}

/* ---- A panic in a handler ------------------------------------------------------------------- */

static void panics(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
    ag_panic("on purpose");
}

AG_TEST_RUN(a_panic_is_told_without_memory) {
    atomic_int served = 1;
    ag_wg wg = AG_WG_INIT;
    ag_listener *l;
    ag_conn *c;
    char text[4096] = "";
    size_t at = 0;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/", panics, NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check(ag_wg_go(&wg, serve, s, l, &served) > 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), 0);
    inject("open_memstream", ENOMEM, 1, true);
    ag_check(ag_write(c, "GET / HTTP/1.0\r\n\r\n", 18) == 18);
    for (ssize_t n; (n = ag_read(c, text + at, sizeof text - 1 - at)) > 0;)
        at += (size_t)n;
    ag_check_int(inject_end(), 1);
    ag_check_contains(text, "500 Internal Server Error");
    ag_unref(c);
    ag_check_int(ag_http_stop(s, AG_SEC), 0);
    ag_wg_wait(&wg);
    ag_unref(l);
    ag_http_server_free(s);
}
