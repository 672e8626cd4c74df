/* SPDX-License-Identifier: MIT */
/*
 * notify.c - the service manager: sd_notify(3) is a datagram to the socket that NOTIFY_SOCKET
 * names.
 *
 * The watchdog is fed by a goroutine, not by a thread: what it tells is that goroutines get their
 * turn.
 */
#include "svc/svc.h"

#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ag_svc_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    ag_conn *c;
    if (!path || !path[0])
        return 0;
    ag_within(AG_SEC);
    int r = ag_dial("unixgram", path, &c);
    if (r != 0)
        return r;
    ssize_t n = ag_write(c, state, strlen(state));
    ag_unref(c);
    return n < 0 ? (int)n : 1;
}

static void feed(ag__svc *s, ag_time every) {
    while (ag_select(AG_RECV(s->over, NULL), AG_AFTER(every)) == 1)
        ag_svc_notify("WATCHDOG=1");
    ag__svc_unref(s);
}

void ag__svc_watchdog_start(ag__svc *s) {
    static const ag_go_opts opts = {.name = "watchdog"};
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    long long us = usec ? strtoll(usec, NULL, 10) : 0;
    if (us <= 0 || us > INT64_MAX / AG_US)
        return;
    if (pid && strtol(pid, NULL, 10) != ag_process_pid(NULL))
        return;
    ag_svc_notify("WATCHDOG=1");
    if (ag_go_with(&opts, feed, ag__svc_ref(s), us * AG_US / 2) < 0)
        ag__svc_unref(s);
}
