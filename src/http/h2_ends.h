/* SPDX-License-Identifier: MIT */
/*
 * What both ends of a connection of HTTP/2 do alike, the server's (h2.h) and the client's
 * (client_h2.h): frames on their way to the writer, budgets, and how a session begins. All of it
 * with the connection's lock.
 */
#ifndef AG_HTTP_H2_ENDS_H
#define AG_HTTP_H2_ENDS_H

#include <aglet/time.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef AG_TINY
enum { AG__H2_OUT = 512 };
#else
enum { AG__H2_OUT = 32768 }; /* bytes of frames that wait for the writer */
#endif

/* ---- Frames --------------------------------------------------------------------------------- */

/* One buffer fills while the writer has the other one in its hands. Zero value: empty. */
typedef struct ag__h2_out {
    char *buf, *spare;   /* AG__H2_OUT bytes each, or NULL */
    uint32_t n;          /* bytes in buf */
    bool full;           /* there may be more than it had room for */
    const uint8_t *rest; /* of the frame that did not fit; nghttp2's */
    size_t rest_n;
} ag__h2_out;

/* Puts in what the session has to send, as far as there is room. Returns: 0, -ENOMEM. */
int ag__h2_out_fill(ag__h2_out *o, nghttp2_session *session);
/* What is in it, to be written without the lock; NULL: nothing. */
char *ag__h2_out_take(ag__h2_out *o, uint32_t *ret_n);
/* The same buffer, written. */
void ag__h2_out_give_back(ag__h2_out *o, char *buf);
/* Nobody will write what is in it. */
void ag__h2_out_drop(ag__h2_out *o);
/* The buffers, with what is in them. */
void ag__h2_out_free(ag__h2_out *o);

static inline bool ag__h2_out_is_empty(const ag__h2_out *o) {
    return !o->n && !o->rest_n;
}

/* ---- Budgets -------------------------------------------------------------------------------- */

/* Time refills them in steps; a rate is a multiple of these. */
#define AG__H2_STEP (10 * AG_MS)
enum { AG__H2_STEPS = (int)(AG_SEC / AG__H2_STEP) }; /* in a second */

/* Steps since *since, which becomes `now` if there are any. */
static inline int64_t ag__h2_steps(ag_time *since, ag_time now) {
    int64_t steps = (now - *since) / AG__H2_STEP;
    if (steps > 0)
        *since = now;
    return steps > 0 ? steps : 0;
}

static inline void ag__h2_refill_one(int32_t *budget, int64_t more, int32_t most) {
    *budget = more > most - *budget ? most : *budget + (int32_t)more;
}

/* ---- The session ---------------------------------------------------------------------------- */

/* Sets callbacks and options, and makes the session; NULL without memory. */
typedef nghttp2_session *ag__h2_maker(void *arg, nghttp2_session_callbacks *cb, nghttp2_option *o);

/* A session whose fields must be well-formed and whose windows are ours to open. NULL without
   memory. */
nghttp2_session *ag__h2_session_make(ag__h2_maker *make, void *arg);
/* Its first frames. Returns: false without memory. */
bool ag__h2_session_greet(nghttp2_session *session, const nghttp2_settings_entry *settings,
                          size_t count, int32_t window);

#endif
