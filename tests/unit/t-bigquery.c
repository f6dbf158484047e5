/* bigquery: request bodies, replies read row by row, and tables compared with schemas.json. */
#include "tap.h"

#include <string.h>

#include "bigquery.h"
#include "bounds.h"

static void
bodies(void)
{
	struct buf b = BUF_INIT(1000);
	const struct str whole[] = {STR("{\"a\":1}")}, cut[] = {STR("{"), STR("\"a\":1"), STR("}")};
	bigquery_begin(&b);
	bigquery_row(&b, true, STR("7\\u00e9"), whole, 1);
	bigquery_row(&b, false, STR_NONE, cut, 3);
	bigquery_end(&b);
	is_str(buf_str(&b),
	    "{\"kind\":\"bigquery#tableDataInsertAllRequest\",\"skipInvalidRows\":true,"
	    "\"ignoreUnknownValues\":false,\"rows\":[{\"insertId\":\"7\\u00e9\",\"json\":{\"a\":1}},{"
	    "\"json\":{\"a\":1}}]}",
	    "a body");
	buf_release(&b);
}

struct seen {
	char text[512];
};

static void
see(void *arg, const struct bigquery_row_error *error)
{
	struct seen *s = arg;
	size_t n = strlen(s->text);
	snprintf(s->text + n, sizeof(s->text) - n, "%u:%.*s@%.*s=%.*s;", error->index, STR_ARG(error->reason),
	    STR_ARG(error->location), STR_ARG(error->message));
}

static void
reply(const char *body, uint32_t rows, const char *want)
{
	struct json j = {0};
	struct err e = {0};
	struct seen s = {""};
	int rc = bigquery_read_insert(&j, str_of(body), rows, see, &s, &e);
	if (want == NULL)
		ok(rc < 0 && *s.text == '\0' && e.class == ERR_TRANSIENT, "proves nothing: %s (%s)", body,
		    e.text);
	else
		is_str(str_of(rc < 0 ? e.text : s.text), want, "%s", body);
	json_release(&j);
}

static void
replies(void)
{
	reply("{\"kind\":\"bigquery#tableDataInsertAllResponse\"}", 3, "");
	reply("{}", 3, "");
	reply("{\"insertErrors\":null}", 3, "");
	reply("{\"insertErrors\":[{\"index\":1,\"errors\":[{\"reason\":\"invalid\",\"location\":\"a.b\","
	      "\"debugInfo\":\"\","
	      "\"message\":\"no "
	      "\\u0022x\\u0022\"},{\"reason\":\"invalid\"}]},{\"index\":\"2\",\"errors\":[{\"reason\":"
	      "\"stopped\"}]}]}",
	    3, "1:invalid@a.b=no \"x\";1:invalid@=;2:stopped@=;");
	reply("{\"insertErrors\":[{\"errors\":[{\"reason\":\"timeout\"}]},{\"index\":1}]}", 2,
	    "0:timeout@=;1:@=;");
	reply("{\"insertErrors\":[{\"index\":3,\"errors\":[]}]}", 3, NULL);
	reply("{\"insertErrors\":[{\"index\":0,\"errors\":[]},{\"index\":-1}]}", 3, NULL);
	reply("{\"insertErrors\":[{\"index\":0.5}]}", 3, NULL);
	reply("{\"insertErrors\":[7]}", 3, NULL);
	reply("{\"insertErrors\":{}}", 3, NULL);
	reply("{\"insertErrors\":[{\"index\":0,\"errors\":{}}]}", 3, NULL);
	reply("{\"kind\":\"bigquery#table\"}", 3, NULL);
	reply("{\"error\":{\"code\":503}}", 3, NULL);
	reply("[]", 3, NULL);
	reply("", 3, NULL);
	reply("{\"kind\":\"bigquery#tableDataInsertAllResp", 3, NULL);
}

static const char schemas[] = "{\"discriminator\":\"event_type\",\"tables\":{\"orders\":{\"event_type\":"
			      "\"order\",\"description\":\"d\","
			      "\"partition\":{\"field\":\"at\",\"type\":\"DAY\"},\"clustering\":[\"id\"],"
			      "\"fields\":["
			      "{\"name\":\"id\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},{\"name\":\"at\","
			      "\"type\":\"TIMESTAMP\",\"mode\":\"REQUIRED\"},"
			      "{\"name\":\"n\",\"type\":\"INT64\",\"mode\":\"NULLABLE\"},"
			      "{\"name\":\"items\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":["
			      "{\"name\":\"price\",\"type\":\"FLOAT64\",\"mode\":\"REQUIRED\"}]}]}}}";

#define ID "{\"name\":\"id\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"
#define AT "{\"name\":\"at\",\"type\":\"TIMESTAMP\",\"mode\":\"REQUIRED\"},"
#define N "{\"name\":\"n\",\"type\":\"INTEGER\"},"
#define ITEMS(inner) "{\"name\":\"items\",\"type\":\"STRUCT\",\"mode\":\"REPEATED\",\"fields\":[" inner "]}"
#define PRICE "{\"name\":\"price\",\"type\":\"FLOAT\",\"mode\":\"REQUIRED\"}"

static void
table(const struct schema *s, const char *fields, const char *type, const char *want)
{
	struct json j = {0};
	struct err e = {0};
	struct buf b = BUF_INIT(4096);
	buf_addf(&b, "{\"type\":\"%s\",\"schema\":{\"fields\":[%s]}}", type, fields);
	int rc = bigquery_compare(&j, buf_str(&b), "p:d.orders", s, &s->tables[0], &e);
	if (want == NULL)
		ok(rc == 0, "it fits: %s %s", fields, e.text);
	else
		ok(rc < 0 && e.class == ERR_CONFIG && strstr(e.text, want) != NULL, "%s: %s", want, e.text);
	buf_release(&b);
	json_release(&j);
}

static void
tables(void)
{
	struct schema s = {0};
	struct err e = {0};
	if (!ok(schema_parse(&s, str_of(schemas), "test", &e) == 0, "the schema loads: %s", e.text))
		return;
	table(&s, ID AT N ITEMS(PRICE), "TABLE", NULL);
	table(&s, N AT "{\"name\":\"ID\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"}," ITEMS(PRICE), "TABLE",
	    NULL);
	table(&s, ID AT N "{\"name\":\"more\",\"type\":\"STRING\"}," ITEMS(PRICE), "TABLE", NULL);
	table(&s, ID AT N ITEMS(PRICE), "VIEW", "it is a VIEW");
	table(&s, ID AT ITEMS(PRICE), "TABLE", "column n is not there");
	table(&s, ID AT "{\"name\":\"n\",\"type\":\"STRING\"}," ITEMS(PRICE), "TABLE",
	    "column n is of type STRING there and INT64");
	table(&s, ID AT "{\"name\":\"n\",\"type\":\"INT64\",\"mode\":\"REPEATED\"}," ITEMS(PRICE), "TABLE",
	    "column n is REPEATED there and NULLABLE");
	table(&s, ID AT N ITEMS(PRICE ",{\"name\":\"q\",\"type\":\"INT64\",\"mode\":\"REQUIRED\"}"), "TABLE",
	    "column items.q is REQUIRED there and not in");
	table(&s, ID AT N ITEMS("{\"name\":\"price\",\"type\":\"GEOGRAPHY\"}"), "TABLE",
	    "column items.price is of type GEOGRAPHY");
	table(&s, "", "TABLE", "column id is not there");
	schema_release(&s);
}

int
main(void)
{
	bodies();
	replies();
	tables();
	return done();
}
