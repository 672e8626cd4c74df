/* SPDX-License-Identifier: MIT */
/*
 * service [ADDR]: a service with a life of its own. SIGTERM stops it in phases, a second one at
 * once; SIGUSR2 replaces it by a new process without closing the port; systemd may hold its socket.
 *
 *     curl localhost:8080/hello; curl localhost:8080/readyz
 *     kill -USR2 $(pidof service)
 */
#include <aglet.h>
#include <aglet/svc.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int greeted;

static void hello(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_sleep(10 * AG_MS); /* work */
    ag_http_printf(res, "hello %d from %d\n", atomic_fetch_add(&greeted, 1), ag_process_pid(NULL));
}

/* Whatever lives as long as the service: a database, workers … */
static int open_store(void *arg) {
    (void)arg;
    return ag_sleep(10 * AG_MS);
}

static void close_store(void *arg) {
    printf("store: closed after %d greetings\n", atomic_load(&greeted));
    fflush(arg);
}

static void say_ready(void *arg) {
    printf("serving http://%s as process %d\n", (const char *)arg, ag_process_pid(NULL));
    fflush(stdout);
}

static int app(void *arg) {
    ag_http_server *web = ag_http_server_new(NULL);
    if (!web)
        return 1;
    ag_defer(ag_http_server_free, web);
    ag_http_handle(web, "GET /hello", hello, NULL);
    ag_http_handle(web, "GET /readyz", ag_svc_readyz, NULL);
    ag_http_handle(web, "GET /livez", ag_svc_livez, NULL);
    ag_http_handle(web, "GET /metrics", ag_http_metrics, NULL);
    const ag_svc_server servers[] = {{.http = web, .addr = arg}, {.http = NULL}};
    const ag_svc_part parts[] = {
        {.name = "store", .start = open_store, .drain = close_store, .arg = stdout},
        {.name = NULL}};
    const ag_service service = {.servers = servers, .parts = parts, .ready = say_ready, .arg = arg};
    return ag_serve(&service) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    return ag_run(app, argc > 1 ? argv[1] : ":8080");
}

/* Not run: serves until a signal comes. */
