/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - listeners that the process is given, and those it gives to a successor.
 *
 * Two protocols lead in. sd_listen_fds(3): LISTEN_PID is our number, LISTEN_FDS counts the
 * descriptors from 3 on, LISTEN_FDNAMES has their names. And our own, for a restart: posix_spawn
 * makes the environment before there is a number, so AGLET_LISTEN_FDS comes without one, and in
 * AGLET_LISTEN_FDNAMES stand, instead of names, the words by which the predecessor had asked for
 * each: that finds ":0", too. Both are taken out of the environment, so that no child takes them
 * for its own.
 *
 *     AGLET_LISTEN_FDS=2
 *     AGLET_LISTEN_FDNAMES=-,,tcp,127.0.0.1%3A8080:k,web,tcp,%3A80     flags,name,net,addr
 *     AGLET_PREDECESSOR=5,6                                           see restart.c
 *
 * Who else has a socket decides what may be done to it (ag_listener_share):
 *
 *     kept     the service manager holds it, and gives it to the next one: shared to the end ("k")
 *     with the predecessor      shared until its end of a pipe closes, then ours alone
 *     ours
 */
#include "svc/svc.h"

#include <aglet/log.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_FD = 3, FDS_MAX = 900 };

struct entry {
    struct entry *next;
    ag_listener *l;
    char *name, *net, *addr; /* as asked for, "" for what is not known */
    bool given;              /* nobody has asked for it yet */
    bool kept;               /* by the service manager */
    bool handed;             /* by a predecessor, with the words by which that had asked */
    bool predecessors;       /* which still has it */
    bool own_port;           /* reuse_port: a successor makes one of its own */
};

static ag_mutex lock;
static struct entry *entries;            /* Guarded by lock. */
static bool looked;                      /* Guarded by lock: at the environment. */
static int ready_fd = -1, alive_fd = -1; /* Guarded by lock. */

/* ---- Entries; lock held --------------------------------------------------------------------- */

static char *copy(const char *text) {
    return strdup(text ? text : "");
}

static void entry_free(struct entry *e) {
    if (e)
        ag_unref(e->l);
    if (e) {
        free(e->name);
        free(e->net);
        free(e->addr);
    }
    free(e);
}

static struct entry *entry_new(const char *name, const char *net, const char *addr) {
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->name = copy(name);
    e->net = copy(net);
    e->addr = copy(addr);
    if (e->name && e->net && e->addr)
        return e;
    entry_free(e);
    return NULL;
}

/* Behind the others: a successor gets them in the order in which they were asked for. */
static void enter(struct entry *e) {
    struct entry **at = &entries;
    while (*at)
        at = &(*at)->next;
    *at = e;
}

/* ---- What the environment says -------------------------------------------------------------- */

static int number(const char *text) {
    char *end;
    long n = text && text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;
    return n < 0 || n > INT32_MAX || (*end && *end != ',') ? -1 : (int)n;
}

