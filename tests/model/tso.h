/* SPDX-License-Identifier: MIT */
/*
 * tso.h - memory with store buffers, for the models beside it.
 *
 * A model defines NTHREADS and NVARS first. All shared words are mem[0 .. NVARS-1]. A store goes
 * into the FIFO buffer of its thread and reaches mem[] at any later time (process Drain); a load
 * sees the thread's own newest store, else mem[]. This is x86-TSO.
 *
 * A locked instruction or full fence waits until the own buffer is empty: CAN_LOCK(t) guards an
 * atomic step that then works on mem[] directly. HEAVY(t, i) is the fence on the rare side: like
 * membarrier, it drains one thread after the other, not all in one instant. LIGHT(t) is the fence
 * on the fast side; it only holds back the compiler.
 *
 * FULL_FENCES models machines without membarrier: both are ordinary full fences.
 * NO_HEAVY is a negative control: HEAVY is an ordinary fence, LIGHT stays what it is.
 *
 * Waiting in a loop is written as a blocking guard. Inline parameters end in an underscore, since
 * they are replaced as text.
 */
#define DEPTH 3

byte mem[NVARS];
byte sb_n[NTHREADS];
byte sb_var[NTHREADS * DEPTH];
byte sb_val[NTHREADS * DEPTH];

#define SB_HIT(t, i, a) (sb_n[t] > (i) && sb_var[(t) * DEPTH + (i)] == (a))
#define SB(t, i) sb_val[(t) * DEPTH + (i)]
#define LOAD(t, a)                                                                                 \
    (SB_HIT(t, 2, a) -> SB(t, 2) : (SB_HIT(t, 1, a) -> SB(t, 1) :                                  \
                                    (SB_HIT(t, 0, a) -> SB(t, 0) : mem[a])))
#define CAN_LOCK(t) (sb_n[t] == 0)

inline STORE(t_, a_, v_) {
    atomic {
        sb_n[t_] < DEPTH;
        sb_var[(t_) * DEPTH + sb_n[t_]] = a_;
        sb_val[(t_) * DEPTH + sb_n[t_]] = v_;
        sb_n[t_] = sb_n[t_] + 1
    }
}

/* The oldest store of t reaches memory. Unused slots stay 0, to keep the states few. */
inline DRAIN_ONE(t_) {
    mem[sb_var[(t_) * DEPTH]] = sb_val[(t_) * DEPTH];
    sb_var[(t_) * DEPTH] = sb_var[(t_) * DEPTH + 1];
    sb_val[(t_) * DEPTH] = sb_val[(t_) * DEPTH + 1];
    sb_var[(t_) * DEPTH + 1] = sb_var[(t_) * DEPTH + 2];
    sb_val[(t_) * DEPTH + 1] = sb_val[(t_) * DEPTH + 2];
    sb_var[(t_) * DEPTH + 2] = 0;
    sb_val[(t_) * DEPTH + 2] = 0;
    sb_n[t_] = sb_n[t_] - 1
}

inline DRAIN_ALL(t_) {
    do
    :: sb_n[t_] > 0 -> DRAIN_ONE(t_)
    :: else -> break
    od
}

#define FENCE(t) CAN_LOCK(t)

#ifdef FULL_FENCES
#define LIGHT(t) FENCE(t)
#else
#define LIGHT(t) skip
#endif

#if defined FULL_FENCES || defined NO_HEAVY
#define HEAVY(t, i) FENCE(t)
#else
/* `i_` is a byte of the caller's, 0 before and after. */
inline HEAVY(t_, i_) {
    FENCE(t_);
    do
    :: d_step { i_ < NTHREADS -> DRAIN_ALL(i_); i_++ }
    :: atomic { i_ == NTHREADS -> i_ = 0; break }
    od
}
#endif

/* A spin lock: taken by a locked instruction, released by a plain store. */
inline ACQUIRE(t_, a_) {
    atomic { CAN_LOCK(t_) && mem[a_] == 0 -> mem[a_] = 1 }
}
#define RELEASE(t, a) STORE(t, a, 0)

/* Everything buffered reaches memory some time, in any order between the threads. */
active proctype Drain() {
end:
    do
    :: d_step { sb_n[0] > 0 -> DRAIN_ONE(0) }
    :: d_step { sb_n[1] > 0 -> DRAIN_ONE(1) }
#if NTHREADS > 2
    :: d_step { sb_n[2] > 0 -> DRAIN_ONE(2) }
#endif
#if NTHREADS > 3
    :: d_step { sb_n[3] > 0 -> DRAIN_ONE(3) }
#endif
#if NTHREADS > 4
    :: d_step { sb_n[4] > 0 -> DRAIN_ONE(4) }
#endif
    od
}
