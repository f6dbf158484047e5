#include "letter.h"

#include <stdlib.h>

#include "bounds.h"
#include "xalloc.h"

static void
append(struct letter *l, struct str key, struct str value)
{
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 16;
		l->attributes = xreallocarray(l->attributes, l->cap, sizeof(*l->attributes));
	}
	l->attributes[l->n++] = (struct attribute){key, value};
}

void
letter_set(struct letter *l, struct str key, struct str value)
{
	for (size_t i = 0; i < l->n; i++) {
		if (str_eq(l->attributes[i].key, key)) {
			l->attributes[i].value = value;
			return;
		}
	}
	append(l, key, value);
}

const struct attribute *
letter_get(const struct letter *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++) {
		if (str_is(l->attributes[i].key, key))
			return &l->attributes[i];
	}
	return NULL;
}

static int
by_key(const void *a, const void *b)
{
	const struct attribute *x = *(struct attribute *const *)a, *y = *(struct attribute *const *)b;
	int order = str_cmp(x->key, y->key);
	return order != 0 ? order : (x > y) - (x < y);
}

/* Of equal keys the last. Sorted, since there may be as many as fit into a line. */
static void
keep_last(struct letter *l)
{
	if (l->n < 2)
		return;
	struct attribute **sorted = xreallocarray(NULL, l->n, sizeof(*sorted));
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++)
		sorted[i] = &l->attributes[i];
	qsort(sorted, l->n, sizeof(*sorted), by_key);
	for (size_t i = 0; i + 1 < l->n; i++) {
		if (str_eq(sorted[i]->key, sorted[i + 1]->key))
			sorted[i]->value = STR_NONE;
	}
	for (size_t i = 0; i < l->n; i++) {
		if (l->attributes[i].value.p != NULL)
			l->attributes[kept++] = l->attributes[i];
	}
	l->n = kept;
	free(sorted);
}

int
letter_take(struct letter *l, const struct json *j, uint32_t attributes, uint32_t ordering_key, struct err *e)
{
	bool some = json_is(j, attributes, JSON_OBJECT);
	l->n = 0;
	buf_reset(&l->text, 64 * KIB);
	l->text.max = 2 * LIMIT_LINE;
	/* Decoded texts are no longer than they stand; with room made first, none moves. */
	buf_room(&l->text, json_raw(j, attributes).n + json_raw(j, ordering_key).n);
	l->ordering_key = json_string(j, ordering_key, &l->text);
	if (ordering_key != JSON_NONE && l->ordering_key.p == NULL)
		return err_set(e, ERR_INPUT, "its ordering_key is not a string");
	if (attributes != JSON_NONE && !some)
		return err_set(e, ERR_INPUT, "its attributes are not an object");
	for (uint32_t k = some ? json_first(attributes) : 0; some && k < json_end(j, attributes);
	     k = j->tok[k + 1].next) {
		struct str key = json_string(j, k, &l->text), value = json_string(j, k + 1, &l->text);
		if (value.p == NULL)
			return err_set(e, ERR_INPUT, "one of its attributes is not a string");
		append(l, key, value);
	}
	keep_last(l);
	return 0;
}

int
letter_read(struct letter *l, const struct record *r, const struct json *j, struct err *e)
{
	l->data = r->data;
	return letter_take(l, j, r->t_attributes, json_get(j, r->t_msg, "ordering_key"), e);
}

const char *
letter_fault(const struct letter *l)
{
	if (l->n > PUBSUB_ATTRIBUTES_MAX)
		return "it has more than 100 attributes";
	if (l->n == 0 && l->data.n == 0)
		return "it has neither data nor attributes";
	if (l->ordering_key.n > PUBSUB_VALUE_MAX)
		return "its ordering key is longer than 1024 bytes";
	for (size_t i = 0; i < l->n; i++) {
		const struct attribute *a = &l->attributes[i];
		if (a->key.n == 0)
			return "an attribute's key is empty";
		if (a->key.n > PUBSUB_KEY_MAX)
			return "an attribute's key is longer than 256 bytes";
		if (a->value.n > PUBSUB_VALUE_MAX)
			return "an attribute's value is longer than 1024 bytes";
		if (str_starts(a->key, STR("goog")))
			return "an attribute's key begins with \"goog\", which Pub/Sub keeps for itself";
	}
	return NULL;
}

void
letter_write(struct buf *out, const struct letter *l)
{
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	if (l->data.n > 0)
		jsonw_member(&w, "data", l->data);
	if (l->n > 0) {
		jsonw_key(&w, "attributes");
		jsonw_object(&w);
		for (size_t i = 0; i < l->n; i++) {
			jsonw_keys(&w, l->attributes[i].key);
			jsonw_str(&w, l->attributes[i].value);
		}
		jsonw_end(&w);
	}
	if (l->ordering_key.n > 0)
		jsonw_member(&w, "orderingKey", l->ordering_key);
	jsonw_end(&w);
}

void
letter_release(struct letter *l)
{
	free(l->attributes);
	buf_release(&l->text);
	*l = (struct letter){0};
}
