/* SPDX-License-Identifier: MIT */
/*
 * Files, and trees of them.
 *
 * The path of a request is decoded once, and then looked at by its segments: ".", "..", an empty
 * one or a NUL is no name of a file, whatever encoding it came in, and a segment that begins with a
 * dot is hidden. What is left is given to the kernel, which sees to it that no link leaves the
 * root. That is the second line of defence for "..", too.
 */
#include "http/content.h"
#include "http/path.h"
#include "http/system.h"

#include <aglet/defer.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_LONGEST = 4096 };

/* ---- One file ------------------------------------------------------------------------------- */

/* Answers what can't be had. */
static int refuse(ag_http_response *res, int error) {
    int r;
    switch (error) {
    case -EACCES:
    case -EPERM:
        r = ag_http_error(res, 403, "403 Forbidden");
        break;
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -ELOOP:
    case -EXDEV:
    case -EISDIR:
    case -ENXIO: /* a socket */
        r = ag_http_error(res, 404, "404 page not found");
        break;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        r = ag_http_error(res, 503, "out of resources");
        break;
    default:
        r = ag_http_error(res, 500, "the file can't be read");
    }
    return r != 0 ? r : error;
}

static void close_file(ag__http_stat *f) {
    if (f->fd >= 0)
        ag__http_close(f->fd);
}

/* Closes it. */
static int serve_file(ag_http_request *req, ag_http_response *res, ag__http_stat *f,
                      const char *name, const char *etag_end) {
    ag_defer(close_file, f);
    const ag__http_source src = {.name = name,
                                 .size = f->size,
                                 .modified = f->mtime_ns,
                                 .make_etag = true,
                                 .etag_end = etag_end,
                                 .fd = f->fd};
    return ag__http_serve(req, res, &src);
}

int ag_http_file(ag_http_request *req, ag_http_response *res, const char *path) {
    ag__http_stat f;
    int r = ag__http_open(path, &f);
    if (r == 0 && f.is_folder)
        r = -ENOENT;
    return r != 0 ? refuse(res, r) : serve_file(req, res, &f, path, NULL);
}

/* ---- A tree --------------------------------------------------------------------------------- */

typedef struct tree {
    ag_http_dir_options opt;
    const char *root, *index;
} tree;

static bool hidden(const char *segment, size_t n, bool first) {
    static const char well_known[] = ".well-known";
    return segment[0] == '.' &&
           !(first && n == sizeof well_known - 1 && memcmp(segment, well_known, n) == 0);
}

/* Whether this path may name a file; its last segment may be empty. */
static bool path_is_fit(const char *path, bool show_hidden) {
    for (const char *at = path;;) {
        size_t n = strcspn(at, "/");
        bool dots = at[0] == '.' && (n == 1 || (n == 2 && at[1] == '.'));
        if (dots || (!n && (at[n] || at != path)) ||
            (n && !show_hidden && hidden(at, n, at == path)))
            return at != path && !*at; /* an empty one at the end is a folder's */
        if (!at[n])
            return true;
        at += n + 1;
    }
}

/* The decoded path below the pattern's, with room for an index and ".gz". NULL: answered. */
static char *path_of(ag_http_request *req, ag_http_response *res, const tree *t) {
    ag__http_text value;
    if (!ag__http_match_value(&req->match, "path", &value))
        value = (ag__http_text){"", 0};
    char *path = value.n < PATH_LONGEST
                     ? ag__http_arena(req->w, value.n + strlen(t->index) + sizeof ".gz")
                     : NULL;
    if (!path) {
        refuse(res, value.n < PATH_LONGEST ? -ENOMEM : -ENAMETOOLONG);
        return NULL;
    }
    int64_t n = ag__http_decode(path, value, AG__DECODE_PATH);
    path[n > 0 ? n : 0] = 0;
    if (n >= 0 && path_is_fit(path, t->opt.hidden))
        return path;
    refuse(res, -ENOENT);
    return NULL;
}

