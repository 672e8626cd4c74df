/* SPDX-License-Identifier: MIT */
/*
 * A service is restarted again and again while clients ask it without a break: how many requests
 * are lost, and does every deferred call run that a process owes when it ends?
 *
 * Three ways. "socket handed on": SIGUSR2, the successor gets the listening socket, and the old one
 * stops when that serves (ag_serve). "socket held": the lab holds the socket, as systemd does, and
 * stops one process before it starts the next; aglet's stops by ag_serve, Go's by http.Server's
 * Shutdown, each after the signal. "no socket": the same, but each process listens by itself; what
 * comes between two finds a closed port. With nginx in front of it (proxy_pass with keep-alive, no
 * second try), if that is installed.
 *
 *     lab-restart --restarts N     instead of 100, or the 1,000 of --full
 *
 * The clients (load.h) are threads of the lab with blocking sockets. A process writes how many
 * deferred calls its requests owed and how many have run, in an exit hook; Go's at the end of main.
 */
#define _GNU_SOURCE /* pipe2, strcasestr */
#include "lab.h"
#include "load.h"

#include <aglet/svc.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum {
    CLIENTS = 16,
    BETWEEN = 200 /* answers between two restarts */,
    WAIT_S = 30,
    SLOW_RESTARTS = 50
};

static long restarts;

/* ---- The service ------------------------------------------------------------------------------
 */

static atomic_long owed, run;

static void settle(void) {
    atomic_fetch_add(&run, 1);
}

static void answer(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&owed, 1);
    ag_defer(settle);
    ag_http_text(res, 200, "ok\n");
}

/* On the pipe that stdout is: shorter than what could be torn apart. */
static void say(const char *fmt, ...) {
    char line[128];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (write(STDOUT_FILENO, line, (size_t)n) != n)
        _exit(1);
}

static void say_owed(void *arg) {
    (void)arg;
    say("owed %ld run %ld\n", atomic_load(&owed), atomic_load(&run));
}

static void say_ready(void *arg) {
    (void)arg;
    say("ready %d\n", (int)getpid());
}

static int serve(void *addr) {
    ag_log_set_level(AG_LOG_WARN);
    ag_http_server *web = ag_http_server_new(NULL);
    if (!web)
        return 1;
    ag_defer(ag_http_server_free, web);
    ag_http_handle(web, "GET /", answer, NULL);
    ag_svc_at_exit(say_owed, NULL);
    const ag_svc_server servers[] = {{.http = web, .addr = addr, .name = "web"}, {.http = NULL}};
    return ag_serve(&(ag_service){.servers = servers, .ready = say_ready}) == 0 ? 0 : 1;
}

static int service_part(long port) {
    char addr[32];
    snprintf(addr, sizeof addr, "127.0.0.1:%ld", port);
    return ag_run(serve, addr);
}

/* ---- Its master -------------------------------------------------------------------------------
 */

struct master {
    const char *program; /* "/proc/self/exe", or Go's */
    int socket;          /* that is given to it, or -1 */
    int port;
    int ends[2];      /* what the processes say */
    char text[65536]; /* said and not taken yet */
    size_t n;
    long owed, run, processes;
};

/* A listening socket; *port may be 0. */
static int listen_at(int *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t n = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static void master_init(struct master *m, const char *program, bool held) {
    *m = (struct master){.program = program, .socket = -1};
    m->socket = listen_at(&m->port);
    if (!held) {
        close(m->socket); /* the port is known now */
        m->socket = -1;
    }
    if (pipe2(m->ends, O_CLOEXEC) != 0)
        abort();
}

/* Between fork and exec. */
static void become_service(const struct master *m) {
    char port[16], pid[16];
    snprintf(port, sizeof port, "%d", m->port);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(m->ends[1], STDOUT_FILENO);
    unsetenv("LISTEN_FDS");
    if (m->socket >= 0) {
        dup2(m->socket, 3);
        if (m->socket == 3)
            fcntl(3, F_SETFD, 0);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_PID", pid, 1);
    }
    if (strcmp(m->program, "/proc/self/exe") == 0)
        execl(m->program, "lab-restart", "--part", "service", port, (char *)NULL);
    else
        execl(m->program, m->program, "service", port, (char *)NULL);
    _exit(127);
}

/* Takes the next line; counts what was owed on the way. */
static bool next_line(struct master *m, char *line, size_t size) {
    for (;;) {
        char *end = memchr(m->text, '\n', m->n);
        if (end) {
            size_t n = (size_t)(end - m->text);
            snprintf(line, size, "%.*s", (int)n, m->text);
            m->n -= n + 1;
            memmove(m->text, end + 1, m->n);
            return true;
        }
        struct pollfd p = {.fd = m->ends[0], .events = POLLIN};
        if (poll(&p, 1, WAIT_S * 1000) <= 0)
            return false;
        ssize_t got = read(m->ends[0], m->text + m->n, sizeof m->text - m->n);
        if (got <= 0)
            return false;
        m->n += (size_t)got;
    }
}

/* Waits until one serves, or, with 0, until one has ended. Returns: its number; 0, -1 if none. */
static int hear(struct master *m, bool ready) {
    char line[128];
    long o, r;
    int pid;
    while (next_line(m, line, sizeof line)) {
        if (sscanf(line, "owed %ld run %ld", &o, &r) == 2) {
            m->owed += o;
            m->run += r;
            m->processes++;
            if (!ready)
                return 0;
        } else if (sscanf(line, "ready %d", &pid) == 1 && ready) {
            return pid;
        }
    }
    return -1;
}

static int begin_service(struct master *m) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become_service(m);
    return pid < 0 ? -1 : hear(m, true);
}

