/* schema: what schemas.json may hold, and the place that is named where it holds something else. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "schema.h"
#include "tap.h"
#include "xalloc.h"

#define AT "{\"name\":\"at\",\"type\":\"TIMESTAMP\",\"mode\":\"REQUIRED\"}"
/* One table with the given members, its fields, and one field beside AT. */
#define TABLE(members) "{\"discriminator\":\"kind\",\"tables\":{\"t\":{\"event_type\":\"e\"," members "}}}"
#define DAY "\"partition\":{\"field\":\"at\",\"type\":\"DAY\"}"
#define FIELDS(list) TABLE(DAY ",\"fields\":[" AT "," list "]")
#define FIELD(members) FIELDS("{\"name\":\"f\"," members "}")
#define NAMED(name) FIELDS("{\"name\":\"" name "\",\"type\":\"STRING\"}")
#define CLUSTER(list) TABLE(DAY ",\"clustering\":" list ",\"fields\":[" AT                                          \
	",{\"name\":\"s\",\"type\":\"STRING\"},{\"name\":\"x\",\"type\":\"FLOAT64\"}"                                \
	",{\"name\":\"m\",\"type\":\"STRING\",\"mode\":\"REPEATED\"}"                                              \
	",{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"in\",\"type\":\"STRING\"}]}]")
#define PARTITION(text) TABLE("\"partition\":" text ",\"fields\":[" AT                                              \
	",{\"name\":\"d\",\"type\":\"DATE\",\"mode\":\"REQUIRED\"},{\"name\":\"n\",\"type\":\"TIMESTAMP\"}"          \
	",{\"name\":\"i\",\"type\":\"INT64\",\"mode\":\"REQUIRED\"}]")

