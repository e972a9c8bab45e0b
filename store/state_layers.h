/* state_layers.h - where the newest row of each device of a large fleet is: its place in the changes or in a layer
 * (layer.h), a number of 4 bytes for each. Included by state_db.h. */
#ifndef STORE_STATE_LAYERS_H
#define STORE_STATE_LAYERS_H

#include "store/layer.h"

struct state;

enum part { PART_ATTRIBUTES, PART_TELEMETRY, PART_COUNT };

/* Oldest first; their places count on from one to the next. */
struct layers {
    struct layer **items;
    size_t count;
};

/* state_layers_load - open those that are there. When the database may not know the last of them, the
 * checkpoint that made it was *cut_short, and is prepared to go on. Errors ERR_DAMAGED, ERR_IO. */
bool state_layers_load(struct state *state, bool *cut_short, struct err *err);
void state_layers_close(struct state *state);
uint64_t layers_bytes(const struct layers *layers); /* of their files */
size_t layers_rows(const struct layers *layers);

/* state_places_grow - make room for the places of `device_count` devices. */
void state_places_grow(struct state *state, size_t device_count);
/* state_part_get - a device's record; borrowed until it is written again, or a checkpoint begins or ends.
 * state_part_put - room for a new one of `len` bytes, to be filled at once. */
bool state_part_get(struct state *state, enum part part, uint32_t id, struct text *record, bool *found,
                    struct err *err);
char *state_part_put(struct state *state, enum part part, uint32_t id, size_t len);

/* layers_at - the layer whose places include this one, and which of its rows that is; NULL: none.
 * layers_get - the row of a device's part at `place`, if it is there. layers_push, layers_drop - the list's ends; `to`
 * takes the oldest over. layers_release - all of them. */
const struct layer *layers_at(const struct layers *layers, uint32_t place, size_t *index);
bool layers_get(const struct layers *layers, uint32_t place, enum part part, uint32_t id, struct text *record,
                bool *found, struct err *err);
void layers_push(struct layers *layers, struct layer *layer);
void layers_drop(struct layers *layers, size_t count, struct layers *to);
void layers_release(struct layers *layers);

#endif
