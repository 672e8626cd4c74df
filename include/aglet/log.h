/* SPDX-License-Identifier: MIT */
/*
 * aglet/log.h - structured log lines: level, text, fields; never in the way of who writes them.
 *
 *     ag_log_info("request done", ag_kv("method", method), ag_kv("status", 200));
 *     ag_log_error("no answer", ag_kv("host", host), ag_kv_err(err));
 *
 *     time=2026-11-29T11:20:01.123456Z level=INFO source=shop/serve.c:42 msg="request done"
 *         goroutine=17 request_id=r-17 method=GET status=200                 (one line)
 *
 * A line goes into a buffer, from which a thread of the library writes it: the caller makes no
 * system call but, at times, the one that wakes that thread. When the buffer is full, because the
 * disk or the pipe is slow, lines are dropped and counted, and a line "log lines dropped" says how
 * many, where they are missing. So no caller waits. Lines of one goroutine are written in its
 * order.
 *
 * Each line has its time, level, place in the source and goroutine (none: a thread that is none),
 * and of the current context (aglet/ctx.h) ag_request_id, ag_principal and ag_log_fields. As text,
 * with quotes where a value needs them, or as JSON, which is valid whatever bytes come: what is no
 * UTF-8 becomes U+FFFD there, \xNN in text. A line longer than 2,000 bytes is cut and says so in a
 * field `truncated`.
 *
 * What was logged is written before the process ends by exit(), by returning from main, by a panic
 * or a deadlock, and before ag_run returns; that waits 2 s at most. What kills the process
 * otherwise loses what was logged in the last millisecond or so.
 *
 * From: goroutine, any thread, for all of this; no signal handler.
 */
#ifndef AGLET_LOG_H
#define AGLET_LOG_H

#include <aglet/base.h>

AG__BEGIN

/** Levels, as log/slog counts them; numbers between them are levels, too. */
enum { AG_LOG_DEBUG = -4, AG_LOG_INFO = 0, AG_LOG_WARN = 4, AG_LOG_ERROR = 8 };

/**
 * ag_log(level, text, fields...): writes a line, if the level is on; else nothing but the level is
 * evaluated. Fields are ag_kv and its kin, up to 30; text and values are copied.
 */
#define ag_log(level, ...) AG__LOG(level, __VA_ARGS__, ag__field(0, 0))
#define ag_log_debug(...) ag_log(AG_LOG_DEBUG, __VA_ARGS__)
#define ag_log_info(...) ag_log(AG_LOG_INFO, __VA_ARGS__)
#define ag_log_warn(...) ag_log(AG_LOG_WARN, __VA_ARGS__)
#define ag_log_error(...) ag_log(AG_LOG_ERROR, __VA_ARGS__)
/** ag_logf(level, format, ...): a line whose text is made as by printf, without fields. */
#define ag_logf(level, ...)                                                                        \
    do {                                                                                           \
        int ag__level = (level);                                                                   \
        if (ag_log_is_on(ag__level))                                                               \
            ag__logf(__FILE__, __LINE__, ag__level, __VA_ARGS__);                                  \
    } while (0)

/** A field: a name and a value. Lives as long as the text it points to. */
typedef struct ag_field {
    const char *name;
    int ag__kind;
    size_t ag__size;
    int64_t ag__word;
    double ag__real;
    const void *ag__at;
} ag_field;

/** ag_kv(name, v): v is an integer, a bool (in C `true` itself is an integer), a floating number, a
 * text (NULL is written as null) or another pointer, which is written as a number in hex.
 * Returns: an ag_field. */
#define ag_kv(name, v) AG__KV(name, v)
/** ag_kv_bytes(name, p, n): a text of n bytes. */
static inline ag_field ag_kv_bytes(const char *name, const void *p, size_t n);
/** ag_kv_ns(name, ns): a time span, written in seconds. */
static inline ag_field ag_kv_ns(const char *name, ag_time ns);
/** ag_kv_err(err): a field `error`: what the negative errno value means. */
static inline ag_field ag_kv_err(int err);

/** Lines below this level are not written; AG_LOG_INFO, or AGLET_LOG_LEVEL, at the start. May be
 * changed at any time. */
AG_API void ag_log_set_level(int level);
static inline bool ag_log_is_on(int level);

enum { AG_LOG_TEXT = 0, AG_LOG_JSON = 1 };
/** Where lines go, and how they look. All-zero means the defaults; AGLET_LOG_LEVEL and
 * AGLET_LOG_JSON (1 or 0) of the environment win. */
typedef struct ag_log_config {
    const char *path; /* a file to append to, made if it is not there; copied */
    int fd;           /* or a descriptor, which stays the caller's; 0: 2, stderr */
    int format;
    int level;
    size_t buffer;  /* bytes, rounded up to a power of two; 0: 1 MiB. Of the first line or setup */
    bool no_source; /* leaves out the place in the source */
} ag_log_config;
/** Sets it up; before that, lines go to stderr as text. What was logged before goes where it would
 * have gone. NULL: the defaults. Returns: 0, -EINVAL, -ENOMEM, or why the file can't be opened:
 * then nothing has changed. */
AG_API int ag_log_setup(const ag_log_config *config);
/** Opens the file of ag_log_setup again, by its path: after its rotation, say on SIGHUP. What was
 * logged before goes to the old one. Returns: 0, also without a path; else the error of open, or
 * -EBUSY as above, and the old file stays. */
