/* SPDX-License-Identifier: MIT */
/*
 * log.c - the buffer of log lines, and the thread that writes them.
 *
 * A ring of bytes under one lock, which is held for a copy:
 *
 *     tail ------ whole lines, not written yet ------> head          both only grow
 *
 *     who logs      head: appends a line, or counts it as dropped if there is no room
 *     who drains    tail: one at a time, `draining`; writes [tail, head) from the ring itself
 * without the lock, for nobody touches that, then moves tail
 *
 * The thread drains. It begins with the first line; if it can't be started, the next lines try
 * again, and a flush drains in its place. When the ring is empty it naps for a millisecond a few
 * times, and whoever logs need not wake it; then it sleeps until somebody does. Waking a thread
 * costs 7 us, so a line every now and then pays that, and a stream of lines does not. Errors, and a
 * ring that is half full, end a nap.
 *
 * Dropped lines are told by a line where they are missing: before the next line for which there is
 * room, or when the ring has been drained. A write that fails drops what it was to write.
 *
 * Another file takes its turn at a place in the stream: it is queued with that place, so what was
 * logged before goes to the old one.
 *
 * No lock of the runtime is taken and no goroutine parks here; who loses his processor while he
 * holds the lock goes on as a thread and lets go of it.
 *
 * Refused: a goroutine that writes, which would not run when every processor is stuck, nor without
 * a runtime; buffers of each processor, whose lines would have to be put in order again.
 */
#include "obs/log.h"
#include "os/file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_DEFAULT ((size_t)1 << 20)
#define RING_MIN ((size_t)8 << 10)
#define RING_MAX ((size_t)1 << 30)
enum { NAP_NS = 1000000, NAPS = 10, EXIT_FLUSH_S = 2 };
enum { TURNS = 8 };
enum { THREAD_NONE, THREAD_STARTS, THREAD_RUNS };
enum { AWAKE, NAPS_NOW, SLEEPS };

int ag__log_level;

/* A file that gets the lines from `at` on. */
struct turn {
    int fd;
    bool is_ours; /* to be closed */
    uint64_t at;
};

static struct {
    ag__lock lock; /* Guards what follows, up to `thread`. */
    char *ring;    /* NULL: no line yet */
    size_t size;
    uint64_t head, tail;
    bool draining;
    struct turn now, next[TURNS]; /* where lines go, and from where on elsewhere */
    int next_count;
    char *path;         /* of the newest file; NULL: a descriptor */
    int64_t untold;     /* dropped lines that no line has told of yet */
    bool failing, torn; /* the last write failed; it left a line without its end */
    int64_t dropped, lines[AG__LEVELS];
    _Atomic int thread;       /* Sequential. */
    _Atomic uint32_t state;   /* Sequential: AWAKE … of the thread; its futex. */
    _Atomic uint32_t written; /* Futex: grows with each move of tail. */
    _Atomic bool json, no_source;
    int64_t level_env, json_env; /* Constant. */
} logs = {.now.fd = 2};

enum { NOT_GIVEN = -1000000 };

static void flush_at_end(void) {
    ag_log_flush(EXIT_FLUSH_S * AG_SEC);
}

/* The child has this buffer, but not its thread; the lines are its parent's. */
static void in_forked_child(void) {
    logs.lock = (ag__lock){0};
    logs.tail = logs.head;
    logs.draining = false;
    atomic_store(&logs.thread, THREAD_NONE);
    atomic_store(&logs.state, AWAKE);
}

/* Before the program's own constructors, and below after all it does at its end. */
__attribute__((constructor(101))) static void begin(void) {
    ag__os_at_fork(in_forked_child);
    ag__on_end = flush_at_end;
    logs.level_env = ag__os_env("AGLET_LOG_LEVEL", NOT_GIVEN);
    logs.json_env = ag__os_env("AGLET_LOG_JSON", NOT_GIVEN);
    if (logs.level_env != NOT_GIVEN)
        ag__log_level = (int)logs.level_env;
    atomic_store(&logs.json, logs.json_env == 1);
}

__attribute__((destructor(101))) static void end(void) {
    flush_at_end();
}

/* --- The ring. The lock is held. --- */

static size_t room(void) {
    return logs.size - (size_t)(logs.head - logs.tail);
}

static void append(const char *line, size_t n) {
    size_t at = (size_t)logs.head & (logs.size - 1), first = logs.size - at;
    if (first > n)
        first = n;
    memcpy(logs.ring + at, line, first);
    memcpy(logs.ring, line + first, n - first);
    logs.head += n;
}

/* Tells of lines that were dropped, if it finds room for that and `more` bytes. */
static bool tell_dropped(size_t more) {
    char buf[AG__LINE_BYTES];
    if (!logs.untold || logs.failing)
        return room() >= more;
    const ag_field count = ag_kv("count", logs.untold);
    size_t n = ag__line_make(buf, atomic_load(&logs.json), AG_LOG_WARN, NULL, 0,
                             "log lines dropped", &count, 1);
    if (room() < n + more)
        return false;
    append(buf, n);
    logs.untold = 0;
    return true;
}

