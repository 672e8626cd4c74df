/* SPDX-License-Identifier: MIT */
/*
 * own.h - what the machine must offer of a place where the programs of one user can be found by
 * that user, and by nobody else. Results are negative errno values.
 */
#ifndef AG_OWN_H
#define AG_OWN_H

#include "base/base.h"
#include <sys/types.h>

/* The longest path of a socket. */
enum { AG__OWN_PATH = 108 };

/* The folder of this user's sockets, made if it is not there, open to its owner alone:
 * $XDG_RUNTIME_DIR/aglet if that is this user's, else /tmp/aglet-UID. -EPERM: it is somebody
 * else's, or open to others. */
int ag__own_folder(char *ret_path, size_t size);
/* A listening socket at this path, for its owner alone, in the place of what was there. It can be
 * found only once it listens. Returns the descriptor. */
int ag__own_listen(const char *path);
/* The user of this process, and the one at the other end of a connection. */
int64_t ag__own_user(void);
int64_t ag__own_peer(int fd); /* or a negative errno value */
/* The file at this path goes when the process ends by itself, exit or ag__os_exit_now, but not in
 * a child of a fork. NULL: none any more. The text must stay where it is until then. */
int ag__own_remove_at_exit(const char *path);
/* Removes it now. Async-signal-safe. */
void ag__own_remove(void);

#endif
