/*
 * cred: a file of credentials, and what the services that it names answer. "@KEY@" in it stands for a private key. The file
 * ends at a line of "%%"; the replies follow (script.h). Secrets go over https or stay near, no header or URL is broken by
 * what is in the file or a reply, and a token is in no message.
 */
#include <sys/prctl.h>

#include "auth.h"
#include "bounds.h"
#include "clock.h"
#include "fuzz.h"
#include "jsonw.h"
#include "log.h"
#include "script.h"
#include "url.h"

static void
with_key(struct buf *out, struct str text)
{
	static struct buf key = BUF_INIT(LIMIT_TOKEN);
	struct err e;
	if (key.n == 0) {
		struct buf pem = BUF_INIT(LIMIT_TOKEN);
		MUST(jwt_key_make(JWT_BITS_MIN, &pem, &e) == 0);
		jsonw_escape(&key, buf_str(&pem));
		buf_release(&pem);
	}
	while (text.n > 0) {
		size_t before = text.n;
		struct str s = fuzz_section(&text, "@KEY@");
		buf_adds(out, s);
		if (before > s.n)
			buf_adds(out, buf_str(&key));
	}
}

static void
look(const struct cred *c)
{
	const char *const urls[] = {c->token_url, c->subject == SUBJECT_URL ? c->url : NULL, c->impersonate_url, c->region_url,
	    c->session_url};
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		if (urls[i] != NULL)
			MUST(url_keeps_secrets(urls[i]));
	}
	char *label = cred_label(c);
	if (c->refresh_token != NULL && strlen(c->refresh_token) >= 16)
		MUST(strstr(label, c->refresh_token) == NULL);
	free(label);
	if (c->source != NULL)
		look(c->source);
}

/* The file's programs are not run, and its files not read: these are not what is looked at here. */
static bool
is_far(const struct cred *c)
{
	return c->kind == CRED_EXTERNAL && (c->subject == SUBJECT_PROGRAM || c->subject == SUBJECT_FILE);
}

static void
fetch(const char *path, struct str replies)
{
	struct token t;
	struct err e;
	struct login login = {.credentials = path};
	script_begin(replies);
	int rc = auth_open(&t, NULL, &login, &(struct auth_want){0}, SECONDS(600), &e);
	prctl(PR_SET_DUMPABLE, 1); /* the leak checker traces us */
	if (rc == 0) {
		for (int turns = 0; turns < 100 && !script_spent(); turns++) {
			int64_t when = token_turn(&t, clock_now());
			if (token_state(&t, clock_now()) == TOKEN_READY) {
				const char *header = token_header(&t);
				MUST(strncmp(header, "Authorization: Bearer ", 22) == 0 && strpbrk(header + 22, " \r\n\t") == NULL);
				if (!token_refused(&t, t.serial))
					break;
			}
			if (token_state(&t, clock_now()) == TOKEN_FAILED)
				break;
			if (!script_answer())
				script_wait(when);
		}
	}
	token_release(&t);
	script_end();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str rest = {(const char *)p, n}, head = fuzz_section(&rest, "\n%%\n");
	struct buf file = BUF_INIT(4 * MIB);
	struct cred c = {0};
	struct err e = {0};
	log_set(LOG_ERROR, false);
	with_key(&file, head);
	int rc = cred_parse(&c, buf_str(&file), "it", &e);
	MUST(rc == 0 || (e.class != ERR_NONE && e.class != ERR_BUG && strstr(e.text, "PRIVATE KEY") == NULL));
	bool far = rc < 0;
	if (rc == 0) {
		look(&c);
		for (const struct cred *x = &c; x != NULL; x = x->source)
			far = far || is_far(x);
	}
	cred_release(&c);
	if (!far)
		fetch(fuzz_file(buf_str(&file)), rest);
	buf_release(&file);
	return 0;
}
