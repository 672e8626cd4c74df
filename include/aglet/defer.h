/* SPDX-License-Identifier: MIT */
/*
 * aglet/defer.h - deferred calls, panics and recovery.
 *
 *     FILE *f = fopen(path, "w");
 *     if (!f) return -1;
 *     ag_defer(fclose, f);                 // runs when this block ends, whatever way it ends
 *
 * A deferred call belongs to the enclosing block, not to the function as in Go: one written in
 * a loop body runs in every round, so it can't pile up. It is skipped by exit, _exit, longjmp
 * across it and the death of the process. After such a longjmp a panic still finds the deferred
 * calls further out, unless the frame that panics lies on top of what the longjmp left. One out of
 * a deferred call that a panic runs ends that panic. Don't jump over one with goto or a case label.
 */
#ifndef AGLET_DEFER_H
#define AGLET_DEFER_H

#include <aglet/base.h>
#include <aglet/defer_inline.h>

AG__BEGIN

/** What a panic carries. */
typedef struct ag_panic_info ag_panic_info;
struct ag_panic_info {
    char msg[256];    /* the text, cut if longer */
    void *value;      /* of ag_panic_value, else NULL */
    const char *file; /* where it was raised; "?" when unknown */
    int line;         /* 0 when unknown */
};

/** What ag_try returns after a panic. */
#define AG_PANICKED (-4095)

/**
 * ag_defer(fn, args...): runs fn(args...) when the enclosing block ends: at its end, by
 * return, break, continue, goto, by a panic, by ag_goexit, by ag_exit. Up to six integer or
 * pointer arguments, evaluated now. Last in, first out. No heap. fn's result is dropped.
 * A NULL fn panics when it would run. From: goroutine, any thread. Go: at the function's end.
 */
#define ag_defer(...) AG__DEFER(AG__CAT(ag__d, __COUNTER__), __VA_ARGS__)
#define AG__DEFER(name, ...)                                                                       \
    AG__STATIC_ASSERT(1, "so that it can't be the body of an if or a loop without braces");        \
    AG__CAT(AG__WORDS_, AG__COUNT(__VA_ARGS__))                                                    \
    (__VA_ARGS__) struct ag__defer **const AG__CAT(name, _list) = ag__defer_list_now();            \
    __attribute__((cleanup(AG__CAT(ag__defer_end_, AG__COUNT(__VA_ARGS__))))) struct AG__CAT(      \
        ag__defer_, AG__COUNT(__VA_ARGS__))                                                        \
        name = {{ag__defer_top(AG__CAT(name, _list)), 0, ag__defer_fn(AG__FN(__VA_ARGS__)),        \
                 AG__CAT(name, _list),                                                             \
                 AG__DEFER_SITE(__VA_ARGS__)} AG__CAT(AG__DEFER_ARGS_,                             \
                                                      AG__COUNT(__VA_ARGS__))(__VA_ARGS__)};       \
    ag__defer_begin(&name.d, AG__CAT(name, _list))
#define AG__DEFER_SITE(...)                                                                        \
    __extension__({                                                                                \
        AG__TYPECHECK(__VA_ARGS__)                                                                 \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        &ag__s;                                                                                    \
    })

/**
 * ag_panic(fmt, ...): starts panicking with a text: deferred calls of this goroutine run,
 * innermost first, while the stack still stands; ag_try and ag_recover stop it. Unrecovered,
 * it prints `panic: text`, the goroutine's backtrace and creation site on stderr, calls the
 * ag_on_panic hook and ends the process with status 2 (AGLET_TRACEBACK=crash: abort).
 * Does not return.
 */
#define ag_panic(...) ag__panic_at(__FILE__, __LINE__, (void *)0, __VA_ARGS__)
/** ag_panic_value(value, fmt, ...): the same, carrying a pointer. Owns: whoever recovers. */
#define ag_panic_value(value, ...) ag__panic_at(__FILE__, __LINE__, (value), __VA_ARGS__)

/**
 * const ag_panic_info *ag_recover(void): in a deferred call that runs because of a panic, stops
 * it and returns it; anywhere else, also in a function called by the deferred one, NULL. The
 * deferred calls down to the nearest ag_try still run, then that ag_try returns AG_PANICKED;
 * without one the goroutine ends normally.
 * Owns: the runtime; valid until the deferred call returns.
 * Limit: a function that the deferred one calls as the last thing it does may take its place, where
 * the optimiser makes a jump of such a call; then it can recover.
 */
#define ag_recover()                                                                               \
    __extension__({                                                                                \
        AG__NEVER_INLINE_CALLER;                                                                   \
        ag__recover(__builtin_return_address(0));                                                  \
    })

/**
 * ag_try(out, fn, args...): runs fn(args...) and stops a panic that leaves it.
 * Returns: 0, or AG_PANICKED; then *out (may be NULL) tells the panic, and the deferred calls
 * below have run - also when one of them recovered it. ag_goexit inside does not return here.
 */
#define ag_try(out, ...)                                                                           \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        ag_panic_info *ag__out = (out);                                                            \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__try(ag__out, AG__FN(__VA_ARGS__), ag__a);                                              \
    })

/** Called with every unrecovered panic before the process ends; NULL removes it. Returns: the
 * hook before. It must not wait. */
typedef void (*ag_panic_hook)(const ag_panic_info *);
AG_API ag_panic_hook ag_on_panic(ag_panic_hook hook);

/* The function that says this is never inlined: by clang where a variable holds the address of a
 * label of it, by gcc where memory of unknown size is taken from its stack. (The linker's optimiser
 * of gcc 12 loses such a variable's label.) */
#ifdef __clang__
#define AG__NEVER_INLINE_CALLER                                                                    \
    __label__ ag__here;                                                                            \
    static const void *const volatile ag__keep = &&ag__here;                                       \
    ag__here:                                                                                      \
    (void)ag__keep
#else
#define AG__NEVER_INLINE_CALLER                                                                    \
    volatile __SIZE_TYPE__ ag__none = 0;                                                           \
    __asm__ volatile("" ::"r"(__builtin_alloca(ag__none)))
#endif

AG_API void ag__panic_at(const char *file, int line, void *value, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 4, 5)));
AG_API const ag_panic_info *ag__recover(void *return_address);
AG_API int ag__try(ag_panic_info *out, ag__fn fn, const intptr_t args[6]);

AG__END

#endif