static bool ring_new(size_t size) {
    size_t n = RING_MIN;
    while (n < size)
        n *= 2;
    logs.ring = malloc(n);
    logs.size = n;
    return logs.ring != NULL;
}

/* --- Draining. --- */

/* All n bytes, or as many as can be written; waits for a descriptor that is non-blocking. */
static size_t write_all(int fd, const char *data, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t w = ag__file_write(fd, data + done, n - done);
        if (w > 0)
            done += (size_t)w;
        else if (w == -EAGAIN)
            ag__os_sleep(NAP_NS);
        else
            break;
    }
    return done;
}

static int64_t count_lines(const char *data, size_t n) {
    int64_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += data[i] == '\n';
    return lines;
}

/* The next piece in one part of the ring and for one file; 0: none. Changes files when their turn
 * has come. The lock is held; it may be let go of for a while. */
static size_t next_piece(const char **ret_data) {
    while (logs.next_count && logs.tail >= logs.next[0].at) {
        struct turn old = logs.now;
        logs.now = logs.next[0];
        memmove(logs.next, logs.next + 1, (size_t)--logs.next_count * sizeof *logs.next);
        ag__lock_release(&logs.lock);
        if (old.is_ours)
            ag__file_close(old.fd);
        ag__lock_acquire(&logs.lock);
    }
    uint64_t end = logs.next_count ? logs.next[0].at : logs.head;
    size_t at = (size_t)logs.tail & (logs.size - 1), n = (size_t)(end - logs.tail);
    *ret_data = logs.ring + at;
    return n < logs.size - at ? n : logs.size - at;
}

/* Writes what there is, unless somebody else does. Returns whether anything was written. */
static bool drain(void) {
    const char *data;
    size_t n;
    bool any = false;
    ag__lock_acquire(&logs.lock);
    if (logs.draining || !logs.ring) {
        ag__lock_release(&logs.lock);
        return false;
    }
    logs.draining = true;
    while ((n = next_piece(&data)) > 0 || (tell_dropped(0) && logs.head != logs.tail) ||
           logs.next_count) {
        int fd = logs.now.fd;
        bool torn = logs.torn;
        ag__lock_release(&logs.lock);
        size_t done = torn && write_all(fd, "\n", 1) == 0 ? 0 : write_all(fd, data, n);
        int64_t lost = count_lines(data + done, n - done);
        ag__lock_acquire(&logs.lock);
        logs.tail += n;
        logs.dropped += lost;
        logs.untold += lost;
        logs.failing = done < n;
        if (done > 0)
            logs.torn = done < n && data[done - 1] != '\n';
        any = true;
        atomic_fetch_add(&logs.written, 1);
        ag__os_futex_wake(&logs.written, INT32_MAX);
    }
    logs.draining = false;
    ag__lock_release(&logs.lock);
    atomic_fetch_add(&logs.written, 1);
    ag__os_futex_wake(&logs.written, INT32_MAX);
    return any;
}

static bool has_something(void) {
    ag__lock_acquire(&logs.lock);
    bool some = logs.head != logs.tail || logs.next_count;
    ag__lock_release(&logs.lock);
    return some;
}

/* Sleeps in a state that others end. Sequential, as the look behind it: who appended before saw
 * another state, and we see his line. */
static void rest(uint32_t state, int64_t ns) {
    atomic_store(&logs.state, state);
    if (!has_something())
        ag__os_futex_wait(&logs.state, state, ns);
    atomic_store(&logs.state, AWAKE);
}

static void writer_main(void *unused) {
    (void)unused;
    AG__TSAN_LOOK_AWAY();
    for (int naps = 0;;) {
        naps = drain() ? 0 : naps + 1;
        if (naps < NAPS)
            rest(NAPS_NOW, NAP_NS);
        else
            rest(SLEEPS, -1);
    }
}

static void wake(bool from_nap) {
    uint32_t state = atomic_load(&logs.state);
    if ((state == SLEEPS || (from_nap && state == NAPS_NOW)) &&
        atomic_compare_exchange_strong(&logs.state, &state, AWAKE))
        ag__os_futex_wake(&logs.state, 1);
}

/* --- Begin and end. --- */

static void ensure_thread(void) {
    int none = THREAD_NONE;
    if (AG__LIKELY(atomic_load(&logs.thread) == THREAD_RUNS) ||
        !atomic_compare_exchange_strong(&logs.thread, &none, THREAD_STARTS))
        return;
    int r = ag__os_thread_start(writer_main, NULL, "aglet-log");
    atomic_store(&logs.thread, r == 0 ? THREAD_RUNS : THREAD_NONE);
}

