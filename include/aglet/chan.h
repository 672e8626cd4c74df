/* SPDX-License-Identifier: MIT */
/*
 * aglet/chan.h - typed channels and select.
 *
 *     ag_chan(int) c = ag_make(int, 8);
 *     ag_defer(ag_unref, c);
 *     ag_send(c, 42);
 *     int v; bool ok = ag_recv(c, &v);
 *
 * ag_chan(T) needs no declaration and is the same type in every file; passing an ag_chan(job)
 * for an ag_chan(int) is a compiler diagnostic. T may be any complete object type that can be
 * assigned: a scalar, a pointer, a struct, a union - not an array, and in C++ no class with a
 * copy constructor or destructor of its own, because elements are copied as bytes.
 *
 * A channel is reference counted, may be used from goroutines and any other thread, and is
 * never copied. The zero value of the type is NULL, Go's nil channel.
 *
 * Order, as in Go's memory model: a send happens before the matching receive completes; a
 * close happens before a receive that reports it; on an unbuffered channel a receive happens
 * before the matching send completes; the k-th receive on a channel of capacity C happens
 * before the (k+C)-th send completes.
 */
#ifndef AGLET_CHAN_H
#define AGLET_CHAN_H

#include <aglet/base.h>

AG__BEGIN

/** A context; see aglet/ctx.h. */
typedef struct ag_ctx ag_ctx;

/* The type carries T and nothing else: no object of this type is ever looked at. Three levels
 * with a const in the middle, so that no ordinary pointer of a program fits by accident. */
#define ag_chan(T) __typeof__(__typeof__(T) **const *)
#define AG__ELEM(c) __typeof__(***(c))

/**
 * ag_make(T, cap): a new channel of T, buffered for `cap` elements; 0 is unbuffered.
 * Returns: the channel with one reference. Panics: `makechan: size out of range` for a
 * negative or absurd cap; without memory the process ends with `fatal error: out of memory for a
 * channel`, as in Go.
 */
#define ag_make(T, cap) ((ag_chan(T))ag__chan_new(AG__ELEM_SIZE(T), (cap)))

/**
 * ag_send(c, v): Go's `c <- v`.
 * Waits: until a receiver or a place in the buffer takes it; forever on NULL, or until the current
 * context ends.
 * Returns: 0, or -ECANCELED / -ETIMEDOUT when the current context has ended and it would have
 * to wait. Panics: `send on closed channel`, also when it is closed while the send waits.
 * From: goroutine, any thread.
 */
#define ag_send(c, ...)                                                                            \
    __extension__({                                                                                \
        __typeof__(c) ag__c = (c);                                                                 \
        AG__ELEM(ag__c) ag__v = AG__VALUE(AG__ELEM(ag__c), __VA_ARGS__);                           \
        ag__chan_send((void *)ag__c, &ag__v);                                                      \
    })

/**
 * ag_recv(c, p): Go's `*p, ok = <-c`; `p` is a T *, or NULL to drop the value.
 * Waits: until there is a value or the channel is closed; forever on NULL, or until the current
 * context ends.
 * Returns: true with a value; false with *p zeroed when the channel is closed and drained, or
 * when the current context has ended and it would have to wait.
 * From: goroutine, any thread.
 */
#define ag_recv(c, p)                                                                              \
    __extension__({                                                                                \
        __typeof__(c) ag__c = (c);                                                                 \
        ag__chan_recv((void *)ag__c, AG__PTR(ag__c, p));                                           \
    })

/**
 * ag_close(c): no more sends; receivers get what is buffered, then false. Also a function, so
 * that it can be deferred: ag_defer(ag_close, c).
 * Panics: `close of nil channel`, `close of closed channel`.
 */
#define ag_close(c) ag__chan_close(AG__IS_CHAN(c))