/* want: what follows "cannot load schemas 'test': "; NULL: it loads. Only the beginning is compared. */
static const struct {
	const char *text, *want;
} samples[] = {
    {"", "it is not JSON: "},
    {"{\"discriminator\":\"kind\",}", "it is not JSON: "},
    {"{\"discriminator\":\"\xff\"}", "it is not JSON: "},
    {"[]", "it is not an object"},
    {"{}", "discriminator is missing"},
    {"{\"discriminator\":5}", "discriminator: it is not a string"},
    {"{\"discriminator\":\"\"}", "discriminator: it is 1 to 128 bytes"},
    {"{\"discriminator\":\"msg\"}", "discriminator: 'msg' is reserved"},
    {"{\"discriminator\":\"kind\"}", "tables is missing"},
    {"{\"discriminator\":\"kind\",\"tables\":[]}", "tables: it is an object of one table or more"},
    {"{\"discriminator\":\"kind\",\"tables\":{}}", "tables: it is an object of one table or more"},
    {"{\"discriminator\":\"kind\",\"discriminator\":\"x\"}", "discriminator: it stands there twice"},
    {"{\"discriminator\":\"kind\",\"version\":1}", "version: unknown keyword; there are discriminator, tables"},
    {"{\"discriminator\":\"kind\",\"tables\":{\"a b\":{}}}", "tables.a b: a table's name is "},
    {"{\"discriminator\":\"kind\",\"tables\":{\"t\":5}}", "tables.t: it is not an object"},
    {"{\"discriminator\":\"kind\",\"tables\":{\"t\":{},\"\\u0074\":{}}}", "tables.\\u0074: it stands there twice"},
    {TABLE("\"colour\":1"), "tables.t.colour: unknown keyword"},
    {TABLE(DAY), "tables.t: fields is missing"},
    {TABLE(DAY ",\"fields\":{}"), "tables.t.fields: it is an array of one field or more"},
    {TABLE(DAY ",\"fields\":[]"), "tables.t.fields: it is an array of one field or more"},
    {TABLE("\"fields\":[" AT "]"), "tables.t: partition is missing"},
    {TABLE(DAY ",\"fields\":[" AT "]"), NULL},
    {TABLE("\"description\":1"), "tables.t.description: it is not a string"},
    {"{\"discriminator\":\"kind\",\"tables\":{\"t\":{\"fields\":[]}}}", "tables.t: event_type is missing"},
    {"{\"discriminator\":\"kind\",\"tables\":{\"t\":{\"event_type\":\"a/b\"}}}", "tables.t.event_type: it is 1 to"},
    {"{\"discriminator\":\"kind\",\"tables\":{\"t\":{\"event_type\":\"\"}}}", "tables.t.event_type: it is 1 to"},
    {"{\"discriminator\":\"kind\",\"tables\":{"
     "\"t\":{\"event_type\":\"e\"," DAY ",\"fields\":[" AT "]},\"u\":{\"event_type\":\"\\u0065\"}}}",
        "tables.u.event_type: 'e' is the type of table t already"},
    /* fields */
    {FIELDS("5"), "tables.t.fields[1]: it is not an object"},
    {FIELDS("{\"type\":\"STRING\"}"), "tables.t.fields[1]: name is missing"},
    {FIELD("\"mode\":\"REQUIRED\""), "tables.t.fields[1]: type is missing"},
    {FIELD("\"type\":\"STRING\""), NULL},
    {FIELD("\"type\":\"string\""), "tables.t.fields[1].type: 'string' is none of"},
    {FIELD("\"type\":\"GEOGRAPHY\""), "tables.t.fields[1].type: 'GEOGRAPHY' is none of"},
    {FIELD("\"type\":\"STRING\",\"mode\":\"OPTIONAL\""), "tables.t.fields[1].mode: 'OPTIONAL' is none of"},
    {FIELD("\"type\":\"STRING\",\"mode\":null"), "tables.t.fields[1].mode: it is not a string"},
    {FIELD("\"type\":\"STRING\",\"modee\":\"REQUIRED\""), "tables.t.fields[1].modee: unknown keyword"},
    {FIELD("\"type\":\"STRING\",\"type\":\"STRING\""), "tables.t.fields[1].type: it stands there twice"},
    /* names */
    {NAMED("Z_9"), NULL},
    {NAMED("_x"), NULL},
    {NAMED(""), "tables.t.fields[1].name: a name is "},
    {NAMED("9x"), "tables.t.fields[1].name: a name is "},
    {NAMED("a-b"), "tables.t.fields[1].name: a name is "},
    {NAMED("gr\xc3\xbcn"), "tables.t.fields[1].name: a name is "},
    {NAMED("_table_x"), "tables.t.fields[1].name: BigQuery reserves names that begin with _TABLE_"},
    {NAMED("_FILE_"), "tables.t.fields[1].name: BigQuery reserves"},
    {NAMED("_PartitionTime"), "tables.t.fields[1].name: BigQuery reserves"},
    {NAMED("_ROW_TIMESTAMP"), "tables.t.fields[1].name: BigQuery reserves"},
    {NAMED("__ROOT__"), "tables.t.fields[1].name: BigQuery reserves"},
    {NAMED("_colidentifier1"), "tables.t.fields[1].name: BigQuery reserves"},
    {NAMED("msg"), "tables.t.fields[1].name: 'msg' is reserved"},
    {NAMED("At"), "tables.t.fields[1].name: 'At' stands there already"},
    {NAMED("kind"), NULL},
    {NAMED("Kind"), "tables.t.fields[1]: its name is the discriminator's but for case"},
    {FIELDS("{\"name\":\"kind\",\"type\":\"INT64\"}"), "tables.t.fields[1]: it is the discriminator"},
    {FIELDS("{\"name\":\"kind\",\"type\":\"STRING\",\"mode\":\"REPEATED\"}"), "tables.t.fields[1]: it is the disc"},
    /* nested ones */
    {FIELD("\"type\":\"RECORD\""), "tables.t.fields[1]: a RECORD wants fields"},
    {FIELD("\"type\":\"RECORD\",\"fields\":[]"), "tables.t.fields[1].fields: it is an array of one field or more"},
    {FIELD("\"type\":\"STRING\",\"fields\":[]"), "tables.t.fields[1].fields: it has no meaning for type STRING"},
    {FIELD("\"type\":\"STRUCT\",\"fields\":[{\"name\":\"msg\",\"type\":\"BOOLEAN\"},"
           "{\"name\":\"a\",\"type\":\"FLOAT\"},{\"name\":\"A\",\"type\":\"INTEGER\"}]"),
        "tables.t.fields[1].fields[2].name: 'A' stands there already"},
    {FIELD("\"type\":\"RECORD\",\"fields\":[{\"name\":\"a\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"b\"}]}]"),
        "tables.t.fields[1].fields[0].fields[0]: type is missing"},
    /* checks */
    {FIELD("\"type\":\"STRING\",\"enum\":[\"a\",\"b\"]"), NULL},
    {FIELD("\"type\":\"STRING\",\"enum\":[]"), "tables.t.fields[1].enum: it is an array of one string or more"},
    {FIELD("\"type\":\"STRING\",\"enum\":\"a\""), "tables.t.fields[1].enum: it is an array"},
    {FIELD("\"type\":\"STRING\",\"enum\":[\"a\",1]"), "tables.t.fields[1].enum[1]: it is not a string"},
    {FIELD("\"type\":\"STRING\",\"enum\":[\"a\",\"\\u0061\"]"), "tables.t.fields[1].enum[1]: the value stands"},
    {FIELD("\"type\":\"INT64\",\"enum\":[\"a\"]"), "tables.t.fields[1].enum: it has no meaning for type INT64"},
    {FIELD("\"type\":\"INT64\",\"minimum\":-9223372036854775808,\"maximum\":9223372036854775807"), NULL},
    {FIELD("\"type\":\"INT64\",\"minimum\":1.5"), "tables.t.fields[1].minimum: a bound of an INT64 is"},
    {FIELD("\"type\":\"INT64\",\"maximum\":9223372036854775808"), "tables.t.fields[1].maximum: a bound of an INT64"},
    {FIELD("\"type\":\"INT64\",\"minimum\":9007199254740993,\"maximum\":9007199254740992"),
        "tables.t.fields[1].maximum: it is less than minimum"},
    {FIELD("\"type\":\"FLOAT64\",\"minimum\":\"0\""), "tables.t.fields[1].minimum: it is not a number"},
    {FIELD("\"type\":\"FLOAT64\",\"maximum\":1e999"), "tables.t.fields[1].maximum: it is too large"},
    {FIELD("\"type\":\"FLOAT64\",\"minimum\":1,\"maximum\":0.5"), "tables.t.fields[1].maximum: it is less"},
    {FIELD("\"type\":\"NUMERIC\",\"minimum\":0.000000001,\"maximum\":0.000000001"), NULL},
    {FIELD("\"type\":\"NUMERIC\",\"minimum\":1e40"), "tables.t.fields[1].minimum: a NUMERIC has at most"},
    {FIELD("\"type\":\"NUMERIC\",\"minimum\":12345678901234567890.000000002,\"maximum\":12345678901234567890.000000001"),
        "tables.t.fields[1].maximum: it is less"},
    {FIELD("\"type\":\"TIMESTAMP\",\"minimum\":0"), "tables.t.fields[1].minimum: it has no meaning for type TIMESTAMP"},
    {FIELD("\"type\":\"STRING\",\"min_length\":1,\"max_length\":1"), NULL},
    {FIELD("\"type\":\"BYTES\",\"max_length\":0"), NULL},
    {FIELD("\"type\":\"STRING\",\"min_length\":2,\"max_length\":1"), "tables.t.fields[1].max_length: it is less"},
    {FIELD("\"type\":\"STRING\",\"min_length\":-1"), "tables.t.fields[1].min_length: it is a whole number"},
    {FIELD("\"type\":\"STRING\",\"max_length\":1.0"), "tables.t.fields[1].max_length: it is a whole number"},
    {FIELD("\"type\":\"BOOL\",\"max_length\":1"), "tables.t.fields[1].max_length: it has no meaning for type BOOL"},
    {FIELD("\"type\":\"STRING\",\"min_items\":1"), "tables.t.fields[1].min_items: it has a meaning for mode REPEATED"},
    {FIELD("\"type\":\"STRING\",\"mode\":\"REPEATED\",\"min_items\":1"), NULL},
    {FIELD("\"type\":\"STRING\",\"format\":\"uuid\""), NULL},
    {FIELD("\"type\":\"STRING\",\"format\":\"date\""), "tables.t.fields[1].format: 'date' is no format"},
    {FIELD("\"type\":\"INT64\",\"format\":\"uuid\""), "tables.t.fields[1].format: it has no meaning for type INT64"},
    /* partitioning and clustering */
    {PARTITION("5"), "tables.t.partition: it is not an object"},
    {PARTITION("{\"field\":\"at\"}"), "tables.t.partition: type is missing"},
    {PARTITION("{\"type\":\"DAY\"}"), "tables.t.partition: field is missing"},
    {PARTITION("{\"field\":\"at\",\"type\":\"DAY\",\"days\":3}"), "tables.t.partition.days: unknown keyword"},
    {PARTITION("{\"field\":\"at\",\"type\":\"HOUR\"}"), NULL},
    {PARTITION("{\"field\":\"at\",\"type\":\"WEEK\"}"), "tables.t.partition.type: 'WEEK' is none of"},
    {PARTITION("{\"field\":\"d\",\"type\":\"MONTH\"}"), NULL},
    {PARTITION("{\"field\":\"d\",\"type\":\"HOUR\"}"), "tables.t.partition.type: a DATE has no hours"},
    {PARTITION("{\"field\":\"x\",\"type\":\"DAY\"}"), "tables.t.partition.field: 'x' is no column that is"},
    {PARTITION("{\"field\":\"n\",\"type\":\"DAY\"}"), "tables.t.partition.field: 'n' is no column that is"},
    {PARTITION("{\"field\":\"i\",\"type\":\"DAY\"}"), "tables.t.partition.field: 'i' is no column that is"},
    {CLUSTER("[\"s\",\"at\"]"), NULL},
    {CLUSTER("[]"), "tables.t.clustering: it is an array of 1 to 4"},
    {CLUSTER("\"s\""), "tables.t.clustering: it is an array of 1 to 4"},
    {CLUSTER("[\"s\",\"s\",\"s\",\"s\",\"s\"]"), "tables.t.clustering: it is an array of 1 to 4"},
    {CLUSTER("[\"s\",\"s\"]"), "tables.t.clustering[1]: 's' stands there twice"},
    {CLUSTER("[\"nope\"]"), "tables.t.clustering[0]: 'nope' is no column"},
    {CLUSTER("[\"in\"]"), "tables.t.clustering[0]: 'in' is no column"},
    {CLUSTER("[1]"), "tables.t.clustering[0]: it is not a string"},
    {CLUSTER("[\"x\"]"), "tables.t.clustering[0]: BigQuery does not cluster by type FLOAT64"},
    {CLUSTER("[\"m\"]"), "tables.t.clustering[0]: BigQuery does not cluster by a REPEATED"},
    {CLUSTER("[\"r\"]"), "tables.t.clustering[0]: BigQuery does not cluster by type RECORD"},
};

