/* s3_list: ListObjectsV2 without a delimiter. A continuation token is, in hex, the last name of its page. */
#include <stdlib.h>

#include "bounds.h"
#include "digest.h"
#include "num.h"
#include "s3.h"
#include "time.h"

struct list {
	struct str prefix;
	int64_t max, n;
	bool encoded;      /* encoding-type=url */
	struct buf after;  /* the names that follow it */
	struct buf items;
	bool more;
};

/* S3's own form: a blank is '+', a slash stays. */
static void
add_url(struct buf *out, struct str s)
{
	struct buf encoded = BUF_INIT(16 * KIB);
	s3_encode_path(&encoded, s);
	for (size_t i = 0; i < encoded.n; i++) {
		if (str_starts(str_skip(buf_str(&encoded), i), STR("%20"))) {
			buf_addc(out, '+');
			i += 2;
		} else {
			buf_addc(out, encoded.p[i]);
		}
	}
	buf_release(&encoded);
}

static void
add_xml(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '&' || s.p[i] == '<' || s.p[i] == '>' || (unsigned char)s.p[i] < 0x20)
			buf_addf(out, "&#%d;", s.p[i]);
		else
			buf_addc(out, s.p[i]);
	}
}

static void
add_name(const struct list *l, struct buf *out, struct str s)
{
	if (l->encoded)
		add_url(out, s);
	else
		add_xml(out, s);
}

static void
add_object(struct list *l, const struct gcs_object *o)
{
	char hex[2 * DIGEST_MAX + 1];
	digest_hex(hex, o->md5, sizeof(o->md5));
	buf_addz(&l->items, "<Contents><Key>");
	add_name(l, &l->items, o->name);
	buf_addz(&l->items, "</Key><LastModified>");
	time_format(&l->items, o->updated);
	buf_addf(&l->items, "</LastModified><ETag>&quot;%s&quot;</ETag><Size>%lld</Size>"
	    "<StorageClass>STANDARD</StorageClass></Contents>", hex, (long long)o->size);
}

static bool
scan(struct list *l, struct gcs *g, struct str bucket)
{
	sqlite3_stmt *st = gcs_sql(g,
	    "SELECT " GCS_OBJECT_COLUMNS " FROM objects WHERE bucket = ? AND name > ? AND "
	    "name >= ? ORDER BY name", "sss", bucket, (struct str){l->after.n > 0 ? l->after.p : "",
	    l->after.n},
	    l->prefix.n > 0 ? l->prefix : STR(""));
	if (st == NULL)
		return false;
	while (sqlite3_step(st) == SQLITE_ROW && str_starts(gcs_column(st, 1), l->prefix)) {
		struct gcs_object o;
		if (l->n == l->max) {
			l->more = l->max > 0;
			break;
		}
		gcs_object_read(&o, st);
		add_object(l, &o);
		buf_reset(&l->after, 64 * KIB);
		buf_adds(&l->after, o.name);
		l->n++;
		gcs_object_release(&o);
	}
	sqlite3_finalize(st);
	return true;
}

static bool
from_hex(struct buf *out, struct str s)
{
	if (s.n % 2 != 0 || s.n > 2 * GCS_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i += 2) {
		char two[3] = {s.p[i], s.p[i + 1], '\0'}, *end;
		buf_addc(out, (char)strtoul(two, &end, 16));
		if (end != two + 2 || two[0] == '-' || two[0] == '+' || two[0] == ' ')
			return false;
	}
	return true;
}

static bool
start(struct list *l, const struct request *req, struct reply *rep)
{
	struct str max = request_query(req, "max-keys"), encoding = request_query(req, "encoding-type");
	struct str token = request_query(req, "continuation-token");
	l->prefix = request_query(req, "prefix");
	l->encoded = str_is(encoding, "url");
	l->max = S3_LIST_MAX;
	if (max.n > 0 && (!num_i64(max, &l->max) || l->max < 0))
		s3_error(rep, 400, "InvalidArgument",
		    "Argument maxKeys must be an integer between 0 and 2147483647");
	else if (encoding.n > 0 && !l->encoded)
		s3_error(rep, 400, "InvalidArgument", "Invalid Encoding Method specified in Request");
	else if (request_query(req, "delimiter").n > 0)
		s3_error(rep, 501, "NotImplemented", "gcp-emu's S3 lists without a delimiter.");
	else if (!from_hex(&l->after, token))
		s3_error(rep, 400, "InvalidArgument", "The continuation token provided is incorrect");
	else
		return true;
	return false;
}

static void
write_list(const struct list *l, struct str bucket, struct buf *out)
{
	buf_addz(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>");
	add_xml(out, bucket);
	buf_addz(out, "</Name><Prefix>");
	add_name(l, out, l->prefix);
	buf_addf(out, "</Prefix><KeyCount>%lld</KeyCount><MaxKeys>%lld</MaxKeys>", (long long)l->n,
	    (long long)l->max);
	if (l->encoded)
		buf_addz(out, "<EncodingType>url</EncodingType>");
	buf_addf(out, "<IsTruncated>%s</IsTruncated>", l->more ? "true" : "false");
	if (l->more) {
		buf_addz(out, "<NextContinuationToken>");
		for (size_t i = 0; i < l->after.n; i++)
			buf_addf(out, "%02x", (unsigned char)l->after.p[i]);
		buf_addz(out, "</NextContinuationToken>");
	}
	buf_adds(out, buf_str(&l->items));
	buf_addz(out, "</ListBucketResult>");
}

void
s3_list(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	struct list l = {.after = BUF_INIT(64 * KIB), .items = BUF_INIT(64 * MIB)};
	if (start(&l, req, rep)) {
		struct str from = request_query(req, "start-after");
		if (l.after.n == 0)
			buf_adds(&l.after, from);
		if (l.max > S3_LIST_MAX)
			l.max = S3_LIST_MAX;
		if (scan(&l, g, bucket)) {
			rep->content_type = "application/xml";
			write_list(&l, bucket, &rep->body);
		} else {
			s3_error(rep, 500, "InternalError",
			    "We encountered an internal error. Please try again.");
		}
	}
	buf_release(&l.after);
	buf_release(&l.items);
}
