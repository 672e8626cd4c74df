/* SPDX-License-Identifier: MIT */
/*
 * aglet/base.h - what every other header of aglet needs: visibility, words, reference counts.
 *
 * You rarely include this by hand. Two ideas live here:
 *
 * Words. ag_go, ag_defer, ag_try and their kin take a function and up to six arguments. Each
 * argument travels as one machine word, so it must be an integer, an enumeration, a boolean or
 * a pointer; the call is checked against the function's prototype by the compiler, a floating
 * or struct argument is a compile error, and so is a seventh one. Arguments are evaluated
 * once, where the statement stands.
 * Limit: an argument for a parameter narrower than `int` must fit that parameter; a parameter
 * must not be floating, which C, other than C++, can't check when the argument is an integer.
 *
 * References. Objects that outlive a scope (channels, contexts, timers, connections) are made
 * with one reference. ag_ref adds one, ag_unref drops one; the last drop frees the object.
 */
#ifndef AGLET_BASE_H
#define AGLET_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define AG__BEGIN extern "C" {
#define AG__END }
#define AG__STATIC_ASSERT static_assert
#else
#define AG__BEGIN
#define AG__END
#define AG__STATIC_ASSERT _Static_assert
#endif

#define AG_API __attribute__((visibility("default")))

AG__BEGIN

/** A duration or a point of ag_now(), in nanoseconds. */
typedef int64_t ag_time;

/** Any function; the runtime calls it with words in the registers of integer arguments. */
typedef void (*ag__fn)(void);

/** Where a goroutine, a deferred call or a panic was written. Constant, one per place. */
struct ag__site {
    const char *file; /* __FILE__ */
    const char *func; /* the function that contains the statement */
    const char *call; /* the text of the function that is called */
    int line;
    int words; /* how many arguments are given */
};

/**
 * Adds a reference to the object at `x` and returns `x`, with its type.
 * From: goroutine, any thread. NULL is accepted and returned.
 */
#define ag_ref(x)                                                                                  \
    __extension__({                                                                                \
        __typeof__(x) ag__x = (x);                                                                 \
        ag__ref((const void *)ag__x);                                                              \
        ag__x;                                                                                     \
    })

/**
 * Drops one reference; the last one frees the object (and closes what it holds).
 * A function, so that it can be deferred: ag_defer(ag_unref, c).
 * From: goroutine, any thread. NULL is accepted.
 * Owns: the caller's reference is gone afterwards.
 */
AG_API void ag_unref(const void *x);

AG_API void ag__ref(const void *x);

AG__END

/* --- Below: the machinery of word arguments. Nothing here is for direct use. --- */

#define AG__CAT_(a, b) a##b
#define AG__CAT(a, b) AG__CAT_(a, b)

/* The number of arguments, 1 to 15. */
#define AG__COUNT_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, N, ...) N
#define AG__COUNT(...) AG__COUNT_(__VA_ARGS__, X, X, X, X, X, X, X, X, 7, 6, 5, 4, 3, 2, 1, 0)

#define AG__BAD_RESULT "aglet: a function that returns a struct or long double can't be called here"

/* What fits into a word: not floating, not complex, not a struct or union, not wider. What may be
 * returned to a caller that expects a word or nothing: no struct or union, whose place the caller
 * would have to give, and no long double, which would stay on the x87 stack. */
#ifdef __cplusplus
extern "C++" {
template <typename T> struct ag__word {
    static const bool fits = !__is_class(T) && !__is_union(T) && sizeof(T) <= sizeof(intptr_t);
};
template <> struct ag__word<float> { static const bool fits = false; };
template <> struct ag__word<double> { static const bool fits = false; };
template <typename T> struct ag__word<T &> { static const bool fits = false; };
template <typename T> struct ag__word<T &&> { static const bool fits = false; };
template <typename T> char (&ag__fits(T))[ag__word<T>::fits ? 1 : 2];
template <typename T> struct ag__result {
    static const bool fits = !__is_class(T) && !__is_union(T);
};
template <> struct ag__result<long double> { static const bool fits = false; };
template <typename R, typename... P> static inline void ag__refuse(R (*)(P...)) {
    static_assert(ag__result<R>::fits, AG__BAD_RESULT);
    static_assert((ag__word<P>::fits && ...), "aglet: a parameter must be an integer or a pointer");
}
template <typename R, typename... P> static inline void ag__refuse(R (*)(P..., ...)) {
    static_assert(ag__result<R>::fits, AG__BAD_RESULT);
}
}
#define AG__IS_WORD(x) (sizeof(ag__fits(x)) == 1)
#else
/* The classes of __builtin_classify_type are real 8, complex 9, struct 12, union 13. */
#define AG__IS_STRUCT(x) (__builtin_classify_type(x) == 12 || __builtin_classify_type(x) == 13)
#define AG__IS_WORD(x)                                                                             \
    (__builtin_classify_type(x) != 8 && __builtin_classify_type(x) != 9 && !AG__IS_STRUCT(x) &&    \
     sizeof(1 ? (x) : (x)) <= sizeof(intptr_t))