static bool end_service(struct master *m, int pid) {
    kill(pid, SIGTERM);
    return hear(m, false) == 0;
}

static void until_answered(const struct load *l, long more) {
    long goal = atomic_load(&l->answered) + more;
    for (int i = 0; i < WAIT_S * 1000 && atomic_load(&l->answered) < goal; i++)
        ag_sleep(AG_MS);
}

/* Restarts it n times; with `replace` it does that itself. */
static bool restart_often(struct master *m, struct load *l, long n, bool replace) {
    int pid = begin_service(m);
    if (pid < 0)
        return false;
    load_start(l);
    for (long i = 0; i < n && pid > 0; i++) {
        until_answered(l, BETWEEN);
        while (waitpid(-1, NULL, WNOHANG) > 0) /* those that have ended */
            continue;
        if (replace) {
            kill(pid, SIGUSR2);
            pid = hear(m, true);
        } else {
            pid = end_service(m, pid) ? begin_service(m) : -1;
        }
    }
    load_end(l);
    bool good = pid > 0 && end_service(m, pid);
    while (replace && good && m->processes < n + 1)
        good = hear(m, false) == 0;
    if (!good)
        kill(0, SIGTERM); /* who is left is of this group */
    return good;
}

static int measure(const char *program, bool held, bool replace, int port, long n) {
    static struct master m;
    static struct load l;
    setpgid(0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    master_init(&m, program, held);
    if (port) { /* a proxy stands before it, and knows where it is */
        close(m.socket);
        m.port = port + 1;
        m.socket = held ? listen_at(&m.port) : -1;
    }
    l.port = port ? port : m.port;
    l.clients = CLIENTS;
    l.path = "/";
    if (!restart_often(&m, &l, n, replace))
        return 1;
    lab_print("requests", (double)atomic_load(&l.answered));
    lab_print("failed", (double)atomic_load(&l.failed));
    lab_print("owed", (double)m.owed);
    lab_print("run", (double)m.run);
    lab_print("processes", (double)m.processes);
    if (l.first[0])
        fprintf(stderr, "the first that failed: %s\n", l.first);
    return 0;
}

static const char *go_program(void) {
    const char *program = getenv("AGLET_LAB_RESTART_GO");
    return program ? program : "";
}

static int handed_part(long n) {
    return measure("/proc/self/exe", false, true, 0, n);
}
static int held_part(long n) {
    return measure("/proc/self/exe", true, false, 0, n);
}
static int alone_part(long n) {
    return measure("/proc/self/exe", false, false, 0, n);
}
static int go_held_part(long n) {
    return measure(go_program(), true, false, 0, n);
}
static int go_alone_part(long n) {
    return measure(go_program(), false, false, 0, n);
}

/* ---- Behind nginx -----------------------------------------------------------------------------
 */

static const char nginx_conf[] = "worker_processes 1;\n"
                                 "daemon off;\n"
                                 "pid %s/nginx.pid;\n"
                                 "error_log stderr crit;\n"
                                 "events { worker_connections 512; }\n"
                                 "http {\n"
                                 "    access_log off;\n"
                                 "    client_body_temp_path %s/body;\n"
                                 "    proxy_temp_path %s/proxy;\n"
                                 "    fastcgi_temp_path %s/fastcgi;\n"
                                 "    uwsgi_temp_path %s/uwsgi;\n"
                                 "    scgi_temp_path %s/scgi;\n"
                                 "    upstream service { server 127.0.0.1:%d; keepalive 32; }\n"
                                 "    server {\n"
                                 "        listen 127.0.0.1:%d;\n"
                                 "        keepalive_requests 1000000;\n"
                                 "        location / {\n"
                                 "            proxy_pass http://service;\n"
                                 "            proxy_http_version 1.1;\n"
                                 "            proxy_set_header Connection \"\";\n"
                                 "            proxy_next_upstream off;\n"
                                 "        }\n"
                                 "    }\n"
                                 "}\n";

/* Two ports in a row: nginx's, and that of the service. */
static int two_ports(void) {
    for (int tries = 0; tries < 100; tries++) {
        int port = 0, next, fd = listen_at(&port), other;
        next = port + 1;
        other = fd >= 0 && port < 65535 ? listen_at(&next) : -1;
        close(fd);
        if (other >= 0) {
            close(other);
            return port;
        }
    }
    return 0;
}

static pid_t nginx_start(const char *folder, int port) {
    char conf[PATH_MAX];
    FILE *f = lab_path(conf, "%s/nginx.conf", folder) ? fopen(conf, "w") : NULL;
    if (!f)
        return -1;
    fprintf(f, nginx_conf, folder, folder, folder, folder, folder, folder, port + 1, port);
    fclose(f);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execlp("nginx", "nginx", "-p", folder, "-c", conf, (char *)NULL);
        execl("/usr/sbin/nginx", "nginx", "-p", folder, "-c", conf, (char *)NULL);
        _exit(127);
    }
    struct load probe = {.port = port};
    for (int i = 0; i < 1000; i++) {
        int fd = load_connect(&probe);
        if (fd >= 0) {
            close(fd);
            return pid;
        }
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return -1;
        ag_sleep(10 * AG_MS);
    }
    return pid;
}

