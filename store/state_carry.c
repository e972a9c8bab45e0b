/* How layers come to an end. While many devices change, each checkpoint looks through some rows of the oldest layers.
 * Those that are still the newest of their device are carried over into the new layer, the others are dead; a layer
 * that was looked through goes. So a device's row goes from file to file and not into the database; together the layers
 * have about as many dead rows as good ones. When there are few changes again, one checkpoint takes all layers into
 * the database: a fleet at rest has none. */
#include <assert.h>
#include <stdlib.h>

#include "store/state_db.h"

enum {
    LAYERS_MAX = 48,    /* with so many the oldest is looked through, whatever it has */
    LOOKS_A_CHANGE = 3, /* rows looked at for each changed one, at most: that is enough if a third of them is dead */
};

/* --- the plan --- */

/* So many rows may be in layers: twice as many as can be good. With fewer, more of the oldest are still good, and are
 * written again: at random that is a quarter of a row for each changed one, and three quarters with half
 * as many dead ones. */
static size_t rows_wanted(const struct state *state)
{
    size_t good = state->totals.device_count * (state->places[PART_TELEMETRY] != NULL ? 2 : 1);
    return 2 * good;
}

/* Memory for a copy of the places, touched, since that is what takes its time. */
static void make_room(struct carry *carry)
{
    for (enum part part = 0; part < PART_COUNT; part++) {
        if (!carry->has_part[part])
            continue;
        carry->places[part] = realloc(carry->places[part], carry->place_count * sizeof(uint32_t));
        if (carry->places[part] == NULL)
            abort();
        memset(carry->places[part], 0, carry->place_count * sizeof(uint32_t));
    }
    carry->wants_room = false;
}

/* Which parts have places now, and is there room for them? */
static void want_room(struct state *state)
{
    struct carry *carry = &state->checkpoint.carry;
    carry->wants_room |= carry->place_count != state->place_count;
    carry->place_count = state->place_count;
    for (enum part part = 0; part < PART_COUNT; part++) {
        carry->has_part[part] = state->places[part] != NULL;
        carry->wants_room |= carry->has_part[part] && carry->places[part] == NULL;
    }
}

/* The places are copied, since the applier goes on changing them. */
static void copy_places(struct state *state)
{
    struct carry *carry = &state->checkpoint.carry;
    if (carry->wants_room)
        make_room(carry);
    for (enum part part = 0; part < PART_COUNT; part++)
        if (carry->has_part[part])
            memcpy(carry->places[part], state->places[part], carry->device_count * sizeof(uint32_t));
}

static size_t looks_wanted(const struct state *state)
{
    const struct layers *layers = &state->layers;
    size_t looks = LOOKS_A_CHANGE * state->frozen->count;
    size_t oldest = layers->count < LAYERS_MAX ? 0 : layers->items[0]->count;
    return looks > oldest ? looks : oldest;
}

void state_carry_plan(struct state *state, enum carry_what what)
{
    struct carry *carry = &state->checkpoint.carry;
    assert(state->now->count == 0); /* so every place is of a layer or frozen, or old */
    size_t rows = layers_rows(&state->layers) + state->frozen->count, wanted = rows_wanted(state);
    bool full = state->layers.count >= LAYERS_MAX, all = what == CARRY_ALL;
    bool many = what != CARRY_NONE && (rows > wanted || full);
    if (all || many)
        want_room(state);
    if (carry->wants_room && !all)
        many = false; /* not now: this time the checkpoint's thread makes the room */
    carry->all = all;
    carry->row_max = many && !all ? looks_wanted(state) : 0;
    carry->dead_wanted = !many ? 0 : full ? SIZE_MAX : rows - wanted;
    carry->next_row = state->carry_row;
    carry->drops = all ? state->layers.count + 1 : 0; /* with the one to be made now */
    carry->device_count = (uint32_t)state->totals.device_count;
    if (all || many)
        copy_places(state);
}

void carry_fini(struct carry *carry)
{
    for (enum part part = 0; part < PART_COUNT; part++)
        free(carry->places[part]);
    free(carry->rows);
    *carry = (struct carry){.count = 0};
}

/* --- looking through the oldest layers --- */

