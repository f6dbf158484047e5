/*
 * jwt: RSA keys and the JSON Web Tokens they sign: RS256, the one algorithm of Google's accounts [RFC 7515, RFC 7518
 * section 3.3, RFC 7519]. OpenSSL does the arithmetic.
 */
#ifndef EVPIPE_JWT_H
#define EVPIPE_JWT_H

#include "buf.h"
#include "err.h"

#define JWT_BITS_MIN 1024
#define JWT_BITS_MAX 16384

struct jwt_key;

/*
 * An RSA private key in PEM (PKCS #8 or PKCS #1), of JWT_BITS_MIN to JWT_BITS_MAX bits, not encrypted. NULL with e filled
 * (ERR_CONFIG, "CAUSE" alone; nothing of the key is in it).
 */
struct jwt_key *jwt_key_read(struct str pem, struct err *e);
/* A new one, appended as PKCS #8 PEM. For gcp-emu and tests. */
int jwt_key_make(unsigned bits, struct buf *pem, struct err *e);
void jwt_key_free(struct jwt_key *k);

/* Appends header.claims.signature. kid may be NULL; claims is a JSON object. */
int jwt_sign(const struct jwt_key *k, const char *kid, struct str claims, struct buf *out, struct err *e);
/* Appends the claims of a token that the key signed with RS256: -1 with e filled (ERR_AUTH, "CAUSE") for any other. */
int jwt_verify(const struct jwt_key *k, struct str token, struct buf *claims, struct err *e);

#endif