AG_API int ag_log_reopen(void);
/** Waits until what was logged before is written, but for `ns` at most. A goroutine keeps its
 * thread meanwhile. Returns: 0, -ETIMEDOUT. */
AG_API int ag_log_flush(ag_time ns);
/** How many lines were dropped, because the buffer was full or a write failed. */
AG_API int64_t ag_log_dropped(void);

/* --- Below: what the macros use. --- */

AG_API extern int ag__log_level;
AG_API void ag__log(const char *file, int line, int level, const char *text, const ag_field *fields,
                    int n);
AG_API void ag__logf(const char *file, int line, int level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static inline bool ag_log_is_on(int level) {
    return level >= __atomic_load_n(&ag__log_level, __ATOMIC_RELAXED);
}

enum {
    AG__FIELD_TEXT = 1,
    AG__FIELD_INT,
    AG__FIELD_UINT,
    AG__FIELD_REAL,
    AG__FIELD_BOOL,
    AG__FIELD_POINTER,
    AG__FIELD_NS,
    AG__FIELD_ERROR
};

static inline ag_field ag__field(const char *name, int kind) {
    ag_field f = {name, kind, 0, 0, 0, 0};
    return f;
}
static inline ag_field ag_kv_bytes(const char *name, const void *p, size_t n) {
    ag_field f = {name, AG__FIELD_TEXT, n, 0, 0, p};
    return f;
}
static inline ag_field ag__kv_word(const char *name, int kind, int64_t word) {
    ag_field f = {name, kind, 0, word, 0, 0};
    return f;
}
static inline ag_field ag_kv_ns(const char *name, ag_time ns) {
    return ag__kv_word(name, AG__FIELD_NS, ns);
}
static inline ag_field ag_kv_err(int err) {
    return ag__kv_word("error", AG__FIELD_ERROR, err);
}
static inline ag_field ag__kv_int(const char *name, long long v) {
    return ag__kv_word(name, AG__FIELD_INT, v);
}
static inline ag_field ag__kv_uint(const char *name, unsigned long long v) {
    return ag__kv_word(name, AG__FIELD_UINT, (int64_t)v);
}
static inline ag_field ag__kv_bool(const char *name, bool v) {
    return ag__kv_word(name, AG__FIELD_BOOL, v);
}
static inline ag_field ag__kv_real(const char *name, double v) {
    ag_field f = {name, AG__FIELD_REAL, 0, 0, v, 0};
    return f;
}
static inline ag_field ag__kv_text(const char *name, const char *v) {
    return ag_kv_bytes(name, v, (size_t)-1);
}
static inline ag_field ag__kv_pointer(const char *name, const void *v) {
    ag_field f = {name, AG__FIELD_POINTER, 0, 0, 0, v};
    return f;
}

#ifdef __cplusplus
extern "C++" {
template <typename T> struct ag__kv_of {
    static ag_field make(const char *name, T v) {
        return (T)-1 < (T)0 ? ag__kv_int(name, (long long)v)
                            : ag__kv_uint(name, (unsigned long long)v);
    }
};
template <> struct ag__kv_of<bool> {
    static ag_field make(const char *name, bool v) {
        return ag__kv_bool(name, v);
    }
};
template <> struct ag__kv_of<float> {
    static ag_field make(const char *name, float v) {
        return ag__kv_real(name, v);
    }
};
template <> struct ag__kv_of<double> {
    static ag_field make(const char *name, double v) {
        return ag__kv_real(name, v);
    }
};
template <typename T> struct ag__kv_of<T *> {
    static ag_field make(const char *name, const volatile void *v) {
        return ag__kv_pointer(name, (const void *)v);
    }
};
template <> struct ag__kv_of<char *> {
    static ag_field make(const char *name, const char *v) {
        return ag__kv_text(name, v);
    }
};
template <> struct ag__kv_of<const char *> {
    static ag_field make(const char *name, const char *v) {
        return ag__kv_text(name, v);
    }
};
template <typename T> static inline ag_field ag__kv(const char *name, T v) {
    return ag__kv_of<T>::make(name, v);
}
}
#define AG__KV(name, v) ag__kv(name, v)
#else
#define AG__KV(name, v)                                                                            \
    _Generic((v), _Bool                                                                            \
             : ag__kv_bool, char                                                                   \
             : ag__kv_int, signed char                                                             \
             : ag__kv_int, short                                                                   \
             : ag__kv_int, int                                                                     \
             : ag__kv_int, long                                                                    \
             : ag__kv_int, long long                                                               \
             : ag__kv_int, unsigned char                                                           \
             : ag__kv_uint, unsigned short                                                         \
             : ag__kv_uint, unsigned                                                               \
             : ag__kv_uint, unsigned long                                                          \
             : ag__kv_uint, unsigned long long                                                     \
             : ag__kv_uint, float                                                                  \
             : ag__kv_real, double                                                                 \
             : ag__kv_real, char *                                                                 \
             : ag__kv_text, const char *                                                           \
             : ag__kv_text, default                                                                \
             : ag__kv_pointer)(name, v)
#endif

#define AG__LOG(level, text, ...)                                                                  \
    do {                                                                                           \
        int ag__level = (level);                                                                   \
        if (ag_log_is_on(ag__level)) {                                                             \
            const ag_field ag__fields[] = {__VA_ARGS__};                                           \
            ag__log(__FILE__, __LINE__, ag__level, text, ag__fields,                               \
                    (int)(sizeof ag__fields / sizeof *ag__fields) - 1);                            \
        }                                                                                          \
    } while (0)

AG__END
#endif
