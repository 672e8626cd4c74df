/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1's wire: how a response goes out.
 *
 * In BUFFER the head lies in the output buffer behind earlier responses, then room for the framing
 * fields, then the body:
 *
 *     out  [earlier responses][head][   tail   ][body …            ]
 *          0                head_at head_end    body_at  body_n
 *
 * At the end the tail is written and the body moved up to it, so a small response is one piece of
 * memory, and several of them are one write. w->out_n stays at head_at until then: what was not
 * completed can be taken back. When the body outgrows the buffer, everything is sent and the buffer
 * collects chunks from then on; large pieces go out from where they are.
 */
#include "http/server.h"

#include <errno.h>
#include <string.h>

int ag__http_broken(ag_http_response *res, int error) {
    res->close = true;
    return res->error = error;
}

/* Writes the head behind what is in the output buffer, which is sent first if it leaves too little
   room. */
static int begin_head(ag_http_response *res) {
    ag__http_work *w = res->w;
    uint32_t most = ag__http_head_size_max(res) + AG__HTTP_TAIL;
    if (most > AG__HTTP_OUT)
        return -E2BIG;
    if (w->out_n && w->out_n + most + 1024 > AG__HTTP_OUT && ag__http_flush_out(w) != 0)
        return ag__http_broken(res, w->broken);
    if (ag__http_must_close(w))
        res->close = true;
    res->head_at = w->out_n;
    ag__http_head_write(res);
    res->body_at = res->head_end + AG__HTTP_TAIL;
    res->body_n = 0;
    return 0;
}

int ag__http_flush_earlier(ag__http_work *w) {
    ag_http_response *res = &w->res;
    uint32_t earlier = w->out_n;
    if (ag__http_flush_out(w) != 0 || res->mode != AG__MODE_BUFFER || !earlier)
        return w->broken;
    memmove(w->out, w->out + earlier, res->body_at + res->body_n - earlier);
    res->head_at -= earlier;
    res->head_end -= earlier;
    res->body_at -= earlier;
    return 0;
}

/* ---- Streams -------------------------------------------------------------------------------- */

static ssize_t sent(ag_http_response *res, int r, size_t n) {
    return r != 0 ? ag__http_broken(res, r) : (ssize_t)n;
}

/* From BUFFER: sends the head, and the body so far with `data` behind it. */
static ssize_t start_stream(ag_http_response *res, const void *data, size_t n) {
    ag__http_work *w = res->w;
    int64_t length = res->declared;
    if (length < 0)
        length = w->head.minor ? AG__LENGTH_CHUNKED : AG__LENGTH_NONE;
    if (length == AG__LENGTH_NONE)
        res->close = true;
    w->out_n = res->head_end + ag__http_tail_write(res, w->out + res->head_end, length);
    res->mode = length == AG__LENGTH_CHUNKED ? AG__MODE_CHUNKS : AG__MODE_PLAIN;
    size_t all = res->head_only ? 0 : res->body_n + n;
    bool chunk = all && res->mode == AG__MODE_CHUNKS;
    if (chunk)
        w->out_n += (uint32_t)ag__http_chunk_head(w->out + w->out_n, all);
    struct iovec more[3] = {{w->out + res->body_at, res->body_n},
                            {(void *)(uintptr_t)data, n},
                            {(void *)(uintptr_t) "\r\n", 2}};
    int r = ag__http_send_out(w, more, all ? 2 + chunk : 0);
    res->body_at = AG__CHUNK_HEAD_MAX;
    res->body_n = 0;
    return sent(res, r, n);
}

/* Sends what is buffered and `data`, and the end of the body if `last`. */
static ssize_t emit(ag_http_response *res, const void *data, size_t n, bool last) {
    ag__http_work *w = res->w;
    struct iovec more[5];
    int count = 0;
    if (last && res->declared > res->body_bytes)
        res->close = true;
    if (res->head_only)
        return sent(res, w->broken, n);
    size_t all = res->body_n + n, head_n = 0;
    bool chunks = res->mode == AG__MODE_CHUNKS;
    if (chunks && all) {
        char head[AG__CHUNK_HEAD_MAX];
        head_n = ag__http_chunk_head(head, all);
        memcpy(w->out + res->body_at - head_n, head, head_n);
    }
    if (head_n + res->body_n)
        more[count++] = (struct iovec){w->out + res->body_at - head_n, head_n + res->body_n};
    if (n)
        more[count++] = (struct iovec){(void *)(uintptr_t)data, n};
    if (chunks && (all || last)) {
        static const char after_data[] = "\r\n" AG__CHUNK_LAST;
        const char *end = after_data + (all ? 0 : 2);
        more[count++] = (struct iovec){(void *)(uintptr_t)end, last ? strlen(end) : 2};
        if (last && res->trailers_n) { /* before the empty line */
            more[count - 1].iov_len -= 2;
            more[count++] = (struct iovec){res->trailers, res->trailers_n};
            more[count++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
        }
    }
    int r = count ? ag__http_send_out(w, more, count) : w->broken;
    res->body_n = 0;
    return sent(res, r, n);
}

/* ---- Whole responses ------------------------------------------------------------------------ */

static int whole(ag_http_response *res, const void *data, size_t n) {
    ag__http_work *w = res->w;
    int64_t length = ag__http_bodyless(res->status) ? AG__LENGTH_NONE : (int64_t)n;
    uint32_t at = res->head_end + ag__http_tail_write(res, w->out + res->head_end, length);
    w->out_n = at;
    if (res->head_only || !n)
        return 0;
    if (n <= AG__HTTP_OUT - at) {
        memcpy(w->out + at, data, n);
        w->out_n += (uint32_t)n;
        return 0;
    }
    struct iovec more = {(void *)(uintptr_t)data, n};
    ssize_t all = sent(res, ag__http_send_out(w, &more, 1), n);
    return all < 0 ? (int)all : 0;
}

/* Of a response that lies whole in the buffer. */
static void complete(ag_http_response *res) {
    ag__http_work *w = res->w;
    /* A head that is out has said that the connection stays: then it does. */
    if (ag__http_must_close(w))
        res->close = true;
    int64_t length = res->declared;
    if (length < 0)
        length = ag__http_bodyless(res->status) ? AG__LENGTH_NONE : res->body_bytes;
    else if (!res->head_only && !ag__http_bodyless(res->status) && length > res->body_bytes)
        res->close = true; /* the client must not take the next response for the rest */
    char *tail = w->out + res->head_end;
    char *end = tail + ag__http_tail_write(res, tail, length);
    memmove(end, w->out + res->body_at, res->body_n);
    w->out_n = (uint32_t)(end - w->out) + res->body_n;
}

static int flush(ag__http_work *w) {
    return ag__http_flush_out(w);
}

const ag__http_wire ag__http_wire_1 = {
    .begin = begin_head,
    .start = start_stream,
    .emit = emit,
    .whole = whole,
    .complete = complete,
    .body_read = ag__http_read_1,
    .flush = flush,
    .end = ag__http_end_1,
    .is_gone = ag__http_is_gone_1,
    .context = ag__http_context_1,
    .context_end = ag__http_context_end_1,
    .major = 1,
};
