/*
 * counts: how many requests came, by method, path pattern and status: GET and DELETE /emu/requests.
 */
#ifndef GCP_EMU_COUNTS_H
#define GCP_EMU_COUNTS_H

#include "emu.h"

#define COUNTS_MAX 4096 /* different lines kept; what comes beyond is counted as one */

struct counts *counts_new(void);
/* status 0: the client got no reply */
void counts_add(struct counts *c, const char *method, struct str path, int status);
void counts_handle(struct counts *c, struct request *req, struct reply *rep);
void counts_free(struct counts *c);

#endif
