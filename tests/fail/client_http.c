/* SPDX-License-Identifier: MIT */
/*
 * An HTTP client while memory and system calls fail: a request may be lost, the client may not, and
 * nothing is left behind.
 */
#include "inject.h"

#include <aglet/http.h>
#include <aglet/http_client.h>

/* More than the buffers hold. With tiny ones it takes many calls, and each of them fails once. */
#ifdef AG_TINY
enum { BODY = 4000 };
#else
enum { BODY = 40000 };
#endif

static char body[BODY + 1];
static char url[64];
static bool http2; /* in the clear */

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[4096];
    ssize_t n;
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (!ok_after(ag_http_write(res, buf, (size_t)n)))
            return;
}

static void cookie(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_set(res, "Set-Cookie", "a=b");
    ok_after(ag_http_redirect(res, 302, "/echo"));
}

static ssize_t give(void *arg, void *buf, size_t n) {
    int *left = arg;
    n = (size_t)*left < n ? (size_t)*left : n;
    memset(buf, 'b', n);
    *left -= (int)n;
    return (ssize_t)n;
}

static int rewind_body(void *arg) {
    *(int *)arg = BODY;
    return 0;
}

/* One request of each kind. Returns false if one was lost. */
static bool ask(ag_http_client *client) {
    int left = BODY;
    char where[3][96];
    snprintf(where[0], sizeof where[0], "%s/echo", url);
    snprintf(where[1], sizeof where[1], "%s/cookie", url);
    ag_http_client_request requests[] = {
        {.url = where[0], .body = body, .body_n = 100},
        {.url = where[1]},
        {.url = where[0], .body = body, .body_n = BODY},
        {.url = where[0], .read = give, .rewind = rewind_body, .arg = &left},
    };
    static const size_t want[] = {100, 0, BODY, BODY};
    for (size_t i = 0; i < COUNT(requests); i++) {
        ag_http_reply *r;
        char *text;
        size_t n = 0;
        int e = ag_http_client_do(client, &requests[i], &r);
        ag_check_int(e != 0, *ag_http_reply_error(r) != 0);
        if (e == 0)
            e = ag_http_reply_read_all(r, BODY, &text, &n);
        /* It may have been the server that failed, and answered something. */
        bool lost = !ok_after(e) || ag_http_reply_status(r) != 200 || n != want[i];
        ag_check(!lost || injected() > 0);
        ag_http_reply_close(r);
        if (lost)
            return false;
    }
    return true;
}

static void serve(ag_http_server *s, ag_listener *l) {
    ag_http_serve(s, l);
}

static void use(ag_http_client *client) {
    bool whole = ask(client);
    ag_check(whole || injected() > 0);
    /* As good as new. A POST may meet a connection on which the server has failed just now. */
    if (inject_end() > 0) {
        ag_http_client_close_idle(client);
        ag_check(ask(client));
    }
}

static void ask_twice(void) {
    ag_wg wg = AG_WG_INIT;
    ag_listener *l;
    ag_panic_info info;
    ag_http_server *s = ag_http_server_new(NULL);
    if (!ok_ptr(s))
        return;
    int r = ag_try(&info, ag_http_handle, s, "/echo", echo, NULL);
    r = r ? r : ag_try(&info, ag_http_handle, s, "/cookie", cookie, NULL);
    if (r == 0 && ok(ag_listen("tcp", "127.0.0.1:0", &l))) {
        snprintf(url, sizeof url, "http://me:pass@%s", ag_listener_addr(l));
        if (ok(ag_wg_go(&wg, serve, s, l))) {
            ag_http_jar *jar = ag_http_jar_new();
            ag_http_client *client = ok_ptr(jar) ? ag_http_client_new(&(ag_http_client_options){
                                                       .jar = jar, .http2_in_clear = http2})
                                                 : NULL;
            if (jar && ok_ptr(client))
                use(client);
            ag_http_client_free(client);
            ag_http_jar_free(jar);
            ag_check(ag_http_stop(s, 0) >= 0);
            ag_wg_wait(&wg);
        }
        ag_unref(l);
    }
    ag_http_server_free(s);
}

/* Not GROW: on whatever processor it comes to wait, the room for timers may have to grow. */
AG_TEST_RUN(a_client_goes_on_when_memory_has_run_out) {
    memset(body, 'b', BODY);
    WALK(MEMORY, ask_twice);
}

AG_TEST_RUN(a_client_goes_on_when_calls_have_failed) {
    memset(body, 'b', BODY);
    WALK(SYSTEM | THREAD, ask_twice);
}

static bool speaks_http2(void) {
    ag_http_client *client = ag_http_client_new(&(ag_http_client_options){.http2_in_clear = true});
    ag_http_reply *r;
    int e = ag_http_get(client, "http://127.0.0.1:1/", &r);
    ag_http_reply_close(r);
    ag_http_client_free(client);
    return e != -EPROTONOSUPPORT;
}

/* Whether there is anything to walk. */
static void begin_http2(void) {
    if (!speaks_http2())
        ag_skip("nghttp2 in this build");
    http2 = true;
    memset(body, 'b', BODY);
}

AG_TEST_RUN(a_client_of_http2_goes_on_when_memory_has_run_out) {
    begin_http2();
    WALK(MEMORY, ask_twice);
}

AG_TEST_RUN(a_client_of_http2_goes_on_when_calls_have_failed) {
    begin_http2();
    WALK(SYSTEM | THREAD, ask_twice);
}
