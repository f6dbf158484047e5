#include "digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ossl.h"

void
digest_begin(struct digest *d, enum digest_kind kind)
{
	ossl_memory();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	/* MD5 can be switched off (FIPS); then nothing here can go on, and going on without checks is worse. */
	if (ctx == NULL || EVP_DigestInit_ex(ctx, kind == DIGEST_MD5 ? EVP_md5() : EVP_sha256(), NULL) != 1) {
		static const char text[] = "evpipe: cannot make a checksum: OpenSSL refuses MD5 or SHA-256\n";
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
		_exit(78);
	}
	d->ctx = ctx;
}

void
digest_add(struct digest *d, struct str bytes)
{
	EVP_DigestUpdate(d->ctx, bytes.p, bytes.n);
}

size_t
digest_end(struct digest *d, uint8_t *out)
{
	uint8_t result[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	if (d->ctx != NULL && out != NULL) {
		EVP_DigestFinal_ex(d->ctx, result, &n);
		memcpy(out, result, n);
	}
	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
	return n;
}

void
digest_of(enum digest_kind kind, struct str bytes, uint8_t *out)
{
	struct digest d;
	digest_begin(&d, kind);
	digest_add(&d, bytes);
	digest_end(&d, out);
}

void
digest_hex(char *out, const uint8_t *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		*out++ = hex[bytes[i] >> 4];
		*out++ = hex[bytes[i] & 15];
	}
	*out = '\0';
}

/* Castagnoli's polynomial, reflected; a nibble a step keeps the table readable: 16 words. */
uint32_t
crc32c(uint32_t crc, struct str bytes)
{
	static const uint32_t table[16] = {
	    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
	    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	crc = ~crc;
	for (size_t i = 0; i < bytes.n; i++) {
		crc ^= (uint8_t)bytes.p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
