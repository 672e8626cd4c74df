/* SPDX-License-Identifier: MIT */
/*
 * ask_http.c - what is said on a connection: one question, one answer. GET, HTTP/1.0 or 1.1,
 * answered in chunks, so that an answer that broke off can be told from a whole one.
 *
 * It is no use of the HTTP library: that runs in goroutines, and this must answer when none can
 * run. What it understands is little: the request line, and of the fields those that tell who asks
 * (ag_debug_admit). A request that is longer than a few KiB, or repeats one of these, is refused.
 */
#include "debug/ask_http.h"
#include "debug/ask.h"
#include "os/os.h"
#include "os/poll.h"
#include "os/sock.h"
#include <aglet/debug.h>
#include <aglet/time.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { REQUEST_MAX = 8192 };
/* How long a client may take for its whole question, and for taking the next bytes. */
enum { ASK_MS = 5000, TAKE_MS = 20000 };

struct client {
    int fd;
    bool chunks;
    bool is_owner;
    const _Atomic bool *closing;
    size_t used;
    const char *accept; /* the field, in the request */
    char remote[AG__ADDR_TEXT];
    char request[REQUEST_MAX];
};

/* --- Bytes. --- */

/* Waits until the client can be read or written. 0, or a negative errno value. */
static int wait_for(const struct client *c, int bits, int64_t until) {
    for (;;) {
        int64_t left = until - ag__os_now();
        int r = left <= 0 ? -ETIMEDOUT : ag__poll_one(c->fd, bits, left);
        if (atomic_load(c->closing))
            return -ECANCELED;
        if (r != 0)
            return r < 0 ? r : 0;
    }
}

static int send_all(const struct client *c, const char *data, size_t n) {
    int64_t until = ag__os_now() + TAKE_MS * AG_MS;
    while (n > 0) {
        ssize_t r = ag__sock_send(c->fd, data, n);
        if (r == -EAGAIN)
            r = wait_for(c, AG__POLL_WRITABLE, until);
        else if (r > 0)
            until = ag__os_now() + TAKE_MS * AG_MS;
        if (r < 0 && r != -EINTR)
            return (int)r;
        if (r > 0) {
            data += r;
            n -= (size_t)r;
        }
    }
    return 0;
}

/* Reads up to the empty line. 0, or a negative errno value. */
static int read_request(struct client *c) {
    int64_t until = ag__os_now() + ASK_MS * AG_MS;
    c->used = 0;
    for (;;) {
        ssize_t r = ag__sock_recv(c->fd, c->request + c->used, REQUEST_MAX - 1 - c->used);
        if (r == 0)
            return -EPIPE;
        if (r == -EAGAIN)
            r = wait_for(c, AG__POLL_READABLE, until);
        else if (r > 0)
            c->used += (size_t)r;
        if (r < 0 && r != -EINTR)
            return (int)r;
        c->request[c->used] = 0;
        if (strlen(c->request) != c->used)
            return -EINVAL;
        if (strstr(c->request, "\r\n\r\n") || strstr(c->request, "\n\n"))
            return 0;
        if (c->used == REQUEST_MAX - 1)
            return -ENAMETOOLONG;
    }
}

/* --- The answer. --- */

static const char *reason_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

/* `more` is how the end of the body can be told. */
static int send_head(struct client *c, int status, const char *content_type, const char *more) {
    char head[1024];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: close\r\n%s%s", status,
                     reason_of(status), content_type, more,
                     status == 401   ? "WWW-Authenticate: Basic realm=\"aglet\"\r\n"
                     : status == 405 ? "Allow: GET\r\n"
                                     : "");
    const char *name, *value;
    for (size_t i = 0; ag_debug_header_at(i, &name, &value); i++)
        n += snprintf(head + n, sizeof head - (size_t)n, "%s: %s\r\n", name, value);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    return send_all(c, head, (size_t)n);
}

static int answer_begins(void *arg, int status, const char *content_type) {
    struct client *c = arg;
    return send_head(c, status, content_type, c->chunks ? "Transfer-Encoding: chunked\r\n" : "");
}

static int answer_goes_on(void *arg, const void *data, size_t n) {
    struct client *c = arg;
    char size[32];
    if (n == 0)
        return 0;
    int length = snprintf(size, sizeof size, "%zx\r\n", n);
    int r = c->chunks ? send_all(c, size, (size_t)length) : 0;
    if (r == 0)
        r = send_all(c, data, n);
    if (r == 0 && c->chunks)
        r = send_all(c, "\r\n", 2);
    return r;
}