static void
test_samples(void)
{
	struct str prefix = STR("cannot load schemas 'test': ");
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct schema s;
		struct err e = {0};
		int rc = schema_parse(&s, str_of(samples[i].text), "test", &e);
		struct str got = rc == 0 ? STR("it loads") : str_of(e.text);
		struct str want = str_of(samples[i].want);
		bool good = rc == 0 ? want.p == NULL : want.p != NULL && e.class == ERR_CONFIG && str_starts(got, prefix) &&
		    str_starts(str_skip(got, prefix.n), want);
		if (!ok(good, "%s", want.p != NULL ? want.p : "it loads"))
			printf("# text: %s\n#  got: %.*s\n", samples[i].text, STR_ARG(got));
		schema_release(&s);
	}
}

/* RECORDs in RECORDs, n of them, and a STRING in the last. */
static int
load_nested(int n, struct err *e)
{
	struct buf b = BUF_INIT(64 * 1024);
	struct schema s;
	buf_addz(&b, "{\"discriminator\":\"kind\",\"tables\":{\"t\":{\"event_type\":\"e\"," DAY ",\"fields\":[" AT ",");
	for (int i = 0; i < n; i++)
		buf_addz(&b, "{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[");
	buf_addz(&b, "{\"name\":\"s\",\"type\":\"STRING\"}");
	for (int i = 0; i < n; i++)
		buf_addz(&b, "]}");
	buf_addz(&b, "]}}}");
	int rc = schema_parse(&s, buf_str(&b), "test", e);
	schema_release(&s);
	buf_release(&b);
	return rc;
}

