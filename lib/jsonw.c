#include "jsonw.h"

#include "base64.h"
#include "utf8.h"

struct jsonw
jsonw_to(struct buf *out)
{
	return (struct jsonw){.out = out};
}

static void
value(struct jsonw *w)
{
	if (w->comma)
		buf_addc(w->out, ',');
	w->comma = true;
}

static void
begin(struct jsonw *w, bool array)
{
	value(w);
	buf_addc(w->out, array ? '[' : '{');
	w->array = w->array << 1 | array;
	w->depth++;
	w->comma = false;
}

void
jsonw_object(struct jsonw *w)
{
	begin(w, false);
}

void
jsonw_array(struct jsonw *w)
{
	begin(w, true);
}

void
jsonw_end(struct jsonw *w)
{
	buf_addc(w->out, w->array & 1 ? ']' : '}');
	w->array >>= 1;
	w->depth--;
	w->comma = true;
}

void
jsonw_keys(struct jsonw *w, struct str name)
{
	jsonw_str(w, name);
	buf_addc(w->out, ':');
	w->comma = false;
}

void
jsonw_key(struct jsonw *w, const char *name)
{
	jsonw_keys(w, str_of(name));
}

static void
escape_char(struct buf *out, unsigned char c)
{
	switch (c) {
	case '"':
		buf_addz(out, "\\\"");
		break;
	case '\\':
		buf_addz(out, "\\\\");
		break;
	case '\n':
		buf_addz(out, "\\n");
		break;
	case '\r':
		buf_addz(out, "\\r");
		break;
	case '\t':
		buf_addz(out, "\\t");
		break;
	default:
		buf_addf(out, "\\u%04x", c);
	}
}

void
jsonw_escape(struct buf *out, struct str s)
{
	while (s.n > 0) {
		size_t n = jsonw_plain(s);
		uint32_t cp;
		buf_add(out, s.p, n);
		s = str_skip(s, n);
		if (s.n == 0)
			return;
		if ((unsigned char)s.p[0] < 0x80) {
			escape_char(out, (unsigned char)s.p[0]);
			s = str_skip(s, 1);
			continue;
		}
		n = utf8_decode(s, &cp);
		if (n == 0)
			buf_addz(out, "\xef\xbf\xbd");
		buf_add(out, s.p, n);
		s = str_skip(s, n > 0 ? n : 1);
	}
}

void
jsonw_str(struct jsonw *w, struct str s)
{
	value(w);
	buf_addc(w->out, '"');
	jsonw_escape(w->out, s);
	buf_addc(w->out, '"');
}

void
jsonw_quoted(struct jsonw *w, struct str plain)
{
	value(w);
	buf_addc(w->out, '"');
	buf_adds(w->out, plain);
	buf_addc(w->out, '"');
}

void
jsonw_cstr(struct jsonw *w, const char *s)
{
	if (s == NULL)
		jsonw_null(w);
	else
		jsonw_str(w, str_of(s));
}

void
jsonw_i64(struct jsonw *w, int64_t v)
{
	value(w);
	buf_addf(w->out, "%lld", (long long)v);
}

void
jsonw_bool(struct jsonw *w, bool v)
{
	jsonw_raw(w, v ? STR("true") : STR("false"));
}

void
jsonw_null(struct jsonw *w)
{
	jsonw_raw(w, STR("null"));
}

void
jsonw_raw(struct jsonw *w, struct str checked)
{
	value(w);
	buf_adds(w->out, checked);
}

void
jsonw_base64(struct jsonw *w, struct str bytes)
{
	value(w);
	buf_addc(w->out, '"');
	base64_encode(w->out, bytes);
	buf_addc(w->out, '"');
}

void
jsonw_member(struct jsonw *w, const char *name, struct str v)
{
	jsonw_key(w, name);
	jsonw_str(w, v);
}
