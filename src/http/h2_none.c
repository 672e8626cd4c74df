/* SPDX-License-Identifier: MIT */
/*
 * Instead of h2*.c where nghttp2 was not found when the library was configured: no connection ever
 * speaks HTTP/2, and its preface is refused by the parser of HTTP/1 as a version unknown to it.
 */
#include "http/server.h"

bool ag__http_h2_is_preface(const char *bytes, size_t n) {
    (void)bytes;
    (void)n;
    return false;
}

/* TLS has agreed on what we don't speak. */
void ag__http_h2_begin(ag__http_work *w) {
    ag__http_conn *hc = w->hc;
    ag__http_work_put(w);
    ag__http_conn_free(hc);
}

void ag__http_h2_read(ag__http_conn *hc, ag__http_work *w, ssize_t n) {
    (void)hc;
    (void)w;
    (void)n;
}

bool ag__http_h2_goodbye(ag__http_conn *hc) {
    (void)hc;
    return false;
}

bool ag__http_h2_notice(ag__http_conn *hc) {
    (void)hc;
    return false;
}
