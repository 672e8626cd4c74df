/* SPDX-License-Identifier: MIT */
/*
 * The service and the clients of restart.py.
 *
 *     e2e_service serve NET ADDR    env: COUNTS, FAULT, PROGRAM, LOG, CHECK_IDLE
 *     e2e_service load PORT CLIENTS [PATH]    until a line comes on stdin; prints the sums
 *
 * Every request owes a deferred call. A process appends `PID OWED RUN` to the file COUNTS in an
 * exit hook. If the file FAULT is there, its first word says what goes wrong while it starts.
 */
#include "../../examples/lab/load.h"

#include <aglet.h>
#include <aglet/svc.h>
#include <signal.h>

static atomic_long owed, run;

static void settle(void) {
    atomic_fetch_add(&run, 1);
}

static void ok(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&owed, 1);
    ag_defer(settle);
    ag_http_text(res, 200, "ok\n");
}

static void slow(ag_http_request *req, ag_http_response *res) {
    const char *ms = ag_http_query_value(req, "ms");
    atomic_fetch_add(&owed, 1);
    ag_defer(settle);
    int r = ag_sleep((ms ? strtol(ms, NULL, 10) : 100) * AG_MS);
    ag_http_text(res, 200, r == 0 ? "slept\n" : "told to end\n");
}

/* Hears nothing of contexts. Its frame must be seen: the wait is no tail call. */
static void stuck(ag_http_request *req, ag_http_response *res) {
    static ag_wg never = AG_WG_INIT;
    (void)req, (void)res;
    ag_wg_add(&never, 1);
    ag_wg_wait(&never);
    __asm__ volatile("" ::: "memory");
}

static void pid(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_printf(res, "%d", ag_process_pid(NULL));
}

static void panic_elsewhere(void) {
    ag_panic("on purpose");
}

static void panics(ag_http_request *req, ag_http_response *res) {
    (void)req, (void)res;
    ag_go(panic_elsewhere);
}

static void exits(ag_http_request *req, ag_http_response *res) {
    (void)req, (void)res;
    exit(3);
}

static void note(void *arg) {
    const char *path = getenv("COUNTS");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f)
        return;
    fprintf(f, "%s%d %ld %ld\n", (const char *)arg, ag_process_pid(NULL), atomic_load(&owed),
            atomic_load(&run));
    fclose(f);
}

static int start(void *arg) {
    const char *path = getenv("FAULT");
    char word[16] = "";
    FILE *f = path ? fopen(path, "r") : NULL;
    (void)arg;
    if (!f)
        return 0;
    if (fscanf(f, "%15s", word) != 1)
        word[0] = 0;
    fclose(f);
    if (strcmp(word, "crash") == 0)
        abort();
    if (strcmp(word, "exit") == 0)
        exit(0);
    if (strcmp(word, "fail") == 0)
        return -EIO;
    if (strcmp(word, "hang") == 0)
        return ag_sleep(AG_MIN);
    if (strcmp(word, "slow") == 0)
        return ag_sleep(AG_SEC);
    return 0;
}

static void ready(void *arg) {
    (void)arg;
    printf("ready %d\n", ag_process_pid(NULL));
    fflush(stdout);
}

static int serve(void *arg) {
    char **argv = arg;
    ag_svc_report report;
    ag_http_options options = {.idle_ns = getenv("CHECK_IDLE") ? 5 * AG_SEC : 0};
    const char *log = getenv("LOG");
    if (log)
        ag_log_setup(&(ag_log_config){.path = log});
    ag_http_server *web = ag_http_server_new(&options);
    ag_defer(ag_http_server_free, web);
    ag_http_handle(web, "/ok", ok, NULL);
    ag_http_handle(web, "/slow", slow, NULL);
    ag_http_handle(web, "/stuck", stuck, NULL);
    ag_http_handle(web, "/pid", pid, NULL);
    ag_http_handle(web, "/panic", panics, NULL);
    ag_http_handle(web, "/exit", exits, NULL);
    ag_http_handle(web, "GET /readyz", ag_svc_readyz, NULL);
    ag_http_handle(web, "GET /livez", ag_svc_livez, NULL);
    ag_svc_at_exit(note, "");
    if (getenv("TWO_HOOKS"))
        ag_svc_at_exit(note, "last ");
    const ag_svc_server servers[] = {{.http = web,
                                      .net = argv[0],
                                      .addr = argv[1],
                                      .name = "web",
                                      .reuse_port = getenv("REUSE_PORT") != NULL},
                                     {.http = NULL}};
    const ag_svc_part parts[] = {{.name = "database", .start = start}, {.name = NULL}};
    const ag_service service = {.servers = servers,
                                .parts = parts,
                                .program = getenv("PROGRAM"),
                                .ready = ready,
                                .report = &report};
    int r = ag_serve(&service);
    printf(
        "ended %d cause %d forced %d handed %d drained %lld cancelled %lld killed %lld cut %lld\n",
        r, report.cause, report.forced, report.handed_over, (long long)report.drained,
        (long long)report.cancelled, (long long)report.killed, (long long)report.cut);
    return r == 0 ? 0 : 1;
}

static int load(int port, int clients, const char *path) {
    static struct load l;
    char line[16];
    l.port = port;
    l.clients = clients < LOAD_CLIENTS ? clients : LOAD_CLIENTS;
    l.path = path;
    load_start(&l);
    while (fgets(line, sizeof line, stdin) && line[0] == '?') {
        printf("%ld\n", atomic_load(&l.answered));
        fflush(stdout);
    }
    load_end(&l);
    printf("answered %ld failed %ld connections %ld %s\n", l.answered, l.failed, l.connections,
           l.first);
    return 0;
}

int main(int argc, char **argv) {
    if (argc >= 4 && strcmp(argv[1], "load") == 0)
        return load(atoi(argv[2]), atoi(argv[3]), argc > 4 ? argv[4] : "/ok");
    if (argc != 4 || strcmp(argv[1], "serve") != 0)
        return 2;
    return ag_run(serve, argv + 2);
}
