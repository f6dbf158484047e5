/*
 * One JSON value against one field: whether insertAll takes it, and what is kept of it. The rules and the
 * texts of errors are the service's, as far as they are known.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "bigquery.h"
#include "num.h"
#include "utf8.h"
#include "xalloc.h"

#define SHOWN 100 /* bytes of a bad value in a message */
#define SAFE_INT 9007199254740991 /* beyond this a JSON number loses digits on its way through the service */

struct str
bq_cell_text(const struct bq_row *r, const struct bq_cell *c)
{
	return c->text.p != NULL ? c->text : (struct str){r->scratch.p + c->at, c->n};
}

void
bq_row_fail(struct bq_row *r, const char *reason, struct str location, const char *fmt, ...)
{
	struct buf text = BUF_INIT(4096);
	struct bq_row_error *error;
	va_list ap;

	if (r->nerrors == BQ_ROW_ERRORS)
		return;
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	error = &r->errors[r->nerrors++];
	error->reason = reason;
	error->message = xstrdup(buf_cstr(&text));
	error->location = str_dup(location);
	buf_release(&text);
}

void
bq_row_clear(struct bq_row *r)
{
	for (unsigned i = 0; i < r->nerrors; i++) {
		free(r->errors[i].message);
		free(r->errors[i].location);
	}
	r->nerrors = 0;
	buf_reset(&r->scratch, 1024 * 1024);
	buf_reset(&r->path, 4096);
}

static void
fail(struct bq_row *r, const char *fmt, struct str shown)
{
	struct str s = {shown.p, utf8_cut(shown, SHOWN)};

	bq_row_fail(r, "invalid", buf_str(&r->path), fmt, STR_ARG(s));
}

static void
begin_text(struct bq_row *r, struct bq_cell *c)
{
	c->kind = BQ_TEXT;
	c->text = STR_NONE;
	c->at = r->scratch.n;
}

static void
end_text(struct bq_row *r, struct bq_cell *c)
{
	c->n = r->scratch.n - c->at;
}

/* The text of a scalar: of a string its decoded value, of anything else what stands there. */
static struct str
scalar_text(struct bq_row *r, uint32_t t)
{
	const struct json_tok *tok = &r->j->tok[t];

	if (tok->type != JSON_STRING)
		return json_raw(r->j, t);
	return json_string(r->j, t, &r->scratch);
}

static bool
read_string(struct bq_row *r, uint32_t t, struct bq_cell *c)
{
	begin_text(r, c);
	if (json_typeof(r->j, t) == JSON_STRING && r->j->tok[t].escaped) {
		json_unescape(&r->scratch, json_text(r->j, t));
		end_text(r, c);
	} else {
		c->text = json_typeof(r->j, t) == JSON_STRING ? json_text(r->j, t) : json_raw(r->j, t);
	}
	return true;
}

static bool
read_int64(struct bq_row *r, uint32_t t, struct bq_cell *c)
{
	struct str s = scalar_text(r, t);

	c->kind = BQ_INT;
	if (!num_i64(s, &c->i)) {
		fail(r, "Cannot convert value to integer (bad value): %.*s", s);
		return false;
	}
	if (json_typeof(r->j, t) == JSON_NUMBER && (c->i > SAFE_INT || c->i < -SAFE_INT))
		c->i = (double)c->i >= 9223372036854775807.0 ? INT64_MAX : (int64_t)(double)c->i;
	return true;
}

/* a plain decimal: num_double alone would take strtod's hexadecimal, blanks and words */
static bool
plain_double(struct str s, double *out)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' || strchr("+-.0123456789eE", s.p[i]) == NULL)
			return false;
	return num_double(s, out);
}

static bool
read_float64(struct bq_row *r, uint32_t t, struct bq_cell *c)
{
	struct str s = scalar_text(r, t);

	c->kind = BQ_REAL;
	if (json_typeof(r->j, t) == JSON_STRING && str_ieq(s, STR("NaN")))
		c->d = NAN;
	else if (json_typeof(r->j, t) == JSON_STRING &&
	    (str_ieq(s, STR("Infinity")) || str_ieq(s, STR("inf")) || str_ieq(s, STR("+inf"))))
		c->d = INFINITY;
	else if (json_typeof(r->j, t) == JSON_STRING && (str_ieq(s, STR("-Infinity")) ||
	    str_ieq(s, STR("-inf"))))
		c->d = -INFINITY;
	else if (!plain_double(s, &c->d)) {
		fail(r, "Cannot convert value to floating point (bad value): %.*s", s);
		return false;
	}
	return true;
}

