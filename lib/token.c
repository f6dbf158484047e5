#include "token.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "io.h"

static int
read_token(const char *path, struct buf *header, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	int rc = -1;
	if (io_read_file(path, LIMIT_TOKEN, &text, e) < 0) {
		e->class = ERR_AUTH;
		goto out;
	}
	struct str token = str_trim(buf_str(&text));
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] <= ' ' || token.p[i] > '~') {
			err_set(e, ERR_AUTH, "cannot use the token in '%s': it holds characters that no token has", path);
			goto out;
		}
	}
	if (token.n == 0) {
		err_set(e, ERR_AUTH, "cannot use the token in '%s': the file is empty", path);
		goto out;
	}
	buf_addz(header, "Authorization: Bearer ");
	buf_adds(header, token);
	rc = 0;
out:
	if (text.p != NULL)
		explicit_bzero(text.p, text.cap);
	buf_release(&text);
	return rc;
}

static void
wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_release(b);
}

int
token_load(struct token *t, const char *path, struct err *e)
{
	*t = (struct token){.path = path};
	buf_init(&t->header, LIMIT_TOKEN + 64);
	return path != NULL ? read_token(path, &t->header, e) : 0;
}

int
token_refresh(struct token *t, struct err *e)
{
	struct buf fresh = BUF_INIT(LIMIT_TOKEN + 64);
	if (t->path == NULL)
		return err_set(e, ERR_AUTH, "cannot refresh the token: none was given; give --access-token-file");
	if (read_token(t->path, &fresh, e) < 0)
		return -1;
	int changed = !str_eq(buf_str(&fresh), buf_str(&t->header));
	wipe(&t->header);
	t->header = fresh;
	return changed;
}

void
token_release(struct token *t)
{
	wipe(&t->header);
}
