#include "jwt.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base64.h"
#include "bounds.h"
#include "json.h"
#include "jsonw.h"
#include "ossl.h"
#include "xalloc.h"

struct jwt_key {
	EVP_PKEY *pkey;
};

/* OpenSSL would ask the terminal for the passphrase of an encrypted key. */
static int
no_passphrase(char *to, int size, int writing, void *ctx)
{
	(void)to, (void)size, (void)writing, (void)ctx;
	return -1;
}

struct jwt_key *
jwt_key_read(struct str pem, struct err *e)
{
	struct jwt_key *k = NULL;
	ossl_memory();
	BIO *bio = pem.n <= LIMIT_TOKEN ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	if (pkey == NULL) {
		err_set(e, ERR_CONFIG, "it is no private key in PEM, or an encrypted one");
	} else if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA) {
		err_set(e, ERR_CONFIG, "it is no RSA key");
	} else if (EVP_PKEY_get_bits(pkey) < JWT_BITS_MIN || EVP_PKEY_get_bits(pkey) > JWT_BITS_MAX) {
		err_set(e, ERR_CONFIG, "it has %d bits: %d to %d are taken", EVP_PKEY_get_bits(pkey), JWT_BITS_MIN, JWT_BITS_MAX);
	} else {
		k = xmalloc(sizeof(*k));
		k->pkey = pkey;
		return k;
	}
	EVP_PKEY_free(pkey);
	return NULL;
}

int
jwt_key_make(unsigned bits, struct buf *pem, struct err *e)
{
	int rc = -1;
	char *text;
	ossl_memory();
	EVP_PKEY *pkey = EVP_RSA_gen(bits);
	BIO *bio = BIO_new(BIO_s_secmem());
	if (pkey == NULL || bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1) {
		err_set(e, ERR_BUG, "cannot make an RSA key of %u bits: OpenSSL refuses", bits);
		goto out;
	}
	long n = BIO_get_mem_data(bio, &text);
	buf_add(pem, text, (size_t)n);
	rc = 0;
out:
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return rc;
}

void
jwt_key_free(struct jwt_key *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->pkey); /* which cleanses it */
	free(k);
}

/* The URL-safe alphabet, without padding. */
static void
add_base64url(struct buf *out, struct str in)
{
	size_t from = out->n;
	base64_encode(out, in);
	while (out->n > from && out->p[out->n - 1] == '=')
		out->n--;
	for (size_t i = from; i < out->n; i++) {
		if (out->p[i] == '+' || out->p[i] == '/')
			out->p[i] = out->p[i] == '+' ? '-' : '_';
	}
}

int
jwt_sign(const struct jwt_key *k, const char *kid, struct str claims, struct buf *out, struct err *e)
{
	struct buf header = BUF_INIT(4 * KIB);
	struct jsonw w = jsonw_to(&header);
	unsigned char signature[JWT_BITS_MAX / 8];
	size_t n = sizeof(signature), from = out->n;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc = -1;
	jsonw_object(&w);
	jsonw_member(&w, "alg", STR("RS256"));
	jsonw_member(&w, "typ", STR("JWT"));
	if (kid != NULL)
		jsonw_member(&w, "kid", str_of(kid));
	jsonw_end(&w);
	add_base64url(out, buf_str(&header));
	buf_addc(out, '.');
	add_base64url(out, claims);
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) != 1 ||
	    EVP_DigestSign(ctx, signature, &n, (const unsigned char *)out->p + from, out->n - from) != 1) {
		ERR_clear_error();
		err_set(e, ERR_CONFIG, "cannot sign with this key: OpenSSL refuses it");
		goto out;
	}
	buf_addc(out, '.');
	add_base64url(out, (struct str){(const char *)signature, n});
	rc = out->over ? err_set(e, ERR_CONFIG, "cannot sign: the token would be longer than %zu bytes", out->max) : 0;
out:
	EVP_MD_CTX_free(ctx);
	buf_release(&header);
	return rc;
}

static bool
is_rs256(struct str header64)
{
	struct buf text = BUF_INIT(4 * KIB), scratch = BUF_INIT(4 * KIB);
	struct json j = {0};
	bool yes = base64_decode_lenient(&text, header64) == 0 && json_parse(&j, buf_str(&text)) == JSON_OK &&
	    str_is(json_string(&j, json_get(&j, 0, "alg"), &scratch), "RS256");
	json_release(&j);
	buf_release(&text);
	buf_release(&scratch);
	return yes;
}

/* Base64url without padding, and dots: '+', '/' and '=' would be another spelling of the same token. [RFC 7515, section 2] */
static bool
is_spelled(struct str token)
{
	return str_find(token, '+') == token.n && str_find(token, '/') == token.n && str_find(token, '=') == token.n;
}

int
jwt_verify(const struct jwt_key *k, struct str token, struct buf *claims, struct err *e)
{
	struct buf signature = BUF_INIT(JWT_BITS_MAX / 8);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct str header = {token.p, str_find(token, '.')};
	struct str rest = str_skip(token, header.n + 1);
	struct str body = {rest.p, str_find(rest, '.')};
	int rc = -1;
	if (body.n == rest.n || !is_spelled(token) || !is_rs256(header) ||
	    base64_decode_lenient(&signature, str_skip(rest, body.n + 1)) < 0) {
		err_set(e, ERR_AUTH, "it is no JWT signed by RS256");
		goto out;
	}
	if (ctx == NULL || EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) != 1 ||
	    EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)token.p,
	        header.n + 1 + body.n) != 1) {
		ERR_clear_error();
		err_set(e, ERR_AUTH, "its signature is not this key's");
		goto out;
	}
	rc = base64_decode_lenient(claims, body) < 0 ? err_set(e, ERR_AUTH, "its claims are no base64") : 0;
out:
	EVP_MD_CTX_free(ctx);
	buf_release(&signature);
	return rc;
}
