#include "scalar.h"

#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "decimal.h"
#include "num.h"
#include "time.h"
#include "utf8.h"

/* JSON readers that use doubles are exact up to here; BigQuery's is one [RFC 8259 section 6]. */
#define SAFE_INTEGER ((INT64_C(1) << 53) - 1)
/* Any number this short without an exponent is finite. */
#define SHORT_NUMBER 300
/* of words listed in a detail */
#define LIST_MAX 240

void
scalar_init(struct scalar *sc, const struct schema *s)
{
	*sc = (struct scalar){.s = s};
	buf_init(&sc->scratch, LIMIT_LINE);
	for (int i = 0; i < SCALAR_FAULTS; i++)
		buf_init(&sc->faults[i].detail, SCALAR_DETAIL);
}

void
scalar_release(struct scalar *sc)
{
	buf_release(&sc->scratch);
	for (int i = 0; i < SCALAR_FAULTS; i++)
		buf_release(&sc->faults[i].detail);
}

void
scalar_describe(struct buf *out, const struct json *j, uint32_t t)
{
	static const char *const names[] = {
	    "null", "false", "true", "the number ", "the string ", "an array", "an object"};
	enum json_type type = json_typeof(j, t);
	buf_addz(out, names[type]);
	if (type != JSON_NUMBER && type != JSON_STRING)
		return;
	struct str raw = json_raw(j, t);
	size_t n = utf8_cut(raw, LIMIT_DETAIL);
	buf_add(out, raw.p, n);
	if (n < raw.n)
		buf_addz(out, "...");
}

void
scalar_list(struct buf *out, const struct str *words, size_t n)
{
	size_t from = out->n;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && out->n - from + words[i].n > LIST_MAX) {
			buf_addf(out, ", ... (%zu in all)", n);
			return;
		}
		size_t len = utf8_cut(words[i], LIMIT_DETAIL);
		buf_addf(out, "%s\"%.*s\"", i > 0 ? ", " : "", (int)len, words[i].p);
	}
}

/* Starts a fault; the caller adds its detail. */
static struct buf *
fault(struct scalar *sc, const char *code)
{
	struct scalar_fault *f = &sc->faults[sc->nfaults++];
	f->code = code;
	f->detail.n = 0;
	f->detail.over = false;
	return &f->detail;
}

static void
wrong_type(struct scalar *sc, const char *rule, const struct json *j, uint32_t t)
{
	struct buf *detail = fault(sc, "wrong_type");
	buf_addf(detail, "%s; found ", rule);
	scalar_describe(detail, j, t);
}

static void
out_of_range(struct scalar *sc, const char *rule)
{
	buf_addz(fault(sc, "out_of_range"), rule);
}

static void
below(struct scalar *sc, const struct schema_field *f)
{
	buf_addf(fault(sc, "out_of_range"), "minimum is %.*s", STR_ARG(f->min_text));
}

static void
above(struct scalar *sc, const struct schema_field *f)
{
	buf_addf(fault(sc, "out_of_range"), "maximum is %.*s", STR_ARG(f->max_text));
}

/* -?digits and nothing else; with canonical also no needless zero in front and no "-0". */
static bool
is_integer(struct str s, bool canonical)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	s = str_skip(s, negative);
	if (s.n == 0 || (canonical && s.p[0] == '0' && (s.n > 1 || negative)))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return true;
}

static bool
is_safe(int64_t v)
{
	return v >= -SAFE_INTEGER && v <= SAFE_INTEGER;
}

static void
check_int64(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	struct str text = json_string(j, t, &sc->scratch);
	bool string = text.p != NULL;
	int64_t v;
	if (!string && json_is(j, t, JSON_NUMBER))
		text = json_text(j, t);
	if (text.p == NULL || !is_integer(text, string)) {
		wrong_type(sc, "an INT64 is a JSON number without fraction and exponent", j, t);
		return;
	}
	bool fits = num_i64(text, &v);
	if (!fits) {
		out_of_range(sc, "an INT64 has 64 bits");
	} else if (!string && !is_safe(v)) {
		out_of_range(sc, "an INT64 beyond 9007199254740991 either way is sent as a decimal string, "
				 "for BigQuery reads JSON numbers as doubles");
	} else if (string && is_safe(v)) {
		wrong_type(sc, "an INT64 within 9007199254740991 either way is a JSON number", j, t);
	} else {
		if (f->has_min && v < f->min_i64)
			below(sc, f);
		if (f->has_max && v > f->max_i64)
			above(sc, f);
	}
}

static void
check_float64(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	if (!json_is(j, t, JSON_NUMBER)) {
		wrong_type(sc, "a FLOAT64 is a JSON number", j, t);
		return;
	}
	struct str text = json_text(j, t);
	bool plain = text.n < SHORT_NUMBER && str_find(text, 'e') == text.n && str_find(text, 'E') == text.n;
	if (plain && !f->has_min && !f->has_max)
		return;
	double v;
	if (!num_double(text, &v)) {
		out_of_range(sc, "a FLOAT64 is at most about 1.8e308 either way");
		return;
	}
	if (f->has_min && v < f->min)
		below(sc, f);
	if (f->has_max && v > f->max)
		above(sc, f);
}

