/* SPDX-License-Identifier: MIT */
/*
 * aglet/ctx.h - contexts: who may still wait, until when, and on whose behalf.
 *
 *     static void handle(ag_conn *c) {
 *         ag_within(5 * AG_SEC);                 // all of this block's waits, together
 *         ag_defer(finish, c);
 *         ...                                    // reads, sends, sleeps: nothing to pass on
 *     }
 *     static void finish(ag_conn *c) {
 *         ag_shield(AG_SEC);                     // clean-up gets its own time
 *         ag_write(c, "bye\n", 4);
 *         ag_unref(c);
 *     }
 *
 * Every goroutine has a current context. ag_go hands it on; without another word it is the
 * background, which never ends. When the current context has ended, no call of this goroutine
 * waits: a call does what it can do at once, else it returns -ECANCELED or -ETIMEDOUT (ag_recv:
 * false; ag_select: the negative code, or the case that lists AG_DONE of that context). One that
 * waits already returns at once. Not affected: mutexes, ag_wg_wait, ag_cond_wait, ag_scope_end,
 * and what runs in ag_blocking or in the kernel already.
 *
 * Contexts form a tree. What ends one ends all below it; nothing below can end what is above.
 *
 * An ag_ctx is reference counted, may be used by any thread, and is never copied; NULL is the
 * background. A context holds a reference of its parent. Who drops the last reference to one that
 * has not ended stops its timer; ag_ctx_after calls that wait for it never run.
 *
 * Go: no function takes a context; there is no WithoutCancel but ag_shield.
 */
#ifndef AGLET_CTX_H
#define AGLET_CTX_H

#include <aglet/chan.h>
#include <aglet/defer.h>

AG__BEGIN

/* --- The tree. --- */

/** The context that never ends. Returns: never NULL; unref does nothing to it. */
AG_API ag_ctx *ag_ctx_background(void);

/** A context that ends with its parent, or by ag_ctx_cancel.
 * Returns: it, with one reference; NULL when out of memory. From: goroutine, any thread. */
AG_API ag_ctx *ag_ctx_with_cancel(ag_ctx *parent);
/** The same; it also ends, with -ETIMEDOUT, when `ns` have passed; 0 or less: at once. */
AG_API ag_ctx *ag_ctx_with_timeout(ag_ctx *parent, ag_time ns);
/** The same, at the point `t` of ag_now(). */
AG_API ag_ctx *ag_ctx_with_deadline(ag_ctx *parent, ag_time t);
/** The same as ag_ctx_with_cancel; it also carries `value` for `key`, which is compared as a
 * pointer. Typed keys are below. Owns: the caller; both must live as long as the context. */
AG_API ag_ctx *ag_ctx_with_value(ag_ctx *parent, const void *key, const void *value);
/** ag_ctx_with_value of a copy of the n bytes at `data`, aligned for anything, which goes with the
 * context: for what might be gone before the last goroutine that has got it. */
AG_API ag_ctx *ag_ctx_with_copy(ag_ctx *parent, const void *key, const void *data, size_t n);

/**
 * Ends `c` and all contexts below it with -ECANCELED, once; later calls do nothing, nor does one on
 * the background. When it returns, ag_ctx_err of all of them tells. When the call that ended them
 * returns, their channels are closed, too, and their goroutines' waits have ended; another call at
 * the same time may return before that.
 * Order: what happened before it happens before whatever ends or returns because of it.
 * From: goroutine, any thread.
 */
AG_API void ag_ctx_cancel(ag_ctx *c);
/** The same, and ag_ctx_cause tells `err`; 0 counts as -ECANCELED. */
AG_API void ag_ctx_cancel_cause(ag_ctx *c, int err);

/** A channel that closes when `c` ends; NULL (never ready) for the background.
 * Owns: the context; no unref by the caller. Limit: throws when out of memory, as ag_make. */
AG_API ag_chan(char) ag_ctx_done(ag_ctx *c);
/** 0 while `c` lives, else -ECANCELED or -ETIMEDOUT; then its channel is closed, too. */
AG_API int ag_ctx_err(ag_ctx *c);
/** 0 while `c` lives, else why it ended: what ag_ctx_cancel_cause gave, or ag_ctx_err. */
AG_API int ag_ctx_cause(ag_ctx *c);
/** When `c` will end by itself, at the latest. Returns: false, with *ret_deadline untouched, if it
 * has no such time. */
