/*
 * A BigQuery SELECT made into one that SQLite runs: table paths become the attached dataset's tables,
 * BigQuery's strings, comments and quoted names become SQLite's, typed literals (TIMESTAMP '...') their
 * canonical text. What both dialects share passes as it is; whatever is left over is for SQLite to refuse.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "utf8.h"
#include "xalloc.h"

#define PAREN_MAX 64
#define PATH_PARTS 4
#define CTE_MAX 32

struct sql {
	struct bigquery *bq;
	struct bq_sql *q;
	struct str project;
	struct bq_dataset *default_dataset;
	struct str in;      /* what is left */
	bool in_from[PAREN_MAX]; /* a comma at this depth leads to another table */
	int depth;
	bool expect_table;
	bool cast_type;     /* the word before was AS */
	struct str ctes[CTE_MAX];
	int nctes;
	struct str last;    /* the word before, for WITH x AS and x AS ( */
	struct err *e;
};

static int
refuse(struct sql *s, int code, const char *reason)
{
	s->q->code = code;
	s->q->reason = reason;
	return -1;
}

static int
syntax(struct sql *s, const char *what)
{
	err_set(s->e, ERR_INPUT, "Syntax error: %s", what);
	return refuse(s, 400, "invalidQuery");
}

static bool
word_start(char c)
{
	return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static struct str
take_word(struct str *in, bool dashes)
{
	struct str w = {in->p, 0};

	while (w.n < in->n && (word_start(in->p[w.n]) || isdigit((unsigned char)in->p[w.n]) ||
	    (dashes && in->p[w.n] == '-' && w.n + 1 < in->n && isalnum((unsigned char)in->p[w.n + 1]))))
		w.n++;
	*in = str_skip(*in, w.n);
	return w;
}

/* White space and comments: true where there were any. */
static bool
take_blank(struct str *in)
{
	size_t before = in->n;

	for (;;) {
		if (in->n > 0 && isspace((unsigned char)in->p[0])) {
			*in = str_skip(*in, 1);
		} else if (str_starts(*in, STR("--")) || str_starts(*in, STR("#"))) {
			*in = str_skip(*in, str_find(*in, '\n'));
		} else if (str_starts(*in, STR("/*"))) {
			const char *end = memmem(in->p + 2, in->n - 2, "*/", 2);

			*in = str_skip(*in, end == NULL ? in->n : (size_t)(end + 2 - in->p));
		} else {
			return in->n != before;
		}
	}
}

static bool
hex_escape(struct buf *out, struct str *in, size_t digits)
{
	char text[9] = "", utf8[4];
	char *end;
	unsigned long cp;

	if (in->n < digits)
		return false;
	memcpy(text, in->p, digits);
	cp = strtoul(text, &end, 16);
	if (end != text + digits || cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return false;
	buf_add(out, utf8, utf8_encode((uint32_t)cp, utf8));
	*in = str_skip(*in, digits);
	return true;
}

static bool
take_escape(struct buf *out, struct str *in)
{
	static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
	const char *p;
	char c;

	if (in->n == 0)
		return false;
	c = in->p[0];
	*in = str_skip(*in, 1);
	if (c == 'x' || c == 'X' || c == 'u' || c == 'U')
		return hex_escape(out, in, c == 'u' ? 4 : c == 'U' ? 8 : 2);
	p = c != '\0' ? strchr(from, c) : NULL;
	if (p == NULL)
		return false;
	buf_addc(out, to[p - from]);
	return true;
}

/* A string literal, at its quote, decoded into out. */
static int
take_string(struct sql *s, struct buf *out, bool raw)
{
	char quote = s->in.p[0];

	if (s->in.n >= 3 && s->in.p[1] == quote && s->in.p[2] == quote)
		return syntax(s, "gcp-emu does not read triple-quoted strings");
	s->in = str_skip(s->in, 1);
	while (s->in.n > 0 && s->in.p[0] != quote) {
		char c = s->in.p[0];

		s->in = str_skip(s->in, 1);
		if (c == '\n' || c == '\0')
			break;
		if (c != '\\' || raw)
			buf_addc(out, c);
		else if (!take_escape(out, &s->in))
			return syntax(s, "Illegal escape sequence in a string literal");
	}
	if (s->in.n == 0 || s->in.p[0] != quote)
		return syntax(s, "Unclosed string literal");
	s->in = str_skip(s->in, 1);
	return 0;
}

static void
put_string(struct buf *out, struct str v)
{
	buf_addc(out, '\'');
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '\'')
			buf_addc(out, '\'');
		buf_addc(out, v.p[i]);
	}
	buf_addc(out, '\'');
}

static bool
canonical(enum field_type type, struct buf *v)
{
	int64_t micros;
	bool ok;

	if (type == FIELD_TIMESTAMP)
		ok = bq_parse_timestamp(buf_str(v), &micros);
	else if (type == FIELD_DATE)
		ok = bq_parse_date(buf_str(v), &micros);
	else if (type == FIELD_DATETIME)
		ok = bq_parse_datetime(buf_str(v), &micros);
	else
		ok = bq_parse_time(buf_str(v), &micros);
	if (ok) {
		buf_reset(v, 1024);
		bq_write_civil(v, type, micros);
	}
	return ok;
}