static void remove_tree(const char *folder) {
    static const char *const names[] = {"nginx.conf", "nginx.pid", "body", "proxy",
                                        "fastcgi",    "uwsgi",     "scgi"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lab_path(path, "%s/%s", folder, names[i]) && unlink(path) != 0)
            rmdir(path);
    rmdir(folder);
}

static int behind_nginx(const char *program, bool held, bool replace, long n) {
    char folder[] = "/tmp/aglet-lab-XXXXXX";
    int port = two_ports();
    if (!mkdtemp(folder))
        return 1;
    pid_t pid = nginx_start(folder, port);
    int r = pid > 0 ? measure(program, held, replace, port, n) : 127;
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    remove_tree(folder);
    return r;
}

static int nginx_handed_part(long n) {
    return behind_nginx("/proc/self/exe", false, true, n);
}
static int nginx_held_part(long n) {
    return behind_nginx("/proc/self/exe", true, false, n);
}
static int nginx_go_held_part(long n) {
    return behind_nginx(go_program(), true, false, n);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static void row_of(const char *what, const char *part, long n) {
    struct lab_values v = lab_self(part, n);
    char requests[LAB_TEXT], deferred[LAB_TEXT * 2 + 4];
    snprintf(requests, sizeof requests, "%s", lab_cell(&v, "requests", "%.0f"));
    snprintf(deferred, sizeof deferred, "%s/", lab_cell(&v, "run", "%.0f"));
    snprintf(deferred + strlen(deferred), LAB_TEXT, "%s", lab_cell(&v, "owed", "%.0f"));
    lab_row(what, lab_cell(&v, "processes", "%.0f"), requests, lab_cell(&v, "failed", "%.0f"),
            isnan(lab_get(&v, "owed")) ? v.missing : deferred);
}

static void row(const char *what, const char *part) {
    row_of(what, part, restarts);
}

/* A client whose first packet was dropped tries again after a second. */
static void slow_row(const char *what, const char *part) {
    row_of(what, part, restarts < SLOW_RESTARTS ? restarts : SLOW_RESTARTS);
}

static void go_row(const char *what, const char *part) {
    if (lab_go_ready())
        (strcmp(part, "go-alone") == 0 ? slow_row : row)(what, part);
    else
        lab_row(what, lab_go_missing, "", "", "");
}

static int table(void) {
    if (!restarts)
        restarts = lab_much(3, 100, 1000);
    if (lab_go_ready())
        setenv("AGLET_LAB_RESTART_GO", lab_go_program, 1);
    bool nginx = system("command -v nginx >/dev/null 2>&1 || test -x /usr/sbin/nginx") == 0;
    char title[128];
    snprintf(title, sizeof title, "%ld restarts while %d clients ask without a break", restarts,
             CLIENTS);
    lab_begin(title, "restarted by", "processes", "answered", "failed", "deferred, run/owed");
    row("aglet, socket handed on (SIGUSR2)", "handed");
    row("aglet, socket held (SIGTERM)", "held");
    go_row("Go, socket held (SIGTERM, Shutdown)", "go-held");
    if (!lab_quick) {
        slow_row("aglet, no socket (SIGTERM)", "alone");
        go_row("Go, no socket (SIGTERM, Shutdown)", "go-alone");
    }
    if (nginx) {
        row("nginx, aglet handed on", "nginx-handed");
        row("nginx, aglet held", "nginx-held");
        go_row("nginx, Go held", "nginx-go-held");
    } else {
        lab_row("behind nginx", "not installed", "", "", "");
    }
    lab_end("A socket that somebody always has keeps the port open; what is lost then is lost at "
            "the ends of connections:\nwho closes one that the client takes for idle resets its "
            "next request. Processes that listen by themselves\nrefuse whoever comes between two.");
    return 0;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"service", service_part},
                                            {"handed", handed_part},
                                            {"held", held_part},
                                            {"alone", alone_part},
                                            {"go-held", go_held_part},
                                            {"go-alone", go_alone_part},
                                            {"nginx-handed", nginx_handed_part},
                                            {"nginx-held", nginx_held_part},
                                            {"nginx-go-held", nginx_go_held_part},
                                            {NULL, NULL}};
    static const struct lab lab = {
        "restart", "restarts under load: requests lost, deferred calls run", parts, table};
    if (argc == 3 && strcmp(argv[1], "--restarts") == 0) {
        restarts = atol(argv[2]);
        argc = 1;
    }
    return lab_main(argc, argv, &lab);
}
