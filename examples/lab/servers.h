/* SPDX-License-Identifier: MIT */
/*
 * servers.h - for labs that need other people's servers: a folder of the lab's own, processes that
 * end with it, nginx in front of an address, and a client that counts.
 *
 * Nothing outside of the folder is touched. What was started is told by the kernel when the lab
 * dies (PR_SET_PDEATHSIG); so all of it is started by the main thread, outside of ag_run.
 */
#ifndef LAB_SERVERS_H
#define LAB_SERVERS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2, setgroups, nftw: before any other header */
#endif

#include "lab.h"

#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static char lab_dir[96]; /* "" until lab_dir_make */

/* ---- The folder ------------------------------------------------------------------------------ */

static inline int lab_remove_one(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static inline void lab_dir_remove(void) {
    if (lab_dir[0])
        nftw(lab_dir, lab_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    lab_dir[0] = '\0';
}

/** A folder that goes when the lab ends. Its path is short: sockets lie in it. */
static inline bool lab_dir_make(void) {
    const char *tmp = getenv("TMPDIR");
    bool fits = tmp && tmp[0] == '/' && strlen(tmp) < sizeof lab_dir - 32;
    snprintf(lab_dir, sizeof lab_dir, "%s/aglet-lab-XXXXXX", fits ? tmp : "/tmp");
    if (!mkdtemp(lab_dir)) {
        lab_dir[0] = '\0';
        return false;
    }
    atexit(lab_dir_remove);
    return chmod(lab_dir, 0755) == 0;
}

/* ---- Processes ------------------------------------------------------------------------------- */

/** A process that was started, and what it prints. */
struct lab_server {
    pid_t pid; /* 0: none */
    int out;   /* its stdout, or -1 */
};

/** How to start one; zero members: as the lab itself. */
struct lab_start {
    const struct passwd *user; /* as whom */
    int end_signal;            /* what ends it; SIGTERM */
    bool keep_out;             /* its stdout can be read */
    bool quiet;                /* its stderr goes nowhere */
};

static inline void lab_become(const struct lab_start *how, int out, char *const argv[]) {
    const struct passwd *user = how->user;
    int nowhere = open("/dev/null", O_RDWR);
    if (user && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, how->end_signal ? how->end_signal : SIGTERM);
    dup2(nowhere, STDIN_FILENO);
    dup2(out >= 0 ? out : nowhere, STDOUT_FILENO);
    if (how->quiet)
        dup2(nowhere, STDERR_FILENO);
    if (chdir(lab_dir) != 0)
        _exit(126);
    execvp(argv[0], argv);
    _exit(127);
}

/** Starts a program in the lab's folder. Returns: false if there is no process. */
static inline bool lab_start(struct lab_server *s, const struct lab_start *how,
                             char *const argv[]) {
    int out[2] = {-1, -1};
    *s = (struct lab_server){0, -1};
    if (how->keep_out && pipe2(out, O_CLOEXEC) != 0)
        return false;
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0)
        lab_become(how, out[1], argv);
    if (out[1] >= 0)
        close(out[1]);
    if (s->pid < 0) {
        s->pid = 0;
        return false;
    }
    s->out = out[0];
    return true;
}

/** Waits for its end, at most `limit_s`. Returns: its status as of waitpid, -1 past the limit. */
static inline int lab_wait(struct lab_server *s, int limit_s) {
    int status;
    for (ag_time end = ag_now() + limit_s * AG_SEC; ag_now() < end; usleep(5000))
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            return status;
        }
    return -1;
}

/** Ends what lab_start has started. */
static inline void lab_stop(struct lab_server *s, int signal) {
    if (s->pid > 0 && kill(s->pid, signal) == 0 && lab_wait(s, 10) == -1) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
    if (s->out >= 0)
        close(s->out);
    s->out = -1;
}

/** Reads one line of what it prints. Returns: false if it ended without one. */
static inline bool lab_line(const struct lab_server *s, char *line, size_t size) {
    size_t n = 0;
    while (n + 1 < size && read(s->out, line + n, 1) == 1)
        if (line[n++] == '\n')
            break;
    line[n] = '\0';
    return n > 0 && line[n - 1] == '\n';
}

