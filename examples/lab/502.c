/* SPDX-License-Identifier: MIT */
/*
 * The article's 502: nginx in front of a service, whose handler keeps one of four database
 * connections for as long as it runs, because its release is deferred to the end. After the query
 * it calls somebody slow. The pool runs dry, requests wait for it, nginx gives up: 504, and once
 * both addresses of the service are in disgrace, 502.
 *
 * nginx, PostgreSQL, libpq and Go's lib/pq are the real ones. The load is the same each time, so
 * many requests a second, whatever becomes of them; each column is a service of its own. While the
 * first one is in trouble it is asked what it does, in the way one would ask one's own.
 *
 * libpq without a thread for each query: its non-blocking calls and ag_fd_wait (query below). A
 * plain PQexec works as well, its processor is handed on; but then the wait is not in the dump, a
 * context does not end it, and each one holds a thread.
 */
#include "servers.h"

#include <aglet/http.h>
#include <libpq-fe.h>

enum {
    CONNS = 4,         /* connections in the pool */
    OUTSIDE_MS = 200,  /* what the slow call takes: so 20 requests a second are too many */
    RATE = 50,         /* requests a second */
    PROXY_WAITS_S = 1, /* how long nginx waits */
    PAGE = 256 * 1024, /* bytes of a page that is asked for */
    STATUSES = 600,
    SECONDS_MAX = 30,
    WIDTH = 96, /* of a line of a page that is shown */
};

/* ---- The service ------------------------------------------------------------------------------
 */

static ag_chan(void *) pool; /* the connections that nobody uses */
static AG_GAUGE(pool_waiting, "pool_waiting", "Requests that wait for a connection.");
static AG_GAUGE(pool_in_use, "pool_in_use", "Connections that somebody has.");
static AG_HISTOGRAM(pool_held, "pool_held_seconds", "How long a connection was kept.",
                    AG_BUCKETS(0.001, 0.01, 0.1, 1));

/* One query. Waits: for the database, as long as the current context lets it. Returns: NULL if the
   connection is broken. */
static PGresult *query(PGconn *db, const char *sql) {
    PGresult *last = NULL, *next;
    if (!PQsendQuery(db, sql))
        return NULL;
    for (int flush; (flush = PQflush(db)) != 0;)
        if (flush < 0 || ag_fd_wait(PQsocket(db), AG_READABLE | AG_WRITABLE, 0) < 0 ||
            !PQconsumeInput(db))
            return NULL;
    do {
        while (PQisBusy(db))
            if (ag_fd_wait(PQsocket(db), AG_READABLE, 0) < 0 || !PQconsumeInput(db))
                goto broken;
        next = PQgetResult(db);
        if (next) {
            PQclear(last);
            last = next;
        }
    } while (next);
    return last;
broken:
    PQclear(last);
    return NULL;
}

static void give_back(PGconn *db, ag_time since) {
    ag_gauge_add(&pool_in_use, -1);
    ag_histogram_since(&pool_held, since);
    ag_send(pool, (void *)db);
}

/* Not inlined: it is looked for by its name. */
static __attribute__((noinline)) PGconn *take(void) {
    void *db = NULL;
    ag_gauge_add(&pool_waiting, 1);
    ag_recv(pool, &db);
    ag_gauge_add(&pool_waiting, -1);
    ag_gauge_add(&pool_in_use, 1);
    return db;
}

/* Stores an order. Returns: its number, 0 if that failed. */
static long store(PGconn *db) {
    PGresult *r = query(db, "INSERT INTO orders DEFAULT VALUES RETURNING id");
    long id = r && PQntuples(r) == 1 ? atol(PQgetvalue(r, 0, 0)) : 0;
    PQclear(r);
    return id;
}

/* Tells somebody who takes his time. */
static void outside_call(long id) {
    (void)id;
    ag_sleep(OUTSIDE_MS * AG_MS);
}

static void answer(ag_http_response *res, long id) {
    if (id)
        ag_http_printf(res, "order %ld\n", id);
    else
        ag_http_error(res, 500, "the database does not answer");
}

/* As the article has it: what was taken is given back at the end. */
static void order_held(ag_http_request *req, ag_http_response *res) {
    (void)req;
    PGconn *db = take();
    ag_defer(give_back, db, ag_now());
    long id = store(db);
    outside_call(id);
    answer(res, id);
}

