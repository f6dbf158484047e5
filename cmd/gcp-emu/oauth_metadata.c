/* oauth_metadata: the metadata service of a machine whose account may do everything here. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "oauth.h"
#include "xalloc.h"

#define V1 "/computeMetadata/v1"
#define ACCOUNTS V1 "/instance/service-accounts/"
#define SCOPE "https://www.googleapis.com/auth/cloud-platform"

static void
text(struct reply *rep, const char *line)
{
	rep->content_type = "application/text";
	buf_addz(&rep->body, line);
}

static void
account(struct emu *emu, struct request *req, struct reply *rep, struct str what, const char *email)
{
	if (str_is(what, "token")) {
		oauth_give(emu, rep, NULL);
	} else if (str_is(what, "email")) {
		text(rep, email);
	} else if (str_is(what, "scopes")) {
		text(rep, SCOPE "\n");
	} else if (str_is(what, "aliases")) {
		text(rep, "default\n");
	} else if (what.n > 0) {
		reply_error(rep, 404, "notFound", "The requested metadata are not here.");
	} else if (!str_ieq(request_query(req, "recursive"), STR("true"))) {
		text(rep, "aliases\nemail\nscopes\ntoken\n");
	} else {
		struct jsonw w = jsonw_to(&rep->body);
		jsonw_object(&w);
		jsonw_key(&w, "aliases");
		jsonw_array(&w);
		jsonw_cstr(&w, "default");
		jsonw_end(&w);
		jsonw_member(&w, "email", str_of(email));
		jsonw_key(&w, "scopes");
		jsonw_array(&w);
		jsonw_cstr(&w, SCOPE);
		jsonw_end(&w);
		jsonw_end(&w);
	}
}

void
oauth_metadata(struct emu *emu, struct request *req, struct reply *rep)
{
	struct str path = req->path;
	char *email = oauth_stored(emu->dir, "service-account.json", "client_email");
	email = email != NULL ? email : xstrdup("default");
	if (!str_is(request_header(req, "Metadata-Flavor"), "Google") || request_header(req, "X-Forwarded-For").p != NULL ||
	    strcmp(req->method, "GET") != 0) {
		reply_error(rep, 403, "forbidden", "Missing required header \"Metadata-Flavor\": \"Google\"");
		free(email);
		return;
	}
	reply_header(rep, "Metadata-Flavor", "Google");
	if (str_starts(path, STR(ACCOUNTS))) {
		path = str_skip(path, sizeof(ACCOUNTS) - 1);
		struct str name = {path.p, str_find(path, '/')};
		if (name.n == 0)
			text(rep, "default/\n");
		else if (str_is(name, "default") || str_is(name, email))
			account(emu, req, rep, str_skip(path, name.n + 1), email);
		else
			reply_error(rep, 404, "notFound", "There is no such account.");
	} else if (str_is(path, V1 "/project/project-id")) {
		text(rep, emu->project);
	} else if (str_is(path, V1 "/project/numeric-project-id")) {
		text(rep, "1");
	} else if (str_is(path, V1 "/universe/universe-domain") || str_is(path, V1 "/universe/universe_domain")) {
		text(rep, "googleapis.com");
	} else if (str_is(path, V1 "/instance") || str_is(path, V1 "/instance/") || str_is(path, V1 "/")) {
		text(rep, str_is(path, V1 "/") ? "instance/\nproject/\n" : "service-accounts/\n");
	} else {
		reply_error(rep, 404, "notFound", "The requested metadata are not here.");
	}
	free(email);
}
