/* results.h - results on their way from the applier to the door, as bytes that are ready to be sent.
 *
 * They come in two forms. Single ones are records, each a message of its own, with the topic CLASS/DEVICE. A batch
 * is one message: many results of one class, with the topic batch/CLASS. Its first line is a head, with the first
 * one's number, the time of all, and the names of the other members; then each is a row, an array in a line. It spares
 * a message for each result, and a quarter to a half of its bytes (docs/decisions/0012-batched-topics.md).
 *
 * One thread at a time: the applier's publisher fills them, the door sends them, and they come home. */
#ifndef SERVICE_RESULTS_H
#define SERVICE_RESULTS_H

#include "engine/base/buf.h"
#include "engine/service/work.h"

#define RESULTS_BATCH_PREFIX "batch/"

enum {
    RESULTS_BATCH_BYTES = 32 * 1024, /* a batch; only one of a single row may have more */
    RESULTS_TOPIC_BYTES = 80,        /* room for a batch's topic */
};

struct results {
    struct work work;
    struct queue *home;              /* where they go once they are sent; NULL: nowhere */
    struct buf bytes;                /* records of two lengths, topic and payload; or a batch's lines */
    uint64_t count;
    char topic[RESULTS_TOPIC_BYTES]; /* a batch's */
    size_t topic_bytes;              /* 0: single ones */
};

struct results *results_create(struct queue *home);

/* results_begin - starts a single result of a device; "": of none. Where its payload goes, with `payload_room`
 * bytes. results_end - `end` is behind the payload of the one that was begun last. */
char *results_begin(struct results *results, struct text class_name, struct text device, size_t payload_room);
void results_end(struct results *results, const char *end);
/* results_next - step through the records; *at starts at 0. False at the end. */
bool results_next(const struct results *results, size_t *at, struct text *topic, struct text *payload);

/* results_class - of a single result's topic. */
struct text results_class(struct text topic);

/* results_begin_batch - empty ones become a batch of that class: where its head goes, with `head_room` bytes.
 * results_end_head - `end` is behind the head. */
char *results_begin_batch(struct results *results, struct text class_name, size_t head_room);
void results_end_head(struct results *results, const char *end);
/* results_begin_row - where the next row goes, with a newline before it, up to *end: within the bound, but for the
 * first one. results_end_row - `end` is behind it; without it nothing was put. */
static inline char *results_begin_row(const struct results *results, const char **end)
{
    *end = results->bytes.bytes + (results->count == 0 ? results->bytes.capacity : RESULTS_BATCH_BYTES);
    return results->bytes.bytes + results->bytes.len;
}
static inline void results_end_row(struct results *results, const char *end)
{
    results->bytes.len = (size_t)(end - results->bytes.bytes);
    results->count++;
}
/* results_grow - twice the room, for a first row that doesn't fit. */
void results_grow(struct results *results);

/* results_done - they were sent; results_destroy - free them. */
void results_done(struct results *results);
void results_destroy(struct results *results);
void results_destroy_all(struct work *first); /* of a list of them */

#endif
