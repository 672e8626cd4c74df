/* SPDX-License-Identifier: MIT */
/*
 * aglet/http_file.h - files and other content of known size over HTTP: types, validators,
 * conditional requests, ranges. Link with -laglet-http as well.
 *
 *     ag_http_dir(s, "/static/", "/srv/www", NULL);                 // a tree of files
 *
 *     static void report(ag_http_request *req, ag_http_response *res) {
 *         ag_http_set(res, "Content-Disposition", "attachment; filename=report.pdf");
 *         ag_http_file(req, res, "/srv/reports/today.pdf");         // one of them
 *     }
 *
 * All of them answer by RFC 9110:
 *
 *   - Content-Type by the name's extension, application/octet-stream for one that is not known,
 *     unless the handler has set it.
 *   - Last-Modified, and an ETag of a file's size and time of change; it is weak (W/) while the
 *     file is younger than two seconds, when a second change might not show. An ETag or
 *     Last-Modified that the handler has set counts instead.
 *   - If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, in this order (13.2.2): 412
 *     or 304. A date that is none is ignored.
 *   - GET with Range: 206 with one range, or multipart/byteranges with several; 416 if none can be
 *     had or it is malformed; If-Range needs the same strong ETag or the same date. All of it is
 *     sent, with 200, for units other than bytes, for more than 16 ranges, and for ranges that
 *     together are larger than the whole (RFC 9110 14.2): a small request makes no huge answer.
 *   - HEAD: the same head, without a body.
 *
 * The bytes of a file go from the system's cache to the socket (sendfile), a piece at a time, and
 * stall no other goroutine. A file that becomes shorter meanwhile ends the connection, so that the
 * client sees that something is missing.
 */
#ifndef AGLET_HTTP_FILE_H
#define AGLET_HTTP_FILE_H

#include <aglet/http.h>

AG__BEGIN

/**
 * Answers with the file at `path`, which is the program's: it may lead anywhere, so don't make it
 * of what a client sends (that is ag_http_dir's task). A file that can't be had is answered 404,
 * 403, 503 (no descriptor or memory) or 500.
 * Waits: for the client. Returns: 0 when answered, 304, 412 and 416 included; -ENOENT also for what
 * is no regular file, -EACCES …: answered as above; -EALREADY once the body has begun; -EIO when
 * the file has become shorter; ag_http_write's errors. Go: http.ServeFile, but for index.html and
 * redirects.
 */
AG_API int ag_http_file(ag_http_request *req, ag_http_response *res, const char *path);

/** How ag_http_dir serves. All-zero means the defaults. May be copied; texts are copied. */
typedef struct ag_http_dir_options {
    const char *index;         /* what a path that ends with '/' stands for: index.html */
    const char *cache_control; /* Cache-Control of what is found; NULL: none */
    bool hidden;               /* also names that begin with '.'; else they are 404, but for a first
                                  segment .well-known (RFC 8615) */
    bool links_leave;          /* symbolic links may lead out of the root */
    bool precompressed;        /* "a.js.gz" beside "a.js" goes to clients that accept gzip */
} ag_http_dir_options;

/**
 * Serves the tree of files at the folder `root` below `pattern`, which is one of ag_http_handle's
 * that ends with '/'; without a method it is for GET and HEAD. `options` may be NULL.
 *
 * No path leaves the root, by "..", however it is encoded, or by a symbolic link (openat2; before
 * Linux 5.6, or where a sandbox refuses that call, no link is followed at all). A folder is
 * redirected to its path with '/' at the end (301), where its index is served; without one it is
 * 404: nothing is listed. Files that are not regular are 404. The root is opened for each request,
 * so another one can be put in its place, a link included.
 * Panics: as ag_http_handle; for a pattern without '/' at the end.
 * Owns: copies what it is given. Go: http.FileServer, which lists folders.
 */
AG_API void ag_http_dir(ag_http_server *s, const char *pattern, const char *root,
                        const ag_http_dir_options *options);

/**
 * Answers with n bytes of memory. `name` gives the type by its extension, `modified` is the time of
 * the last change (ag_wall()), 0: not known, and no Last-Modified; an ETag is what the handler has
 * set. Waits, Returns: as ag_http_write; 0. Go: http.ServeContent.
 */
AG_API int ag_http_content(ag_http_request *req, ag_http_response *res, const char *name,
                           ag_time modified, const void *data, size_t n);

/** Gives up to n bytes from position `at` of some content. Returns: how many, 0 at its end, a
 * negative errno. */
typedef ssize_t (*ag_http_read_at)(void *arg, int64_t at, void *buf, size_t n);

/** ag_http_content of `size` bytes that fn(arg, …) gives. Returns: also fn's error, and -EIO when
 * it ends early: the connection ends then. */
AG_API int ag_http_content_from(ag_http_request *req, ag_http_response *res, const char *name,
                                ag_time modified, int64_t size, ag_http_read_at fn, void *arg);

/** The type for a file of this name, by its extension in any case: "text/css; charset=utf-8".
 * Returns: NULL for one that is not known. */
AG_API const char *ag_http_type_of(const char *name);

AG__END
#endif
