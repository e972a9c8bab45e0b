/* batch.h - events on their way through the daemon, and the requests they came in.
 *
 * The door reads requests into a pair: `struct batch` holds the events, `struct acks` the requests to be
 * answered. The committer numbers the events, fills in the answers, and parts the two: the batch goes on
 * to the applier, the acks back to the door. Each has its own arena, so each can be the property of
 * another thread. Both come back to the door in the end, which uses them again: a warm daemon calls
 * malloc no more. */
#ifndef SERVICE_BATCH_H
#define SERVICE_BATCH_H

#include "engine/base/buf.h"
#include "engine/service/work.h"
#include "rules/event.h"

enum {
    ENVELOPE_FRAMES_MAX = 10, /* routing id, up to 8 of the client's, the empty frame */
    LINE_ERRORS_MAX = 100,    /* named in one reply; the rest is counted */
    BUSY_RETRY_MS = 50,
};

/* The frames that go back in front of the reply, the empty one included. */
struct envelope {
    const struct text *frames; /* array and texts in the arena of what the envelope belongs to */
    size_t frame_count;
};

/* One request to the events door. */
struct request {
    struct envelope envelope;
    uint32_t accepted;
    uint32_t duplicates;
    uint32_t rejected;
    uint64_t first_seq; /* 0: none accepted */
    uint64_t last_seq;
    struct buf line_errors; /* JSON objects with commas, in the acks' arena */
    const char *refused;    /* not NULL: busy, and why; static text */
    struct text failed;     /* len > 0: the whole request is wrong, this is the reply */
};

struct acks {
    struct work work;
    struct arena arena;
    struct request *requests;
    size_t request_count;
    size_t request_capacity;
    int64_t read_ns; /* monotonic: when the requests were read */
};

struct batch_event {
    struct event event;    /* in the batch's arena */
    struct text line;      /* as it came; likewise */
    uint64_t seq;          /* 0 until committed, and for duplicates */
    uint32_t request;      /* position in acks->requests */
    uint32_t partition;    /* that its device belongs to */
};

struct batch {
    struct shared shared;
    struct arena arena;
    struct acks *acks; /* NULL once parted */
    const char *refuse; /* not NULL: take none of these, say busy, and why; static text */
    int64_t received_ms;
    int64_t read_ns; /* monotonic, of the same moment */
    struct batch_event *events;
    size_t event_count;
    size_t event_capacity;
    size_t bytes_in_flight; /* as the door counted them when it handed the batch over */
};

/* batch_create - an empty batch with its empty acks. */
struct batch *batch_create(void);
void batch_destroy(struct batch *batch);
void acks_destroy(struct acks *acks);

/* batch_clear, acks_clear - give up the content; only the memory for the next use stays. */
void batch_clear(struct batch *batch);
void acks_clear(struct acks *acks);

/* batch_pair - give a batch that was parted from its acks others: `acks`, cleared, or NULL for new ones. */
void batch_pair(struct batch *batch, struct acks *acks);

/* batch_add - parse one request's body, which is copied, into the batch. The envelope is in the acks'
 * arena. `scratch` is left with garbage in it. */
void batch_add(struct batch *batch, struct envelope envelope, struct text body,
               struct arena *scratch);

/* batch_split - tell of each event to which of `partition_count` partitions it belongs. */
void batch_split(struct batch *batch, unsigned partition_count);

/* batch_bytes - what the batch and its acks hold now. */
size_t batch_bytes(const struct batch *batch);

/* request_reply - the reply's JSON. */
void request_reply(const struct request *request, struct buf *reply);

#endif
