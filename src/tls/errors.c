/* SPDX-License-Identifier: MIT */
/*
 * errors.c - why something failed, as one of a few errors and as a text for people.
 *
 * OpenSSL tells it in several places, which are asked in the order of how much they know: the
 * result of checking the certificate, the queue of errors, the socket. The first failure counts;
 * what fails after it fails because of it. Numbers from 1000 on are alerts: what the peer said
 * before it left.
 */
#include "tls/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALERTS = 1000 };

static const char plain_http_answer[] = "HTTP/1.0 400 Bad Request\r\n"
                                        "Content-Type: text/plain; charset=utf-8\r\n"
                                        "Content-Length: 45\r\n"
                                        "Connection: close\r\n"
                                        "\r\n"
                                        "a plain HTTP request was sent to a TLS port.\n";

int ag__tls_fail(ag__tls *t, int error, const char *why) {
    if (!t->error) {
        t->error = error;
        t->why = strdup(why);
    }
    return t->error;
}

const char *ag__tls_reason(char buf[AG__TLS_WHY]) {
    unsigned long e = ERR_peek_error();
    const char *text = ERR_reason_error_string(e);
    if (ERR_SYSTEM_ERROR(e))
        snprintf(buf, AG__TLS_WHY, "system error %d", ERR_GET_REASON(e));
    else
        snprintf(buf, AG__TLS_WHY, "%s", text ? text : "unknown error");
    ERR_clear_error();
    return buf;
}

/* "tlsv1 alert unknown ca" and its like, without the first words. */
static const char *alert_text(int reason) {
    const char *text = SSL_alert_desc_string_long(reason - ALERTS);
    return text ? text : "unknown alert";
}

static int failed_check(ag__tls *t) {
    char why[AG__TLS_WHY];
    long verdict = SSL_get_verify_result(t->ssl);
    snprintf(why, sizeof why, "certificate verify failed: %s",
             verdict == X509_V_ERR_APPLICATION_VERIFICATION
                 ? "it is not for this SPIFFE id"
                 : X509_verify_cert_error_string(verdict));
    return ag__tls_fail(t, verdict == X509_V_ERR_OUT_OF_MEM ? -ENOMEM : -EKEYREJECTED, why);
}

static int failed_by(ag__tls *t, unsigned long e) {
    char why[AG__TLS_WHY], text[AG__TLS_WHY];
    int reason = ERR_GET_REASON(e);
    bool of_ssl = ERR_GET_LIB(e) == ERR_LIB_SSL;
    if (reason == ERR_R_MALLOC_FAILURE)
        return ag__tls_fail(t, -ENOMEM, "out of memory");
    if (of_ssl && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return failed_check(t);
    if (of_ssl && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return ag__tls_fail(t, -EKEYREJECTED, "the peer has shown no certificate");
    if (of_ssl && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return ag__tls_fail(t, -ECONNRESET,
                            t->done ? "the connection was cut: no close_notify"
                                    : "the connection ended in the handshake");
    if (of_ssl && reason == SSL_R_HTTP_REQUEST) {
        ag__tls_put(t, plain_http_answer, sizeof plain_http_answer - 1);
        return ag__tls_fail(t, -EPROTO, "plain HTTP where TLS was expected");
    }
    if (of_ssl && reason == SSL_R_WRONG_VERSION_NUMBER && !t->done)
        return ag__tls_fail(t, -EPROTO, "the peer does not speak TLS, or no version of ours");
    if (of_ssl && reason >= ALERTS)
        snprintf(why, sizeof why, "the peer refused: %s", alert_text(reason));
    else
        snprintf(why, sizeof why, "%s", ag__tls_reason(text));
    return ag__tls_fail(t, -EPROTO, why);
}

int ag__tls_failed(ag__tls *t, int r) {
    int kind = SSL_get_error(t->ssl, r);
    unsigned long e = ERR_peek_error();
    if (t->recv_error) /* OpenSSL only knows that it got nothing */
        ag__tls_fail(t, t->recv_error, "the connection has failed");
    else if (e)
        failed_by(t, e);
    else if (t->at_end)
        ag__tls_fail(t, -ECONNRESET, "the connection ended in the handshake");
    else
        ag__tls_fail(t, kind == SSL_ERROR_SYSCALL ? -ENOMEM : -EPROTO, "the record can't be sent");
    ERR_clear_error();
    return t->error;
}
