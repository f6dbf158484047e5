/*
 * decimal: BigQuery's NUMERIC, exactly: 29 digits before the point and 9 behind it, no floating point.
 */
#ifndef EVPIPE_DECIMAL_H
#define EVPIPE_DECIMAL_H

#include "str.h"

#define DECIMAL_WHOLE 29
#define DECIMAL_FRACTION 9

struct decimal {
	bool negative; /* never of zero */
	char digits[DECIMAL_WHOLE + DECIMAL_FRACTION];
};

/* number is a JSON number; zeros that do not change its value do not count. false where it does not fit. */
bool decimal_parse(struct decimal *d, struct str number);
int decimal_cmp(const struct decimal *a, const struct decimal *b);

#endif
