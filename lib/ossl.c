#include "ossl.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "xalloc.h"

static void *
take(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return xmalloc(n);
}

static void *
resize(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return xrealloc(p, n);
}

static void
give(void *p, const char *file, int line)
{
	(void)file, (void)line;
	free(p);
}

void
ossl_memory(void)
{
	CRYPTO_set_mem_functions(take, resize, give); /* refused, and no matter, once OpenSSL has memory */
}