/** ag_try_send(c, v): never waits. Returns: true if sent. Panics: `send on closed channel`. */
#define ag_try_send(c, ...)                                                                        \
    __extension__({                                                                                \
        __typeof__(c) ag__c = (c);                                                                 \
        AG__ELEM(ag__c) ag__v = AG__VALUE(AG__ELEM(ag__c), __VA_ARGS__);                           \
        ag__chan_try_send((void *)ag__c, &ag__v);                                                  \
    })

/** ag_try_recv(c, p): never waits. Returns: 1 received, 0 closed and drained (*p zeroed),
 * -EAGAIN nothing there (*p untouched). */
#define ag_try_recv(c, p)                                                                          \
    __extension__({                                                                                \
        __typeof__(c) ag__c = (c);                                                                 \
        ag__chan_try_recv((void *)ag__c, AG__PTR(ag__c, p));                                       \
    })

/** ag_len(c): elements buffered now. ag_cap(c): the buffer's size. Both 0 for NULL. */
#define ag_len(c) ag__chan_len(AG__IS_CHAN(c))
#define ag_cap(c) ag__chan_cap(AG__IS_CHAN(c))

/**
 * One case of a select. Written by the AG_ macros below only; an array of cases may be used
 * again and again. The memory that a case points to must live until the select returned.
 */
typedef struct ag_case {
    unsigned char op;
    unsigned char inlined; /* the value to send is in `small` */
    void *chan;            /* a channel, or an ag_ctx * for AG_DONE */
    void *ptr;             /* where to receive to, or what to send */
    bool *ok;
    ag_time ns; /* AG_AFTER: how long */
    uint64_t small[2];
} ag_case;

enum {
    AG__CASE_NONE,
    AG__CASE_RECV,
    AG__CASE_SEND,
    AG__CASE_AFTER,
    AG__CASE_DONE,
    AG__CASE_DEFAULT
};

/** Receives from c to the T * p (or NULL). Ready when a value is there or c is closed. */
#define AG_RECV(c, p)                                                                              \
    {                                                                                              \
        AG__CASE_RECV, 0, AG__IS_CHAN(c), AG__PTR(c, p), 0, 0, {                                   \
            0, 0                                                                                   \
        }                                                                                          \
    }
/** The same, and *ok tells a value from the end of the channel. */
#define AG_RECV_OK(c, p, okp)                                                                      \
    {                                                                                              \
        AG__CASE_RECV, 0, AG__IS_CHAN(c), AG__PTR(c, p), (okp), 0, {                               \
            0, 0                                                                                   \
        }                                                                                          \
    }
/** Sends v, which is evaluated on entry. Panics, when chosen: `send on closed channel`. */
#define AG_SEND(c, ...) AG__CASE_SEND_INIT(c, __VA_ARGS__)
/** Ready `ns` after the select began; costs no allocation. */
#define AG_AFTER(wait_ns)                                                                          \
    {                                                                                              \
        AG__CASE_AFTER, 0, 0, 0, 0, (ag_time)(+(wait_ns)), {                                       \
            0, 0                                                                                   \
        }                                                                                          \
    }
/** Ready when the context has ended. */
#define AG_DONE(context)                                                                           \
    {                                                                                              \
        AG__CASE_DONE, 0, (1 ? (context) : (ag_ctx *)0), 0, 0, 0, {                                \
            0, 0                                                                                   \
        }                                                                                          \
    }
/** Ready when no other case is. */
#define AG_DEFAULT                                                                                 \
    {                                                                                              \
        AG__CASE_DEFAULT, 0, 0, 0, 0, 0, {                                                         \
            0, 0                                                                                   \
        }                                                                                          \
    }

/**
 * ag_select(cases...): Go's select. Cases on NULL channels are never ready; without cases it
 * waits forever.
 * Waits: until a case is ready, not at all with AG_DEFAULT.
 * Returns: the index of the case that ran, chosen evenly at random among those ready;
 * -ECANCELED / -ETIMEDOUT when the current context has ended and no case is ready.
 * Panics: `send on closed channel` for a chosen send.
 */
#define ag_select(...) AG__SELECT(0, __VA_ARGS__)

