/* SPDX-License-Identifier: MIT */
/*
 * probe.c - readiness and liveness, for whoever decides where requests go and what is restarted.
 *
 * They are two questions. One that stops, or whose database is away for a moment, should get no
 * requests, but nothing is won by killing it: so liveness looks at nothing. That the answer comes
 * says that the scheduler runs.
 */
#include "svc/svc.h"

#include <stdio.h>
#include <string.h>

const char *ag__svc_not_ready(ag__svc *s, char *buf, size_t size) {
    switch (atomic_load(&s->state)) {
    case AG__SVC_STARTING:
        return "the service starts";
    case AG__SVC_STOPPING:
        return "the service stops";
    default:
        break;
    }
    for (int i = 0; i < s->part_count; i++) {
        const ag_svc_part *p = &s->opt.parts[i];
        int r = p->check ? p->check(p->arg) : 0;
        if (r != 0) {
            snprintf(buf, size, "%s is not ready: %s", p->name, strerror(r < 0 ? -r : r));
            return buf;
        }
    }
    return NULL;
}

void ag_svc_readyz(ag_http_request *req, ag_http_response *res) {
    (void)req;
    char buf[256];
    ag__svc *s = ag__svc_current();
    const char *why = s ? ag__svc_not_ready(s, buf, sizeof buf) : "no service runs";
    ag_http_set(res, "Cache-Control", "no-store");
    if (why) {
        ag_http_status(res, 503);
        ag_http_printf(res, "%s\n", why);
    } else {
        ag_http_text(res, 200, "ready\n");
    }
    ag__svc_unref(s);
}

void ag_svc_livez(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_set(res, "Cache-Control", "no-store");
    ag_http_text(res, 200, "alive\n");
}
