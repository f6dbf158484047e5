#include "opt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "buf.h"
#include "io.h"
#include "log.h"
#include "num.h"
#include "str.h"
#include "xalloc.h"

#ifndef EVPIPE_VERSION
#define EVPIPE_VERSION "0.1.0"
#endif

#define SEEN_MAX 128

struct parser {
	const struct opt_spec *spec;
	struct err *e;
	const struct opt *seen[SEEN_MAX];
	int nseen;
};

static bool
takes_value(const struct opt *o)
{
	return o->type != OPT_FLAG && o->type != OPT_COUNT;
}

static const struct opt *
find(const struct opt_spec *spec, struct str name, char letter)
{
	const struct opt *tables[] = {spec->own, spec->shared};
	for (int t = 0; t < 2; t++) {
		for (const struct opt *o = tables[t]; o != NULL && o->name != NULL; o++) {
			if (letter != 0 ? o->letter == letter : str_is(name, o->name))
				return o;
		}
	}
	return NULL;
}

static int
refuse(struct err *e, const struct opt *o, const char *value, const char *why)
{
	return err_set(e, ERR_USAGE, "cannot take '%s' for --%s: %s", value, o->name, why);
}

static int
out_of_range(struct err *e, const struct opt *o, const char *value)
{
	char why[80];
	if (o->max > 0)
		snprintf(why, sizeof(why), "the range is %lld to %lld", (long long)o->min, (long long)o->max);
	else
		snprintf(why, sizeof(why), "the least is %lld", (long long)o->min);
	return refuse(e, o, value, why);
}

/* Seconds or milliseconds with a fraction, as microseconds. */
static int
set_time(const struct opt *o, const char *value, double unit, struct err *e)
{
	double v;
	if (!num_double(str_of(value), &v) || strspn(value, "0123456789.") != strlen(value))
		return refuse(e, o, value, unit > 1e5 ? "it is no number of seconds" : "it is no number of milliseconds");
	if (v < (double)o->min || (o->max > 0 && v > (double)o->max))
		return out_of_range(e, o, value);
	*(int64_t *)o->to = (int64_t)(v * unit + 0.5);
	return 0;
}

static int
set_number(const struct opt *o, const char *value, struct err *e)
{
	int64_t v;
	bool ok = o->type == OPT_SIZE ? num_size(str_of(value), &v) : num_i64(str_of(value), &v);
	if (!ok)
		return refuse(e, o, value, o->type == OPT_SIZE ? "it is no size such as 1000, 64M or 16MiB"
							       : "it is no whole number");
	if (v < o->min || (o->max > 0 && v > o->max))
		return out_of_range(e, o, value);
	*(int64_t *)o->to = v;
	return 0;
}

static int
set_choice(const struct opt *o, const char *value, struct err *e)
{
	struct str rest = str_of(o->choices), want = str_of(value);
	for (int i = 0; rest.n > 0; i++) {
		size_t n = str_find(rest, '|');
		if (str_eq(want, (struct str){rest.p, n})) {
			*(int *)o->to = i;
			return 0;
		}
		rest = str_skip(rest, n + 1);
	}
	return err_set(e, ERR_USAGE, "cannot take '%s' for --%s: it is one of %s", value, o->name, o->choices);
}

static int
set(const struct opt *o, const char *value, struct err *e)
{
	switch (o->type) {
	case OPT_FLAG:
		*(bool *)o->to = true;
		return 0;
	case OPT_COUNT:
		(*(int *)o->to)++;
		return 0;
	case OPT_STR:
		if (*value == '\0')
			return refuse(e, o, value, "it is empty");
		*(const char **)o->to = value;
		return 0;
	case OPT_INT:
	case OPT_SIZE:
		return set_number(o, value, e);
	case OPT_SECONDS:
		return set_time(o, value, 1e6, e);
	case OPT_MILLIS:
		return set_time(o, value, 1e3, e);
	case OPT_CHOICE:
		return set_choice(o, value, e);
	case OPT_LIST: {
		struct opt_list *l = o->to;
		l->v = xreallocarray(l->v, (size_t)l->n + 1, sizeof(*l->v));
		l->v[l->n++] = value;
		return 0;
	}
	}
	return err_set(e, ERR_BUG, "cannot take '%s': --%s has no type", value, o->name);
}

/* From the command line: once each, unless it counts or lists. */
static int
set_once(struct parser *p, const struct opt *o, const char *value)
{
	for (int i = 0; i < p->nseen; i++) {
		if (p->seen[i] == o && o->type != OPT_LIST && o->type != OPT_COUNT && o->type != OPT_FLAG)
			return err_set(p->e, ERR_USAGE, "cannot take --%s twice", o->name);
	}
	if (p->nseen < SEEN_MAX)
		p->seen[p->nseen++] = o;
	return set(o, value, p->e);
}

static int
from_environment(const struct opt *table, struct err *e)
{
	for (const struct opt *o = table; o != NULL && o->name != NULL; o++) {
		const char *value = o->env != NULL ? getenv(o->env) : NULL;
		if (value != NULL && *value != '\0' && set(o, value, e) < 0)
			return err_wrap(e, "environment variable %s", o->env);
	}
	return 0;
}