static bool
read_bool(struct bq_row *r, uint32_t t, struct bq_cell *c)
{
	struct str s = scalar_text(r, t);

	c->kind = BQ_INT;
	c->i = str_ieq(s, STR("true"));
	if (c->i || str_ieq(s, STR("false")))
		return true;
	fail(r, "Cannot convert value to boolean (bad value): %.*s", s);
	return false;
}

static bool
read_numeric(struct bq_row *r, uint32_t t, struct bq_cell *c)
{
	struct str s = scalar_text(r, t);
	struct buf text = BUF_INIT(128);
	bool ok = bq_write_numeric(&text, s);

	if (ok) {
		begin_text(r, c);
		buf_adds(&r->scratch, buf_str(&text));
		end_text(r, c);
	} else {
		fail(r, "Invalid NUMERIC value: %.*s", s);
	}
	buf_release(&text);
	return ok;
}

static bool
read_bytes(struct bq_row *r, uint32_t t, struct bq_cell *c)
{
	struct buf bytes = BUF_INIT(16 * 1024 * 1024);
	struct str s = scalar_text(r, t);
	bool ok = json_typeof(r->j, t) == JSON_STRING && base64_decode_lenient(&bytes, s) == 0;

	if (ok) {
		begin_text(r, c);
		base64_encode(&r->scratch, buf_str(&bytes));
		end_text(r, c);
	} else {
		fail(r, "Could not decode base64 string to bytes: %.*s", s);
	}
	buf_release(&bytes);
	return ok;
}

static bool
parse_civil(enum field_type type, bool number, struct str s, int64_t *micros)
{
	switch (type) {
	case FIELD_TIMESTAMP:
		return (number || !bq_parse_timestamp(s, micros)) ? bq_parse_epoch(s, micros) : true;
	case FIELD_DATE:
		return !number && bq_parse_date(s, micros);
	case FIELD_DATETIME:
		return !number && bq_parse_datetime(s, micros);
	default:
		return !number && bq_parse_time(s, micros);
	}
}


static bool
read_civil(struct bq_row *r, const struct bq_field *f, uint32_t t, struct bq_cell *c)
{
	bool number = json_typeof(r->j, t) == JSON_NUMBER;
	struct str s = scalar_text(r, t);
	bool ok = parse_civil(f->type, number, s, &c->i);
	double seconds;

	if (f->type == FIELD_TIMESTAMP && (ok ? !bq_timestamp_in_range(c->i) : plain_double(s, &seconds))) {
		fail(r, "Timestamp field value is out of range: %.*s", s);
		return false;
	}
	if (!ok) {
		struct str shown = {s.p, utf8_cut(s, SHOWN)};

		bq_row_fail(r, "invalid", buf_str(&r->path), "Invalid %s string \"%.*s\"",
		    schema_type_name(f->type), STR_ARG(shown));
		return false;
	}
	begin_text(r, c);
	bq_write_civil(&r->scratch, f->type, c->i);
	end_text(r, c);
	return true;
}

static bool
read_scalar(struct bq_row *r, const struct bq_field *f, uint32_t t, struct bq_cell *c)
{
	enum json_type type = json_typeof(r->j, t);

	if (type == JSON_OBJECT) {
		fail(r, "This field: %.*s is not a record.", f->name);
		return false;
	}
	if (type == JSON_ARRAY) {
		fail(r, "Array specified for non-repeated field: %.*s.", f->name);
		return false;
	}
	switch (f->type) {
	case FIELD_STRING:
		return read_string(r, t, c);
	case FIELD_INT64:
		return read_int64(r, t, c);
	case FIELD_FLOAT64:
		return read_float64(r, t, c);
	case FIELD_NUMERIC:
		return read_numeric(r, t, c);
	case FIELD_BOOL:
		return read_bool(r, t, c);
	case FIELD_BYTES:
		return read_bytes(r, t, c);
	default:
		return read_civil(r, f, t, c);
	}
}

