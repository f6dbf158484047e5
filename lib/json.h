/*
 * json: one JSON text in, a flat array of tokens out (RFC 8259; yajl underneath for what is not plain).
 *
 * Token 0 is the whole text's value. An object's tokens are key, value, key, value ...; an array's are its
 * values. `next` leads past a value and everything in it, so walking needs no recursion:
 *
 *	for (uint32_t k = json_first(o); k < json_end(j, o); k = j->tok[k + 1].next) ... k is the key, k + 1 its value
 *
 * Tokens hold offsets into the text, which the caller keeps for as long as it uses them. One struct json is
 * reused for many texts; its memory grows to the largest. No JSON token travels further than the function
 * that parsed it: turn it into a typed struct at the edge.
 */
#ifndef EVPIPE_JSON_H
#define EVPIPE_JSON_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_tok {
	uint32_t at;   /* first byte; of a string the one after its quote */
	uint32_t len;  /* bytes; of a string without its quotes, of containers with their brackets */
	uint32_t next; /* index of the first token behind this value */
	uint32_t count : 27; /* members of an object (pairs), elements of an array */
	uint32_t type : 4;
	uint32_t escaped : 1; /* a string that holds a backslash */
};

struct json {
	struct str text;
	struct json_tok *tok;
	uint32_t n, cap;
	uint32_t depth;       /* the deepest nesting: 1 for {} */
	char why[160];        /* after a failure: the cause, with its byte offset */
	uint32_t *open;       /* private: the containers being read */
	uint32_t nopen, capopen;
};

enum json_result {
	JSON_OK,
	JSON_BAD,          /* not exactly one JSON value */
	JSON_BAD_ENCODING, /* JSON, but not strict UTF-8 or with an escaped lone surrogate; tokens are set */
};

/* Parses text (at most 4 GiB - 1). Any nesting is taken: look at `depth`. */
enum json_result json_parse(struct json *j, struct str text);
/* The same by the long way alone, which json_parse takes where a text is broken or holds escapes: for tests to compare. */
enum json_result json_parse_fully(struct json *j, struct str text);
/* As json_parse for text that must be fine: -1 with class ERR_INPUT and "CAUSE at byte N" otherwise. */
int json_read(struct json *j, struct str text, struct err *e);
void json_release(struct json *j);

static inline uint32_t
json_first(uint32_t container)
{
	return container + 1;
}

static inline uint32_t
json_end(const struct json *j, uint32_t container)
{
	return j->tok[container].next;
}

static inline enum json_type
json_typeof(const struct json *j, uint32_t t)
{
	return (enum json_type)j->tok[t].type;
}

/*
 * Looking things up. UINT32_MAX (JSON_NONE) is "not there" and may be passed on: every function below
 * answers "not there" for it, so look-ups chain. json_get compares decoded names and takes the first.
 */
#define JSON_NONE UINT32_MAX
static inline bool
json_is(const struct json *j, uint32_t t, enum json_type type)
{
	return t != JSON_NONE && j->tok[t].type == type;
}

/* the token's text: of a string the bytes between its quotes, escapes and all */
static inline struct str
json_text(const struct json *j, uint32_t t)
{
	return t == JSON_NONE ? STR_NONE : (struct str){j->text.p + j->tok[t].at, j->tok[t].len};
}

uint32_t json_get(const struct json *j, uint32_t object, const char *name);
/* Several names in one walk: found[i] is what json_get finds for names[i]. */
void json_get_each(const struct json *j, uint32_t object, const struct str *names, size_t n, uint32_t *found);
/* the text as it stands: with quotes for a string; STR_NONE for JSON_NONE. Borrowed from the text. */
struct str json_raw(const struct json *j, uint32_t t);
/*
 * A string's decoded value: borrowed from the text where there are no escapes, otherwise appended to
 * scratch and borrowed from it until it changes. STR_NONE where t is no string.
 */
struct str json_string(const struct json *j, uint32_t t, struct buf *scratch);
/* a number, or a decimal in a string (Google's int64), as int64 */
bool json_i64(const struct json *j, uint32_t t, int64_t *out);
/* true for JSON_TRUE */
bool json_true(const struct json *j, uint32_t t);
/* a string's decoded value as a NUL-ended copy for the caller to free; NULL where t is no string or holds NUL */
char *json_dup(const struct json *j, uint32_t t);

/* Appends the decoded form of a string's raw text (between the quotes), which json_parse accepted. */
void json_unescape(struct buf *out, struct str raw);

#endif
