/* SPDX-License-Identifier: MIT */
/*
 * peer.c - finding another program and asking it.
 *
 * A program that is asked may be stopped, dying or somebody else's, and most of what can go wrong
 * looks the same to connect(2). So every failure is looked into once it is there, and told by what
 * the user can do about it. An answer comes in chunks and is handed on as it comes; only the last
 * chunk says that it was whole.
 *
 * Programs in containers are found through /proc/PID/root, by the number that they know themselves
 * by.
 */
#include "peer.h"
#include "tool.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool peer_number(const char *word, const char *text, long *ret_pid) {
    char *end;
    *ret_pid = text ? strtol(text, &end, 10) : 0;
    if (text && end != text && !*end && *ret_pid > 0 && *ret_pid < INT32_MAX)
        return true;
    fprintf(stderr, "aglet %s: which process? give its number; `aglet ps` lists them\n", word);
    return false;
}

/* --- What /proc tells. --- */

/* The file /proc/PID/NAME; "" if it can't be read. Returns how many bytes. */
static size_t read_proc(long pid, const char *name, char *text, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, name);
    FILE *in = fopen(path, "re");
    size_t n = in ? fread(text, 1, size - 1, in) : 0;
    text[n] = 0;
    if (in)
        fclose(in);
    return n;
}

enum { STATUS_BYTES = 4096 };

/* What stands behind `key` in /proc/PID/status, which is read into text; NULL: it does not. */
static const char *status_of(long pid, const char *key, char text[STATUS_BYTES]) {
    read_proc(pid, "status", text, STATUS_BYTES);
    const char *line = strstr(text, key);
    return line ? line + strlen(key) : NULL;
}

/* The last number of a line: of NSpid that is the innermost one. */
static long last_number(long pid, const char *key) {
    char text[STATUS_BYTES], *end;
    long number = -1;
    for (const char *at = status_of(pid, key, text); at && *at && *at != '\n'; at = end) {
        long next = strtol(at, &end, 10);
        if (end == at)
            break;
        number = next;
    }
    return number;
}

long peer_status(long pid, const char *key) {
    char text[STATUS_BYTES], *end;
    const char *at = status_of(pid, key, text);
    long number = at ? strtol(at, &end, 10) : -1;
    return at && end != at ? number : -1;
}

bool peer_is_aglet(long pid) {
    char path[64], name[64];
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *tasks = opendir(path);
    bool found = false;
    for (struct dirent *task; tasks && !found && (task = readdir(tasks));) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "task/%.20s/comm", task->d_name);
        read_proc(pid, path, name, sizeof name);
        found = strcmp(name, "aglet-monitor\n") == 0;
    }
    if (tasks)
        closedir(tasks);
    return found;
}

void peer_command(long pid, char *ret_text, size_t size) {
    size_t n = read_proc(pid, "cmdline", ret_text, size);
    for (size_t i = 0; i + 1 < n; i++) {
        unsigned char *at = (unsigned char *)&ret_text[i];
        if (*at == 0)
            *at = ' ';
        else if (*at < ' ' || *at == 127)
            *at = '?'; /* what could steer a terminal */
    }
}

double peer_uptime(long pid) {
    char text[2048];
    read_proc(pid, "stat", text, sizeof text);
    char *at = strrchr(text, ')'); /* behind the name, which may hold anything */
    unsigned long long began = 0;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    FILE *in = fopen("/proc/uptime", "re");
    double now = -1;
    if (in && fscanf(in, "%lf", &now) != 1)
        now = -1;
    if (in)
        fclose(in);
    if (!at || now < 0 || sscanf(at, "%llu", &began) != 1)
        return -1;
    return now - (double)began / (double)sysconf(_SC_CLK_TCK);
}

/* R, S, T …; 0: there is none any more. */
static char state_of(long pid) {
    char text[STATUS_BYTES];
    const char *state = status_of(pid, "\nState:", text);
    return state ? state[strspn(state, "\t ")] : 0;
}
static bool is_stopped(long pid) {
    char state = state_of(pid);
    return state == 'T' || state == 't';
}
static bool has_ended(long pid) {
    char state = state_of(pid);
    return state == 0 || state == 'Z';
}

/* --- Where the socket is. --- */