#define AG__IS_RESULT(R)                                                                           \
    (!AG__IS_STRUCT(                                                                               \
         __builtin_choose_expr(__builtin_types_compatible_p(R, void), 0, ((R(*)(void))0)())) &&    \
     !__builtin_types_compatible_p(R, long double))
#endif
#define AG__W1(x)                                                                                  \
    AG__STATIC_ASSERT(AG__IS_WORD(x), "aglet: an argument must be an integer or a pointer");

#define AG__WORDS_1(f)
#define AG__WORDS_2(f, a) AG__W1(a)
#define AG__WORDS_3(f, a, b) AG__W1(a) AG__W1(b)
#define AG__WORDS_4(f, a, b, c) AG__W1(a) AG__W1(b) AG__W1(c)
#define AG__WORDS_5(f, a, b, c, d) AG__W1(a) AG__W1(b) AG__W1(c) AG__W1(d)
#define AG__WORDS_6(f, a, b, c, d, e) AG__W1(a) AG__W1(b) AG__W1(c) AG__W1(d) AG__W1(e)
#define AG__WORDS_7(f, a, b, c, d, e, g) AG__W1(a) AG__W1(b) AG__W1(c) AG__W1(d) AG__W1(e) AG__W1(g)
#define AG__WORDS_X(...) AG__STATIC_ASSERT(0, "aglet: at most six arguments");

#define AG__ARGS_1(f) 0, 0, 0, 0, 0, 0
#define AG__ARGS_2(f, a) (intptr_t)(a), 0, 0, 0, 0, 0
#define AG__ARGS_3(f, a, b) (intptr_t)(a), (intptr_t)(b), 0, 0, 0, 0
#define AG__ARGS_4(f, a, b, c) (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), 0, 0, 0
#define AG__ARGS_5(f, a, b, c, d) (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), (intptr_t)(d), 0, 0
#define AG__ARGS_6(f, a, b, c, d, e)                                                               \
    (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), (intptr_t)(d), (intptr_t)(e), 0
#define AG__ARGS_7(f, a, b, c, d, e, g)                                                            \
    (intptr_t)(a), (intptr_t)(b), (intptr_t)(c), (intptr_t)(d), (intptr_t)(e), (intptr_t)(g)
#define AG__ARGS_X(...) 0, 0, 0, 0, 0, 0

#define AG__FN_(f, ...) ((ag__fn)(f))
#define AG__FN(...) AG__FN_(__VA_ARGS__, 0)
#define AG__FNTEXT_(f, ...) #f
#define AG__FNTEXT(...) AG__FNTEXT_(__VA_ARGS__, 0)

#define AG__CALL_1(f) (f)()
#define AG__CALL_2(f, a) (f)(a)
#define AG__CALL_3(f, a, b) (f)(a, b)
#define AG__CALL_4(f, a, b, c) (f)(a, b, c)
#define AG__CALL_5(f, a, b, c, d) (f)(a, b, c, d)
#define AG__CALL_6(f, a, b, c, d, e) (f)(a, b, c, d, e)
#define AG__CALL_7(f, a, b, c, d, e, g) (f)(a, b, c, d, e, g)
#define AG__CALL_X(f, ...) (f)(__VA_ARGS__)

/* The call as the user would write it, for the compiler's eyes only. */
#define AG__CALL(...) AG__CAT(AG__CALL_, AG__COUNT(__VA_ARGS__))(__VA_ARGS__)
#ifdef __cplusplus
#define AG__REFUSE_(f, ...) ag__refuse(f)
#define AG__REFUSE(...) AG__REFUSE_(__VA_ARGS__, 0)
#define AG__TYPECHECK(...)                                                                         \
    if (false) {                                                                                   \
        (void)AG__CALL(__VA_ARGS__);                                                               \
        AG__REFUSE(__VA_ARGS__);                                                                   \
    }
#else
#define AG__TYPECHECK(...)                                                                         \
    {                                                                                              \
        typedef __typeof__(AG__CALL(__VA_ARGS__)) ag__r;                                           \
        AG__STATIC_ASSERT(AG__IS_RESULT(ag__r), AG__BAD_RESULT);                                   \
    }
#endif

/* Statements that refuse a wrong call, then the six words. */
#define AG__CHECK(...)                                                                             \
    AG__CAT(AG__WORDS_, AG__COUNT(__VA_ARGS__))(__VA_ARGS__) AG__TYPECHECK(__VA_ARGS__)
#define AG__ARGS(...) AG__CAT(AG__ARGS_, AG__COUNT(__VA_ARGS__))(__VA_ARGS__)

/* How many words the call has. */
#define AG__NUMBER_1 0
#define AG__NUMBER_2 1
#define AG__NUMBER_3 2
#define AG__NUMBER_4 3
#define AG__NUMBER_5 4
#define AG__NUMBER_6 5
#define AG__NUMBER_7 6
#define AG__NUMBER_X 0

/* A constant record of this place, named `name`. */
#define AG__SITE(name, ...)                                                                        \
    static const struct ag__site name = {__FILE__, __func__, AG__FNTEXT(__VA_ARGS__), __LINE__,    \
                                         AG__CAT(AG__NUMBER_, AG__COUNT(__VA_ARGS__))}

#endif
