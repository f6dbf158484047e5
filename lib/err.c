#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

/* Cuts text that filled its buffer at a character boundary. */
static void
cut(char *text, int wanted)
{
	if (wanted >= ERR_TEXT_MAX)
		text[utf8_cut((struct str){text, strlen(text)}, ERR_TEXT_MAX - 2)] = '\0';
}

int
err_set(struct err *e, enum err_class class, const char *fmt, ...)
{
	if (e != NULL) {
		va_list ap;
		va_start(ap, fmt);
		e->class = class;
		cut(e->text, vsnprintf(e->text, sizeof(e->text), fmt, ap));
		va_end(ap);
	}
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	if (e == NULL)
		return -1;
	char inner[ERR_TEXT_MAX];
	memcpy(inner, e->text, sizeof(inner));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && n < ERR_TEXT_MAX)
		n += snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", inner);
	cut(e->text, n);
	return -1;
}

int
err_status(enum err_class class)
{
	static const int status[] = {
	    [ERR_NONE] = 0,
	    [ERR_USAGE] = 64,
	    [ERR_INPUT] = 65,
	    [ERR_NOINPUT] = 66,
	    [ERR_PERMANENT] = 69,
	    [ERR_BUG] = 70,
	    [ERR_IO] = 74,
	    [ERR_TRANSIENT] = 75,
	    [ERR_QUOTA] = 75,
	    [ERR_AUTH] = 77,
	    [ERR_CONFIG] = 78,
	};
	return status[class];
}