static void
check_numeric(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	struct decimal v, bound;
	if (!json_is(j, t, JSON_NUMBER)) {
		wrong_type(sc, "a NUMERIC is a JSON number", j, t);
		return;
	}
	if (!decimal_parse(&v, json_text(j, t))) {
		out_of_range(sc, "a NUMERIC has at most 29 integer and 9 fraction digits");
		return;
	}
	if (f->has_min && decimal_parse(&bound, f->min_text) && decimal_cmp(&v, &bound) < 0)
		below(sc, f);
	if (f->has_max && decimal_parse(&bound, f->max_text) && decimal_cmp(&v, &bound) > 0)
		above(sc, f);
}

static void
check_bool(struct scalar *sc, const struct json *j, uint32_t t)
{
	if (!json_is(j, t, JSON_TRUE) && !json_is(j, t, JSON_FALSE))
		wrong_type(sc, "a BOOL is true or false", j, t);
}

static void
check_length(struct scalar *sc, const struct schema_field *f, size_t n)
{
	const char *unit = f->type == FIELD_BYTES ? "bytes" : "characters";
	if (n < f->min_length)
		buf_addf(fault(sc, "out_of_range"), "at least %llu %s; found %zu", (unsigned long long)f->min_length,
		    unit, n);
	if (f->has_max_length && n > f->max_length)
		buf_addf(fault(sc, "out_of_range"), "at most %llu %s; found %zu", (unsigned long long)f->max_length, unit,
		    n);
}

static void
check_enum(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t, struct str text)
{
	const struct str *words = sc->s->words + f->enum_first;
	for (uint32_t i = 0; i < f->enum_count; i++) {
		if (str_eq(words[i], text))
			return;
	}
	struct buf *detail = fault(sc, "not_in_enum");
	buf_addz(detail, "one of ");
	scalar_list(detail, words, f->enum_count);
	buf_addz(detail, "; found ");
	scalar_describe(detail, j, t);
}

static bool
is_uuid(struct str s)
{
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? c != '-' : !hex)
			return false;
	}
	return true;
}

static void
check_string(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	if (!json_is(j, t, JSON_STRING)) {
		wrong_type(sc, "a STRING is a JSON string", j, t);
		return;
	}
	bool counted = f->min_length > 0 || f->has_max_length;
	if (!counted && f->enum_count == 0 && !f->uuid)
		return;
	struct str text = json_string(j, t, &sc->scratch);
	if (f->enum_count > 0)
		check_enum(sc, f, j, t, text);
	if (counted)
		check_length(sc, f, utf8_count(text));
	if (f->uuid && !is_uuid(text))
		buf_addz(fault(sc, "bad_format"), "a uuid is 8-4-4-4-12 hex digits");
}

static void
check_bytes(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	struct str text = json_string(j, t, &sc->scratch);
	struct buf decoded = BUF_INIT(LIMIT_LINE);
	if (text.p == NULL || base64_decode(&decoded, text) < 0)
		wrong_type(sc, "BYTES are a string of base64 with padding", j, t);
	else
		check_length(sc, f, decoded.n);
	buf_release(&decoded);
}

static void
check_time(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	static const struct {
		const char *(*parse)(struct str, int64_t *);
		const char *rule;
	} kinds[] = {
	    [FIELD_TIMESTAMP] = {time_parse_timestamp, "a TIMESTAMP is a JSON string"},
	    [FIELD_DATE] = {time_parse_date, "a DATE is a JSON string"},
	    [FIELD_DATETIME] = {time_parse_datetime, "a DATETIME is a JSON string"},
	    [FIELD_TIME] = {time_parse_time, "a TIME is a JSON string"},
	};
	struct str text = json_string(j, t, &sc->scratch);
	if (text.p == NULL) {
		wrong_type(sc, kinds[f->type].rule, j, t);
		return;
	}
	const char *broken = kinds[f->type].parse(text, &sc->time);
	if (broken != NULL)
		buf_addz(fault(sc, "bad_timestamp"), broken);
}

bool
scalar_check(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t)
{
	sc->nfaults = 0;
	buf_reset(&sc->scratch, 64 * KIB);
	switch (f->type) {
	case FIELD_STRING:
		check_string(sc, f, j, t);
		break;
	case FIELD_INT64:
		check_int64(sc, f, j, t);
		break;
	case FIELD_FLOAT64:
		check_float64(sc, f, j, t);
		break;
	case FIELD_NUMERIC:
		check_numeric(sc, f, j, t);
		break;
	case FIELD_BOOL:
		check_bool(sc, j, t);
		break;
	case FIELD_BYTES:
		check_bytes(sc, f, j, t);
		break;
	case FIELD_TIMESTAMP:
	case FIELD_DATE:
	case FIELD_DATETIME:
	case FIELD_TIME:
		check_time(sc, f, j, t);
		break;
	case FIELD_RECORD:
		wrong_type(sc, "a RECORD is a JSON object", j, t);
		break;
	}
	return sc->nfaults == 0;
}