static void
test_depth(void)
{
	struct err e = {0};
	ok(load_nested(15, &e) == 0, "15 levels of RECORD");
	ok(load_nested(16, &e) < 0 && strstr(e.text, ": more than 15 levels of RECORD") != NULL, "16 are too many");
}

static void
test_lookups(void)
{
	struct schema s;
	struct err e = {0};
	if (!ok(schema_load(&s, "schemas.json", &e) == 0, "our own schemas.json loads"))
		printf("# %s\n", e.text);
	is_str(s.discriminator, "event_type", "its discriminator");
	is_int(s.ntables, 3, "its tables");
	is_int(s.max_count, 7, "the most fields of one container");
	const struct schema_table *t = schema_by_event(&s, STR("inventory"));
	is_str(t->name, "inventory_logs", "a table by its event type");
	ok(schema_by_event(&s, STR("Inventory")) == NULL && schema_by_event(&s, STR("")) == NULL, "no other spelling");
	t = schema_by_table(&s, STR("orders"));
	is_str(t->event_type, "order", "a table by its name");
	ok(schema_by_table(&s, STR("order")) == NULL, "no table of that name");
	is_str(s.fields[t->partition].name, "order_date", "its partition field");
	is_str(t->partition_type, "DAY", "and type");
	is_str(s.words[t->cluster_first], "customer_id", "its clustering");
	const struct schema_field *f = schema_column(&s, t, STR("items"));
	ok(f->type == FIELD_RECORD && f->mode == MODE_REPEATED && f->min_items == 1 && f->count == 4, "a RECORD column");
	is_str(f->description, "Products ordered.", "its description");
	is_str(s.fields[schema_find(&s, f->first, STR("price"))].name, "price", "a field in it");
	ok(schema_find(&s, t->first, STR("price")) == SCHEMA_NONE, "which is no column");
	ok(schema_column(&s, t, STR("")) == NULL, "nor is the empty name");
	f = schema_column(&s, t, STR("status"));
	ok(f->enum_count == 4 && str_is(s.words[f->enum_first + 3], "delivered"), "an enum's values");
	schema_release(&s);
}

static void
test_files(void)
{
	struct schema s;
	struct err e = {0};
	ok(schema_load(&s, "/nowhere/schemas.json", &e) < 0 && e.class == ERR_CONFIG, "a missing file is a matter of set-up");
	ok(strstr(e.text, "'/nowhere/schemas.json'") != NULL && strstr(e.text, "--schemas") != NULL, "%s", e.text);
	ok(schema_load(&s, "/", &e) < 0 && e.class == ERR_CONFIG, "a folder too");
	setenv("EVPIPE_SCHEMAS", "/from/environment", 1);
	is_str(str_of(schema_path("/given")), "/given", "the file given wins");
	is_str(str_of(schema_path(NULL)), "/from/environment", "then EVPIPE_SCHEMAS");
	unsetenv("EVPIPE_SCHEMAS");
	is_str(str_of(schema_path(NULL)), "schemas.json", "then the one here");
}

int
main(void)
{
	test_samples();
	test_depth();
	if (access("schemas.json", R_OK) == 0) {
		test_lookups();
		test_files();
	} else {
		ok(true, "# SKIP no schemas.json here: run from the repository's top");
	}
	return done();
}
