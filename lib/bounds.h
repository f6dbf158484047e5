/*
 * bounds: every maximum of the toolkit in one place. The man pages quote them; sources in brackets.
 */
#ifndef EVPIPE_BOUNDS_H
#define EVPIPE_BOUNDS_H

#define KIB 1024ull
#define MIB (1024ull * 1024)

#define LIMIT_LINE (16 * MIB)          /* one line of any stream, without its newline */
#define LIMIT_DATA (10 * MIB)          /* a message's decoded bytes [Pub/Sub quota: message size] */
#define LIMIT_LONG_LINE_KEPT (64 * KIB) /* what a reject keeps of a line past LIMIT_LINE */
#define LIMIT_REPLY (64 * MIB)         /* one HTTP reply's body; a full pull is about 20 MB */
#define LIMIT_HEADERS (64 * KIB)       /* one HTTP reply's headers */
#define LIMIT_TOKEN (64 * KIB)         /* a token, a file of credentials */
#define LIMIT_AWS_FILE (1 * MIB)       /* an AWS profile or credentials file */
#define LIMIT_SCHEMA_FILE (4 * MIB)    /* schemas.json */
#define LIMIT_DEPTH 64                 /* nesting of an event */
#define LIMIT_SCHEMA_DEPTH 15          /* nesting of RECORD fields [BigQuery quota] */
#define LIMIT_FAULTS 32                /* faults listed in one verdict */
#define LIMIT_DETAIL 128               /* bytes of what was found in a fault's detail */
#define LIMIT_ID 1024                  /* escaped bytes of msg.id and msg.source before they are hashed */
#define LIMIT_OUTPUT (256 * KIB)       /* bytes waiting in an output before its tool takes no more input */

/* Pub/Sub [cloud.google.com/pubsub/quotas, REST reference] */
#define PUBSUB_REQUEST_MAX (10 * MIB)  /* a request's body */
#define PUBSUB_BATCH_BYTES 9000000     /* where we close a publish request */
#define PUBSUB_PUBLISH_MAX 1000        /* messages in one publish */
#define PUBSUB_PULL_MAX 1000           /* messages in one pull */
#define PUBSUB_ACK_BYTES 500000        /* of ack ids in one request (the service's limit is 524,288) */
#define PUBSUB_ACK_ID_MAX 4096         /* bytes of an ack id: the service's have up to 164 */
#define PUBSUB_ACK_MAX 1000            /* ack ids in one request: 2,500 would do, and cost memory */
#define PUBSUB_ATTRIBUTES_MAX 100
#define PUBSUB_KEY_MAX 256             /* bytes of an attribute's key */
#define PUBSUB_VALUE_MAX 1024          /* bytes of an attribute's value */
#define PUBSUB_PART_BYTES 7000000      /* data past this leave in numbered parts: base64 must fit a request */

/* BigQuery insertAll [cloud.google.com/bigquery/quotas#streaming_inserts] */
#define BIGQUERY_REQUEST_MAX (10 * MIB) /* a request's body, and so a row */
#define BIGQUERY_BATCH_ROWS 500
#define BIGQUERY_BATCH_BYTES 9000000
#define BIGQUERY_INSERT_ID_MAX 128

/* Cloud Storage [cloud.google.com/storage/docs/performing-resumable-uploads] */
#define GCS_CHUNK (8 * MIB)            /* a resumable chunk: a multiple of 256 KiB */
#define GCS_SINGLE_MAX (8 * MIB)       /* objects up to this go in one request */
#define GCS_OPEN_MAX 64                /* objects open at once */

#endif
