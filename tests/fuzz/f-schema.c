/* schema: a file that is accepted can be used; one that is not is told where it is wrong. */
#include "check.h"
#include "fuzz.h"

static void
look(const struct schema *s)
{
	for (uint32_t i = 0; i < s->ntables; i++) {
		const struct schema_table *t = &s->tables[i];
		MUST(schema_by_event(s, t->event_type) == t && schema_by_table(s, t->name) == t);
		MUST(t->partition >= t->first && t->partition < t->first + t->count);
		MUST(t->first + t->count <= s->nfields && t->cluster_first + t->cluster_count <= s->nwords);
		for (uint32_t k = 0; k < t->cluster_count; k++)
			MUST(schema_column(s, t, s->words[t->cluster_first + k]) != NULL);
	}
	for (uint32_t i = 0; i < s->nfields; i++) {
		const struct schema_field *f = &s->fields[i];
		MUST(schema_find(s, f->owner, f->name) == i);
		MUST(f->first + f->count <= s->nfields && f->enum_first + f->enum_count <= s->nwords);
		MUST((f->type == FIELD_RECORD) == (f->count > 0) && f->count <= s->max_count);
		fuzz_touch(f->description);
		MUST(*schema_type_name(f->type) != '\0' && *schema_mode_name(f->mode) != '\0');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct schema s = {0};
	struct err e = {0};
	if (schema_parse(&s, (struct str){(const char *)p, n}, "it", &e) == 0) {
		look(&s);
		struct check *c = check_new(&s, false);
		MUST(check_event(c, STR("{}"))->nfaults == 1);
		check_free(c);
	} else {
		MUST(e.class == ERR_CONFIG && strncmp(e.text, "cannot load schemas 'it': ", 26) == 0);
	}
	schema_release(&s);
	return 0;
}
