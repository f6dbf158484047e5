/*
 * ossl: OpenSSL's memory is ours (xalloc.h). Left to itself OpenSSL 3.0 crashes in places where an allocation failed, and
 * calls it "no private key" or "no such checksum" in others.
 */
#ifndef EVPIPE_OSSL_H
#define EVPIPE_OSSL_H

/* Before OpenSSL is used for anything; once is enough, more does no harm. */
void ossl_memory(void);

#endif