AG_API bool ag_ctx_deadline(ag_ctx *c, ag_time *ret_deadline);
/** The value for `key` in `c` or the nearest context above it; NULL when there is none. */
AG_API void *ag_ctx_value(ag_ctx *c, const void *key);

/** A call that waits for the end of a context. Reference counted; any thread; not copyable. */
typedef struct ag_ctx_call ag_ctx_call;

/**
 * ag_ctx_after(c, fn, args...): runs fn(args...) in a goroutine of its own once `c` has ended, at
 * once if it has already, Go's context.AfterFunc. That goroutine's current context is the
 * background.
 * Returns: the call, with one reference; NULL when out of memory.
 * Owns: the context keeps a call that waits; ag_unref of the handle does not stop it.
 * Limit: a context that ends while no runtime runs drops its calls; one that ends while there is no
 * memory for their goroutines throws.
 */
#define ag_ctx_after(c, ...)                                                                       \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag_ctx *ag__c = (c);                                                                       \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__ctx_after(ag__c, &ag__s, AG__FN(__VA_ARGS__), ag__a);                                  \
    })
/** Returns: true if the call was waiting and will not run; false if it has run, is about to, or
 * was stopped or dropped before. NULL: false. */
AG_API bool ag_ctx_call_stop(ag_ctx_call *call);

/* --- The current context. --- */

/** This goroutine's current context. Returns: never NULL. Owns: no reference for the caller; it
 * stays as long as it is current. */
AG_API ag_ctx *ag_ctx_current(void);

/* A block that has another current context than the code around it; lives in that block. */
struct ag__ctx_block {
    struct ag__ctx_block *outer;
    ag_ctx *before;       /* what is current again when the block ends */
    ag_ctx *own;          /* what is current in it, with a reference */
    ag_time until_before; /* likewise: the bound of the waits */
    bool is_bound;        /* of ag_within: `own` is made when somebody asks for it */
    void *nest;           /* of a scope: what belongs to it; see aglet/scope.h */
};

/**
 * ag_ctx_enter(c): makes `c` current until the enclosing block ends, in whatever way: as for
 * ag_defer, by panic and ag_goexit, too. NULL is the background.
 * Inside of an ag_within block the waits stay bounded by that, too.
 * Owns: takes a reference of its own. Limit: skipped by longjmp.
 */
#define ag_ctx_enter(c) AG__CTX_BLOCK(AG__CAT(ag__b, __COUNTER__), ag__ctx_enter, c)

/**
 * ag_within(ns): bounds every wait from now on, until the block ends: when `ns` have passed, waits
 * return -ETIMEDOUT. In it, ag_ctx_current() is a context with that deadline, below the one
 * before; a goroutine that is started in the block gets it and keeps it after the block has ended.
 * No allocation, unless somebody asks for the context: ag_ctx_current throws when out of memory; a
 * goroutine that is started then has its waits bounded, without a context that says so. Blocks
 * nest; the earliest bound counts.
 */
#define ag_within(ns) AG__CTX_BLOCK(AG__CAT(ag__b, __COUNTER__), ag__ctx_within, ns)

/**
 * ag_shield(ns): gives clean-up code its own time: until the block ends, but for `ns` at most, the
 * end of the current context does not count, be it that it has ended or that it ends meanwhile.
 * Afterwards it counts again. A context that does not end in all that time is not affected.
 * In the block ag_ctx_current() is a context below the one before, with its values. Throws when out
 * of memory for it.
 */
#define ag_shield(ns) AG__CTX_BLOCK(AG__CAT(ag__b, __COUNTER__), ag__ctx_shield, ns)

#define AG__CTX_BLOCK(name, begin, what)                                                           \
    AG__STATIC_ASSERT(1, "so that it can't be the body of an if or a loop without braces");        \
    struct ag__ctx_block name;                                                                     \
    begin(&name, what);                                                                            \
    ag_defer(ag__ctx_leave, &name)

AG_API void ag__ctx_enter(struct ag__ctx_block *b, ag_ctx *c);
AG_API void ag__ctx_within(struct ag__ctx_block *b, ag_time ns);
AG_API void ag__ctx_shield(struct ag__ctx_block *b, ag_time ns);
AG_API void ag__ctx_leave(struct ag__ctx_block *b);
AG_API ag_ctx_call *ag__ctx_after(ag_ctx *c, const struct ag__site *site, ag__fn fn,
                                  const intptr_t args[6]);

/* --- Elements: values with a type, the data of a request and of a goroutine. --- */

