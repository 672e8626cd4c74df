/* SPDX-License-Identifier: MIT */
/*
 * aglet/file.h - files that survive: replaced as a whole, appended to durably by many; pipes, and
 * copies from one descriptor to another. Reading, writing and syncing bare files is in aglet/io.h,
 * buffers in aglet/bufio.h.
 *
 * Nothing here stalls other goroutines. Current context: in one that has ended, ag_replace_begin,
 * ag_replace_commit, ag_commit_append and ag_copy return -ECANCELED or -ETIMEDOUT; what is in the
 * kernel already goes on to its end.
 */
#ifndef AGLET_FILE_H
#define AGLET_FILE_H

#include <aglet/base.h>
#include <aglet/bufio.h>
#include <aglet/net.h>
#include <sys/types.h>

AG__BEGIN

/* --- Replacing a file. --- */

/**
 * A new content for a file, written beside it and put in its place at once: whoever opens the file
 * sees all of the old or all of the new, also after a crash of the machine.
 *
 *     int save(const char *path, int n) {
 *         char buf[4096];
 *         ag_replace r;
 *         int err = ag_replace_begin(&r, path, 0, buf, sizeof buf);
 *         if (err)
 *             return err;
 *         ag_defer(ag_replace_cancel, &r);          // unless it is committed: the old file stays
 *         ag_writer_printf(&r.out, "%d\n", n);
 *         return ag_replace_commit(&r);
 *     }
 *
 * The new content is in a file `.NAME.….tmp` in the same folder until then; only SIGKILL and the
 * like can leave one behind. A symbolic link is replaced itself, and so is one name of a file that
 * has several.
 * Usable when zero: as a cancelled one. Copyable: no. Threads: one at a time. Freed by:
 * ag_replace_commit or ag_replace_cancel.
 */
typedef struct ag_replace {
    ag_writer out; /* write to this; the commit flushes it, and knows its first error */
    int ag__fd, ag__folder;
    char *ag__names; /* the temporary one, then the file's; NULL: over */
} ag_replace;

/** Begins. `mode` is open(2)'s; 0: that of the file that is there, else 0666, less the umask.
 * Returns: 0; -ENOENT without the folder, -EACCES, -ENOSPC …; -EINVAL for a path without a name at
 * its end. */
AG_API int ag_replace_begin(ag_replace *r, const char *path, int mode, void *buf, size_t size);
/**
 * Flushes and syncs the new file, gives it the old one's name, syncs the folder.
 * Returns: 0: the new file is there, and on the disk. An error, the first of all, those of r->out
 * included: the old file is there, unless it was the folder that could not be synced (rare: -EIO):
 * then it is the new one, but a crash of the machine may bring the old one back. -ECANCELED after
 * the end of r.
 */
AG_API int ag_replace_commit(ag_replace *r);
/** Drops what was written; the old file stays. Nothing happens after the commit. For ag_defer. Not
 * ended by a context. */
AG_API void ag_replace_cancel(ag_replace *r);
/** All in one: the file at `path` holds these n bytes. Returns: as the two above. */
AG_API int ag_replace_file(const char *path, int mode, const void *data, size_t n);

/* --- Group commit. --- */

/**
 * Appends to a file by many goroutines, each of which goes on once its bytes are on the disk. One
 * of those that wait writes and syncs for all, so that n at the same time cost one sync, not n.
 *
 *     static ag_commit journal;
 *     ag_commit_init(&journal, open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
 *     ...
 *     int err = ag_commit_append(&journal, record, size);     // in any goroutine
 *     if (err == 0) reply("done");
 *
 * The bytes of one append stand together, in the order in which the appends came. The first error
 * is the last thing that happens to the file: it goes to all that wait, and to all that come later,
 * since after a failed sync nobody can say what is on the disk, and a record behind a torn one is
 * lost to readers. Read the file, cut off what is torn, and begin again. A crash may leave a torn
 * record at the end, or whole ones of appends that never returned; so a record should be able to
 * tell whether it is whole.
 * Usable when zero: no. Copyable: no. Threads: any. Freed by: nobody, it owns nothing while nobody
 * waits; the descriptor is the caller's. One on which a goroutine was dropped when main returned
 * must not be used in the next ag_run.
 */
typedef struct ag_commit {
    uint32_t ag__lock;
    int ag__fd, ag__error;
    uint32_t ag__busy;
    void *ag__head, *ag__tail;
    int64_t ag__syncs;
} ag_commit;
#define AG_COMMIT_INIT(fd)                                                                         \
    { 0, (fd), 0, 0, 0, 0, 0 }

/** For a descriptor of a file that is open for writing; O_APPEND if others write to it, too. */
AG_API void ag_commit_init(ag_commit *c, int fd);
/**
 * Appends n bytes; none: only waits for what came before. Waits: until they are on the disk.
 * Returns: 0 then; the first error of all appends: these bytes may or may not be there; -ECANCELED
 * or -ETIMEDOUT when the current context ended before its turn came: they are not.
 * Order: what happened before an append happens before all appends that share its sync return.
 */
AG_API int ag_commit_append(ag_commit *c, const void *data, size_t n);
/** How many syncs there were. */
AG_API int64_t ag_commit_syncs(ag_commit *c);

/* --- Pipes and copies. --- */

/** A pipe: what is written to ret_ends[1] is read from ret_ends[0]. Non-blocking, for ag_fd_read,
 * ag_fd_write, ag_fd_close and the like; closed in programs that this one starts. Returns: 0,
 * -EMFILE, -ENFILE. */
AG_API int ag_pipe(int ret_ends[2]);

/**
 * Copies from one descriptor to another, from where they stand: `max` bytes at most, all there is
 * for one below 0. Within the kernel where it can (copy_file_range between files, splice for pipes,
 * sendfile from files), else by reading and writing.
 * Waits: until that is done. Returns: 0, also at the end of the stream; a negative errno. In either
 * case *ret_copied (may be NULL) tells how many bytes were written; after an error the source may
 * have been read some more, up to 64 KiB.
 */
AG_API int ag_copy(int to, int from, int64_t max, int64_t *ret_copied);
/** ag_copy to a connection; of a file by sendfile. The deadline for writes counts. */
AG_API int ag_copy_to_conn(ag_conn *to, int from, int64_t max, int64_t *ret_copied);
/** ag_copy from a connection, by reading and writing. The deadline for reads counts. */
AG_API int ag_copy_from_conn(int to, ag_conn *from, int64_t max, int64_t *ret_copied);

AG__END
#endif
