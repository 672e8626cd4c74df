/* SPDX-License-Identifier: MIT */
/* A chat room: what one says, all hear. Who does not read is cut after a second. */
#include <aglet.h>
#include <aglet/websocket.h>
struct seat {
    ag_ws *ws;
    struct seat *next;
};
static struct seat *room;
static ag_mutex lock;
static void member(ag_http_request *req, ag_http_response *res) {
    struct seat me, **at = &room;
    const char *said;
    if (ag_ws_accept(req, res, &(ag_ws_options){.write_ns = AG_SEC}, &me.ws) != 0)
        return;
    ag_mutex_lock(&lock);
    me.next = room;
    room = &me;
    ag_mutex_unlock(&lock);
    while (ag_ws_read(me.ws, &said, NULL) == AG_WS_TEXT) {
        ag_mutex_lock(&lock);
        for (struct seat *s = room; s; s = s->next)
            ag_ws_text(s->ws, said);
        ag_mutex_unlock(&lock);
    }
    ag_mutex_lock(&lock);
    while (*at != &me)
        at = &(*at)->next;
    *at = me.next;
    ag_mutex_unlock(&lock);
    ag_ws_unref(me.ws);
}

static int app(void *arg) {
    ag_http_server *s = ag_http_server_new(NULL);
    ag_listener *l;
    ag_ws *ann, *ben;
    const char *heard;
    char url[64];
    ag_http_handle(s, "/room", member, arg);
    if (ag_listen("tcp", "127.0.0.1:0", &l) < 0 || ag_go(ag_http_serve, s, l) < 0)
        return 1;
    snprintf(url, sizeof url, "ws://%s/room", ag_listener_addr(l));
    if (ag_ws_dial(url, NULL, &ann) != 0 || ag_ws_dial(url, NULL, &ben) != 0)
        return 1;
    for (ag_ws_text(ann, "anybody here?"); ag_ws_read(ann, &heard, NULL) > 0;) {
        printf("ann hears: %s\n", heard);
        *heard == 'a' ? (void)ag_ws_text(ben, "me") : (void)ag_go(ag_http_stop, s, AG_SEC);
    }
    printf("the room has closed: %d\n", ag_ws_close_code(ann));
    return 0;
}
int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * ann hears: anybody here?
 * ann hears: me
 * the room has closed: 1001
 */