/**
 * The type of a key for values of type T, an integer or a pointer. A key is an object at file scope
 * and is known by its address:
 *
 *     static const ag_key(struct user *) current_user = AG_KEY("current_user");
 *
 *     ag_ctx *c = ag_ctx_plus(ag_ctx_current(), &current_user, user);    // another T: refused
 *     struct user *u = ag_ctx_get(c, &current_user);
 *
 * As with Kotlin's context elements a goroutine's own data is what its current context carries:
 * ag_with sets it for a block, ag_local reads it, ag_go hands it on.
 */
#define ag_key(T)                                                                                  \
    struct {                                                                                       \
        const char *name;                                                                          \
        __typeof__(T) *ag__type;                                                                   \
    }
#define AG_KEY(text)                                                                               \
    { text, 0 }

/** ag_ctx_plus(parent, key, v): ag_ctx_with_value of `v` as a T. Kotlin: context + element. */
#define ag_ctx_plus(parent, key, ...)                                                              \
    __extension__({                                                                                \
        __typeof__(*(key)->ag__type) ag__v = (__VA_ARGS__);                                        \
        AG__W1(ag__v)                                                                              \
        ag_ctx_with_value((parent), (key), (const void *)(intptr_t)ag__v);                         \
    })
/** ag_ctx_get(c, key): the T that `c` carries for `key`, else 0. Kotlin: context[Key]. */
#define ag_ctx_get(c, key) ((__typeof__(*(key)->ag__type))(intptr_t)ag_ctx_value((c), (key)))
/** ag_local(key): ag_ctx_get of the current context. */
#define ag_local(key) ag_ctx_get(ag_ctx_current(), key)
/** ag_with(key, v): until the block ends, the current context carries `v` for `key`. Throws when
 * out of memory. Kotlin: withContext(element). */
#define ag_with(key, ...)                                                                          \
    AG__CTX_BLOCK(AG__CAT(ag__b, __COUNTER__), ag__ctx_take,                                       \
                  ag_ctx_plus(ag_ctx_current(), key, __VA_ARGS__))

/* --- Labels: what dumps and profiles say about a goroutine. --- */

/**
 * ag_label(key, value): until the block ends, the current context carries this label. Dumps show
 * the labels of a goroutine's current context, profiles are told apart by them. ag_go hands them on
 * with the context; one with the same key hides the one before. Throws when out of memory.
 *
 *     ag_label("customer", name);
 *
 * Owns: both strings are copied. Limit: the labels of one context together take up to 200 bytes; a
 * value that is too long is cut, and of older labels those are left out for which no room is left.
 * An empty or NULL key is ignored; a NULL value is an empty one. Go: pprof.Do.
 */
#define ag_label(key, value)                                                                       \
    AG__CTX_BLOCK(AG__CAT(ag__b, __COUNTER__), ag__ctx_take,                                       \
                  ag_ctx_with_label(ag_ctx_current(), (key), (value)))
/** The same as ag_ctx_with_cancel; it also has this label. */
AG_API ag_ctx *ag_ctx_with_label(ag_ctx *parent, const char *key, const char *value);
/** The value of a label of `c`; NULL when there is none. Owns: the context. */
AG_API const char *ag_ctx_label(ag_ctx *c, const char *key);

/** The elements that libraries agree on. The first two are labels, too. Owns: whoever sets them;
 * they are not copied. */
struct ag_key_text {
    const char *name;
    const char **ag__type;
};
struct ag_key_fields {
    const char *name;
    const char *const **ag__type;
};
/** Which request this is, a const char *: for logs, and for calls to other services. */
AG_API extern const struct ag_key_text ag_request_id;
/** On whose behalf it is done, a const char *. */
AG_API extern const struct ag_key_text ag_principal;
/** What every log line says, a const char *const *: name, value, name, value … NULL. */
AG_API extern const struct ag_key_fields ag_log_fields;

/* How many references c has: more than the caller's own, and somebody else has it. */
AG_API int ag__ctx_refs(ag_ctx *c);
/* Makes c current, or NULL the background again, without a block and without a reference: for a
 * goroutine that has no context and sees to it that c is given back, whatever way it is left. c has
 * no deadline and no labels. */
AG_API void ag__ctx_borrow(ag_ctx *c);
/* ag__ctx_enter with the caller's reference. */
AG_API void ag__ctx_take(struct ag__ctx_block *b, ag_ctx *c);

AG__END
#endif
