/*
 * time: instants as microseconds since 1970-01-01T00:00:00Z, and their RFC 3339 text.
 *
 * The grammar is RFC 3339 section 5.6 narrowed by CONTRACT section 5: seconds 00-59 (no leap second), at
 * most 6 fraction digits (BigQuery keeps microseconds), offsets up to 14:00, years 0001-9999 after the
 * offset is taken off.
 */
#ifndef EVPIPE_TIME_H
#define EVPIPE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

struct civil {
	int year, month, day; /* 1-12, 1-31 */
	int hour, minute, second;
	int micros;
};

/* Each: NULL when s fits and *out is set, otherwise the rule that s breaks, a constant. */
const char *time_parse_timestamp(struct str s, int64_t *micros);
const char *time_parse_date(struct str s, int64_t *micros);     /* YYYY-MM-DD, at 00:00 */
const char *time_parse_datetime(struct str s, int64_t *micros); /* date, T t or space, time; no zone */
const char *time_parse_time(struct str s, int64_t *micros);     /* HH:MM:SS[.ffffff] since midnight */
/* What a service may send: as time_parse_timestamp, but 0-9 fraction digits, cut to 6. */
const char *time_parse_service(struct str s, int64_t *micros);

void time_civil(int64_t micros, struct civil *out);
int64_t time_from_civil(const struct civil *c);
/* appends "2025-02-08T13:09:00Z", with a fraction only where there is one (trailing zeros cut) */
void time_format(struct buf *out, int64_t micros);

#endif
