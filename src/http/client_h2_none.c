/* SPDX-License-Identifier: MIT */
/*
 * Instead of client_h2*.c where nghttp2 was not found when the library was configured: HTTP/2 is
 * offered to no server, and refused to a program that asks for it.
 */
#include "http/client.h"

const ag__client_wire ag__client_wire_2;

bool ag__client_has_h2(void) {
    return false;
}

ag__client_h2 *ag__client_h2_new(ag_http_client *client, ag__client_link *link) {
    (void)client;
    (void)link;
    return NULL;
}

void ag__client_h2_start(ag__client_h2 *h2) {
    (void)h2;
}

bool ag__client_h2_is_alive(ag__client_h2 *h2, bool was_idle) {
    (void)h2;
    (void)was_idle;
    return false;
}

void ag__client_h2_unref(ag__client_h2 *h2) {
    (void)h2;
}