static bool has_gone(void *arg) {
    struct client *c = arg;
    return atomic_load(c->closing) || ag__sock_peer_is_gone(c->fd, !c->is_owner);
}

static void refuse(struct client *c, int status, const char *text) {
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(text));
    if (send_head(c, status, "text/plain; charset=utf-8", length) == 0)
        (void)send_all(c, text, strlen(text));
}

/* --- The question. --- */

/* `line` is the field `name`: its value, without blanks around it, else NULL. In place. */
static char *value_of(char *line, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((line[i] | 0x20) != (name[i] | 0x20))
            return NULL;
    if (line[n] != ':')
        return NULL;
    char *value = line + n + 1 + strspn(line + n + 1, " \t");
    for (size_t end = strlen(value); end > 0 && strchr(" \t", value[end - 1]); end--)
        value[end - 1] = 0;
    return value;
}

/* Takes the fields that tell who asks, and for what. False if one is there twice that must not be.
 */
static bool read_fields(char *rest, ag_debug_caller *caller, const char **ret_accept) {
    const struct {
        const char *name, **value;
        bool may_repeat;
    } fields[] = {{"Host", &caller->host, false},
                  {"Origin", &caller->origin, false},
                  {"Sec-Fetch-Site", &caller->fetch_site, false},
                  {"Authorization", &caller->authorization, false},
                  {"Forwarded", &caller->forwarded, true},
                  {"X-Forwarded-For", &caller->forwarded, true},
                  {"Via", &caller->forwarded, true},
                  {"Accept", ret_accept, true}};
    char *next = NULL;
    for (char *line = strtok_r(rest, "\r\n", &next); line; line = strtok_r(NULL, "\r\n", &next))
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            const char *value = value_of(line, fields[i].name);
            if (value && *fields[i].value && !fields[i].may_repeat)
                return false;
            if (value)
                *fields[i].value = value;
        }
    return true;
}

/* The target of `GET target HTTP/1.x`, cut out in place; NULL after an answer that says what is
 * wrong. */
static char *target_of(struct client *c) {
    char *line = c->request, *rest = line + strcspn(line, "\r\n");
    const char *why;
    rest += *rest ? 1 : 0;
    line[strcspn(line, "\r\n")] = 0;
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strncmp(version, " HTTP/1.", 8) != 0 || target[1] != '/') {
        refuse(c, 400, "this is no HTTP/1 request\n");
        return NULL;
    }
    *target++ = 0;
    *version = 0;
    ag_debug_caller caller = {.method = line, .remote = c->remote};
    if (!read_fields(rest, &caller, &c->accept)) {
        refuse(c, 400, "a field that tells who asks is there twice\n");
        return NULL;
    }
    int status = 0;
    if (!c->is_owner)
        status = ag_debug_admit(&caller, &why);
    else if (strcmp(line, "GET") != 0)
        status = 405, why = "only GET is answered\n";
    if (status != 0) {
        refuse(c, status, why);
        return NULL;
    }
    c->chunks = version[8] != '0';
    return target;
}

void ag__ask_converse(int fd, bool is_owner, const _Atomic bool *closing) {
    struct client c = {.fd = fd, .is_owner = is_owner, .closing = closing};
    ag__addr remote;
    if (!is_owner && ag__sock_remote(fd, &remote) == 0)
        ag__addr_text(&remote, c.remote, sizeof c.remote);
    int r = read_request(&c);
    if (r == -EINVAL || r == -ENAMETOOLONG)
        refuse(&c, 400, "the request is too long, or no text\n");
    char *target = r == 0 ? target_of(&c) : NULL;
    if (!target)
        return;
    const ag_debug_client client = {&c, answer_begins, answer_goes_on, has_gone};
    r = ag_debug_answer_to(target, c.accept, &client);
    if (r == -ENOMEM)
        refuse(&c, 503, "there is no memory for the answer\n");
    else if (r == 0 && c.chunks)
        (void)send_all(&c, "0\r\n\r\n", 5);
}

void ag__ask_send_away(int fd) {
    static const _Atomic bool never = false;
    struct client c = {.fd = fd, .closing = &never};
    refuse(&c, 503, "too many questions are being answered; ask again later\n");
}
