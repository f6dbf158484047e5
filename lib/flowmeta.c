/*
 * The metadata service of Compute Engine, GKE and Cloud Run [cloud.google.com/compute/docs/access/authenticate-workloads]:
 * over plain HTTP, at a link-local address. Request and reply must both say "Metadata-Flavor: Google", so that no page
 * fetched by mistake passes for it, and none of its tokens for a page.
 */
#include <string.h>

#include "bounds.h"
#include "flow.h"
#include "url.h"

void
step_metadata(struct flow *f)
{
	static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
	const struct cred *c = f->step->cred;
	struct buf url = BUF_INIT(8 * KIB);
	buf_addf(&url, "%s/computeMetadata/v1/instance/service-accounts/default/token", c->url);
	/* The usual scope is the instance's own matter; others may be asked for where the platform gives them. */
	if (strcmp(f->step->scope, SCOPE_CLOUD) != 0) {
		buf_addz(&url, "?scopes=");
		for (const char *p = f->step->scope; *p != '\0'; p += strcspn(p, " "), p += strspn(p, " ")) {
			if (p != f->step->scope)
				buf_addc(&url, ',');
			url_encode(&url, (struct str){p, strcspn(p, " ")});
		}
	}
	struct flow_request r = {.method = "GET", .url = buf_cstr(&url), .headers = headers, .timeout = c->timeout,
	    .what = "get a token from the metadata service at", .object = c->url,
	    .metadata = true};
	flow_send(f, &r, flow_read_token);
	buf_release(&url);
}