static void
print_option(struct buf *out, const struct opt *o)
{
	size_t start = out->n;
	if (o->letter != 0)
		buf_addf(out, "  -%c, --%s", o->letter, o->name);
	else
		buf_addf(out, "      --%s", o->name);
	if (takes_value(o))
		buf_addf(out, " %s", o->type == OPT_CHOICE ? o->choices : o->arg);
	size_t width = out->n - start;
	if (width > 34)
		buf_addf(out, "\n%36s", "");
	else
		buf_addf(out, "%*s", (int)(36 - width), "");
	buf_addz(out, o->help);
	if (o->env != NULL)
		buf_addf(out, " (default: $%s)", o->env);
	buf_addc(out, '\n');
}

static int
print_help(const struct opt_spec *spec, struct err *e)
{
	struct buf out = BUF_INIT(64 * KIB);
	buf_addf(&out, "usage: %s %s\n%s\n\n", log_prog(), spec->synopsis, spec->summary);
	for (const struct opt *o = spec->own; o != NULL && o->name != NULL; o++)
		print_option(&out, o);
	for (const struct opt *o = spec->shared; o != NULL && o->name != NULL; o++)
		print_option(&out, o);
	buf_addz(&out, "  -h, --help                        print this and exit\n"
		       "  -V, --version                     print the version and exit\n");
	buf_addf(&out, "\nThe manual: man %.*s\n", (int)strcspn(spec->see, "("), spec->see);
	int rc = io_write_all(1, buf_str(&out), "standard output", e);
	buf_release(&out);
	return rc;
}

static int
print_version(struct err *e)
{
	struct buf out = BUF_INIT(256);
	buf_addf(&out, "%s (evpipe) %s\n", log_prog(), EVPIPE_VERSION);
	int rc = io_write_all(1, buf_str(&out), "standard output", e);
	buf_release(&out);
	return rc;
}

/* "--name", "--name=value", "--name value": 1 where the next argument was used too. */
static int
parse_long(struct parser *p, const char *arg, const char *next)
{
	struct str whole = str_of(arg + 2);
	size_t n = str_find(whole, '=');
	const struct opt *o = find(p->spec, (struct str){whole.p, n}, 0);
	if (o == NULL)
		return err_set(p->e, ERR_USAGE, "cannot take '%s': no such option", arg);
	const char *inline_value = n < whole.n ? whole.p + n + 1 : NULL;
	if (!takes_value(o)) {
		if (inline_value != NULL)
			return err_set(p->e, ERR_USAGE, "cannot take '%s': --%s takes no value", arg, o->name);
		return set_once(p, o, "");
	}
	if (inline_value == NULL && next == NULL)
		return err_set(p->e, ERR_USAGE, "cannot take --%s: it wants a value, %s", o->name,
		    o->type == OPT_CHOICE ? o->choices : o->arg);
	if (set_once(p, o, inline_value != NULL ? inline_value : next) < 0)
		return -1;
	return inline_value == NULL;
}

static int
parse_letters(struct parser *p, const char *arg, const char *next)
{
	for (const char *c = arg + 1; *c != '\0'; c++) {
		const struct opt *o = find(p->spec, STR_NONE, *c);
		if (o == NULL)
			return err_set(p->e, ERR_USAGE, "cannot take '-%c': no such option", *c);
		if (!takes_value(o)) {
			if (set_once(p, o, "") < 0)
				return -1;
			continue;
		}
		if (c[1] == '\0' && next == NULL)
			return err_set(p->e, ERR_USAGE, "cannot take -%c: it wants a value, %s", *c, o->arg);
		if (set_once(p, o, c[1] != '\0' ? c + 1 : next) < 0)
			return -1;
		return c[1] == '\0';
	}
	return 0;
}

static int
check_operands(const struct opt_spec *spec, int n, struct err *e)
{
	if (n < spec->min_operands)
		return err_set(e, ERR_USAGE, "cannot start: an operand is missing; usage: %s %s", log_prog(), spec->synopsis);
	if (spec->max_operands >= 0 && n > spec->max_operands)
		return err_set(e, ERR_USAGE, "cannot start: too many operands; usage: %s %s", log_prog(), spec->synopsis);
	return 0;
}

/* -h and -V win wherever they stand, unless they are some option's value. */
static enum opt_result
help_or_version(const struct opt_spec *spec, const char *arg, struct err *e)
{
	int rc;
	if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0)
		rc = print_help(spec, e);
	else if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0)
		rc = print_version(e);
	else
		return OPT_RUN;
	return rc < 0 ? OPT_BAD : OPT_DONE;
}

enum opt_result
opt_parse(const struct opt_spec *spec, int argc, char **argv, char ***operands, int *noperands, struct err *e)
{
	struct parser p = {.spec = spec, .e = e};
	int n = 0;
	bool options = true;
	if (from_environment(spec->own, e) < 0 || from_environment(spec->shared, e) < 0)
		return OPT_BAD;
	for (int i = 1; i < argc; i++) {
		char *arg = argv[i];
		if (!options || arg[0] != '-' || arg[1] == '\0') {
			argv[n++] = arg;
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			options = false;
			continue;
		}
		enum opt_result asked = help_or_version(spec, arg, e);
		if (asked != OPT_RUN)
			return asked;
		int used = arg[1] == '-' ? parse_long(&p, arg, argv[i + 1]) : parse_letters(&p, arg, argv[i + 1]);
		if (used < 0) {
			size_t len = strlen(e->text);
			snprintf(e->text + len, sizeof(e->text) - len, "; see %s --help", log_prog());
			return OPT_BAD;
		}
		i += used;
	}
	*operands = argv;
	*noperands = n;
	return check_operands(spec, n, e) < 0 ? OPT_BAD : OPT_RUN;
}