/* Is the row the newest of a device? */
static bool is_good(const struct carry *carry, const struct layer_row *row, uint32_t place, struct carried *carried)
{
    enum part part = db_part(row->db);
    uint32_t id;
    if (!db_is_of_devices(row->db) || row->key.len != sizeof id)
        return false;
    memcpy(&id, row->key.bytes, sizeof id);
    *carried = (struct carried){id, place, part};
    return id < carry->device_count && carry->has_part[part] && carry->places[part][id] == place;
}

bool state_carry_gather(struct state *state, struct err *err)
{
    struct carry *carry = &state->checkpoint.carry;
    size_t dead = 0, looked = 0;
    if (carry->wants_room)
        make_room(carry);
    if (carry->row_max == 0)
        return true;
    carry->rows = realloc(carry->rows, carry->row_max * sizeof *carry->rows);
    if (carry->rows == NULL)
        abort();
    carry->count = carry->drops = 0;
    carry->next_row = state->carry_row;
    while (looked < carry->row_max && dead < carry->dead_wanted && carry->drops < state->layers.count) {
        const struct layer *layer = state->layers.items[carry->drops];
        struct layer_row row;
        if (carry->next_row == layer->count) {
            carry->drops++;
            carry->next_row = 0;
            continue;
        }
        if (!layer_row(layer, carry->next_row, &row, err))
            return false;
        bool good = is_good(carry, &row, layer->first_place + (uint32_t)carry->next_row, &carry->rows[carry->count]);
        carry->count += good;
        dead += !good;
        looked++;
        carry->next_row++;
    }
    return true;
}

uint64_t state_carry_oldest(const struct state *state, uint64_t number)
{
    size_t drops = state->checkpoint.carry.drops, count = state->layers.count;
    return drops < count ? state->layers.items[drops]->span.number : number + (drops - count);
}

struct text state_carry_raw(const struct state *state, size_t i)
{
    size_t index;
    const struct layer *layer = layers_at(&state->layers, state->checkpoint.carry.rows[i].place, &index);
    return layer_raw(layer, index);
}

/* --- into the database --- */

bool state_carry_row(const struct state *state, enum part part, uint32_t id, struct text *record, bool *found,
                     struct err *err)
{
    const struct carry *carry = &state->checkpoint.carry;
    assert(carry->all);
    uint32_t place = carry->has_part[part] ? carry->places[part][id] : 0;
    const struct change *change = changes_at(state->frozen, place, part_db(part), row_key(&id, sizeof id));
    if (change == NULL)
        return layers_get(&state->layers, place, part, id, record, found, err);
    *record = change_value(change);
    *found = true;
    return true;
}

/* --- afterwards --- */

/* The oldest first: what is left of them when this is cut short is still right. */
bool state_carry_remove(struct state *state, struct err *err)
{
    const struct layers *layers = &state->layers;
    for (size_t i = 0; i < state->checkpoint.carry.drops; i++)
        if (!layer_remove(i < layers->count ? layers->items[i] : state->checkpoint.layer, state->dir, err))
            return false;
    return true;
}

/* Devices that changed since then have newer rows. */
static void move_places(struct state *state, const struct layer *layer)
{
    const struct carry *carry = &state->checkpoint.carry;
    uint32_t first = layer->first_place + (uint32_t)(layer->count - carry->count);
    for (size_t i = 0; i < carry->count; i++) {
        const struct carried *carried = &carry->rows[i];
        uint32_t *place = &state->places[carried->part][carried->id];
        if (*place == carried->place)
            *place = first + (uint32_t)i;
    }
}

void state_carry_end(struct state *state)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    struct carry *carry = &checkpoint->carry;
    struct layer *layer = checkpoint->layer;
    move_places(state, layer);
    layers_push(&state->layers, layer);
    state->layer_number = layer->span.number;
    checkpoint->layer = NULL;
    checkpoint->layered = false;
    layers_drop(&state->layers, carry->drops, &state->dropped);
    state->carry_row = carry->all ? 0 : carry->next_row;
    free(carry->rows);
    carry->rows = NULL;
    carry->all = false;
    carry->count = carry->row_max = carry->drops = 0;
}
