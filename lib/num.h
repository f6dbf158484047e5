/*
 * num: numbers out of text, never past the end and never with a locale.
 */
#ifndef EVPIPE_NUM_H
#define EVPIPE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* a whole decimal integer, "-" allowed, nothing around it; false where it is none or does not fit */
bool num_i64(struct str s, int64_t *out);
/* bytes with an optional k, M, G (powers of 1000) or Ki, Mi, Gi (powers of 1024) and an optional B */
bool num_size(struct str s, int64_t *out);
/* a JSON number's or a plain decimal's value; false on overflow to infinity */
bool num_double(struct str s, double *out);

#endif
