/* SPDX-License-Identifier: MIT */
/*
 * aglet/defer_inline.h - the machinery of ag_defer. Nothing here is for direct use.
 *
 * A deferred call costs some 20 instructions because all of it is compiled into its block: linking
 * the record in, unlinking it, the call itself. A function called for either would cost as much
 * again.
 *
 * The goroutine's list is found through the one thread-local of the runtime. It is read by assembly
 * that names no address, so that no compiler can keep the address of a thread's variable while the
 * goroutine moves to another thread. What it yields, the list, may be kept: a function runs in one
 * goroutine from its beginning to its end.
 */
#ifndef AGLET_DEFER_INLINE_H
#define AGLET_DEFER_INLINE_H

#include <aglet/base.h>

/* ThreadSanitizer must not watch the list, whose goroutine it can't tell from its predecessor in
 * the same record. AddressSanitizer may keep the record elsewhere than on the stack. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define AG__DEFER_CALLS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define AG__DEFER_CALLS 1
#endif
#endif
#ifndef AG__DEFER_CALLS
#define AG__DEFER_CALLS 0
#endif

/* Not static, which code in inline functions may not use. */
#define AG__DEFER_INLINE extern inline __attribute__((gnu_inline, always_inline))

/* A call through a pointer of another type is meant: all arguments travel in registers. */
#if defined(__clang__)
#define AG__DEFER_CALL AG__DEFER_INLINE __attribute__((no_sanitize("function")))
#else
#define AG__DEFER_CALL AG__DEFER_INLINE
#endif

AG__BEGIN

/* A deferred call: lives in its block, with its arguments behind it, linked into its goroutine;
 * the compiler's cleanup attribute runs it. Whoever else runs it makes that a call of nothing. */
struct ag__defer {
    struct ag__defer *next; /* what was pending before */
    void *sp;               /* the stack pointer when it began: below all that stood then */
    ag__fn fn;
    struct ag__defer **head; /* the goroutine's list while it is pending: see panic.c */
    const struct ag__site *site;
};

AG_API struct ag__defer **ag__defer_list(void);
AG_API void ag__defer_link(struct ag__defer *d);
AG_API void ag__defer_unlink(struct ag__defer *d);
AG_API void ag__defer_nil(void);

/* Writes the stack pointer down. */
AG__DEFER_INLINE void ag__defer_note_sp(void **at) {
#if defined(__x86_64__)
    __asm__ volatile("movq %%rsp, %0" : "=m"(*at));
#else
    void *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    *at = sp;
#endif
}

AG__DEFER_INLINE ag__fn ag__defer_fn(ag__fn fn) {
    return fn ? fn : ag__defer_nil;
}

#if AG__DEFER_CALLS

AG__DEFER_INLINE struct ag__defer **ag__defer_list_now(void) {
    return 0;
}

AG__DEFER_INLINE struct ag__defer *ag__defer_top(struct ag__defer **list) {
    (void)list;
    return 0;
}

AG__DEFER_INLINE void ag__defer_begin(struct ag__defer *d, struct ag__defer **list) {
    (void)list;
    ag__defer_note_sp(&d->sp);
    ag__defer_link(d);
}

#else

/* The list of deferred calls of the goroutine. At offset 0 in a G, which is at offset 8 in an M
 * and NULL on a thread that the runtime has not seen; panic.c asserts both. */
AG__DEFER_INLINE struct ag__defer **ag__defer_list_now(void) {
    struct ag__defer **list;
#if defined(__x86_64__)
    __asm__("movq ag__tls_m@gottpoff(%%rip), %0\n\t"
            "movq %%fs:(%0), %0\n\t"
            "movq 8(%0), %0"
            : "=r"(list));
#else
    void *base;
    __asm__("mrs %1, tpidr_el0\n\t"
            "adrp %0, :gottprel:ag__tls_m\n\t"
            "ldr %0, [%0, #:gottprel_lo12:ag__tls_m]\n\t"
            "ldr %0, [%1, %0]\n\t"
            "ldr %0, [%0, #8]"
            : "=&r"(list), "=&r"(base));
#endif
    return __builtin_expect(!list, 0) ? ag__defer_list() : list;
}

AG__DEFER_INLINE struct ag__defer *ag__defer_top(struct ag__defer **list) {
    return *list;
}

