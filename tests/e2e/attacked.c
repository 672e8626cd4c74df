/* SPDX-License-Identifier: MIT */
/*
 * attacked [NAME=N…]: the server that attacks.py attacks. Each N is a member of ag_http_options,
 * times in milliseconds. It prints its port; SIGTERM stops it.
 *
 *     GET /ok         "ok"                     GET /big      16 MiB, piece by piece
 *     POST /body      the length of the body   POST /upload  writes the body to /dev/full: 507
 *     GET /stats      the server's counters    GET /panic    panics
 */
#include <aglet.h>
#include <aglet/http.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, PIECES = 256 };

static void ok(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok\n");
}

static void body(ag_http_request *req, ag_http_response *res) {
    char buf[4096];
    int64_t length = 0;
    for (ssize_t n; (n = ag_http_body_read(req, buf, sizeof buf)) != 0; length += n)
        if (n < 0)
            return;
    ag_http_printf(res, "%lld\n", (long long)length);
}

static void big(ag_http_request *req, ag_http_response *res) {
    static const char piece[PIECE];
    (void)req;
    for (int i = 0; i < PIECES; i++)
        if (ag_http_write(res, piece, sizeof piece) < 0)
            return;
}

static void upload(ag_http_request *req, ag_http_response *res) {
    char buf[4096];
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ssize_t written = fd < 0 ? -ENOENT : 0;
    for (ssize_t n; written >= 0 && (n = ag_http_body_read(req, buf, sizeof buf)) != 0;) {
        if (n < 0)
            break;
        written = ag_file_write(fd, buf, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    if (written < 0)
        ag_http_error(res, written == -ENOSPC ? 507 : 500, "%s", strerror((int)-written));
}

static void panics(ag_http_request *req, ag_http_response *res) {
    (void)req, (void)res;
    ag_panic("as asked");
}

static void stats(ag_http_request *req, ag_http_response *res) {
    ag_http_stats s;
    ag_http_stats_read(ag_http_server_of(req), &s);
    ag_http_printf(res,
                   "open %lld\nidle %lld\naccepted %lld\nevicted %lld\ntimed_out %lld\n"
                   "refused %lld\nbad_requests %lld\npanics %lld\n",
                   (long long)s.open, (long long)s.idle, (long long)s.accepted,
                   (long long)s.evicted, (long long)s.timed_out, (long long)s.refused,
                   (long long)s.bad_requests, (long long)s.panics);
}

/* "head_ms=500" and so on. Returns: false if it is none. */
static bool take_option(ag_http_options *o, const char *text) {
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : 0;
    long value = equals ? strtol(equals + 1, NULL, 10) : 0;
    struct {
        const char *name;
        ag_time *time;
    } times[] = {{"head_ms", &o->head_ns},
                 {"idle_ms", &o->idle_ns},
                 {"body_ms", &o->body_ns},
                 {"write_ms", &o->write_ns}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (n == strlen(times[i].name) && memcmp(text, times[i].name, n) == 0) {
            *times[i].time = value * AG_MS;
            return true;
        }
    if (n == 9 && memcmp(text, "conns_max", n) == 0)
        o->conns_max = (uint32_t)value;
    else if (n == 8 && memcmp(text, "body_max", n) == 0)
        o->body_max = value;
    else
        return false;
    return true;
}

static void stop_on_signal(ag_http_server *s) {
    ag_chan(int) signals = ag_make(int, 1);
    ag_notify(signals, SIGTERM);
    ag_recv(signals, NULL);
    printf("stopped, %lld connections cut\n", (long long)ag_http_stop(s, 5 * AG_SEC));
}

static int app(void *argv) {
    ag_http_options o = {0};
    ag_listener *l;
    for (char **arg = (char **)argv + 1; *arg; arg++)
        if (!take_option(&o, *arg))
            return 2;
    ag_http_server *s = ag_http_server_new(&o);
    ag_http_handle(s, "GET /ok", ok, NULL);
    ag_http_handle(s, "POST /body", body, NULL);
    ag_http_handle(s, "GET /big", big, NULL);
    ag_http_handle(s, "POST /upload", upload, NULL);
    ag_http_handle(s, "GET /panic", panics, NULL);
    ag_http_handle(s, "GET /stats", stats, NULL);
    if (ag_listen("tcp", "127.0.0.1:0", &l) != 0)
        return 1;
    printf("%s\n", strrchr(ag_listener_addr(l), ':') + 1);
    fflush(stdout);
    ag_go(stop_on_signal, s);
    return ag_http_serve(s, l) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    (void)argc;
    return ag_run(app, argv);
}
