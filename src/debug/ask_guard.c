/* SPDX-License-Identifier: MIT */
/*
 * ask_guard.c - who may look into this program over HTTP.
 *
 * A web page of anybody's, open in a browser on this machine, can send requests to 127.0.0.1. It
 * must not be able to read answers, nor to cause work:
 *   - it gives itself away by Origin and Sec-Fetch-Site, which pages can't set;
 *   - DNS rebinding gives it our origin under a name of its own, which stands in Host. So without a
 *     token Host must be localhost or a number, which no foreign page can have as its name.
 * Requests from other machines need the token, in AGLET_DEBUG_TOKEN; so do those that a proxy hands
 * on, which all come from this machine. With the right token any Host will do: a foreign page does
 * not have it, and a browser keeps it for the name where it was typed.
 *
 * The token is compared in a time that tells nothing but its length.
 */
#include "debug/ask.h"
#include "os/os.h"
#include <aglet/debug.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_MAX = 256 };

/* --- Tokens. --- */

static bool is_same(const char *given, const char *token) {
    size_t n = strlen(given), m = strlen(token);
    unsigned different = n != m;
    for (size_t i = 0; i < n; i++)
        different |=
            (unsigned)(unsigned char)given[i] ^ (unsigned)(unsigned char)token[m ? i % m : 0];
    return different == 0;
}

static int digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Base64; false if it is none, or too long. */
static bool decode(const char *text, char *plain, size_t size) {
    size_t n = 0;
    unsigned bits = 0, count = 0;
    for (; *text && *text != '='; text++) {
        int d = digit(*text);
        if (d < 0 || n + 1 >= size)
            return false;
        bits = bits << 6 | (unsigned)d;
        count += 6;
        if (count >= 8) {
            count -= 8;
            plain[n++] = (char)(bits >> count);
        }
    }
    plain[n] = 0;
    return strlen(plain) == n;
}

/* Nobody can have a token that was cut. Constant once the token was read. */
static bool is_too_long;

/* Read once: another thread may change the environment. */
const char *ag__ask_token(void) {
    static char token[TOKEN_MAX];
    enum { UNREAD, READING, READ };
    static _Atomic int state;
    int was = UNREAD;
    if (atomic_compare_exchange_strong(&state, &was, READING)) {
        const char *text = getenv("AGLET_DEBUG_TOKEN");
        if (text && (size_t)snprintf(token, sizeof token, "%s", text) >= sizeof token)
            is_too_long = true;
        atomic_store(&state, READ);
    }
    while (atomic_load(&state) != READ)
        ag__os_yield();
    return token[0] ? token : NULL;
}

/* "Bearer TOKEN", or "Basic" with it as the password of any user. */
static bool has_token(const char *authorization, const char *token) {
    char plain[TOKEN_MAX * 2];
    if (!authorization || is_too_long)
        return false;
    if (strncmp(authorization, "Bearer ", 7) == 0)
        return is_same(authorization + 7, token);
    if (strncmp(authorization, "Basic ", 6) != 0 || !decode(authorization + 6, plain, sizeof plain))
        return false;
    const char *password = strchr(plain, ':');
    return password && is_same(password + 1, token);
}

/* --- Names. --- */

/* Cuts the port off, and the brackets of an IPv6 number. False: too long. */
static bool host_of(const char *text, char *host, size_t size) {
    const char *end = text[0] == '[' ? strchr(text, ']') : strrchr(text, ':');
    if (text[0] == '[' && end)
        text++;
    size_t n = end ? (size_t)(end - text) : strlen(text);
    if (n == 0 || n >= size)
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    return true;
}

static bool ends_with_localhost(const char *host) {
    static const char name[] = "localhost";
    size_t n = strlen(host), m = sizeof name - 1;
    if (n < m || (n > m && host[n - m - 1] != '.'))
        return false;
    for (size_t i = 0; i < m; i++)
        if ((host[n - m + i] | 0x20) != name[i])
            return false;
    return true;
}

/* localhost, a name below it, or a number: what stands in no name system. */
static bool is_local_name(const char *text) {
    char host[256];
    if (!host_of(text, host, sizeof host))
        return false;
    if (text[0] == '[')
        return strspn(host, "0123456789abcdefABCDEF:.") == strlen(host);
    int a, b, c, d, used = 0;
    bool is_number = sscanf(host, "%3d.%3d.%3d.%3d%n", &a, &b, &c, &d, &used) == 4 && !host[used] &&
                     strspn(host, "0123456789.") == strlen(host);
    return is_number || ends_with_localhost(host);
}

static bool is_this_machine(const char *remote) {
    char host[256];
    if (!remote || !host_of(remote, host, sizeof host))
        return false;
    const char *number = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
    return strncmp(number, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* Whether a page of this origin is one of ours. */
static bool is_our_origin(const char *origin, const char *host) {
    const char *rest = strstr(origin, "://");
    return rest && host && strcmp(rest + 3, host) == 0;
}

/* --- The judgement. --- */

static int refuse(int status, const char *why, const char **ret_why) {
    *ret_why = why;
    return status;
}

int ag_debug_admit(const ag_debug_caller *c, const char **ret_why) {
    if (!c->method || strcmp(c->method, "GET") != 0)
        return refuse(405, "only GET is answered\n", ret_why);
    if (c->fetch_site && strcmp(c->fetch_site, "same-origin") != 0 &&
        strcmp(c->fetch_site, "none") != 0)
        return refuse(403, "another site asks for this; open the address yourself\n", ret_why);
    if (c->origin && !is_our_origin(c->origin, c->host))
        return refuse(403, "a page of another origin asks for this\n", ret_why);
    const char *token = ag__ask_token();
    if (token) {
        if (has_token(c->authorization, token))
            return 0;
        return refuse(401, "this needs the token, as the password of any user, or as a bearer\n",
                      ret_why);
    }
    if (!is_this_machine(c->remote) || c->forwarded)
        return refuse(403,
                      "only this machine is answered; the program answers others, and proxies, if "
                      "AGLET_DEBUG_TOKEN is set\n",
                      ret_why);
    if (!c->host || !is_local_name(c->host))
        return refuse(403, "this name is not answered to; use localhost, or the number\n", ret_why);
    return 0;
}

bool ag_debug_header_at(size_t i, const char **ret_name, const char **ret_value) {
    static const char *const headers[][2] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
    };
    if (i >= sizeof headers / sizeof *headers)
        return false;
    *ret_name = headers[i][0];
    *ret_value = headers[i][1];
    return true;
}
