/* results.h - results on their way from the applier to the door, as bytes that are ready to be sent.
 *
 * They come in two forms. Single ones are records, each a message of its own, with the topic CLASS/DEVICE. A batch
 * is one message: many results of one class, a line each, with the topic batch/CLASS. It spares
 * a message for each result (docs/decisions/0012-batched-topics.md).
 *
 * One thread at a time: the applier's publisher fills them, the door sends them, and they come home. */
#ifndef SERVICE_RESULTS_H
#define SERVICE_RESULTS_H

#include "engine/base/buf.h"
#include "engine/service/work.h"

#define RESULTS_BATCH_PREFIX "batch/"

enum {
    RESULTS_BATCH_BYTES = 32 * 1024, /* a batch's lines; only one that is larger by itself has more */
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

/* results_make_batch - empty ones become a batch of that class. */
void results_make_batch(struct results *results, struct text class_name);
/* results_has_room - may the batch take a line of that room? An empty one takes any. */
bool results_has_room(const struct results *results, size_t line_room);
/* results_begin_line, results_end_line - as for a single one; the line that was written. */
char *results_begin_line(struct results *results, size_t line_room);
struct text results_end_line(struct results *results, const char *end);

/* results_done - they were sent; results_destroy - free them. */
void results_done(struct results *results);
void results_destroy(struct results *results);
void results_destroy_all(struct work *first); /* of a list of them */

#endif