/* The block ends where the connection is not needed any more, and the client does not wait for
   what does not concern him. */
static void order_early(ag_http_request *req, ag_http_response *res) {
    long id;
    {
        PGconn *db = take();
        ag_defer(give_back, db, ag_now());
        id = store(db);
    }
    answer(res, id);
    ag_http_after(req, outside_call, id);
}

static void serve_one(ag_http_server *s, ag_listener *l) {
    ag_http_serve(s, l);
}

static int service(void *handler) {
    ag_listener *l[2];
    ag_profile_block_rate(1);
    pool = ag_make(void *, CONNS);
    for (int i = 0; i < CONNS; i++) {
        PGconn *db = PQconnectdb(getenv("AGLET_LAB_DB"));
        if (PQstatus(db) != CONNECTION_OK || PQsetnonblocking(db, 1) != 0) {
            fprintf(stderr, "lab-502: %s", PQerrorMessage(db));
            return 1;
        }
        ag_send(pool, (void *)db);
    }
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "POST /order", *(ag_http_handler *)handler, NULL);
    ag_http_handle(s, "/debug/", ag_http_debug, NULL);
    for (int i = 0; i < 2; i++) {
        if (ag_listen("tcp", "127.0.0.1:0", &l[i]) != 0)
            return 1;
        ag_go(serve_one, s, l[i]);
        printf("%s ", strrchr(ag_listener_addr(l[i]), ':') + 1);
    }
    printf("\n");
    fflush(stdout);
    ag_chan(int) end = ag_make(int, 1);
    ag_notify(end, SIGTERM);
    ag_recv(end, NULL);
    return 0;
}

static int held_part(long n) {
    ag_http_handler handler = order_held;
    (void)n;
    return ag_run(service, &handler);
}
static int early_part(long n) {
    ag_http_handler handler = order_early;
    (void)n;
    return ag_run(service, &handler);
}

/* ---- The database ------------------------------------------------------------------------------
 */

/* Where its programs are, in the newest version. Returns: false if there is none. */
static bool find_postgres(char *ret_bin, size_t size) {
    glob_t found;
    bool ok = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0 ||
              glob("/usr/bin/postgres", 0, NULL, &found) == 0 ||
              glob("/usr/local/pgsql/bin/postgres", 0, NULL, &found) == 0;
    if (ok) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];
        snprintf(ret_bin, size, "%.*s", (int)(strrchr(path, '/') - path), path);
    }
    globfree(&found);
    return ok;
}