static bool is_socket(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool is_at(const char *root, const char *folder, long number, char *path, size_t size) {
    int n = snprintf(path, size, "%s%s/%ld.sock", root, folder, number);
    return n > 0 && (size_t)n < size && is_socket(path);
}

/* The value of a variable that the process was started with; "" if there is none. */
static void variable_of(long pid, const char *name, char *value, size_t size) {
    static char text[1 << 18];
    size_t n = read_proc(pid, "environ", text, sizeof text), length = strlen(name);
    value[0] = 0;
    for (const char *at = text; at < text + n; at += strlen(at) + 1)
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            snprintf(value, size, "%s", at + length + 1);
}

static bool is_in(const char *root, long pid, long number, char *path, size_t size) {
    char folder[128], runtime[96];
    long user = peer_status(pid, "\nUid:");
    variable_of(pid, "XDG_RUNTIME_DIR", runtime, sizeof runtime);
    snprintf(folder, sizeof folder, "%s/aglet", runtime);
    if (runtime[0] == '/' && is_at(root, folder, number, path, size))
        return true;
    snprintf(folder, sizeof folder, "/run/user/%ld/aglet", user);
    if (is_at(root, folder, number, path, size))
        return true;
    snprintf(folder, sizeof folder, "/tmp/aglet-%ld", user);
    return is_at(root, folder, number, path, size);
}

bool peer_socket(long pid, char *ret_path, size_t size) {
    char root[40];
    if (is_in("", pid, pid, ret_path, size))
        return true;
    long inner = last_number(pid, "\nNSpid:");
    snprintf(root, sizeof root, "/proc/%ld/root", pid);
    return is_in(root, pid, inner > 0 ? inner : pid, ret_path, size);
}

/* --- Asking. --- */

struct call {
    int fd;
    long pid;
    double patience_s;
    char buffer[16384];
    size_t at, end;
};

/* Waits until there is something to read, in steps, to see if the other one can move at all. */
static bool is_readable(const struct call *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    for (double left = c->patience_s; left > 0; left -= 0.5) {
        if (poll(&p, 1, left < 0.5 ? (int)(left * 1000) : 500) > 0)
            return true;
        if (is_stopped(c->pid))
            return false;
    }
    return false;
}

/* The next byte, or -1: the end (errno 0), an error, or too late (ETIMEDOUT). */
static int next(struct call *c) {
    if (c->at == c->end) {
        bool ready = is_readable(c);
        ssize_t n = ready ? recv(c->fd, c->buffer, sizeof c->buffer, 0) : -1;
        if (!ready)
            errno = ETIMEDOUT;
        else if (n == 0)
            errno = 0;
        if (n <= 0)
            return -1;
        c->at = 0;
        c->end = (size_t)n;
    }
    return (unsigned char)c->buffer[c->at++];
}

/* A line without its end. False if the answer ends first, or the line does not fit. */
static bool line(struct call *c, char *text, size_t size) {
    size_t n = 0;
    for (int byte; (byte = next(c)) != '\n';) {
        if (byte < 0 || n + 1 >= size)
            return false;
        text[n++] = (char)byte;
    }
    if (n > 0 && text[n - 1] == '\r')
        n--;
    text[n] = 0;
    return true;
}

static bool head(struct call *c, struct peer_answer *a, bool *ret_chunks) {
    char text[1024];
    *ret_chunks = false;
    if (!line(c, text, sizeof text) || sscanf(text, "HTTP/1.%*c %d", &a->status) != 1) {
        a->status = 0;
        return false;
    }
    while (line(c, text, sizeof text)) {
        if (!text[0])
            return true;
        if (strncasecmp(text, "content-type: ", 14) == 0)
            snprintf(a->type, sizeof a->type, "%.79s", text + 14);
        if (strcasecmp(text, "transfer-encoding: chunked") == 0)
            *ret_chunks = true;
    }
    return false;
}

/* What comes for us to keep: the words of an error page, in one line. */
static bool keep_error(void *answer, const char *data, size_t n) {
    struct peer_answer *a = answer;
    size_t had = strlen(a->error);
    snprintf(a->error + had, sizeof a->error - had, "%.*s", (int)n, data);
    a->error[strcspn(a->error, "\n")] = 0;
    return true;
}

/* Hands on n bytes, or all there are (SIZE_MAX). */
static bool body(struct call *c, size_t n, bool (*take)(void *, const char *, size_t), void *arg) {
    while (n > 0) {
        if (c->at == c->end) {
            if (next(c) < 0)
                return n == SIZE_MAX && errno == 0;
            c->at--;
        }
        size_t part = c->end - c->at < n ? c->end - c->at : n;
        if (!take(arg, c->buffer + c->at, part))
            return false;
        c->at += part;
        n -= n == SIZE_MAX ? 0 : part;
    }
    return true;
}

static bool chunks(struct call *c, bool (*take)(void *, const char *, size_t), void *arg) {
    char text[64];
    while (line(c, text, sizeof text)) {
        char *end;
        size_t n = strtoul(text, &end, 16);
        if (end == text)
            return false;
        if (n == 0)
            return true;
        if (!body(c, n, take, arg) || !line(c, text, sizeof text))
            return false;
    }
    return false;
}

__attribute__((format(printf, 2, 3))) static void say(struct peer_answer *a, const char *format,
                                                      ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(a->error, sizeof a->error, format, args);
    va_end(args);
}

/* Why there is no connection. */
static void why_not(long pid, struct peer_answer *a) {
    char command[120];
    long user = peer_status(pid, "\nUid:");
    struct passwd *owner = user >= 0 ? getpwuid((uid_t)user) : NULL;
    if (has_ended(pid)) {
        say(a, "there is no process %ld; `aglet ps` lists those that can be asked", pid);
        return;
    }
    peer_command(pid, command, sizeof command);
    if (user >= 0 && geteuid() != 0 && (uid_t)user != geteuid())
        say(a, "process %ld (%.80s) is not yours; ask as its user: sudo -u %s aglet …", pid,
            command, owner ? owner->pw_name : "USER");
    else if (peer_is_aglet(pid))
        say(a,
            "process %ld (%.80s) has no socket: it was started with AGLET_NO_SOCKET=1 or "
            "no_socket, "
            "or the folder /tmp/aglet-%ld belongs to somebody else or is open to others; kill "
            "-QUIT "
            "%ld makes it print its goroutines on its own stderr",
            pid, command, user, pid);
    else
        say(a,
            "process %ld (%.80s) is no aglet program, or not inside ag_run; `aglet ps` lists those "
            "that can be asked",
            pid, command);
}

static void why_broken(long pid, const struct call *c, int error, struct peer_answer *a) {
    if (error == ETIMEDOUT && is_stopped(pid))
        say(a, "process %ld is stopped, by a signal or a debugger; kill -CONT %ld lets it go on",
            pid, pid);
    else if (error == ETIMEDOUT)
        say(a, "process %ld has said nothing for %.0f s; gdb -p %ld would show why", pid,
            c->patience_s, pid);
    else if (has_ended(pid))
        say(a, "process %ld has ended meanwhile", pid);
    else
        say(a, "process %ld broke its answer off: its ag_run has returned, or the answer failed",
            pid);
}

static int connect_to(long pid, struct peer_answer *a) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!peer_socket(pid, at.sun_path, sizeof at.sun_path)) {
        why_not(pid, a);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (error == ECONNREFUSED)
        why_not(pid, a); /* what is there was left by another one of this number */
    else if (error == EAGAIN)
        say(a, "process %ld does not take our call: too many wait already, or it is stopped", pid);
    else
        say(a, "can't connect to %s: %s", at.sun_path, strerror(error));
    return -1;
}

