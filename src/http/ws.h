/* SPDX-License-Identifier: MIT */
/*
 * What the files of WebSocket share.
 *
 * Three turns, semaphores of size 1, because a context may end the wait for one:
 *
 *     reading   the parser and what it has buffered; held by a read, a wish, or a close that drains
 *     message   who sends a message, from its first frame to its last
 *     sending   who writes a frame; taken inside of `message`, and by control frames alone
 *
 * Lock order: reading, message, sending, lock. Nothing waits for the peer while `lock` is held.
 *
 * Life of the memory: `holds` counts the users together, and the timer while it is armed. Life of
 * the connection: until `ended`, which is set once, with the reason; what is still open then is the
 * peer's direction, so that it gets to read the last words, and goes with the last user.
 */
#ifndef AG_HTTP_WS_H
#define AG_HTTP_WS_H

#include "http/system.h"
#include "http/ws_deflate.h"
#include "http/ws_frame.h"

#include <aglet/sync.h>
#include <aglet/time.h>
#include <aglet/websocket.h>
#include <stdatomic.h>

#ifdef AG_TINY
enum { AG__WS_IN = 160, AG__WS_MESSAGE = 64 };
#else
enum {
    AG__WS_IN = 4096, /* bytes of a reader's buffer, which is borrowed; one control frame fits */
    AG__WS_MESSAGE = 65536, /* a larger message's buffer is given back when the next is read */
};
#endif

struct ag_ws {
    ag_conn *c;                 /* Constant. */
    ag_http_upgraded *upgraded; /* Constant. The server's side: holds `c`. */
    bool client;                /* Constant: masks what it sends. */
    bool deflates;              /* Constant once it is given out: messages may be compressed. */
    int64_t message_max;        /* Constant, as the others of the options. */
    ag_time write_ns, ping_ns, pong_ns, close_ns;
    char *protocol; /* Constant. NULL: none. */

    _Atomic int users, holds;
    ag_sem reading, message, sending;

    ag_mutex lock;
    /* Guarded by lock for writing. */
    _Atomic bool ended;
    int error;         /* 0: after the closing handshake. Constant once it has ended. */
    int peer_code;     /* of its Close; 0: none came */
    char *peer_reason; /* NULL: none */
    ag_timer *timer;

    _Atomic int64_t heard;    /* when the peer last said something; the reader writes */
    _Atomic bool listens;     /* somebody waits for what it says */
    _Atomic int64_t close_at; /* 0, or when the peer must have answered our Close */
    _Atomic int64_t read_deadline, write_deadline; /* of the user; 0: none */

    ag_time pinged; /* The timer: what `heard` was at the last ping. */

    /* Who has `sending`. */
    bool close_sent;
    uint8_t keys[64]; /* client: random bytes, the first key_n of which are fresh */
    uint8_t key_n;
    /* Who has `message`. */
    uint8_t next_opcode; /* of a message in pieces */

    /* Who has `reading`. */
    uint8_t *in; /* in[in_at..in_n): not parsed yet; in_size + 1 bytes, or NULL */
    uint32_t in_size, in_at, in_n;
    uint32_t ended_at; /* where a NUL was put behind a message, or 0 */
    uint8_t under_nul;
    uint8_t type; /* of the message under way; 0: none */
    bool fin;     /* its last frame has begun */
    bool fresh;   /* nobody was told of it yet */
    bool streams; /* ag_ws_next told */
    uint8_t key[4];
    uint64_t left, taken; /* bytes of its frame: still to come, and taken */
    ag__utf8 text;
    ag__ws_inflater *inflater; /* of a compressed message */
    uint32_t clear;            /* bytes at in_at that were unmasked for it */
    uint8_t tail_n;            /* bytes of its end that were added */
    bool inflated;             /* nothing more comes out of it */
    uint8_t *msg;              /* msg[0..msg_n): of the message so far */
    size_t msg_n, msg_size;

    ag__fn wish; /* what ag_ws_when_readable starts */
    intptr_t wish_args[6];
};

/* ws.c */
/* Takes `c`'s reference, or `upgraded`; on failure nothing. Returns: NULL when out of memory. */
ag_ws *ag__ws_new(ag_conn *c, ag_http_upgraded *upgraded, const ag_ws_options *options,
                  const char *protocol, size_t protocol_n);
/* Ends it, the first time: `error` is what reads return from now on. Returns: what they do. */
int ag__ws_end(ag_ws *ws, int error);
/* The same, and cuts the connection, which wakes all that wait for it. */
int ag__ws_cut(ag_ws *ws, int error);
static inline bool ag__ws_has_ended(const ag_ws *ws) {
    return atomic_load_explicit(&ws->ended, memory_order_acquire);
}

/* ws_write.c: a control frame; nothing follows a Close. Returns: 0, -EPIPE, or the error. */
int ag__ws_control(ag_ws *ws, uint8_t opcode, const void *data, size_t n);
/* A Close; `code` 0: without. 0 also if one was sent before. */
int ag__ws_send_close(ag_ws *ws, int code, const char *reason, size_t n);

/* ws_read.c, all with the turn. */
/* Reads on to the next data frame, whose head it takes; control frames are handled. `waits` false:
   takes what is there. Returns: 1; 0 after the closing handshake; else the error. */
int ag__ws_frame(ag_ws *ws, bool waits);
/* Drops what comes until the end. Returns: 0 or the error. */
int ag__ws_drain(ag_ws *ws);
/* A buffer for n bytes or more. Returns: false when out of memory. */
bool ag__ws_borrow(ag_ws *ws, size_t n);
/* Gives buffers that hold nothing back. */
void ag__ws_release(ag_ws *ws);

/* ws_names.c: the extension, of Sec-WebSocket-Extensions. */
/* Whether one of the offers can be accepted. */
bool ag__ws_offers_deflate(const char *value, size_t n);
/* What a server has answered. Returns: false for what was not offered. */
bool ag__ws_agrees_to_deflate(const char *value, size_t n);
#define AG__WS_DEFLATE "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

#endif