/* A string literal; word is the type that stands before it (TIMESTAMP), a prefix (r), or empty. */
static int
string_literal(struct sql *s, struct str word)
{
	struct buf v = BUF_INIT(1 * MIB);
	enum field_type type;
	int rc = take_string(s, &v, str_ieq(word, STR("r")));

	if (rc == 0 && word.n > 1 && schema_type_parse(word, &type) && type != FIELD_NUMERIC &&
	    !canonical(type, &v))
		rc = syntax(s, "Invalid literal");
	put_string(&s->q->text, buf_str(&v));
	buf_release(&v);
	return rc;
}

static bool
typed_literal(struct str word)
{
	static const char *const words[] = {"r", "TIMESTAMP", "DATE", "DATETIME", "TIME", "NUMERIC"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_ieq(word, str_of(words[i])))
			return true;
	return false;
}

/* ---- table paths ---- */

static int
not_found(struct sql *s, const char *what, struct str project, struct str dataset, struct str table)
{
	err_set(s->e, ERR_INPUT, "Not found: %s %.*s:%.*s%s%.*s was not found in location US", what,
	    STR_ARG(project), STR_ARG(dataset), table.n > 0 ? "." : "", STR_ARG(table));
	return refuse(s, 404, "notFound");
}

static int
attach(struct sql *s, struct bq_dataset *d)
{
	for (unsigned i = 0; i < s->q->ndatasets; i++)
		if (s->q->datasets[i] == d)
			return 0;
	if (s->q->ndatasets == BQ_SQL_DATASETS)
		return syntax(s, "gcp-emu reads at most 8 datasets in a query");
	s->q->datasets[s->q->ndatasets++] = d;
	return 0;
}

static bool
is_cte(const struct sql *s, struct str name)
{
	for (int i = 0; i < s->nctes; i++)
		if (str_ieq(s->ctes[i], name))
			return true;
	return false;
}

static int
put_table(struct sql *s, const struct str *part, int n)
{
	struct str project = n == 3 ? part[0] : s->project, name = part[n - 1];
	struct bq_dataset *d = n > 1 ? bq_dataset_find(s->bq, project, part[n - 2]) : s->default_dataset;

	if (n == 1 && is_cte(s, name)) {
		bq_quote(&s->q->text, name);
		return 0;
	}
	if (n == 1 && d == NULL) {
		err_set(s->e, ERR_INPUT, "Table \"%.*s\" must be qualified with a dataset (e.g. "
		    "dataset.table).", STR_ARG(name));
		return refuse(s, 400, "invalid");
	}
	if (n > 3)
		return syntax(s, "a table is [project.]dataset.table");
	if (d == NULL)
		return not_found(s, "Dataset", project, part[n - 2], STR(""));
	if (bq_table_find(d, name) == NULL)
		return not_found(s, "Table", d->project, d->id, name);
	bq_quote(&s->q->text, d->key);
	buf_addc(&s->q->text, '.');
	bq_quote(&s->q->text, name);
	return attach(s, d);
}

/* Splits at the dots. */
static int
split(struct str v, struct str *part, int n)
{
	while (n < PATH_PARTS) {
		size_t dot = str_find(v, '.');

		part[n++] = (struct str){v.p, dot};
		if (dot == v.n)
			return n;
		v = str_skip(v, dot + 1);
	}
	return n;
}

static int
take_quoted_name(struct sql *s, struct str *name)
{
	size_t end;

	s->in = str_skip(s->in, 1);
	end = str_find(s->in, '`');
	if (end == s->in.n || end == 0)
		return syntax(s, "Unclosed identifier literal");
	*name = (struct str){s->in.p, end};
	s->in = str_skip(s->in, end + 1);
	return 0;
}

static int
table_path(struct sql *s)
{
	struct str part[PATH_PARTS], name;
	int n = 0;

	s->expect_table = false;
	for (;;) {
		if (s->in.n > 0 && s->in.p[0] == '`') {
			if (take_quoted_name(s, &name) < 0)
				return -1;
			n = split(name, part, n);
		} else {
			part[n] = take_word(&s->in, n == 0);
			if (part[n++].n == 0)
				return syntax(s, "Expected a table name");
		}
		if (s->in.n == 0 || s->in.p[0] != '.' || n == PATH_PARTS)
			break;
		s->in = str_skip(s->in, 1);
	}
	if (n == 1 && str_ieq(part[0], STR("UNNEST")))
		return syntax(s, "gcp-emu has no UNNEST");
	return put_table(s, part, n);
}

/* ---- words ---- */

static bool
one_of(struct str word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (str_ieq(word, str_of(*words)))
			return true;
	return false;
}

/* a name that a WITH clause defines: NAME AS ( */
static void
note_cte(struct sql *s, struct str name)
{
	struct str rest = s->in;

	take_blank(&rest);
	if (!str_ieq(take_word(&rest, false), STR("AS")))
		return;
	take_blank(&rest);
	if (rest.n > 0 && rest.p[0] == '(' && s->nctes < CTE_MAX)
		s->ctes[s->nctes++] = name;
}

