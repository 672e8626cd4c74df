/* SPDX-License-Identifier: MIT */
/*
 * folder.c (Linux) - names in folders. A folder is held open, so that its name may change, and the
 * working directory of the process, too.
 */
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int result_of(int status, int saved) {
    int r = status >= 0 ? status : -errno;
    errno = saved;
    return r;
}

int ag__folder_open(const char *path) {
    int saved = errno;
    return result_of(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), saved);
}

int ag__folder_create(int folder, const char *name, int mode) {
    int saved = errno;
    return result_of(
        openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode), saved);
}

int ag__folder_mode(int folder, const char *name) {
    struct stat st;
    int saved = errno;
    int r = result_of(fstatat(folder, name, &st, 0), saved);
    return r == 0 ? (int)(st.st_mode & 07777) : r;
}

int ag__folder_rename(int folder, const char *from, const char *to) {
    int saved = errno;
    return result_of(renameat(folder, from, folder, to), saved);
}

int ag__folder_unlink(int folder, const char *name) {
    int saved = errno;
    return result_of(unlinkat(folder, name, 0), saved);
}

int ag__file_set_mode(int fd, int mode) {
    int saved = errno;
    return result_of(fchmod(fd, (mode_t)mode), saved);
}
