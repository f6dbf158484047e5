/*
 * digest: SHA-256 and MD5 (OpenSSL's) and CRC32C (RFC 3720 section B.4), fed in pieces.
 */
#ifndef EVPIPE_DIGEST_H
#define EVPIPE_DIGEST_H

#include <stdint.h>

#include "str.h"

enum digest_kind { DIGEST_SHA256, DIGEST_MD5 };

#define DIGEST_MAX 32

struct digest {
	void *ctx;
};

void digest_begin(struct digest *d, enum digest_kind kind);
void digest_add(struct digest *d, struct str bytes);
/* Fills out with 32 or 16 bytes and frees; returns how many. Also frees when out is NULL. */
size_t digest_end(struct digest *d, uint8_t *out);
/* in one */
void digest_of(enum digest_kind kind, struct str bytes, uint8_t *out);
/* lower-case hex of n bytes, ended by NUL: out has 2 n + 1 bytes */
void digest_hex(char *out, const uint8_t *bytes, size_t n);

/* Start with 0; feed the result back in for the next piece. */
uint32_t crc32c(uint32_t crc, struct str bytes);

#endif
