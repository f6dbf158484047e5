#include "awsprofile.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "io.h"
#include "xalloc.h"

static void
wipe(char **text)
{
	xwipe(*text);
	*text = NULL;
}

void
awsprofile_release(struct awsprofile *p)
{
	wipe(&p->id);
	wipe(&p->secret);
	wipe(&p->token);
	wipe(&p->region);
	wipe(&p->endpoint);
	wipe(&p->other);
	wipe(&p->file);
}

/* What the settings of one file go into: a later line of the same name wins. */
static char **
member(struct awsprofile *p, struct str name)
{
	static const char *const others[] = {"role_arn", "credential_process", "sso_session", "sso_start_url",
	    "web_identity_token_file", "credential_source", "login_session", NULL};
	if (str_is(name, "aws_access_key_id"))
		return &p->id;
	if (str_is(name, "aws_secret_access_key"))
		return &p->secret;
	if (str_is(name, "aws_session_token"))
		return &p->token;
	if (str_is(name, "region"))
		return &p->region;
	if (str_is(name, "endpoint_url"))
		return &p->endpoint;
	for (int i = 0; others[i] != NULL; i++) {
		if (str_is(name, others[i]))
			return &p->other;
	}
	return NULL;
}

/* "[name]", or in the config file "[profile name]" and "[default]". */
static bool
is_section(struct str line, const char *name, bool config)
{
	struct str inside = str_trim((struct str){line.p + 1, str_find(line, ']') - 1});
	if (config && inside.n > 8 && str_starts(inside, STR("profile")) &&
	    (inside.p[7] == ' ' || inside.p[7] == '\t'))
		return str_is(str_trim(str_skip(inside, 8)), name);
	return str_is(inside, name) && (!config || strcmp(name, "default") == 0);
}

/* " # text" and " ; text" behind a value are comments. */
static struct str
value_of(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		if ((s.p[i] == ' ' || s.p[i] == '\t') && (s.p[i + 1] == '#' || s.p[i + 1] == ';'))
			return str_trim((struct str){s.p, i});
	}
	return str_trim(s);
}

/* Values go into headers and URLs. */
static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	}
	return false;
}

static void
set(struct awsprofile *p, struct str name, struct str value)
{
	char **to = member(p, name);
	if (to == NULL || value.n == 0)
		return;
	wipe(to);
	*to = str_dup(to == &p->other ? name : value);
}

static int
parse(struct awsprofile *p, struct str text, const char *name, bool config, const char *path, struct err *e)
{
	bool inside = false;
	for (int n = 1; text.n > 0; n++) {
		struct str line = {text.p, str_find(text, '\n')};
		text = str_skip(text, line.n + 1);
		bool indented = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
		line = str_trim(line);
		size_t eq = str_find(line, '=');
		if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';' || (indented && line.p[0] != '['))
			continue;
		bool section = line.p[0] == '[';
		if (inside && !section && eq < line.n && has_control(value_of(str_skip(line, eq + 1))))
			return err_set(e, ERR_CONFIG, "cannot read '%s': line %d holds a control character", path, n);
		if ((section && str_find(line, ']') == line.n) || (!section && eq == line.n))
			return err_set(e, ERR_CONFIG,
			    "cannot read '%s': line %d is neither a [section] nor NAME = VALUE", path, n);
		if (section)
			inside = is_section(line, name, config);
		else if (inside)
			set(p, str_trim((struct str){line.p, eq}), value_of(str_skip(line, eq + 1)));
		p->found |= inside;
	}
	return 0;
}

static int
load_file(struct awsprofile *p, const char *path, const char *name, bool config, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_AWS_FILE);
	struct err why = {0};
	int rc = io_read_file(path, LIMIT_AWS_FILE, &text, &why);
	if (rc == 0)
		rc = parse(p, buf_str(&text), name, config, path, e);
	else if (why.class == ERR_NOINPUT)
		rc = 0;
	else if (e != NULL)
		*e = why;
	if (rc == 0 && p->secret != NULL)
		p->file = xstrdup(path);
	buf_wipe(&text);
	return rc;
}

int
awsprofile_load(
    struct awsprofile *p, const char *name, const char *credentials, const char *config, struct err *e)
{
	struct awsprofile keys = {0};
	int rc = 0;
	*p = (struct awsprofile){0};
	if (config != NULL)
		rc = load_file(p, config, name, true, e);
	if (rc == 0 && credentials != NULL)
		rc = load_file(&keys, credentials, name, false, e);
	/* A pair of keys comes from one file, with its token or without. */
	if (rc == 0 && (keys.id != NULL || keys.secret != NULL)) {
		wipe(&p->id);
		wipe(&p->secret);
		wipe(&p->token);
		wipe(&p->file);
	}
	char **from[] = {&keys.id, &keys.secret, &keys.token, &keys.region, &keys.endpoint, &keys.other, &keys.file};
	char **to[] = {&p->id, &p->secret, &p->token, &p->region, &p->endpoint, &p->other, &p->file};
	for (size_t i = 0; rc == 0 && i < sizeof(to) / sizeof(to[0]); i++) {
		if (*from[i] == NULL)
			continue;
		wipe(to[i]);
		*to[i] = *from[i];
		*from[i] = NULL;
	}
	p->found |= keys.found;
	awsprofile_release(&keys);
	if (rc < 0)
		awsprofile_release(p);
	return rc;
}
