/* reply: headers and Google's two shapes of error. */
#include <stdio.h>

#include "emu.h"

#define MESSAGE_MAX 4096

void
reply_header(struct reply *r, const char *name, const char *fmt, ...)
{
	va_list ap;
	buf_addf(&r->headers, "%s: ", name);
	va_start(ap, fmt);
	buf_vaddf(&r->headers, fmt, ap);
	va_end(ap);
	buf_addz(&r->headers, "\r\n");
}

/* Opens {"error":{"code":..,"message":.. in an emptied body. */
static struct jsonw
begin_error(struct reply *r, int code, const char *text)
{
	r->status = code;
	r->content_type = NULL;
	buf_reset(&r->body, 0);
	struct jsonw w = jsonw_to(&r->body);
	jsonw_object(&w);
	jsonw_key(&w, "error");
	jsonw_object(&w);
	jsonw_key(&w, "code");
	jsonw_i64(&w, code);
	jsonw_key(&w, "message");
	jsonw_cstr(&w, text);
	return w;
}

static void
end_error(struct jsonw *w)
{
	jsonw_end(w);
	jsonw_end(w);
	buf_addc(w->out, '\n');
}

void
reply_rpc_error(struct reply *r, int code, const char *status_word, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	struct jsonw w = begin_error(r, code, text);
	jsonw_key(&w, "status");
	jsonw_cstr(&w, status_word);
	end_error(&w);
}

void
reply_error(struct reply *r, int code, const char *reason, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	struct jsonw w = begin_error(r, code, text);
	jsonw_key(&w, "errors");
	jsonw_array(&w);
	jsonw_object(&w);
	jsonw_key(&w, "message");
	jsonw_cstr(&w, text);
	jsonw_member(&w, "domain", STR("global"));
	jsonw_key(&w, "reason");
	jsonw_cstr(&w, reason);
	jsonw_end(&w);
	jsonw_end(&w);
	end_error(&w);
}
