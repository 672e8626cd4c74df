/* SPDX-License-Identifier: MIT */
/*
 * ask_http.h - one conversation over a connection: a request is read, judged and answered.
 */
#ifndef AG_ASK_HTTP_H
#define AG_ASK_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>

/* `is_owner`: the client is known to be this user, else ag_debug_admit decides. Ends soon once
 * `*closing` is set and the connection is shut down. The descriptor stays open. */
void ag__ask_converse(int fd, bool is_owner, const _Atomic bool *closing);
/* Tells the client to come later. */
void ag__ask_send_away(int fd);

#endif