/* A scalar inside a RECORD or an array, as JSON. A string's own text is good JSON already. */
static void
nested_scalar(struct bq_row *r, struct jsonw *w, const struct bq_field *f, uint32_t t)
{
	struct bq_cell c = {0};
	size_t mark = w->out->n;
	struct buf text = BUF_INIT(64);

	if (f->type == FIELD_STRING && json_typeof(r->j, t) == JSON_STRING) {
		jsonw_raw(w, json_raw(r->j, t));
		return;
	}
	/*
	 * What read_scalar puts into the scratch stands in the middle of this very JSON: take it out again.
	 */
	if (!read_scalar(r, f, t, &c)) {
		w->out->n = mark;
		return;
	}
	switch (c.kind) {
	case BQ_INT:
		w->out->n = mark;
		if (f->type == FIELD_BOOL)
			jsonw_bool(w, c.i != 0);
		else
			jsonw_i64(w, c.i);
		break;
	case BQ_REAL:
		w->out->n = mark;
		bq_write_double(&text, c.d);
		if (isfinite(c.d))
			jsonw_raw(w, buf_str(&text));
		else
			jsonw_str(w, buf_str(&text));
		break;
	default: {
		struct str s = bq_cell_text(r, &c);
		char *copy = xmemdup(s.p, s.n + (s.n == 0));

		w->out->n = mark;
		jsonw_str(w, (struct str){copy, s.n});
		free(copy);
	}
	}
	buf_release(&text);
}

static void nested(struct bq_row *r, struct jsonw *w, const struct bq_field *f, uint32_t t);

static size_t
enter(struct bq_row *r, struct str name)
{
	size_t mark = r->path.n;

	if (mark > 0)
		buf_addc(&r->path, '.');
	buf_adds(&r->path, name);
	return mark;
}

static void
unknown_field(struct bq_row *r, struct str name)
{
	size_t mark;

	if (r->ignore_unknown)
		return;
	mark = enter(r, name);
	fail(r, "no such field: %.*s.", name);
	r->path.n = mark;
}

static void
missing_field(struct bq_row *r, const struct bq_field *f)
{
	size_t mark = enter(r, f->name);

	fail(r, "Missing required field: %.*s.", buf_str(&r->path));
	r->path.n = mark;
}

static void
twice(struct bq_row *r, const struct bq_field *f)
{
	size_t mark = enter(r, f->name);

	fail(r, "Field specified more than once: %.*s.", f->name);
	r->path.n = mark;
}

static void
null_field(struct bq_row *r, const struct bq_field *f)
{
	size_t mark = enter(r, f->name);

	fail(r, "Only optional fields can be set to NULL. Field: %.*s; Value: NULL", f->name);
	r->path.n = mark;
}

/* The name of member k, decoded: borrowed from the text or from the scratch. */
static struct str
member_name(struct bq_row *r, uint32_t k)
{
	return json_string(r->j, k, &r->scratch);
}

#define SEEN_BITS 64
static bool
seen_before(uint64_t *seen, uint32_t i)
{
	uint64_t bit = (uint64_t)1 << i % SEEN_BITS;
	bool was = (seen[i / SEEN_BITS] & bit) != 0;

	seen[i / SEEN_BITS] |= bit;
	return was;
}

static void
check_missing(struct bq_row *r, const struct bq_field *fields, uint32_t n, const uint64_t *seen)
{
	for (uint32_t i = 0; i < n; i++)
		if (fields[i].mode == MODE_REQUIRED && (seen[i / SEEN_BITS] >> i % SEEN_BITS & 1) == 0)
			missing_field(r, &fields[i]);
}

static void
nested_record(struct bq_row *r, struct jsonw *w, const struct bq_field *f, uint32_t t)
{
	uint64_t few[4] = {0}, *seen = few;
	uint32_t next = 0;

	if (f->nfields > SEEN_BITS * 4)
		seen = xcalloc(f->nfields / SEEN_BITS + 1, sizeof(*seen));
	jsonw_object(w);
	for (uint32_t k = json_first(t); k < json_end(r->j, t); k = r->j->tok[k + 1].next) {
		size_t mark = r->scratch.n;
		struct str name = member_name(r, k);
		int i = bq_field_find(f->fields, f->nfields, name, next);
		size_t path;

		if (i < 0)
			unknown_field(r, name);
		r->scratch.n = mark;
		if (i < 0)
			continue;
		next = (uint32_t)i + 1;
		if (seen_before(seen, (uint32_t)i))
			twice(r, &f->fields[i]);
		if (json_is(r->j, k + 1, JSON_NULL)) {
			if (f->fields[i].mode != MODE_NULLABLE)
				null_field(r, &f->fields[i]);
			continue;
		}
		path = enter(r, f->fields[i].name);
		jsonw_keys(w, f->fields[i].name);
		nested(r, w, &f->fields[i], k + 1);
		r->path.n = path;
	}
	jsonw_end(w);
	check_missing(r, f->fields, f->nfields, seen);
	if (seen != few)
		free(seen);
}

