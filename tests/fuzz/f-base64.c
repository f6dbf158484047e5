/* base64: what the strict decoder takes is what the encoder writes, and the lenient one takes all of it and more. */
#include "base64.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str in = {(const char *)p, n};
	struct buf out = BUF_INIT(2 * n + 16), lenient = BUF_INIT(2 * n + 16), again = BUF_INIT(2 * n + 16);
	buf_addz(&out, "x");
	buf_addz(&lenient, "x");
	bool strict = base64_decode(&out, in) == 0, loose = base64_decode_lenient(&lenient, in) == 0;
	MUST((strict || out.n == 1) && (loose || lenient.n == 1) && (loose || !strict));
	if (strict) {
		MUST(str_eq(buf_str(&out), buf_str(&lenient)) && out.n - 1 == base64_decoded_len(in));
		base64_encode(&again, str_skip(buf_str(&out), 1));
		MUST(str_eq(buf_str(&again), in));
	}
	/* Any bytes, there and back. */
	buf_reset(&again, 0);
	buf_reset(&out, 0);
	base64_encode(&again, in);
	MUST(again.n == BASE64_LEN(n) && base64_decode(&out, buf_str(&again)) == 0 && str_eq(buf_str(&out), in));
	buf_release(&out);
	buf_release(&lenient);
	buf_release(&again);
	return 0;
}
