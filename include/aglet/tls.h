/* SPDX-License-Identifier: MIT */
/*
 * aglet/tls.h - TLS 1.2 and 1.3 for connections. Link with -laglet-net as well (pkg-config
 * aglet-net).
 *
 *     ag_tls_config *tls = ag_tls_config_new();
 *     if (ag_tls_config_cert(tls, "cert.pem", "key.pem") != 0)
 *         return complain(ag_tls_config_error(tls));
 *     ag_tls_listen("tcp", ":443", tls, &l);         // accepts connections as ag_listen's do
 *
 *     ag_tls_dial("tcp", "example.org:443", tls, &c) // or a client
 *
 * A connection with TLS is an ag_conn like any other: every function of aglet/net.h does with it
 * what it promises - turns, deadlines, contexts, closing - and ag_http_serve serves it. The bytes
 * of ag_conn_sent and ag_conn_received are those of the program.
 *
 * Handshake. It is done by the first read or write, so a slow client does not hold up who accepts;
 * by ag_try_read and ag_conn_when_readable without waiting; or by ag_tls_handshake. Its waits for
 * the peer are bounded by the read deadline, its waits for room by the write deadline
 * (ag_set_deadline sets both), and like all by the context. One that was bounded may be gone on
 * with.
 *
 * The end. ag_conn_close and ag_conn_shutdown of the sending side tell the peer that nothing was
 * cut (close_notify): the shutdown waits for room to say so, within the write deadline; the close
 * never waits, and says it if there is room. Who has only written should shut its side down and
 * read to the end before it closes: most servers of TLS 1.3 send session tickets unasked, and what
 * arrives at a socket that is closed resets it, with all that is still on the way. Ours sends its
 * ticket with the first bytes of the program. A connection that ends without close_notify gives
 * -ECONNRESET instead of 0: somebody between may have cut it.
 *
 * Errors, beside those of aglet/net.h, from whatever call comes upon them first, and from every
 * read and write after that; ag_tls_error says why:
 *     -EKEYREJECTED  the peer's certificate is missing, expired, not for this name, not signed by
 *                    whom we trust …
 *     -EPROTO        anything else: the peer refused us, does not speak TLS, no version or cipher
 *                    in common, what was sent has been tampered with
 *     -ECONNRESET    the connection ended where it must not
 *     -ENOMEM        and the connection is useless then
 *
 * A write that was cut by a deadline has sent ag_conn_sent bytes, or will with the next write.
 *
 * Not there, on purpose: TLS 1.1 and older, compression, renegotiation, early data (0-RTT), a
 * switch that turns the checks of certificates off.
 */
#ifndef AGLET_TLS_H
#define AGLET_TLS_H

#include <aglet/net.h>

AG__BEGIN

/* ---- Configuration -------------------------------------------------------------------------- */

/**
 * What connections of one kind have in common: certificates, whom to trust, protocols, versions.
 * The same may be used for servers and for clients. Made by ag_tls_config_new with one reference
 * (ag_ref, ag_unref); set up by one goroutine, then used by any. A connection, and a listener, hold
 * a reference.
 */
typedef struct ag_tls_config ag_tls_config;

/** Returns: a configuration without certificates, which trusts whom the system trusts; NULL when
 * out of memory. */
AG_API ag_tls_config *ag_tls_config_new(void);

/**
 * Adds a certificate chain, the own certificate first, and its private key, both as PEM files,
 * which may be one. A server with several shows the one that has the name that the client asks for
 * (SNI), exactly or by a wildcard ("*.example.org", one label), of each kind of key (RSA, ECDSA …);
 * if none has it, or the client does not say, the first. A client shows the first when asked.
 * Returns: 0; -ENOENT, -EACCES … the file; -EINVAL what is in it: no certificate, no key, an
 * encrypted key, a key that does not belong to the certificate; -ENOMEM.
 * Panics: this, and all functions that set a configuration up, once it is used.
 */
AG_API int ag_tls_config_cert(ag_tls_config *config, const char *cert_file, const char *key_file);

/** The application protocols (ALPN), with commas, the best one first: "h2,http/1.1". A server picks
 * the first of its list that the client has too; a client that has other ones is refused, one that
 * says nothing is let in. See ag_conn_protocol. Returns: 0, -EINVAL for an empty or too long name,
 * -ENOMEM. */
AG_API int ag_tls_config_alpn(ag_tls_config *config, const char *protocols);

/** What a server asks of its clients. */
enum {
    AG_TLS_CLIENT_NONE,    /* nothing; the default */
    AG_TLS_CLIENT_REQUEST, /* a certificate; who has none is let in, who has a bad one is not */
    AG_TLS_CLIENT_REQUIRE, /* a certificate */
};

/** Mutual TLS: which certificates a server asks its clients for, and the certificates (PEM) of
 * those who may have signed them. Returns: 0; -ENOENT …, -EINVAL, -ENOMEM. */
AG_API int ag_tls_config_clients(ag_tls_config *config, int how, const char *ca_file);

