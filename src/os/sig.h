/* SPDX-License-Identifier: MIT */
/*
 * sig.h - what the machine must offer of signals.
 */
#ifndef AG_SIG_H
#define AG_SIG_H

#include "base/base.h"

enum { AG__SIG_MAX = 64 };

/* The number of SIGQUIT here. */
int ag__sig_quit(void);
/* Whether a program may have it sent to a channel: not KILL and STOP, which nobody can catch, not
 * those that the C library keeps, and not those that a faulty instruction raises: to return from
 * their handler would repeat the fault for ever. */
bool ag__sig_can_catch(int sig);

/* What follows remembers the action that was there first, the program's, and puts it back when
 * nothing here wants the signal any more, unless the program has set another one meanwhile. One
 * caller at a time. */

/* From now on fn(sig) runs on whichever thread the signal comes to, as a signal handler; system
 * calls are restarted. -EINVAL. */
int ag__sig_catch(int sig, void (*fn)(int sig));
/* Ends that: it is ignored again, or has the remembered action. */
void ag__sig_release(int sig);
/* From now on the system drops the signal, while it is not caught. Of SIGCHLD the default action
 * does, and unlike the other one it keeps the status of children that have ended. -EINVAL. */
int ag__sig_ignore(int sig);
void ag__sig_unignore(int sig);
/* Whether its action is to ignore it, whoever set that. */
bool ag__sig_is_ignored(int sig);
/* In a handler: sends it to this process once more. Async-signal-safe. */
void ag__sig_resend(int sig);
/* Whether it was sent to this process and no thread has taken it yet. If the calling thread does
 * not block it, it takes it itself, before this returns. */
bool ag__sig_is_pending(int sig);
/* Whether the program has a handler of its own. */
bool ag__sig_is_handled(int sig);

/* The calling thread receives these signals (bit sig - 1) and no others. */
void ag__sig_receive_only(uint64_t signals);

#endif
