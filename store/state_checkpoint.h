/* state_checkpoint.h - a checkpoint under way, and how it brings layers to an end (state_carry.c). Included by
 * state_db.h. */
#ifndef STORE_STATE_CHECKPOINT_H
#define STORE_STATE_CHECKPOINT_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/seen.h"
#include "store/state_layers.h"

/* How a checkpoint makes layers needless: state_carry.c. */
struct carry {
    bool all; /* every device's newest row goes into the database, and all layers go; else: */
    size_t row_max;     /* it looks at so many rows of the oldest layers at most */
    size_t dead_wanted; /* and at no more when so many of them were good for nothing */
    struct carried {
        uint32_t id;
        uint32_t place; /* in an old layer */
        enum part part;
    } *rows; /* in their order the last ones of the new layer */
    size_t count;
    size_t next_row; /* of the oldest layer that stays: not yet looked at */
    size_t drops;    /* so many of the oldest layers aren't needed any more after it */
    uint32_t device_count; /* when the changes were frozen, */
    uint32_t *places[PART_COUNT]; /* and of each the places, then: the parts that has_part names */
    bool has_part[PART_COUNT];
    size_t place_count; /* there is memory for, or will be; it stays, since each 4 KiB of it cost a page fault */
    bool wants_room;    /* this memory has still to be made */
};

/* The checkpoint under way: a thread of its own writes `state->frozen`. */
struct checkpoint {
    pthread_t thread;
    bool has_thread;
    bool is_running;     /* since state_checkpoint_begin, until state_checkpoint_end */
    bool is_frozen;      /* what it writes is, until it is done: a failed one is taken up again as it was */
    atomic_bool is_over; /* the thread has nothing left to do */
    uint64_t seq;        /* of the last event in the frozen changes */
    uint64_t history_end; /* behind its row */
    struct seen_times *seen; /* of each block what is to be written with them: state_seen.c */
    size_t seen_count;       /* of blocks, */
    size_t seen_changed;     /* and of those that changed */
    size_t seen_rows;        /* the first so many of them go into the layer */
    char seen_row[LAYER_ROW_EXTRA_BYTES + sizeof(uint32_t) + SEEN_BYTES_MAX]; /* one of these rows */
    bool is_flushed; /* the history was written; else `err` says why not */
    bool layered;    /* the frozen changes become a layer */
    struct layer *layer; /* that they are in; NULL: not yet */
    struct carry carry;
    bool done;
    struct err err; /* when it isn't done */
};

/* state_redo - finish the checkpoint that a crash interrupted, if any. Only the totals are loaded yet. */
bool state_redo(struct state *state, struct err *err);

/* --- how layers come to an end --- */

/* state_carry_plan - for the checkpoint of the changes just frozen: all rows into the database; or some of the oldest
 * into the new layer, if there are many; or none. It may be called again, for less. state_carry_gather - which these
 * are; state_carry_raw - one of them. state_carry_row - when all go into the database, the newest one of a device, if
 * it isn't there yet. state_carry_oldest - the oldest layer that is needed beside the new one, which has this number
 * (struct layer_span). state_carry_remove - the files of layers that aren't needed any more; on disk when it returns.
 * These are for any thread; state_carry_end is the owner's, when all that is done. */
enum carry_what { CARRY_ALL, CARRY_SOME, CARRY_NONE };
void state_carry_plan(struct state *state, enum carry_what what);
bool state_carry_gather(struct state *state, struct err *err);
struct text state_carry_raw(const struct state *state, size_t i);
bool state_carry_row(const struct state *state, enum part part, uint32_t id, struct text *record, bool *found,
                     struct err *err);
uint64_t state_carry_oldest(const struct state *state, uint64_t number);
bool state_carry_remove(struct state *state, struct err *err);
void state_carry_end(struct state *state);
void carry_fini(struct carry *carry);

/* --- last-seen times (state_seen.c) --- */

/* state_seen_load - those in the database; state_seen_note - then those in a row of a layer, oldest layer first.
 * Errors  ERR_DAMAGED and others of reading. */
bool state_seen_load(struct state *state, struct err *err);
bool state_seen_note(struct state *state, const struct layer *layer, const struct layer_row *row, struct err *err);
/* state_seen_freeze - what changed is the next checkpoint's. state_seen_rest - nothing is: its memory goes. */
void state_seen_freeze(struct state *state);
void state_seen_rest(struct state *state);
/* For the checkpoint's thread. state_seen_gather - which rows go into the new layer, which has this span;
 * state_seen_row - one of them, borrowed until the next; state_seen_layered - they are there. state_seen_wanted - does
 * the block go into the database? state_seen_saved - all that had to are there, and layers aren't needed for them. */
void state_seen_gather(struct state *state, const struct layer_span *span);
struct text state_seen_row(struct state *state, size_t i);
void state_seen_layered(struct state *state, uint64_t number);
bool state_seen_wanted(const struct state *state, const struct seen_times *times);
void state_seen_saved(struct state *state);

#endif