static int digit(char c) {
    const char *digits = "0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Undoes the escapes in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '%' && digit(from[1]) >= 0 && digit(from[2]) >= 0) {
            *to = (char)(digit(from[1]) * 16 + digit(from[2]));
            from += 3;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* Takes the text up to the next `end` off. */
static char *next_word(char **at, char end) {
    char *word = *at, *stop = strchr(word, end);
    *at = stop ? stop + 1 : word + strlen(word);
    if (stop)
        *stop = 0;
    return word;
}

static void take_fd(int fd, char *word, bool ours) {
    char *flags = ours ? next_word(&word, ',') : "k", *name = next_word(&word, ',');
    char *net = next_word(&word, ','), *addr = word;
    if (ours) {
        unescape(name);
        unescape(net);
        unescape(addr);
    }
    struct entry *e = entry_new(name, ours ? net : "", ours ? addr : "");
    int r = e ? ag_listener_from_fd(fd, &e->l) : -ENOMEM;
    if (r != 0) {
        ag_log_warn("a socket that was given is none to accept from", ag_kv("fd", fd),
                    ag_kv("name", (const char *)name), ag_kv_err(r));
        entry_free(e);
        return;
    }
    e->given = true;
    e->kept = flags[0] == 'k';
    e->handed = e->predecessors = ours;
    ag_listener_share(e->l, true);
    enter(e);
}

static void look(void) {
    static const char *const names[] = {"AGLET_LISTEN_FDS",  "AGLET_LISTEN_FDNAMES",
                                        "AGLET_PREDECESSOR", "LISTEN_FDS",
                                        "LISTEN_FDNAMES",    "LISTEN_PID"};
    int count = number(getenv("AGLET_LISTEN_FDS"));
    bool ours = count >= 0;
    const char *text = getenv(ours ? "AGLET_LISTEN_FDNAMES" : "LISTEN_FDNAMES");
    const char *pipes = getenv("AGLET_PREDECESSOR");
    if (!ours && number(getenv("LISTEN_PID")) == ag_process_pid(NULL))
        count = number(getenv("LISTEN_FDS"));
    char *words = copy(text), *at = words;
    for (int i = 0; words && i < count && i < FDS_MAX; i++)
        take_fd(FIRST_FD + i, next_word(&at, ':'), ours);
    free(words);
    const char *comma = ours && pipes ? strchr(pipes, ',') : NULL;
    if (comma) {
        ready_fd = number(pipes);
        alive_fd = number(comma + 1);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void look_once(void) {
    if (!looked)
        look();
    looked = true;
}

void ag__svc_predecessor(int *ret_ready, int *ret_alive) {
    ag_mutex_lock(&lock);
    look_once();
    *ret_ready = ready_fd;
    *ret_alive = alive_fd;
    ready_fd = alive_fd = -1;
    ag_mutex_unlock(&lock);
}

/* ---- Which one fits ------------------------------------------------------------------------- */

/* "[::1]:80" to "::1" and "80". Returns: false for what is no such address. */
static bool split(const char *addr, char *host, size_t size, const char **ret_port) {
    const char *colon = strrchr(addr, ':');
    size_t n = colon ? (size_t)(colon - addr) : 0;
    if (!colon || n >= size)
        return false;
    bool brackets = n >= 2 && addr[0] == '[' && addr[n - 1] == ']';
    memcpy(host, addr + brackets, n - 2 * brackets);
    host[n - 2 * brackets] = 0;
    *ret_port = colon + 1;
    return true;
}

static bool is_any(const char *host) {
    return !host[0] || strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0;
}

/* Whether a socket at the address `has` is what ag_listen would have made. */
static bool same_address(const char *net, const char *addr, const char *has) {
    char want_host[256], has_host[256];
    const char *want_port, *has_port;
    ag_host_addr found[16];
    if (strcmp(net, "unix") == 0)
        return strcmp(addr, has) == 0;
    if (has[0] == '/' || has[0] == '@' || !split(addr, want_host, sizeof want_host, &want_port) ||
        !split(has, has_host, sizeof has_host, &has_port) || strcmp(want_port, has_port) != 0)
        return false;
    bool is_ip6 = strchr(has_host, ':') != NULL;
    if ((strcmp(net, "tcp4") == 0 && is_ip6) || (strcmp(net, "tcp6") == 0 && !is_ip6))
        return false;
    if (is_any(want_host) || is_any(has_host))
        return is_any(want_host) && is_any(has_host);
    int n = ag_lookup_host(want_host, found, 16);
    for (int i = 0; i < n; i++)
        if (strcmp(found[i].text, has_host) == 0)
            return true;
    return false;
}

static struct entry *find(const char *name, const char *net, const char *addr) {
    struct entry *e;
    for (e = entries; e; e = e->next)
        if (e->given && e->handed && strcmp(e->name, name) == 0 && strcmp(e->net, net) == 0 &&
            strcmp(e->addr, addr) == 0)
            return e;
    for (e = entries; e; e = e->next)
        if (e->given && name[0] && strcmp(e->name, name) == 0)
            return e;
    for (e = entries; e; e = e->next)
        if (e->given && same_address(net, addr, ag_listener_addr(e->l)))
            return e;
    return NULL;
}

/* From now on it is known by the words of who has asked. */
static void rename_entry(struct entry *e, struct entry *words) {
    char *name = e->name, *net = e->net, *addr = e->addr;
    e->name = words->name;
    e->net = words->net;
    e->addr = words->addr;
    words->name = name;
    words->net = net;
    words->addr = addr;
}

int ag_svc_listen_with(const ag_svc_listen_opts *opts, const char *net, const char *addr,
                       ag_listener **ret_listener) {
    static const ag_svc_listen_opts defaults;
    const ag_svc_listen_opts *o = opts ? opts : &defaults;
    if (!net || !addr)
        return -EINVAL;
    struct entry *fresh = entry_new(o->name, net, addr);
    if (!fresh)
        return -ENOMEM;
    ag_mutex_lock(&lock);
    look_once();
    int r = 0;
    struct entry *e = o->reuse_port ? NULL : find(fresh->name, net, addr);
    if (e) {
        e->given = false;
        rename_entry(e, fresh);
    } else {
        fresh->own_port = o->reuse_port;
        r = ag_listen_with(&(ag_listen_opts){.reuse_port = o->reuse_port}, net, addr, &fresh->l);
        e = fresh;
        if (r == 0)
            enter(e);
    }
    if (r == 0)
        *ret_listener = ag_ref(e->l);
    ag_mutex_unlock(&lock);
    if (r != 0 || e != fresh)
        entry_free(fresh);
    return r;
}

int ag_svc_listen(const char *net, const char *addr, ag_listener **ret_listener) {
    return ag_svc_listen_with(NULL, net, addr, ret_listener);
}

/* ---- For a successor ------------------------------------------------------------------------ */

/* What has a meaning in the list is escaped; text stays readable. */
static void write_word(FILE *out, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c >= 127 || strchr("%,:", c))
            fprintf(out, "%%%02X", c);
        else
            fputc(c, out);
    }
}

static void write_entry(FILE *out, const struct entry *e, bool first) {
    fprintf(out, "%s%c,", first ? "" : ":", e->kept ? 'k' : '-');
    write_word(out, e->name);
    fputc(',', out);
    write_word(out, e->net);
    fputc(',', out);
    write_word(out, e->addr);
}

/* Lock held. */
static int collect(ag__svc_handed *h, FILE *out) {
    int max = 0;
    for (const struct entry *e = entries; e; e = e->next)
        max++;
    h->fds = malloc(((size_t)max + 2) * sizeof *h->fds); /* and two pipes */
    if (!h->fds)
        return -ENOMEM;
    for (const struct entry *e = entries; e && h->count < FDS_MAX; e = e->next) {
        int fd = e->own_port ? -1 : ag_listener_fd(e->l);
        if (fd < 0)
            continue;
        write_entry(out, e, h->count == 0);
        h->fds[h->count++] = fd;
    }
    return 0;
}

int ag__svc_sockets_collect(ag__svc_handed *ret_handed) {
    ag__svc_handed h = {NULL, 0, NULL};
    size_t n;
    FILE *out = open_memstream(&h.words, &n);
    if (!out)
        return -ENOMEM;
    ag_mutex_lock(&lock);
    int r = collect(&h, out);
    ag_mutex_unlock(&lock);
    if (fclose(out) != 0 || !h.words)
        r = -ENOMEM;
    if (r != 0)
        ag__svc_handed_free(&h);
    else
        *ret_handed = h;
    return r;
}

void ag__svc_handed_free(ag__svc_handed *h) {
    free(h->fds);
    free(h->words);
}

void ag__svc_sockets_hand_on(void) {
    ag_mutex_lock(&lock);
    for (struct entry *e = entries; e; e = e->next) {
        if (e->own_port)
            continue;
        ag_listener_share(e->l, true);
        ag_listener_close(e->l);
    }
    ag_mutex_unlock(&lock);
}

void ag__svc_sockets_are_ours(void) {
    ag_mutex_lock(&lock);
    for (struct entry *e = entries; e; e = e->next) {
        if (e->predecessors && !e->kept)
            ag_listener_share(e->l, false);
        e->predecessors = false;
    }
    ag_mutex_unlock(&lock);
}

/* ---- The end -------------------------------------------------------------------------------- */

void ag__svc_sockets_close_unused(void) {
    ag_mutex_lock(&lock);
    look_once();
    for (struct entry *e, **at = &entries; (e = *at) != NULL;) {
        if (!e->given) {
            at = &e->next;
            continue;
        }
        ag_log_warn("a socket that was given is closed: nobody has asked for it",
                    ag_kv("addr", ag_listener_addr(e->l)), ag_kv("name", (const char *)e->name));
        *at = e->next;
        ag_listener_close(e->l);
        entry_free(e);
    }
    ag_mutex_unlock(&lock);
}

void ag__svc_sockets_forget(void) {
    ag_mutex_lock(&lock);
    struct entry *e = entries;
    entries = NULL;
    ag_mutex_unlock(&lock);
    for (struct entry *next; e; e = next) {
        next = e->next;
        entry_free(e);
    }
}
