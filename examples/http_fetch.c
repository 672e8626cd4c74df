/* SPDX-License-Identifier: MIT */
/* A client: what a server answers, within five seconds in all. Without an argument it asks a server
 * of its own; with a URL, that one: http_fetch https://example.org/ */
#include <aglet.h>
#include <aglet/http.h>
#include <aglet/http_client.h>

static void hello(ag_http_request *req, ag_http_response *res) {
    ag_http_printf(res, "hello, %s\n", ag_http_path_value(req, "name"));
}

static int fetch(ag_http_client *client, const char *url) {
    ag_http_reply *reply;
    char buf[4096];
    ssize_t n;
    ag_within(5 * AG_SEC);
    int r = ag_http_get(client, url, &reply);
    ag_defer(ag_http_reply_close, reply); /* also if there is no answer: it knows why */
    if (r == 0)
        printf("%d\n", ag_http_reply_status(reply));
    while (r == 0 && (n = ag_http_reply_read(reply, buf, sizeof buf)) != 0) {
        if (n > 0)
            fwrite(buf, 1, (size_t)n, stdout);
        else
            r = (int)n;
    }
    if (r < 0)
        printf("%s\n", ag_http_reply_error(reply));
    return r < 0;
}

static int app(void *arg) {
    ag_http_client *client = ag_http_client_new(NULL);
    ag_defer(ag_http_client_free, client);
    if (arg)
        return fetch(client, arg);
    ag_listener *l;
    char url[64];
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "GET /hello/{name}", hello, NULL);
    if (ag_listen("tcp", "127.0.0.1:0", &l) < 0)
        return 1;
    ag_go(ag_http_serve, s, l);
    snprintf(url, sizeof url, "http://%s/hello/ada", ag_listener_addr(l));
    fetch(client, url);
    fetch(client, "http://example.org\r\n.evil.example/");
    ag_http_stop(s, AG_SEC);
    return 0;
}

int main(int argc, char **argv) {
    return ag_run(app, argc > 1 ? argv[1] : NULL);
}
/* Output:
 * 200
 * hello, ada
 * the URL can't be used: the host has a character that no name has: Invalid argument
 */