bool peer_try(long pid, const char *target, double patience_s,
              bool (*take)(void *arg, const char *data, size_t n), void *arg,
              struct peer_answer *ret_answer) {
    static struct call c;
    char request[2300];
    bool is_chunked, is_whole;
    memset(ret_answer, 0, sizeof *ret_answer);
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: aglet\r\n\r\n", target);
    if ((size_t)n >= sizeof request || strpbrk(target, " \r\n") || target[0] != '/') {
        say(ret_answer, "'%.60s' is no path; it begins with / and has no spaces", target);
        return false;
    }
    c = (struct call){.fd = connect_to(pid, ret_answer), .pid = pid, .patience_s = patience_s};
    if (c.fd < 0)
        return false;
    is_whole =
        send(c.fd, request, (size_t)n, MSG_NOSIGNAL) == n && head(&c, ret_answer, &is_chunked);
    if (ret_answer->status != 200 && ret_answer->status != 0) {
        take = keep_error;
        arg = ret_answer;
    }
    if (is_whole)
        is_whole = is_chunked ? chunks(&c, take, arg) : body(&c, SIZE_MAX, take, arg);
    int error = errno;
    close(c.fd);
    if (!is_whole)
        why_broken(pid, &c, error, ret_answer);
    return is_whole && ret_answer->status == 200;
}

static bool into_stream(void *out, const char *data, size_t n) {
    return fwrite(data, 1, n, out) == n;
}

int peer_ask(long pid, const char *target, double patience_s, FILE *out) {
    struct peer_answer a;
    bool is_good = peer_try(pid, target, patience_s, into_stream, out, &a);
    if (ferror(out) || fflush(out) != 0) {
        fprintf(stderr, "aglet: can't write all of it: %s\n", strerror(errno));
        return TOOL_FAILED;
    }
    if (is_good)
        return TOOL_OK;
    if (a.status == 404 && strstr(a.error, "/debug/list"))
        fprintf(stderr,
                "aglet: process %ld does not offer %.*s; `aglet get %ld` lists what it does\n", pid,
                (int)strcspn(target, "?"), target, pid);
    else
        fprintf(stderr, "aglet: %s\n", a.error);
    return TOOL_FAILED;
}

char *peer_text(long pid, const char *target, double patience_s, struct peer_answer *ret_answer) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    bool is_good = peer_try(pid, target, patience_s, into_stream, out, ret_answer);
    if (fclose(out) == 0 && is_good)
        return text;
    free(text);
    return NULL;
}

int64_t peer_json(const char *text, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}
