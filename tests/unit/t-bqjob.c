/* bqjob: replies to typed results, and what a job's failure means. */
#include <stdlib.h>

#include "bqjob.h"
#include "tap.h"
#include "xalloc.h"

struct seen {
	char *texts[8];
	unsigned nerrors, njobs;
	bool ended, failed;
	int64_t rows, created;
};

static void
on_error(void *arg, const struct bqjob_error *error)
{
	struct seen *s = arg;
	if (s->nerrors < 8)
		s->texts[s->nerrors] = xasprintf("%.*s|%.*s|%.*s", STR_ARG(error->reason),
		    STR_ARG(error->location), STR_ARG(error->message));
	s->nerrors++;
}

static void
on_job(void *arg, const struct bqjob *job)
{
	struct seen *s = arg;
	s->njobs++;
	s->ended = job->ended;
	s->failed = job->failed;
	s->rows = job->rows;
	s->created = job->created;
}

static int
read_one(struct seen *s, const char *text)
{
	struct json j = {0};
	struct err e = {0};
	*s = (struct seen){0};
	int rc = bqjob_read(&j, str_of(text), on_job, on_error, s, &e);
	if (rc < 0 && e.class != ERR_TRANSIENT)
		rc = -2;
	json_release(&j);
	return rc;
}

static void
release(struct seen *s)
{
	for (unsigned i = 0; i < 8; i++)
		free(s->texts[i]);
}

static void
test_read(void)
{
	struct seen s;
	ok(read_one(&s, "{\"jobReference\":{\"jobId\":\"a\"},\"status\":{\"state\":\"PENDING\"}}") == 0,
	    "a job that waits");
	ok(s.njobs == 1 && !s.ended && !s.failed && s.rows == -1 && s.created == 0 && s.nerrors == 0, "nothing is known of it");
	release(&s);
	ok(read_one(&s, "{\"jobReference\":{\"jobId\":\"a\"},\"status\":{\"state\":\"DONE\","
	    "\"errors\":[{\"reason\":\"invalid\"}]},"
	    "\"statistics\":{\"creationTime\":\"1700000000123\",\"load\":{\"outputRows\":\"12\"}}}") == 0,
	    "a job that ended well");
	ok(s.ended && !s.failed && s.rows == 12, "its rows");
	ok(s.created == INT64_C(1700000000123000), "when it was made, in microseconds");
	ok(s.nerrors == 0, "errors beside a success are no errors");
	release(&s);
	ok(read_one(&s, "{\"jobReference\":{\"jobId\":\"a\"},\"status\":{\"state\":\"DONE\","
	    "\"errorResult\":{\"reason\":\"invalid\"},"
	    "\"errors\":[{\"reason\":\"invalid\",\"location\":\"gs:\\/\\/b\\/o\",\"message\":\"a \\u00e9\"},{}]}}") == 0,
	    "a job that failed");
	ok(s.ended && s.failed && s.nerrors == 2, "its errors");
	ok(s.texts[0] != NULL && str_is(STR("invalid|gs://b/o|a \303\251"), s.texts[0]), "decoded");
	ok(s.texts[1] != NULL && str_is(STR("||"), s.texts[1]), "and without what is absent");
	release(&s);
	static const char *const bad[] = {"", "{", "[]", "{}", "{\"status\":{\"state\":\"DONE\"}}", "null",
	    "\"x\"", "{\"jobReference\":{\"jobId\":\"a\"}}",
	    "{\"jobReference\":{\"jobId\":5},\"status\":{\"state\":\"DONE\"}}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ok(read_one(&s, bad[i]) == -1 && s.njobs == 0 && s.nerrors == 0, "no job: %s", bad[i]);
		release(&s);
	}
}

static void
test_class(void)
{
	ok(bqjob_class(STR("backendError")) == ERR_TRANSIENT, "the service's trouble passes");
	ok(bqjob_class(STR("jobRateLimitExceeded")) == ERR_TRANSIENT, "so does haste");
	ok(bqjob_class(STR("quotaExceeded")) == ERR_QUOTA, "quotas pass slowly");
	ok(bqjob_class(STR("invalid")) == ERR_INPUT && bqjob_class(STR("notFound")) == ERR_INPUT,
	    "data may be to blame");
	ok(bqjob_class(STR("accessDenied")) == ERR_AUTH, "not allowed");
	ok(bqjob_class(STR("")) == ERR_PERMANENT && bqjob_class(STR("newReason")) == ERR_PERMANENT,
	    "what nobody knows is final");
}

int
main(void)
{
	test_read();
	test_class();
	return done();
}