static void redirect_to_folder(ag_http_request *req, ag_http_response *res) {
    const char *path = ag_http_path(req), *query = ag_http_query(req);
    size_t n = strlen(path), q = strlen(query);
    char *to = ag__http_arena(req->w, n + q + 3);
    if (!to) {
        refuse(res, -ENOMEM);
        return;
    }
    memcpy(to, path, n);
    to[n++] = '/';
    if (q)
        to[n++] = '?';
    memcpy(to + n, query, q + 1);
    ag_http_redirect(res, 301, to);
}

/* The compressed neighbour of f, instead of it, if it is there and wanted. Returns: whether. */
static bool take_neighbour(ag_http_request *req, ag_http_response *res, const tree *t, char *path,
                           ag__http_stat *f) {
    const char *type = ag_http_type_of(path);
    ag__http_stat other;
    if (!t->opt.precompressed || !type ||
        !ag__http_type_is_text((ag__http_text){type, strlen(type)}))
        return false;
    size_t n = strlen(path);
    memcpy(path + n, ".gz", 4);
    bool found = ag__http_vary(res) == 0 && ag__http_wants_gzip(req) &&
                 ag__http_open_below(t->root, path, t->opt.links_leave, &other) == 0;
    path[n] = 0;
    if (!found)
        return false;
    if (other.is_folder || ag_http_set(res, "Content-Encoding", "gzip") != 0) {
        close_file(&other);
        return false;
    }
    close_file(f);
    *f = other;
    return true;
}

static void serve_tree(ag_http_request *req, ag_http_response *res) {
    const tree *t = ag_http_arg(req);
    ag__http_stat f;
    char *path = path_of(req, res, t);
    if (!path)
        return;
    size_t n = strlen(path);
    bool folder = n == 0 || path[n - 1] == '/';
    if (folder)
        memcpy(path + n, t->index, strlen(t->index) + 1);
    int r = ag__http_open_below(t->root, path, t->opt.links_leave, &f);
    if (r == 0 && f.is_folder && !folder) {
        redirect_to_folder(req, res);
        return;
    }
    if (r != 0 || f.is_folder) {
        refuse(res, r != 0 ? r : -ENOENT);
        return;
    }
    if (t->opt.cache_control)
        (void)ag_http_set(res, "Cache-Control", t->opt.cache_control);
    bool gzip = take_neighbour(req, res, t, path, &f);
    (void)serve_file(req, res, &f, path, gzip ? "-gz" : NULL);
}

/* One block for all of it, which the server frees. */
static tree *tree_new(ag_http_server *s, const char *root, const ag_http_dir_options *options) {
    ag_http_dir_options opt = options ? *options : (ag_http_dir_options){.index = NULL};
    const char *index = opt.index ? opt.index : "index.html";
    const char *cache = opt.cache_control ? opt.cache_control : "";
    size_t r = strlen(root) + 1, i = strlen(index) + 1, c = strlen(cache) + 1;
    tree *t = ag__http_server_alloc(s, sizeof *t + r + i + c);
    if (!t)
        ag_panic("http: out of memory");
    char *text = (char *)(t + 1);
    t->opt = opt;
    t->root = memcpy(text, root, r);
    t->index = memcpy(text + r, index, i);
    t->opt.index = t->index;
    t->opt.cache_control = opt.cache_control ? memcpy(text + r + i, cache, c) : NULL;
    return t;
}

void ag_http_dir(ag_http_server *s, const char *pattern, const char *root,
                 const ag_http_dir_options *options) {
    static const char rest[] = "{path...}", get[] = "GET ";
    size_t n = strlen(pattern);
    if (!n || pattern[n - 1] != '/')
        ag_panic("http: the pattern %s of ag_http_dir does not end with /", pattern);
    bool has_method = strchr(pattern, ' ') != NULL;
    char *all = ag__http_server_alloc(s, n + sizeof rest + sizeof get);
    if (!all)
        ag_panic("http: out of memory");
    snprintf(all, n + sizeof rest + sizeof get, "%s%s%s", has_method ? "" : get, pattern, rest);
    ag_http_handle(s, all, serve_tree, tree_new(s, root, options));
}
