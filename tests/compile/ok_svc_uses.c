/* SPDX-License-Identifier: MIT */
/* Every function of aglet/svc.h, and those of net.h that it builds upon. */
#include <aglet/svc.h>

int svc_part(ag_service *service, ag_svc_server *server, ag_svc_part *part, void (*fn)(void *));
int svc_part(ag_service *service, ag_svc_server *server, ag_svc_part *part, void (*fn)(void *)) {
    static ag_svc_report report;
    static ag_svc_listen_opts opts;
    static ag_listen_opts listen_opts;
    ag_listener *l;
    opts.name = "web";
    listen_opts.reuse_port = true;
    int r = ag_svc_listen("tcp", ":0", &l) + ag_svc_listen_with(&opts, "tcp", ":0", &l);
    r += ag_listen_with(&listen_opts, "tcp", ":0", &l) + ag_listener_from_fd(0, &l);
    ag_listener_share(l, true);
    server->listener = l;
    part->drain = fn;
    service->servers = server;
    service->parts = part;
    service->report = &report;
    ag_http_handle(server->http, "/readyz", ag_svc_readyz, 0);
    ag_http_handle(server->http, "/livez", ag_svc_livez, 0);
    r += ag_serve(service) + ag_svc_restart() + ag_svc_at_exit(fn, 0) + ag_svc_notify("STATUS=x");
    return r + report.cause + ag_listener_fd(l);
}
