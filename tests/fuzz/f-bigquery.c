/* bigquery: the replies to insertAll, tables.get and jobs.get. No row is taken as stored on the word of a reply that is broken. */
#include "bigquery.h"
#include "bqjob.h"
#include "fuzz.h"
#include "utf8.h"

#define ROWS 5

static void
on_row(void *arg, const struct bigquery_row_error *error)
{
	unsigned *n = arg;
	MUST(error->index < ROWS);
	fuzz_touch(error->reason);
	fuzz_touch(error->location);
	fuzz_touch(error->message);
	++*n;
}

static void
on_error(void *arg, const struct bqjob_error *error)
{
	(void)arg;
	fuzz_touch(error->reason);
	fuzz_touch(error->location);
	fuzz_touch(error->message);
	bqjob_class(error->reason);
}

static void
on_job(void *arg, const struct bqjob *job)
{
	unsigned *told = arg;
	MUST(job->id.n > 0 && utf8_valid(job->id));
	fuzz_touch(job->table);
	on_error(NULL, &job->error);
	++*told;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json j;
	static struct schema schema;
	struct str body = {(const char *)p, n};
	struct err e = {0};
	unsigned rows = 0, told = 0;
	if (schema.ntables == 0)
		MUST(schema_load(&schema, "schemas.json", &e) == 0);
	if (bigquery_read_insert(&j, body, ROWS, on_row, &rows, &e) < 0)
		MUST(rows == 0 && e.class == ERR_TRANSIENT);
	else
		MUST((json_get(&j, 0, "insertErrors") != JSON_NONE || rows == 0) && json_get(&j, 0, "error") == JSON_NONE);
	for (uint32_t i = 0; i < schema.ntables; i++) {
		if (bigquery_compare(&j, body, "P:D.t", &schema, &schema.tables[i], &e) < 0)
			MUST(e.class == ERR_CONFIG || e.class == ERR_TRANSIENT);
	}
	int rc = bqjob_read(&j, body, on_job, on_error, &told, &e);
	MUST(rc == 0 ? told == 1 : told == 0 && e.class == ERR_TRANSIENT);
	return 0;
}