/** The first ready case in the order of the list, else as ag_select. Go: not there. */
#define ag_select_ordered(...) AG__SELECT(1, __VA_ARGS__)

/** ag_select on an array built at run time; n <= 65535.
 * Limit: more than 8 cases take memory while it waits; `fatal error: out of memory for a select`
 * if there is none. */
AG_API int ag_select_n(const ag_case *cases, size_t n);
/** ag_select_ordered on an array. */
AG_API int ag_select_ordered_n(const ag_case *cases, size_t n);

/* The functions behind the macros; `chan` is the channel, elements go by address. */
AG_API void *ag__chan_new(size_t elem_size, int64_t cap);
AG_API void *ag__chan_try_new(size_t elem_size, int64_t cap); /* NULL when out of memory */
AG_API int ag__chan_send(void *chan, const void *elem);
AG_API bool ag__chan_recv(void *chan, void *ret_elem);
AG_API void ag__chan_close(void *chan);
AG_API bool ag__chan_try_send(void *chan, const void *elem);
AG_API int ag__chan_try_recv(void *chan, void *ret_elem);
AG_API int64_t ag__chan_len(void *chan);
AG_API int64_t ag__chan_cap(void *chan);

AG__END

/* A channel as void *, refused by the compiler if it is none; `p` checked to be a T *. */
#define AG__IS_CHAN(c) ((void *)(1 ? (c) : (__typeof__(***(c)) **const *)0))
#define AG__PTR(c, p) (1 ? (p) : (AG__ELEM(c) *)0)

/* ag_close as a function; the parentheses keep the macro away. */
static inline void(ag_close)(const void *c) {
    ag__chan_close((void *)c);
}

#define AG__SELECT(ordered, ...)                                                                   \
    __extension__({                                                                                \
        ag_case ag__cases[] = {{AG__CASE_NONE, 0, 0, 0, 0, 0, {0, 0}}, __VA_ARGS__};               \
        (ordered) ? ag_select_ordered_n(ag__cases + 1, sizeof ag__cases / sizeof(ag_case) - 1)     \
                  : ag_select_n(ag__cases + 1, sizeof ag__cases / sizeof(ag_case) - 1);            \
    })

#ifdef __cplusplus
extern "C++" {
/* C++ gives a temporary no address that lives on in an initialiser, so the value travels in the
 * case itself. */
template <typename T> static inline ag_case ag__case_send(T **const *c, const T &v) {
    static_assert(sizeof(T) <= sizeof(((ag_case *)0)->small),
                  "aglet: in C++ AG_SEND takes values of up to 16 bytes; send a pointer");
    ag_case r = {AG__CASE_SEND, 1, (void *)c, 0, 0, 0, {0, 0}};
    __builtin_memcpy(r.small, &v, sizeof(T));
    return r;
}
template <typename T> struct ag__same { typedef T type; };
template <typename T> struct ag__elem {
    static_assert(__is_trivially_copyable(T), "aglet: elements are copied as bytes");
    static const size_t size = sizeof(T);
};
template <typename T>
static inline ag_case ag__case_send_as(T **const *c, const typename ag__same<T>::type &v) {
    return ag__case_send<T>(c, v);
}
}
#define AG__CASE_SEND_INIT(c, ...) ag__case_send_as((c), __VA_ARGS__)
#define AG__VALUE(T, ...) __VA_ARGS__
#define AG__ELEM_SIZE(T) ag__elem<__typeof__(T)>::size
#else
#define AG__CASE_SEND_INIT(c, ...)                                                                 \
    {                                                                                              \
        AG__CASE_SEND, 0, AG__IS_CHAN(c), (AG__ELEM(c)[1]){__VA_ARGS__}, 0, 0, {                   \
            0, 0                                                                                   \
        }                                                                                          \
    }
#define AG__VALUE(T, ...) __VA_ARGS__
#define AG__ELEM_SIZE(T) sizeof(T)
#endif

#endif
