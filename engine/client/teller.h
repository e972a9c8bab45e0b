/* teller.h - what a follower has to tell, in the shape of its caller's callbacks.
 *
 * From the JSON of results and of a snapshot's devices to the structs of fwsync.h. A callback that asks to
 * stop is noted in `stop`; whoever calls looks there after each one. */
#ifndef CLIENT_TELLER_H
#define CLIENT_TELLER_H

#include "engine/base/buf.h"
#include "engine/base/json.h"
#include "engine/client/fwsync.h"

struct teller {
    struct fwsync_follow follow; /* its texts are the follower's own */
    bool stop;
    struct buf json;
    struct arena arena; /* of one result or device */
    struct arena scratch;
};

void teller_init(struct teller *teller, const struct fwsync_follow *follow);
void teller_fini(struct teller *teller);

/* A result taken apart; `fields` live until the next one is read. */
struct told_result {
    struct text class_name;
    uint64_t n;
    uint64_t seq;
    unsigned partition;   /* below PARTITION_COUNT_MAX */
    struct fields fields; /* all members, n and ts too */
};

/* teller_read - take a payload apart. class_name "": it is in the payload. False: it isn't a result. */
bool teller_read(struct teller *teller, struct text class_name, struct text json,
                 struct told_result *result);

/* What the head of a batch says: a row's values are the members of these names. */
struct batch_head {
    uint64_t n; /* of the first row */
    const struct value *names;
    size_t name_count;
    struct fields common; /* what each row has that doesn't have its own */
};

/* batch_head_read - false: it isn't one. What it says lives in `arena`. */
bool batch_head_read(struct batch_head *head, struct text json, struct arena *scratch, struct arena *arena);

/* teller_read_row - likewise, of a batch's row. */
bool teller_read_row(struct teller *teller, struct text class_name, const struct batch_head *head, uint64_t n,
                     struct text json, struct told_result *result);

/* teller_result - on_change or on_result, when it is of the device that is followed. */
void teller_result(struct teller *teller, const struct told_result *result);

void teller_begin(struct teller *teller, uint64_t seq);
void teller_device(struct teller *teller, struct text json);
void teller_end(struct teller *teller, uint64_t seq);
void teller_lost(struct teller *teller, const char *class_name, uint64_t count, const char *why);

#endif