/* It refuses to be root. */
static const struct passwd *who_runs_it(void) {
    if (getuid() != 0)
        return NULL;
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

/* Starts it with an empty table, on a socket in the folder. Returns: NULL, or what is missing. */
static const char *start_postgres(struct lab_server *s) {
    char bin[PATH_MAX], program[PATH_MAX + 16], data[sizeof lab_dir + 8], db[sizeof data + 64];
    struct lab_start how = {.user = who_runs_it(), .end_signal = SIGINT, .quiet = true};
    struct lab_server init;
    if (!find_postgres(bin, sizeof bin))
        return "PostgreSQL";
    snprintf(data, sizeof data, "%s/data", lab_dir);
    if (mkdir(data, 0700) != 0 ||
        (how.user && (chown(data, how.user->pw_uid, how.user->pw_gid) != 0)))
        return "a folder for the database";
    snprintf(program, sizeof program, "%s/initdb", bin);
    if (!lab_start(&init, &how,
                   (char *[]){program, "-D", data, "-A", "trust", "-U", "lab", "--no-sync",
                              "--no-locale", "-E", "UTF8", NULL}) ||
        lab_wait(&init, LAB_LIMIT_S) != 0)
        return "a database: initdb failed";
    snprintf(program, sizeof program, "%s/postgres", bin);
    if (!lab_start(s, &how,
                   (char *[]){program, "-D", data, "-k", data, "-h", "", "-F", "-c",
                              "shared_buffers=16MB", NULL}))
        return "a database: it does not start";
    snprintf(db, sizeof db, "host=%s user=lab dbname=postgres", data);
    setenv("AGLET_LAB_DB", db, 1);
    for (ag_time end = ag_now() + 60 * AG_SEC; PQping(db) != PQPING_OK; usleep(20000))
        if (ag_now() > end)
            return "a database: it does not answer";
    PGconn *c = PQconnectdb(db);
    PGresult *r = PQexec(c, "CREATE TABLE orders (id bigserial PRIMARY KEY)");
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    PQfinish(c);
    return ok ? NULL : "a table";
}

/* ---- The load ----------------------------------------------------------------------------------
 */

/* What became of the requests, and what was asked in the middle. */
struct outcome {
    _Atomic int status[STATUSES]; /* [0]: no answer at all */
    _Atomic int64_t slowest_ns;
    int port, debug_port, seconds;
    char *dump, *block, *metrics; /* pages, or NULL */
};

static void ask_once(struct outcome *o) {
    ag_time begin = ag_now();
    int status = lab_ask(o->port, "POST", "/order", NULL, 0);
    int64_t ns = ag_now() - begin, seen = o->slowest_ns;
    while (ns > seen && !atomic_compare_exchange_weak(&o->slowest_ns, &seen, ns))
        continue;
    atomic_fetch_add(&o->status[status < STATUSES ? status : 0], 1);
}

static char *page(int port, const char *path) {
    char *text = malloc(PAGE);
    if (text && lab_ask(port, "GET", path, text, PAGE) != 200)
        text[0] = '\0';
    return text;
}

static void look(struct outcome *o) {
    o->dump = page(o->debug_port, "/debug/goroutines?debug=1");
    o->metrics = page(o->debug_port, "/debug/metrics");
}

static int load(void *arg) {
    struct outcome *o = arg;
    ag_wg all = {0};
    ag_ticker *t = ag_ticker_start(AG_SEC / RATE);
    for (int i = 0; i < RATE * o->seconds; i++) {
        ag_wg_go(&all, ask_once, o);
        if (i == RATE && o->debug_port) /* a second: there is a queue, nginx has not yet given up */
            ag_wg_go(&all, look, o);
        ag_recv(ag_ticker_chan(t), NULL);
    }
    ag_wg_wait(&all);
    ag_ticker_stop(t);
    if (o->debug_port)
        o->block = page(o->debug_port, "/debug/pprof/block?debug=1");
    return 0;
}

/* Runs one service behind nginx. Returns: NULL, or what went wrong. */
static const char *measure(char *const argv[], struct outcome *o, bool look) {
    struct lab_server service, nginx = {0, -1};
    char line[64], upstream[256], location[128];
    int ports[2];
    const char *wrong = NULL;
    struct lab_start how = {.end_signal = SIGTERM, .keep_out = true};
    if (!lab_start(&service, &how, argv) || !lab_line(&service, line, sizeof line) ||
        sscanf(line, "%d %d", &ports[0], &ports[1]) != 2)
        wrong = "the service does not start";
    if (!wrong) {
        snprintf(upstream, sizeof upstream, "    server 127.0.0.1:%d;\n    server 127.0.0.1:%d;\n",
                 ports[0], ports[1]);
        snprintf(location, sizeof location, "      proxy_read_timeout %ds;\n", PROXY_WAITS_S);
        o->port = lab_nginx(&nginx, upstream, location);
        o->debug_port = look ? ports[0] : 0;
        wrong = o->port == 0 ? "nginx does not start" : NULL;
    }
    if (!wrong)
        ag_run(load, o);
    lab_stop(&nginx, SIGTERM);
    lab_stop(&service, SIGTERM);
    return wrong;
}

/* ---- What is printed ----------------------------------------------------------------------------
 */

/* The first lines of the paragraph of a page in which `word` is. */
static void print_paragraph(const char *text, const char *word, int lines) {
    const char *at = text ? strstr(text, word) : NULL;
    if (!at) {
        printf("  (nothing with %s)\n", word);
        return;
    }
    while (at > text && !(at[-1] == '\n' && (at - 1 == text || at[-2] == '\n')))
        at--;
    for (; lines-- && *at && *at != '\n'; at += strcspn(at, "\n") + 1)
        printf("  %.*s\n", (int)(strcspn(at, "\n") < WIDTH ? strcspn(at, "\n") : WIDTH), at);
}

static void print_lines(const char *text, const char *prefix) {
    for (const char *at = text; at && *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strncmp(at, prefix, strlen(prefix)) == 0)
            printf("  %.*s\n", (int)strcspn(at, "\n"), at);
}

static void print_looks(const struct outcome *o, const char *port) {
    printf("While the connections are held, the service says\n\n"
           "curl http://%s/debug/goroutines?debug=1      who waits, and who has what\n\n",
           port);
    print_paragraph(o->dump, "take(", 8);
    printf("\n");
    print_paragraph(o->dump, "give_back", 9);
    printf("\ncurl http://%s/debug/metrics | grep pool_\n\n", port);
    print_lines(o->metrics, "pool_");
    printf("\ncurl http://%s/debug/pprof/block?debug=1      where the time went\n\n", port);
    print_paragraph(o->block, "take", 8);
    printf("\n");
}

enum { COLUMNS = 4 };

struct column {
    const char *head;
    struct outcome o;
    const char *wrong;
};

/* A row of counts, or of the longest time if `status` is -1. */
static void add_row(const char *name, const struct column *columns, int status) {
    char cells[COLUMNS][32];
    for (int i = 0; i < COLUMNS; i++) {
        const struct outcome *o = &columns[i].o;
        if (columns[i].wrong)
            snprintf(cells[i], sizeof cells[i], "n/a");
        else if (status < 0)
            snprintf(cells[i], sizeof cells[i], "%.0f ms", (double)o->slowest_ns / 1e6);
        else
            snprintf(cells[i], sizeof cells[i], "%d", o->status[status]);
    }
    lab_row(name, cells[0], cells[1], cells[2], cells[3]);
}

static void print_table(const struct column *columns) {
    lab_begin("A request each 20 ms, four connections to PostgreSQL, a slow call of 200 ms behind "
              "the query;\nnginx waits a second. Answers by status, at nginx:",
              "status", columns[0].head, columns[1].head, columns[2].head, columns[3].head);
    add_row("200 OK", columns, 200);
    for (int status = 0; status < STATUSES; status++) {
        int all = 0;
        char name[40];
        for (int i = 0; i < COLUMNS; i++)
            all += columns[i].o.status[status];
        snprintf(name, sizeof name, "%d %s", status,
                 status ? ag_http_status_text(status) : "no answer");
        if (status != 200 && (all || status == 502 || status == 504))
            add_row(name, columns, status);
    }
    add_row("slowest answer", columns, -1);
    lab_end(
        "The pool decides how many requests a second there can be: connections / time for which "
        "each is\nheld. A release that is deferred to the end of the handler makes that time "
        "the handler's; one\nthat is deferred to the end of a block, the query's. Go's defer "
        "knows no blocks: there the fix is\na function of its own, or an early Close.");
}

static int table(void) {
    struct lab_server db = {0, -1};
    static struct column columns[COLUMNS] = {{.head = "aglet, held"},
                                             {.head = "aglet, given back"},
                                             {.head = "Go, held"},
                                             {.head = "Go, given back"}};
    const char *missing = !lab_nginx_program() ? "nginx"
                          : !lab_dir_make()    ? "a temporary folder"
                                               : start_postgres(&db);
    if (missing) {
        fprintf(stderr, "lab-502: there is no %s\n", missing);
        lab_stop(&db, SIGINT);
        return 1;
    }
    bool go = lab_go_ready();
    for (int i = 0; i < COLUMNS; i++) {
        bool early = i % 2;
        char *self[] = {"/proc/self/exe", "--part", early ? "early" : "held", "0", NULL};
        char *other[] = {lab_go_program, early ? "early" : "held", "0", NULL};
        columns[i].o.seconds = (int)lab_much(3, 6, SECONDS_MAX);
        columns[i].wrong =
            i < 2 || go ? measure(i < 2 ? self : other, &columns[i].o, i == 0) : lab_go_missing;
    }
    lab_stop(&db, SIGINT);
    print_looks(&columns[0].o, "SERVICE");
    print_table(columns);
    if (columns[2].wrong)
        printf("Go's side: %s\n", columns[2].wrong);
    return columns[0].wrong || columns[1].wrong;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {
        {"held", held_part}, {"early", early_part}, {NULL, NULL}};
    static const struct lab lab = {
        "502", "a pool that runs dry behind nginx: who holds the connections?", parts, table};
    return lab_main(argc, argv, &lab);
}
