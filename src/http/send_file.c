/* SPDX-License-Identifier: MIT */
/*
 * A piece of a file as body, within the kernel. Not of HTTP/2, which frames it.
 *
 * The head and what stands before it are sent first; then the file goes in pieces, each with a
 * write deadline of its own, as any other piece of a response. A context that ends meanwhile ends
 * it only if it is not the request's: see context.c.
 */
#include "http/content.h"

#include <aglet/ctx.h>
#include <aglet/defer.h>
#include <aglet/file.h>
#include <errno.h>

enum { PIECE = 512 * 1024 };

static int copy_on(ag__http_work *w, int fd, int64_t n, int64_t *done) {
    int64_t more = 0;
    ag_ctx_enter(NULL);
    int r = ag_copy_to_conn(w->hc->c, fd, n - *done, &more);
    *done += more;
    return r;
}

static int copy_piece(ag__http_work *w, int fd, int64_t n) {
    int64_t done = 0;
    ag__http_write_deadline(w, (size_t)n);
    int r = ag_copy_to_conn(w->hc->c, fd, n, &done);
    if ((r == -ECANCELED || r == -ETIMEDOUT) && w->req.ctx && ag_ctx_err(w->req.ctx) != 0)
        r = copy_on(w, fd, n, &done);
    w->res.body_bytes += done;
    return r != 0 ? r : done < n ? -EIO : 0;
}

int ag__http_send_file(ag_http_response *res, int fd, int64_t n) {
    ag__http_work *w = res->w;
    if (res->encoder || w->wire->major != 1) /* a stream's bytes go into frames */
        return -ENOSYS;
    int r = ag_http_flush(res);
    if (r != 0)
        return r;
    if (res->mode != AG__MODE_PLAIN || res->head_only)
        return -ENOSYS;
    while (r == 0 && n > 0) {
        int64_t piece = n < PIECE ? n : PIECE;
        r = copy_piece(w, fd, piece);
        n -= piece;
    }
    if (r != 0) {
        res->close = true;
        res->error = r;
        if (r != -EIO)
            w->broken = r;
        if (r == -ETIMEDOUT)
            ag__http_count(&w->counters.timed_out, 1);
    }
    return r;
}
