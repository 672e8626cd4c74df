/* SPDX-License-Identifier: MIT */
/*
 * replace.c - a file's content replaced as a whole.
 *
 *     begin            write            commit
 *     create .NAME.x.tmp   r->out    flush | fsync | close | rename to NAME | fsync the folder
 *           |                |          any of these fails, or ag_replace_cancel:
 *           +----------------+--------> close, unlink: the old file was never touched
 *
 * The order is what makes it whole after a crash: the bytes are on the disk before the name is, and
 * the name is before the commit returns. All that may wait for a disk runs handed on, in one piece.
 *
 * Refused: O_TMPFILE and linkat, which would leave nothing behind even at SIGKILL, but can't put a
 * file in another's place, so that a name of its own is needed all the same; rename without fsync
 * (empty files after a crash, on more than one file system).
 */
#include "io/io.h"
#include "os/file.h"
#include <aglet/file.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEMP_BYTES = 256, TEMP_NAME = 200, TRIES = 100 };

static const char *temp_of(const ag_replace *r) {
    return r->ag__names;
}

static const char *name_of(const ag_replace *r) {
    return r->ag__names + TEMP_BYTES;
}

/* --- Below: run with the processor handed on. --- */

static int create_temp(ag_replace *r, int mode) {
    for (int i = 0; i < TRIES; i++) {
        snprintf(r->ag__names, TEMP_BYTES, ".%.*s.%016llx.tmp", TEMP_NAME, name_of(r),
                 (unsigned long long)ag__os_random());
        int fd = ag__folder_create(r->ag__folder, temp_of(r), mode);
        if (fd != -EEXIST)
            return fd;
    }
    return -EEXIST;
}

static int open_temp(ag_replace *r, int mode) {
    int old = mode == 0 ? ag__folder_mode(r->ag__folder, name_of(r)) : -ENOENT;
    if (old < 0 && old != -ENOENT)
        return old;
    r->ag__fd = create_temp(r, old >= 0 ? 0600 : mode ? mode : 0666);
    if (r->ag__fd < 0)
        return r->ag__fd;
    int err = old >= 0 ? ag__file_set_mode(r->ag__fd, old) : 0;
    if (err != 0) {
        ag__file_close(r->ag__fd);
        ag__folder_unlink(r->ag__folder, temp_of(r));
    }
    return err;
}

static int begin(ag_replace *r, const char *folder, int mode) {
    r->ag__folder = ag__folder_open(folder);
    if (r->ag__folder < 0)
        return r->ag__folder;
    int err = open_temp(r, mode);
    if (err != 0)
        ag__file_close(r->ag__folder);
    return err;
}

/* Not every file system knows how to sync a folder. */
static int sync_folder(int folder) {
    int err = ag__file_sync(folder);
    return err == -EINVAL ? 0 : err;
}

static int commit(ag_replace *r) {
    int err = ag__file_sync(r->ag__fd);
    int closed = ag__file_close(r->ag__fd);
    if (err == 0)
        err = closed;
    if (err == 0)
        err = ag__folder_rename(r->ag__folder, temp_of(r), name_of(r));
    if (err == 0)
        err = sync_folder(r->ag__folder);
    else
        ag__folder_unlink(r->ag__folder, temp_of(r));
    ag__file_close(r->ag__folder);
    return err;
}

static void cancel(ag_replace *r) {
    ag__file_close(r->ag__fd);
    ag__folder_unlink(r->ag__folder, temp_of(r));
    ag__file_close(r->ag__folder);
}

/* --- Above: run with the processor handed on. --- */

static void end(ag_replace *r) {
    free(r->ag__names);
    r->ag__names = NULL;
}

/* Memory for both names, and for the folder's behind them. */
static char *names_new(const char *path, const char **ret_folder) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t name_bytes = strlen(name) + 1, folder_length = (size_t)(name - path);
    char *names = malloc(TEMP_BYTES + name_bytes + folder_length + 2);
    if (!names)
        return NULL;
    memcpy(names + TEMP_BYTES, name, name_bytes);
    char *folder = names + TEMP_BYTES + name_bytes;
    memcpy(folder, path, folder_length);
    memcpy(folder + folder_length, ".", 2); /* "" is this one, "/a/" is "/a/." */
    *ret_folder = folder;
    return names;
}

static bool has_name(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int ag_replace_begin(ag_replace *r, const char *path, int mode, void *buf, size_t size) {
    const char *folder;
    *r = (ag_replace){.ag__names = NULL};
    int err = ag__ended_here();
    if (err != 0)
        return err;
    if (!has_name(path))
        return -EINVAL;
    r->ag__names = names_new(path, &folder);
    if (!r->ag__names)
        return -ENOMEM;
    err = (int)ag_blocking(begin, r, folder, mode);
    if (err != 0)
        end(r);
    else
        ag_writer_init_fd(&r->out, r->ag__fd, buf, size, AG_WRITER_KEEP);
    return err;
}

int ag_replace_commit(ag_replace *r) {
    if (!r->ag__names)
        return -ECANCELED;
    int err = ag_writer_close(&r->out);
    if (err == 0)
        err = ag__ended_here();
    if (err == 0)
        err = (int)ag_blocking(commit, r);
    else
        ag_blocking(cancel, r);
    end(r);
    return err;
}

void ag_replace_cancel(ag_replace *r) {
    if (!r->ag__names)
        return;
    r->out = (ag_writer){.ag__error = -ECANCELED};
    ag_blocking(cancel, r);
    end(r);
}

int ag_replace_file(const char *path, int mode, const void *data, size_t n) {
    ag_replace r;
    int err = ag_replace_begin(&r, path, mode, NULL, 0);
    if (err != 0)
        return err;
    ag_writer_write(&r.out, data, n);
    return ag_replace_commit(&r);
}