static void
nested_array(struct bq_row *r, struct jsonw *w, const struct bq_field *f, uint32_t t)
{
	struct bq_field element = *f;
	size_t mark = r->path.n;
	unsigned i = 0;

	element.mode = MODE_NULLABLE;
	jsonw_array(w);
	for (uint32_t v = json_first(t); v < json_end(r->j, t); v = r->j->tok[v].next) {
		buf_addf(&r->path, "[%u]", i++);
		if (json_is(r->j, v, JSON_NULL))
			fail(r, "Only optional fields can be set to NULL. Field: %.*s; Value: NULL", f->name);
		else if (json_is(r->j, v, JSON_ARRAY))
			fail(r, "Array specified for non-repeated field: %.*s.", f->name);
		else
			nested(r, w, &element, v);
		r->path.n = mark;
	}
	jsonw_end(w);
}

/* Writes a value that is not null as JSON, checking all that is in it. */
static void
nested(struct bq_row *r, struct jsonw *w, const struct bq_field *f, uint32_t t)
{
	if (f->mode == MODE_REPEATED) {
		if (json_is(r->j, t, JSON_ARRAY))
			nested_array(r, w, f, t);
		else if (f->type == FIELD_RECORD)
			fail(r, "Repeated record added outside of an array. Field: %.*s", f->name);
		else
			fail(r, "Repeated value added outside of an array. Field: %.*s", f->name);
	} else if (f->type != FIELD_RECORD) {
		nested_scalar(r, w, f, t);
	} else if (json_is(r->j, t, JSON_OBJECT)) {
		nested_record(r, w, f, t);
	} else if (json_is(r->j, t, JSON_ARRAY)) {
		fail(r, "Array specified for non-repeated field: %.*s.", f->name);
	} else {
		fail(r, "Cannot convert a value to the record: %.*s.", f->name);
	}
}

static void
read_column(struct bq_row *r, const struct bq_field *f, uint32_t t, struct bq_cell *c)
{
	if (json_is(r->j, t, JSON_NULL)) {
		if (f->mode != MODE_NULLABLE)
			null_field(r, f);
		return;
	}
	buf_adds(&r->path, f->name);
	if (f->mode == MODE_REPEATED || f->type == FIELD_RECORD) {
		struct jsonw w;

		begin_text(r, c);
		w = jsonw_to(&r->scratch);
		nested(r, &w, f, t);
		end_text(r, c);
	} else if (!read_scalar(r, f, t, c)) {
		c->kind = BQ_NULL;
	}
	r->path.n = 0;
}

void
bq_row_read(struct bq_row *r, const struct bq_fields *fields, uint32_t t)
{
	uint64_t seen[BQ_COLUMNS_MAX / SEEN_BITS + 1] = {0};
	uint32_t next = 0;

	for (uint32_t i = 0; i < fields->n; i++) {
		r->cells[i].kind = BQ_NULL;
		if (fields->v[i].mode == MODE_REPEATED) {
			r->cells[i].kind = BQ_TEXT;
			r->cells[i].text = STR("[]");
		}
	}
	for (uint32_t k = json_first(t); k < json_end(r->j, t); k = r->j->tok[k + 1].next) {
		struct str name = member_name(r, k);
		int i = bq_field_find(fields->v, fields->n, name, next);

		if (i < 0) {
			unknown_field(r, name);
			continue;
		}
		next = (uint32_t)i + 1;
		if (seen_before(seen, (uint32_t)i))
			twice(r, &fields->v[i]);
		read_column(r, &fields->v[i], k + 1, &r->cells[i]);
	}
	check_missing(r, fields->v, fields->n, seen);
	if (r->scratch.over)
		bq_row_fail(r, "invalid", STR_NONE, "Row size is larger than: %d.", BQ_REQUEST_MAX);
}