/** Whose signatures under a server's certificate a client trusts (PEM), instead of the system's
 * list. Returns: 0; -ENOENT …, -EINVAL, -ENOMEM. */
AG_API int ag_tls_config_roots(ag_tls_config *config, const char *ca_file);

enum { AG_TLS_1_2 = 0x0303, AG_TLS_1_3 = 0x0304 };

/** The oldest version to speak; AG_TLS_1_2 unless told otherwise. Returns: 0, -EINVAL. */
AG_API int ag_tls_config_min_version(ag_tls_config *config, int version);

/**
 * Reads all files again, and checks them as when they were given first. If all is well, handshakes
 * that begin from now on use what is there now; connections that are there stay as they are, and
 * sessions from before are not resumed. Else nothing changes. For certificates that are renewed: a
 * pair that is being replaced is refused until both files fit. May be called at any time, by one
 * goroutine at a time. May block its thread, which is handed on.
 * Returns: 0; -ENOENT …, -EINVAL, -ENOMEM; ag_tls_config_error says why.
 */
AG_API int ag_tls_config_reload(ag_tls_config *config);

/** Why the last function that sets up or reloads failed: "cert.pem: the key in key.pem does not
 * belong to this certificate"; "" if it did not. Owns: the configuration, until the next such
 * call. */
AG_API const char *ag_tls_config_error(ag_tls_config *config);

/* ---- Connections ---------------------------------------------------------------------------- */

/** ag_listen whose connections speak TLS, as servers. Returns: as ag_listen; -EINVAL without a
 * certificate; -ENOMEM. */
AG_API int ag_tls_listen(const char *net, const char *addr, ag_tls_config *config,
                         ag_listener **ret_listener);

/** Puts TLS on the connections of a listener that was made in another way - one that the process
 * was given (ag_svc_listen, ag_listener_from_fd) -, before its first ag_accept. Returns: 0,
 * -EALREADY if it has a layer, -EINVAL without a certificate, -ENOMEM. */
AG_API int ag_tls_listener(ag_listener *l, ag_tls_config *config);

/**
 * ag_dial and ag_tls_client, for the host of `addr`, and the handshake. For the reason of an error,
 * and for deadlines, do these one after the other.
 * Waits: for all of that. Returns: 0 and *ret_conn with one reference; the errors of ag_dial and of
 * the handshake; -EINVAL for Unix and datagram sockets.
 */
AG_API int ag_tls_dial(const char *net, const char *addr, ag_tls_config *config,
                       ag_conn **ret_conn);

/** Makes a connection speak TLS from the next byte on, as the server. Never waits. Returns: 0;
 * -EALREADY if it does, -EBUSY while somebody reads, writes or wishes, -EINVAL for datagrams or
 * without a certificate, -ECANCELED closed, -ENOMEM. */
AG_API int ag_tls_server(ag_conn *c, ag_tls_config *config);

/**
 * The same as the client. The server's certificate must be for `server_name`: a host name, which is
 * also sent (SNI), an IP address, or "spiffe://…", a SPIFFE id, which is not looked for in DNS.
 * Sessions are resumed by this name, and by the configuration.
 * Never waits. Returns: as ag_tls_server; -EINVAL for NULL or an impossible name.
 */
AG_API int ag_tls_client(ag_conn *c, ag_tls_config *config, const char *server_name);

/** Does the handshake now. Waits: for the peer. Returns: 0, also if it was done; -EINVAL without
 * TLS; -ETIMEDOUT, -ECANCELED: it may be gone on with; the errors above. */
AG_API int ag_tls_handshake(ag_conn *c);

/** Why the handshake, a read or a write failed, for people: "certificate verify failed: certificate
 * has expired", "the peer refused: unknown ca", "plain HTTP where TLS was expected"; "" if none
 * did. Owns: the connection. */
AG_API const char *ag_tls_error(ag_conn *c);

/** What the handshake has come to. All texts are there, if need be empty. Owns: the connection.
 * Constant. */
typedef struct ag_tls_state {
    const char *version;     /* "TLSv1.3" */
    const char *cipher;      /* "TLS_AES_256_GCM_SHA384" */
    const char *alpn;        /* as ag_conn_protocol */
    const char *server_name; /* which the client asked for */
    bool resumed;            /* a session from before; the peer was checked then */
    bool peer_verified;      /* the peer has shown a certificate, which is good */
    /* Of that certificate: */
    const char *peer_subject;        /* "CN=alice,O=Example" (RFC 2253) */
    const char *const *dns_names;    /* its subject alternative names, each list ended by NULL */
    const char *const *ip_addresses; /* "192.0.2.1", "2001:db8::1" */
    const char *const *uris;
    const char *spiffe_id; /* the URI, if it is the only one and its scheme is spiffe */
} ag_tls_state;

/** Never waits for the network. Returns: NULL before the end of the handshake, without TLS, and
 * when out of memory. */
AG_API const ag_tls_state *ag_tls_state_of(ag_conn *c);

AG__END
#endif
