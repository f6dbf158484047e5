#include "answer.h"

#include <string.h>

#include "bounds.h"
#include "json.h"
#include "utf8.h"

/* So many bytes in a row that are the secret's are no coincidence. */
#define WINDOW 16

bool
answer_repeats(struct str text, struct str secret)
{
	for (size_t i = 0; i + WINDOW <= text.n && secret.n >= WINDOW; i++) {
		if (memmem(secret.p, secret.n, text.p + i, WINDOW) != NULL)
			return true;
	}
	return false;
}

/*
 * Google's error body: {"error":{"message":…,"status":…,"errors":[{"reason":…}],"details":[{"reason":…}]}}. What is not
 * that (a proxy's page, nothing at all) is shown as its first printable bytes.
 */
static void
read_error_body(struct str body, struct str secret, char *message, size_t size, char *reason, size_t reason_size)
{
	struct json j = {0};
	struct buf scratch = BUF_INIT(1 * MIB);
	struct str why = STR_NONE, text = STR_NONE;
	*reason = '\0';
	if (json_parse(&j, body) == JSON_OK) {
		uint32_t error = json_get(&j, 0, "error");
		uint32_t first = json_get(&j, error, "errors");
		text = json_string(&j, json_get(&j, error, "message"), &scratch);
		why = json_text(&j, json_get(&j, error, "status"));
		if (json_is(&j, first, JSON_ARRAY) && j.tok[first].count > 0) {
			struct str inner = json_text(&j, json_get(&j, json_first(first), "reason"));
			why = inner.n > 0 ? inner : why;
		}
		uint32_t details = json_get(&j, error, "details");
		for (uint32_t d = json_is(&j, details, JSON_ARRAY) ? json_first(details) : JSON_NONE;
		     d != JSON_NONE && d < json_end(&j, details); d = j.tok[d].next) {
			struct str inner = json_text(&j, json_get(&j, d, "reason"));
			why = inner.n > 0 ? inner : why;
		}
		if (json_is(&j, error, JSON_STRING)) { /* OAuth's form */
			why = json_text(&j, error);
			text = json_string(&j, json_get(&j, 0, "error_description"), &scratch);
		}
	}
	if (text.n == 0)
		text = why.n > 0 ? why : str_trim(body);
	size_t n = utf8_cut(text, 300 < size - 1 ? 300 : size - 1);
	if (answer_repeats((struct str){text.p, n}, secret)) {
		text = STR("its words are withheld, for they repeat a secret");
		n = text.n;
	}
	if (why.n >= reason_size || answer_repeats(why, secret))
		why = STR_NONE;
	bool clean = utf8_valid((struct str){text.p, n}); /* noise must not steer a terminal */
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)text.p[i];
		message[i] = ch < 0x20 || ch == 0x7f || (ch >= 0x80 && !clean) ? ' ' : (char)ch;
	}
	message[n] = '\0';
	memcpy(reason, why.n > 0 ? why.p : "", why.n);
	reason[why.n] = '\0';
	buf_release(&scratch);
	json_release(&j);
}

static bool
reason_is(const char *reason, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(reason, *words) == 0)
			return true;
	}
	return false;
}

/* The one retry list. See the table in answer.h. */
static enum err_class
classify(const struct answer_to *to, int status, const char *reason)
{
	static const char *const rate[] = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", NULL};
	static const char *const quota[] = {"quotaExceeded", "QUOTA_EXCEEDED", NULL};
	switch (status) {
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return reason_is(reason, quota) ? ERR_QUOTA : ERR_TRANSIENT;
	case 401:
		return ERR_AUTH;
	case 403:
		return reason_is(reason, rate) ? ERR_TRANSIENT : reason_is(reason, quota) ? ERR_QUOTA : ERR_AUTH;
	case 409:
		return to->aborted_is_transient && strcmp(reason, "ABORTED") == 0 ? ERR_TRANSIENT : ERR_PERMANENT;
	default:
		return ERR_PERMANENT;
	}
}

static const char *
advice(const struct answer_to *to, int status, enum err_class class)
{
	if (class == ERR_TRANSIENT || class == ERR_QUOTA)
		return "";
	switch (status) {
	case 401:
		return to->advice_401 != NULL ? to->advice_401 : "";
	case 403:
		return "; give this account the role that allows it";
	case 404:
		return "; check the name and the project, or create it";
	default:
		return "";
	}
}

void
answer_judge(const struct answer_to *to, const struct http_reply *reply, char reason[ANSWER_REASON_MAX], struct err *e)
{
	char message[512];
	*reason = '\0';
	e->class = ERR_NONE;
	if (reply->status == 0) {
		err_set(e, reply->hopeless ? ERR_CONFIG : ERR_TRANSIENT, "cannot %s '%s': %s%s", to->what, to->object,
		    reply->failure, reply->hopeless ? "; check the endpoint and its certificate" : "");
		return;
	}
	if (reply->too_large) {
		err_set(e, ERR_TRANSIENT, "cannot %s '%s': the reply is larger than %llu bytes", to->what, to->object,
		    (unsigned long long)LIMIT_REPLY);
		return;
	}
	if (reply->status / 100 == 2 || reply->status == to->accept)
		return;
	read_error_body(reply->body, to->secret, message, sizeof(message), reason, ANSWER_REASON_MAX);
	enum err_class class = classify(to, reply->status, reason);
	err_set(e, class, "cannot %s '%s': HTTP %d%s%s%s%s%s%s", to->what, to->object, reply->status,
	    *message != '\0' ? ": " : "", message, *reason != '\0' ? " (" : "", reason, *reason != '\0' ? ")" : "",
	    advice(to, reply->status, class));
}
