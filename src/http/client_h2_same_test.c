/* SPDX-License-Identifier: MIT */
/*
 * The tests of the client against our own server, by HTTP/2.
 */
#define CLIENT_HTTP2 1
#include "http/client_body_test.c"
#include "http/client_conns_test.c"
#include "http/client_test.c"