/* ---- nginx ----------------------------------------------------------------------------------- */

/** A socket of a free port of the loopback interface, which listens if asked to. As long as it does
 * not, it keeps the port for a program that is about to listen there (SO_REUSEADDR on both).
 * Returns: -1 if there is none. */
static inline int lab_port(bool listens, int *ret_port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || (listens && listen(fd, 511) != 0) ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return -1;
    *ret_port = ntohs(a.sin_port);
    return fd;
}

/* Waits until somebody listens at the port, for as long as the process is there. */
static inline bool lab_is_up(struct lab_server *s, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)port);
    for (ag_time end = ag_now() + 20 * AG_SEC; ag_now() < end; usleep(5000)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool up = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (up)
            return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return false;
        }
    }
    return false;
}

/** Where nginx is; NULL if it is not installed. */
static inline const char *lab_nginx_program(void) {
    static const char *const places[] = {"/usr/sbin/nginx", "/usr/bin/nginx",
                                         "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/**
 * Starts nginx as a proxy: `upstream` is the inside of its upstream block, `location` that of its
 * location. Returns: its port, 0 if it does not start.
 */
static inline int lab_nginx(struct lab_server *s, const char *upstream, const char *location) {
    char conf[sizeof lab_dir + 16];
    *s = (struct lab_server){0, -1};
    int port = 0, fd = lab_port(false, &port);
    snprintf(conf, sizeof conf, "%s/nginx.conf", lab_dir);
    FILE *f = fd < 0 ? NULL : fopen(conf, "w");
    if (!f)
        return 0;
    fprintf(f,
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid %1$s/nginx.pid;\n"
            "error_log %1$s/nginx.log;\nevents { worker_connections 1000; }\n"
            "http {\n  access_log off;\n"
            "  client_body_temp_path %1$s/body;\n  proxy_temp_path %1$s/proxy;\n"
            "  fastcgi_temp_path %1$s/fastcgi;\n  uwsgi_temp_path %1$s/uwsgi;\n"
            "  scgi_temp_path %1$s/scgi;\n"
            "  upstream service {\n%2$s  }\n"
            "  server {\n    listen 127.0.0.1:%3$d;\n    location / {\n"
            "      proxy_pass http://service;\n%4$s    }\n  }\n}\n",
            lab_dir, upstream, port, location);
    fclose(f);
    struct lab_start how = {.quiet = true};
    bool ok = lab_start(s, &how,
                        (char *[]){(char *)lab_nginx_program(), "-p", lab_dir, "-c", conf, "-e",
                                   "stderr", NULL}) &&
              lab_is_up(s, port);
    close(fd);
    return ok ? port : 0;
}

/* ---- A client -------------------------------------------------------------------------------- */

/**
 * One request on a connection of its own, in a goroutine. Returns: the status of the answer; 0 if
 * there is none. `body`, if not NULL, becomes what came, up to `size`.
 */
static inline int lab_ask(int port, const char *method, const char *path, char *body, size_t size) {
    char addr[32], head[256], answer[1024];
    ag_conn *c;
    int status = 0;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", port);
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.0\r\nHost: localhost\r\n%s\r\n", method, path,
                     strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
    if (ag_dial("tcp", addr, &c) != 0)
        return 0;
    char *to = body ? body : answer;
    size_t have = 0, room = (body ? size : sizeof answer) - 1;
    if (ag_write(c, head, (size_t)n) == n)
        for (ssize_t got; have < room && (got = ag_read(c, to + have, room - have)) > 0;)
            have += (size_t)got;
    to[have] = '\0';
    ag_conn_close(c);
    ag_unref(c);
    if (sscanf(to, "HTTP/1.%*d %d", &status) != 1)
        status = 0;
    char *end = body ? strstr(body, "\r\n\r\n") : NULL;
    if (end)
        memmove(body, end + 4, strlen(end + 4) + 1);
    return status;
}

#endif
