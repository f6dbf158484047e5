/* router: which service a path belongs to, and what belongs to none. */
#include "auth.h"
#include "counts.h"
#include "faults.h"
#include "oauth.h"
#include "s3.h"

static bool
under(struct str path, const char *prefix)
{
	return str_starts(path, str_of(prefix));
}

static void
ready(const struct emu *emu, const struct request *req, struct reply *rep)
{
	/* How clients find out that there is a metadata service. */
	if (emu->auth && request_header(req, "Metadata-Flavor").p != NULL)
		reply_header(rep, "Metadata-Flavor", "Google");
	rep->content_type = "text/plain; charset=UTF-8";
	buf_addz(&rep->body, "Ok\n");
}

/* gcp-emu's own doors, open without a token. */
static enum emu_answer
route_own(struct emu *emu, struct request *req, struct reply *rep)
{
	if (str_is(req->path, "/emu/faults"))
		faults_handle(emu->faults, req, rep);
	else if (str_is(req->path, "/emu/requests"))
		counts_handle(emu->counts, req, rep);
	else if (under(req->path, "/emu/pubsub/"))
		return pubsub_handle(emu, req, rep);
	else if (str_is(req->path, "/emu/bigquery"))
		bigquery_counts(emu, rep);
	else
		reply_error(rep, 404, "notFound", "gcp-emu has /emu/bigquery, /emu/faults, /emu/pubsub/ and /emu/requests.");
	return EMU_DONE;
}

static bool
is_bigquery(struct str path)
{
	return under(path, "/bigquery/") || under(path, "/projects/") || under(path, "/upload/bigquery/") ||
	    under(path, "/resumable/upload/bigquery/");
}

enum emu_answer
route(struct emu *emu, struct request *req, struct reply *rep)
{
	if (str_is(req->path, "/") && str_is(str_of(req->method), "GET")) {
		ready(emu, req, rep);
		return EMU_DONE;
	}
	if (under(req->path, "/emu/"))
		return route_own(emu, req, rep);
	if (emu->auth && oauth_is(req->path))
		return oauth_handle(emu, req, rep);
	/* S3's requests have signatures instead, which --s3-key checks. */
	bool s3 = emu->s3_key != NULL && s3_signed(req) && gcs_is_xml(req->path);
	if (emu->auth && !s3 && !req->admitted && !auth_check(emu, req, rep))
		return EMU_DONE;
	req->admitted = true;
	if (under(req->path, "/v1/"))
		return pubsub_handle(emu, req, rep);
	if (is_bigquery(req->path))
		return bigquery_handle(emu, req, rep);
	return gcs_handle(emu, req, rep);
}
