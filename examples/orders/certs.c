/* SPDX-License-Identifier: MIT */
/*
 * TLS: certificates, and new ones without a restart.
 */
#include "desk.h"

#include <errno.h>
#include <stdio.h>

static int set_up(ag_tls_config *tls, const struct options *o) {
    int err = ag_tls_config_cert(tls, o->cert, o->key);
    if (err == 0)
        err = ag_tls_config_alpn(tls, "h2,http/1.1");
    if (err == 0 && o->client_ca)
        err = ag_tls_config_clients(tls, AG_TLS_CLIENT_REQUEST, o->client_ca);
    return err;
}

ag_tls_config *certs_read(const struct options *options) {
    ag_tls_config *tls = ag_tls_config_new();
    if (!tls || set_up(tls, options) == 0)
        return tls;
    fprintf(stderr, "orders: %s; see --cert, --key and --client-ca\n", ag_tls_config_error(tls));
    ag_unref(tls);
    return NULL;
}

/* Files that are being replaced, and don't fit yet, change nothing. */
static void renew(struct desk *desk) {
    while (ag_recv(desk->hangups, NULL)) {
        if (!desk->tls)
            ag_log_info("there are no certificates to read again");
        else if (ag_tls_config_reload(desk->tls) == 0)
            ag_log_info("the certificates were read again");
        else
            ag_log_error("the certificates stay as they were",
                         ag_kv("why", ag_tls_config_error(desk->tls)));
    }
}

int certs_watch(void *arg) {
    struct desk *desk = arg;
    ag_ctx_enter(NULL); /* the goroutine outlives the start */
    desk->hangups = ag_make(int, 1);
    int err = ag_notify(desk->hangups, SIGHUP);
    if (err == 0 && ag_wg_go(&desk->renewal, renew, desk) < 0)
        err = -ENOMEM;
    return err;
}

void certs_unwatch(void *arg) {
    struct desk *desk = arg;
    ag_notify_stop(desk->hangups);
    ag_close(desk->hangups);
    ag_wg_wait(&desk->renewal);
    ag_unref(desk->hangups);
}