/* Links in what is all written but for the stack pointer. */
AG__DEFER_INLINE void ag__defer_begin(struct ag__defer *d, struct ag__defer **list) {
    ag__defer_note_sp(&d->sp);
    *list = d;
}

#endif

AG__DEFER_INLINE void ag__defer_take(struct ag__defer *d) {
#if AG__DEFER_CALLS
    ag__defer_unlink(d);
#else
    *d->head = d->next;
    d->head = 0;
#endif
}

/* Records of every number of arguments, and their ends. */
struct ag__defer_1 {
    struct ag__defer d;
};

struct ag__defer_2 {
    struct ag__defer d;
    intptr_t a[1];
};

struct ag__defer_3 {
    struct ag__defer d;
    intptr_t a[2];
};

struct ag__defer_4 {
    struct ag__defer d;
    intptr_t a[3];
};

struct ag__defer_5 {
    struct ag__defer d;
    intptr_t a[4];
};

struct ag__defer_6 {
    struct ag__defer d;
    intptr_t a[5];
};

struct ag__defer_7 {
    struct ag__defer d;
    intptr_t a[6];
};

#define AG__DEFER_ARGS_1(f)
#define AG__DEFER_ARGS_2(f, a)                                                                     \
    , {                                                                                            \
        (intptr_t)(a)                                                                              \
    }
#define AG__DEFER_ARGS_3(f, a, b)                                                                  \
    , {                                                                                            \
        (intptr_t)(a), (intptr_t)(b)                                                               \
    }
#define AG__DEFER_ARGS_4(f, a, b, c)                                                               \
    , {                                                                                            \
        (intptr_t)(a), (intptr_t)(b), (intptr_t)(c)                                                \
    }
#define AG__DEFER_ARGS_5(f, a, b, c, d)                                                            \
    , {                                                                                            \
        (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), (intptr_t)(d)                                 \
    }
#define AG__DEFER_ARGS_6(f, a, b, c, d, e)                                                         \
    , {                                                                                            \
        (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), (intptr_t)(d), (intptr_t)(e)                  \
    }
#define AG__DEFER_ARGS_7(f, a, b, c, d, e, g)                                                      \
    , {                                                                                            \
        (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), (intptr_t)(d), (intptr_t)(e), (intptr_t)(g)   \
    }

/* For seven or more, which are refused elsewhere. */
struct ag__defer_X {
    struct ag__defer d;
    intptr_t a[6];
};
#define AG__DEFER_ARGS_X(...)                                                                      \
    , {                                                                                            \
        0                                                                                          \
    }
AG__DEFER_INLINE void ag__defer_end_X(struct ag__defer_X *x) {
    (void)x;
}

AG__DEFER_CALL void ag__defer_end_1(struct ag__defer_1 *x) {
    ag__defer_take(&x->d);
    x->d.fn();
}

AG__DEFER_CALL void ag__defer_end_2(struct ag__defer_2 *x) {
    ag__defer_take(&x->d);
    ((void (*)(intptr_t))x->d.fn)(x->a[0]);
}

AG__DEFER_CALL void ag__defer_end_3(struct ag__defer_3 *x) {
    ag__defer_take(&x->d);
    ((void (*)(intptr_t, intptr_t))x->d.fn)(x->a[0], x->a[1]);
}

AG__DEFER_CALL void ag__defer_end_4(struct ag__defer_4 *x) {
    ag__defer_take(&x->d);
    ((void (*)(intptr_t, intptr_t, intptr_t))x->d.fn)(x->a[0], x->a[1], x->a[2]);
}

AG__DEFER_CALL void ag__defer_end_5(struct ag__defer_5 *x) {
    ag__defer_take(&x->d);
    ((void (*)(intptr_t, intptr_t, intptr_t, intptr_t))x->d.fn)(x->a[0], x->a[1], x->a[2], x->a[3]);
}

AG__DEFER_CALL void ag__defer_end_6(struct ag__defer_6 *x) {
    ag__defer_take(&x->d);
    ((void (*)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t))x->d.fn)(x->a[0], x->a[1], x->a[2],
                                                                          x->a[3], x->a[4]);
}

AG__DEFER_CALL void ag__defer_end_7(struct ag__defer_7 *x) {
    ag__defer_take(&x->d);
    ((void (*)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t))x->d.fn)(
        x->a[0], x->a[1], x->a[2], x->a[3], x->a[4], x->a[5]);
}

AG__END
#endif
