/* SPDX-License-Identifier: MIT */
/*
 * aglet/process.h - child processes.
 *
 *     const char *argv[] = {"grep", "-c", "aglet", "README.md", NULL};
 *     ag_process_output got;
 *     int r = ag_process_run(&(ag_process_opts){.argv = argv}, 1 << 20, &got);
 *     if (r == 0 && got.status.exit_code == 0)
 *         printf("%s", got.out);
 *     ...
 *     ag_process_output_free(&got);
 *
 * To wait for a child parks the goroutine, not the thread; signals go to that child and never to
 * another process that got its number. A child inherits three descriptors, and those of `fds`,
 * and no other; signals
 * that are ignored (not those that are caught), and the environment unless it is given one.
 *
 * An ag_process is reference counted and may be used from several goroutines and threads. When its
 * last reference goes before the child has ended, the child goes on; its remains are cleared away
 * at a later start of a child, or by ag_reap_children.
 *
 * The program may wait for children of its own with waitpid(pid). One that waits for any child,
 * or has the system ignore SIGCHLD, takes the status of these, too: then it is -ECHILD here.
 */
#ifndef AGLET_PROCESS_H
#define AGLET_PROCESS_H

#include <aglet/base.h>

AG__BEGIN

typedef struct ag_process ag_process;

/** What a child's descriptor may be besides a number. */
enum {
    AG_PROCESS_SAME = 0,  /* the same as this process has there */
    AG_PROCESS_PIPE = -1, /* a pipe; this end by ag_process_in, _out, _err */
    AG_PROCESS_NULL = -2, /* /dev/null */
    AG_PROCESS_OUT = -3   /* `err` only: where `out` goes */
};

/** What to start, and how. All-zero but for `argv` means the defaults. Read before the call
 * returns; the caller keeps it. */
typedef struct ag_process_opts {
    const char *const *argv; /* its words, ended by NULL */
    const char *path;        /* the program; NULL: argv[0]. Without a slash it is looked for in the
                                PATH of this process */
    const char *const *env;  /* NAME=value …, ended by NULL; NULL: that of this process */
    const char *dir;         /* where it begins; NULL: here. A relative path counts from there */
    int in, out, err;        /* AG_PROCESS_*, or a descriptor, which stays the caller's */
    const int *fds;          /* further descriptors, which stay the caller's: its 3, 4, … */
    int fd_count;            /* how many of these; at most 1000 */
    bool new_group;          /* it leads a process group of its own: Ctrl-C does not reach it */
    bool ends_with_context; /* the end of the current context ends it: SIGTERM, and SIGKILL if it is
                               there after `grace`; with new_group: to its group */
    ag_time grace;          /* 0: 5 s; less: SIGKILL at once */
} ag_process_opts;

/**
 * Starts a child. With ends_with_context a goroutine watches over it.
 * Waits: until the child runs the program. Returns: 0 and *ret_process with one reference; -ENOENT
 * for a program or directory that is not there, -EACCES for one that may not be run, -ENOEXEC,
 * -E2BIG, -EINVAL without argv, -EAGAIN, -ENOMEM, -EMFILE …; -ECANCELED / -ETIMEDOUT, with nothing
 * done, when the current context has ended. From: goroutine, any thread; with ends_with_context a
 * goroutine.
 */
AG_API int ag_process_start(const ag_process_opts *opts, ag_process **ret_process);

/** How a child ended, Go's os.ProcessState. A plain value. */
typedef struct ag_process_status {
    int pid;
    int exit_code;        /* what it gave to exit, 0 to 255; -1: a signal ended it */
    int signal;           /* that one, else 0 */
    bool core_dumped;     /* with a core dump */
    ag_time user, system; /* the CPU time that it and its children used */
    int64_t max_rss;      /* the most memory that it had, in bytes */
} ag_process_status;

/**
 * Waits: until the child has ended; when the current context ends first, the child goes on.
 * Returns: 0 and *ret_status (may be NULL), every time; -ECHILD when the program took the status
 * (above); -ECANCELED, -ETIMEDOUT; -EMFILE, -ENOMEM … when there is nothing to wait with.
 * Order: what the child did, as far as the system shows it, comes before.
 */
AG_API int ag_process_wait(ag_process *p, ag_process_status *ret_status);

/** Sends a signal to the child, Go's Process.Signal. Returns: 0, also when it has ended and nobody
 * has waited for it; -ESRCH after that; -EINVAL, -EPERM. */
AG_API int ag_process_signal(ag_process *p, int sig);
/** The same to the group that a child with new_group leads, for as long as nobody has waited for
 * it; -EINVAL for another child. */
AG_API int ag_process_signal_group(ag_process *p, int sig);
/** ag_process_signal of SIGKILL. */
AG_API int ag_process_kill(ag_process *p);

/** The child's number; it may mean another process once the child was waited for. NULL: the number
 * of this process. */
AG_API int ag_process_pid(const ag_process *p);

/** This end of a pipe: write to `in`, read from `out` and `err`, by ag_fd_write and ag_fd_read
 * (aglet/io.h). Returns: the descriptor, -EBADF when there is none or it was closed.
 * Owns: the process; they are closed with the last reference, or by ag_process_close_in …, which
 * wake who waits there. A child that reads to the end needs its `in` closed. */
AG_API int ag_process_in(const ag_process *p);
AG_API int ag_process_out(const ag_process *p);
AG_API int ag_process_err(const ag_process *p);
AG_API int ag_process_close_in(ag_process *p);
AG_API int ag_process_close_out(ag_process *p);
AG_API int ag_process_close_err(ag_process *p);

/** A status in Go's words: "exit status 1", "signal: killed", "signal: aborted (core dumped)".
 * Cut to `size`. */
AG_API void ag_process_status_text(const ag_process_status *status, char *buf, size_t size);

/** What ag_process_run gives. Freed by ag_process_output_free. */
typedef struct ag_process_output {
    char *out, *err; /* what it wrote, and a 0 behind it; never NULL */
    size_t out_size, err_size;
    bool is_cut; /* there was more than the limit */
    ag_process_status status;
} ag_process_output;

/**
 * Runs a child and collects what it writes, Go's exec.Cmd.Output: `out` and `err` are pipes
 * where they are AG_PROCESS_SAME; with err AG_PROCESS_OUT both come in `out`, in their order. Of
 * each, `limit` bytes are kept; what follows is read and dropped. ends_with_context is on.
 * Waits: until the child has ended and its pipes are closed, also by what it started. When the
 * current context ends: until the child was ended because of that.
 * Returns: 0 and *ret_output, however the child ended; the errors of ag_process_start; -ENOMEM;
 * -ECANCELED, -ETIMEDOUT. From: goroutine. Limit: `in` can't be a pipe: -EINVAL.
 */
AG_API int ag_process_run(const ag_process_opts *opts, size_t limit, ag_process_output *ret_output);
/** Frees what is in it; all-zero is fine. */
AG_API void ag_process_output_free(ag_process_output *output);

/**
 * For process 1, and after prctl(PR_SET_CHILD_SUBREAPER): from now on every child that has ended is
 * cleared away; false: not any more. The children of ag_process_start keep their status.
 * Those that the program starts in another way don't: its waitpid(), system() and pclose() may
 * fail with ECHILD while this is on.
 * Returns: 0; -EAGAIN, -ENOMEM when the thread for it can't be started. From: goroutine, any
 * thread.
 */
AG_API int ag_reap_children(bool on);

AG__END
#endif
