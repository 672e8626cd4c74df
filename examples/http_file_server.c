/* SPDX-License-Identifier: MIT */
/*
 * http_file_server [PORT [ROOT]]: serves the tree of files at ROOT, compressed for who takes gzip
 * and in ranges for who asks for them, with an access log on stderr; /events tells the time once a
 * second, until the client or the server goes. SIGTERM and SIGINT stop it gracefully.
 */
#include <aglet.h>
#include <aglet/http_events.h>
#include <aglet/http_file.h>
#include <aglet/http_filter.h>
#include <stdio.h>

static void tell_time(ag_http_request *req, ag_http_response *res) {
    ag_http_events e;
    ag_http_events_begin(&e, req, res, 0);
    do {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)(ag_wall() / AG_SEC));
        if (ag_http_events_send(&e, text, "time", text) != 0)
            return;
    } while (ag_sleep(AG_SEC) == 0);
}

static void stop_on_signal(ag_http_server *s) {
    ag_chan(int) signals = ag_make(int, 1);
    ag_notify(signals, SIGTERM, SIGINT);
    ag_recv(signals, NULL);
    int64_t cut = ag_http_stop(s, 10 * AG_SEC);
    printf("stopped, %lld connections cut\n", (long long)cut);
}

static int app(void *arg) {
    char **args = arg, addr[64];
    const ag_http_dir_options options = {.cache_control = "no-cache", .precompressed = true};
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_use(s, ag_http_ids, NULL);
    ag_http_use(s, ag_http_log, NULL);
    ag_http_use(s, ag_http_gzip, NULL);
    ag_http_handle(s, "GET /events", tell_time, NULL);
    ag_http_dir(s, "/", args[1] && args[2] ? args[2] : ".", &options);
    snprintf(addr, sizeof addr, "127.0.0.1:%s", args[1] ? args[1] : "8080");
    if (ag_listen("tcp", addr, &l) < 0)
        return 1;
    printf("serving on http://%s\n", ag_listener_addr(l));
    fflush(stdout);
    ag_go(stop_on_signal, s);
    int r = ag_http_serve(s, l);
    ag_http_server_free(s);
    return r < 0;
}

int main(int argc, char **argv) {
    (void)argc;
    return ag_run(app, argv);
}
/* Not run: serves until a signal comes. */