int ag_log_flush(ag_time ns) {
    int64_t until = ag__os_now() + ns;
    int r = 0;
    AG__TSAN_LOOK_AWAY();
    ag__lock_acquire(&logs.lock);
    uint64_t goal = logs.head, tail = logs.tail;
    bool pending = logs.next_count || logs.untold;
    ag__lock_release(&logs.lock);
    while ((tail < goal || pending) && r == 0) {
        uint32_t seen = atomic_load(&logs.written);
        if (atomic_load(&logs.thread) == THREAD_RUNS)
            wake(true);
        else
            drain();
        ag__lock_acquire(&logs.lock);
        tail = logs.tail;
        pending = pending && (logs.next_count || (logs.draining && tail <= goal));
        ag__lock_release(&logs.lock);
        int64_t left = until - ag__os_now();
        if ((tail < goal || pending) && left <= 0)
            r = -ETIMEDOUT;
        else if (tail < goal || pending)
            ag__os_futex_wait(&logs.written, seen, left);
    }
    AG__TSAN_LOOK();
    return r;
}

/* --- Logging. --- */

static void write_line(const char *line, size_t n, int level) {
    ag__lock_acquire(&logs.lock);
    bool fits = (logs.ring || ring_new(RING_DEFAULT)) && tell_dropped(n);
    if (fits) {
        append(line, n);
        logs.lines[ag__level_of(level)]++;
    } else {
        logs.dropped++;
        logs.untold++;
    }
    bool is_late = logs.ring && room() < logs.size / 2;
    ag__lock_release(&logs.lock);
    ensure_thread();
    wake(is_late || level >= AG_LOG_ERROR);
}

void ag__log(const char *file, int line, int level, const char *text, const ag_field *fields,
             int n) {
    char buf[AG__LINE_BYTES];
    AG__TSAN_LOOK_AWAY();
    if (atomic_load_explicit(&logs.no_source, AG__RLX))
        file = NULL;
    size_t size = ag__line_make(buf, atomic_load_explicit(&logs.json, AG__RLX), level, file, line,
                                text, fields, n);
    write_line(buf, size, level);
    AG__TSAN_LOOK();
}

void ag__logf(const char *file, int line, int level, const char *format, ...) {
    char text[AG__LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ag__log(file, line, level, text, NULL, 0);
}

/* --- Set-up. --- */

void ag_log_set_level(int level) {
    __atomic_store_n(&ag__log_level, level, __ATOMIC_RELAXED);
}

int64_t ag_log_dropped(void) {
    ag__lock_acquire(&logs.lock);
    int64_t n = logs.dropped;
    ag__lock_release(&logs.lock);
    return n;
}

void ag__log_counts(int64_t ret_lines[AG__LEVELS], int64_t *ret_dropped) {
    ag__lock_acquire(&logs.lock);
    for (int i = 0; i < AG__LEVELS; i++)
        ret_lines[i] = logs.lines[i];
    *ret_dropped = logs.dropped;
    ag__lock_release(&logs.lock);
}

/* What is logged from now on goes to fd, and `path` is ours. False: too many turns are waiting. */
static bool begin_turn(int fd, bool is_ours, char *path, size_t size) {
    ag__lock_acquire(&logs.lock);
    bool ok = logs.next_count < TURNS && (logs.ring || ring_new(size));
    char *old = logs.path;
    if (ok) {
        logs.next[logs.next_count++] = (struct turn){fd, is_ours, logs.head};
        logs.path = path;
    }
    ag__lock_release(&logs.lock);
    if (ok)
        free(old);
    ensure_thread();
    wake(true);
    return ok;
}

int ag_log_setup(const ag_log_config *config) {
    static const ag_log_config none;
    const ag_log_config *c = config ? config : &none;
    size_t size = c->buffer ? c->buffer : RING_DEFAULT;
    if (c->format < AG_LOG_TEXT || c->format > AG_LOG_JSON || c->fd < 0 || size > RING_MAX)
        return -EINVAL;
    AG__TSAN_LOOK_AWAY();
    char *path = c->path ? strdup(c->path) : NULL;
    int fd = c->path ? (path ? ag__file_append(path) : -ENOMEM) : c->fd ? c->fd : 2;
    int r = fd < 0 ? fd : begin_turn(fd, path != NULL, path, size) ? 0 : -EBUSY;
    if (r == 0) {
        if (logs.level_env == NOT_GIVEN)
            ag_log_set_level(c->level);
        atomic_store(&logs.json,
                     logs.json_env == NOT_GIVEN ? c->format == AG_LOG_JSON : logs.json_env == 1);
        atomic_store(&logs.no_source, c->no_source);
    } else {
        if (path && fd >= 0)
            ag__file_close(fd);
        free(path);
    }
    AG__TSAN_LOOK();
    return r;
}

int ag_log_reopen(void) {
    AG__TSAN_LOOK_AWAY();
    ag__lock_acquire(&logs.lock);
    char *path = logs.path; /* taken out, so that another call neither frees nor opens it */
    logs.path = NULL;
    ag__lock_release(&logs.lock);
    int fd = path ? ag__file_append(path) : 0;
    int r = !path ? 0 : fd < 0 ? fd : begin_turn(fd, true, path, RING_DEFAULT) ? 0 : -EBUSY;
    if (r != 0) {
        if (fd >= 0)
            ag__file_close(fd);
        ag__lock_acquire(&logs.lock);
        if (!logs.path) { /* else there has been a setup meanwhile */
            logs.path = path;
            path = NULL;
        }
        ag__lock_release(&logs.lock);
        free(path);
    }
    AG__TSAN_LOOK();
    return r;
}
