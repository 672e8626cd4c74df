/* SPDX-License-Identifier: MIT */
/*
 * compiler.h - what differs between compilers and their sanitizers, in one place.
 */
#ifndef AG_COMPILER_H
#define AG_COMPILER_H

#define AG__LIKELY(x) __builtin_expect(!!(x), 1)
#define AG__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define AG__NOINLINE __attribute__((noinline))
#define AG__ALWAYS_INLINE inline __attribute__((always_inline))
#define AG__COLD __attribute__((noinline, cold))
#define AG__HIDDEN __attribute__((visibility("hidden")))
#define AG__EXPORT __attribute__((visibility("default")))
#define AG__CACHE_LINE 64

/* Nothing may be moved across by the compiler. */
#define AG__COMPILER_BARRIER() __asm__ volatile("" ::: "memory")

#if defined(__SANITIZE_ADDRESS__)
#define AG__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AG__ASAN 1
#endif
#endif
#ifndef AG__ASAN
#define AG__ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || defined(AG_TSAN)
#define AG__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AG__TSAN 1
#endif
#endif
#ifndef AG__TSAN
#define AG__TSAN 0
#endif

/* Reads or writes memory of which the sanitizers think otherwise, on purpose. Never inlined: a
 * caller that is watched would have it watched, too. */
#define AG__NO_SANITIZE __attribute__((noinline, no_sanitize_address, no_sanitize_thread))

/* Whether the runtime itself is instrumented. */
#if AG__TSAN && defined(AG_TSAN_SELF)
#define AG__TSAN_SELF 1
#else
#define AG__TSAN_SELF 0
#endif

/* A call through a pointer of another type is meant: all arguments travel in registers. */
#if defined(__clang__)
#define AG__ANY_CALL __attribute__((no_sanitize("function")))
#else
#define AG__ANY_CALL
#endif

#if AG__ASAN
void __sanitizer_start_switch_fiber(void **fake_save, const void *bottom, unsigned long size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom_old, unsigned long *size_old);
void __asan_handle_no_return(void);
void *__asan_get_current_fake_stack(void);
void *__asan_addr_is_in_fake_stack(void *fake, void *addr, void **ret_lo, void **ret_hi);
void __asan_poison_memory_region(void const volatile *addr, unsigned long size);
void __asan_unpoison_memory_region(void const volatile *addr, unsigned long size);
void __lsan_register_root_region(const void *addr, unsigned long size);
#endif

#if AG__TSAN
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void *__tsan_get_current_fiber(void);
void __tsan_set_fiber_name(void *fiber, const char *name);
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
void __tsan_java_alloc(unsigned long addr, unsigned long size);
void __tsan_java_free(unsigned long addr, unsigned long size);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void __tsan_read_range(void *addr, long size); /* as gcc has them built in */
void __tsan_write_range(void *addr, long size);
/* What happened before release(x) happens before acquire(x), told to TSan. */
#define AG__HB_RELEASE(x) __tsan_release((void *)(x))
#define AG__HB_ACQUIRE(x) __tsan_acquire((void *)(x))
/* The runtime reads or writes the user's memory on the user's behalf. */
#define AG__USER_READ(p, n) __tsan_read_range((void *)(p), (long)(n))
#define AG__USER_WRITE(p, n) __tsan_write_range((void *)(p), (long)(n))
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan" /* fences have acquires and releases beside them */
#endif
#else
#define AG__HB_RELEASE(x) ((void)(x))
#define AG__HB_ACQUIRE(x) ((void)(x))
#define AG__USER_READ(p, n) ((void)(p), (void)(n))
#define AG__USER_WRITE(p, n) ((void)(p), (void)(n))
#endif

/* From here on TSan does not watch this fibre, until it looks again. */
#if AG__TSAN && !AG__TSAN_SELF
#define AG__TSAN_LOOK_AWAY() __tsan_ignore_thread_begin()
#define AG__TSAN_LOOK() __tsan_ignore_thread_end()
#else
#define AG__TSAN_LOOK_AWAY() ((void)0)
#define AG__TSAN_LOOK() ((void)0)
#endif

#endif