static void
put_word(struct sql *s, struct str word)
{
	struct str rest = s->in;
	struct buf *out = &s->q->text;

	take_blank(&rest);
	if (s->cast_type && str_ieq(word, STR("STRING")))
		buf_addz(out, "TEXT"); /* SQLite would take STRING for a number */
	else if (str_ieq(word, STR("IF")) && rest.n > 0 && rest.p[0] == '(')
		buf_addz(out, "iif");
	else
		buf_adds(out, word);
	s->cast_type = str_ieq(word, STR("AS"));
}

static int
take_word_token(struct sql *s)
{
	static const char *const from[] = {"FROM", "JOIN", NULL};
	static const char *const ends[] = {"SELECT", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION",
	    "WINDOW", "INTERSECT", "EXCEPT", "QUALIFY", NULL};
	struct str word = take_word(&s->in, false), rest = s->in;

	take_blank(&rest);
	if (rest.n > 0 && (rest.p[0] == '\'' || rest.p[0] == '"') && typed_literal(word) &&
	    (word.n > 1 || rest.p == s->in.p)) {
		s->in = rest;
		return string_literal(s, word);
	}
	if (one_of(word, from)) {
		s->expect_table = true;
		s->in_from[s->depth] = true;
	} else if (one_of(word, ends)) {
		s->in_from[s->depth] = false;
	} else {
		note_cte(s, word);
	}
	put_word(s, word);
	return 0;
}

static int
take_punctuation(struct sql *s)
{
	char c = s->in.p[0];

	if (c == '@' || c == '?' || c == ':' || c == '$' || c == '[' || c == '\0')
		return syntax(s, c == '@' || c == '?' ? "gcp-emu has no query parameters" :
		    "Illegal input character");
	if (c == '(' && ++s->depth == PAREN_MAX)
		return syntax(s, "too many parentheses");
	if (c == '(') {
		s->in_from[s->depth] = s->expect_table; /* FROM (a JOIN b), FROM (SELECT ... */
		s->cast_type = false;
	}
	if (c == ')' && --s->depth < 0)
		return syntax(s, "Unexpected \")\"");
	if (c == ',')
		s->expect_table = s->in_from[s->depth];
	buf_addc(&s->q->text, c);
	s->in = str_skip(s->in, 1);
	return 0;
}

static void
take_number(struct sql *s)
{
	while (s->in.n > 0 && (isalnum((unsigned char)s->in.p[0]) || s->in.p[0] == '.')) {
		buf_addc(&s->q->text, s->in.p[0]);
		s->in = str_skip(s->in, 1);
	}
}

static int
take_token(struct sql *s)
{
	char c = s->in.p[0];
	struct str name;

	if (s->expect_table && c == '(') {
		struct str inside = str_skip(s->in, 1);

		take_blank(&inside);
		name = take_word(&inside, false);
		if (str_ieq(name, STR("SELECT")) || str_ieq(name, STR("WITH")))
			s->expect_table = false;
		return take_punctuation(s);
	}
	if (s->expect_table && (c == '`' || word_start(c)))
		return table_path(s);
	if (c == '\'' || c == '"')
		return string_literal(s, STR_NONE);
	if (c == '`') {
		if (take_quoted_name(s, &name) < 0)
			return -1;
		note_cte(s, name);
		bq_quote(&s->q->text, name);
		return 0;
	}
	if (word_start(c))
		return take_word_token(s);
	if (isdigit((unsigned char)c)) {
		take_number(s);
		return 0;
	}
	return take_punctuation(s);
}

static bool
starts_as_select(struct str in)
{
	take_blank(&in);
	while (in.n > 0 && in.p[0] == '(') {
		in = str_skip(in, 1);
		take_blank(&in);
	}
	struct str word = take_word(&in, false);

	return str_ieq(word, STR("SELECT")) || str_ieq(word, STR("WITH"));
}

int
bq_sql_translate(struct bigquery *bq, struct str project, struct bq_dataset *default_dataset, struct str text,
    struct bq_sql *q, struct err *e)
{
	struct sql s = {.bq = bq, .q = q, .project = project, .default_dataset = default_dataset, .e = e};

	memset(q, 0, sizeof(*q));
	buf_init(&q->text, 4 * MIB);
	s.in = text;
	while (s.in.n > 0 && (isspace((unsigned char)s.in.p[s.in.n - 1]) || s.in.p[s.in.n - 1] == ';'))
		s.in.n--;
	if (!starts_as_select(s.in))
		return syntax(&s, "gcp-emu answers SELECT statements only");
	while (s.in.n > 0) {
		if (take_blank(&s.in))
			buf_addc(&q->text, ' ');
		else if (s.in.p[0] == ';')
			return syntax(&s, "gcp-emu answers one statement at a time");
		else if (take_token(&s) < 0)
			return -1;
	}
	if (q->text.over)
		return syntax(&s, "the query is too long");
	return 0;
}
