/* The layers of a state (layer.h): where each device's row is, and reading them at the start. How they come to an
 * end is in state_carry.c. */
#include "store/state_layers.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/state_db.h"

/* --- places --- */

static struct text id_key(const uint32_t *id)
{
    return row_key(id, sizeof *id);
}

static uint32_t *grow(uint32_t *places, size_t old_count, size_t count)
{
    places = realloc(places, count * sizeof *places);
    if (places == NULL)
        abort();
    memset(places + old_count, 0, (count - old_count) * sizeof *places);
    return places;
}

void state_places_grow(struct state *state, size_t device_count)
{
    if (device_count <= state->place_count)
        return;
    size_t count = state->place_count == 0 ? 1024 : state->place_count;
    while (count < device_count)
        count *= 2;
    for (enum part part = 0; part < PART_COUNT; part++)
        if (part == PART_ATTRIBUTES || state->places[part] != NULL)
            state->places[part] = grow(state->places[part], state->place_count, count);
    state->place_count = count;
}

/* Many fleets have no telemetry: its places are made when the first comes. */
static uint32_t *place_of(struct state *state, enum part part, uint32_t id)
{
    if (state->places[part] == NULL)
        state->places[part] = grow(NULL, 0, state->place_count);
    return &state->places[part][id];
}

char *state_part_put(struct state *state, enum part part, uint32_t id, size_t len)
{
    return changes_put_at(state->now, place_of(state, part, id), part_db(part), id_key(&id), len);
}

/* --- finding a row --- */

/* The layer whose places include this one, and which of its rows that is; NULL: none. Places count on from
 * layer to layer. */
const struct layer *layers_at(const struct layers *layers, uint32_t place, size_t *index)
{
    if (layers->count == 0)
        return NULL;
    uint32_t base = layers->items[0]->first_place, at = place - base;
    size_t low = 0, high = layers->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (layers->items[middle]->first_place - base <= at)
            low = middle;
        else
            high = middle;
    }
    const struct layer *layer = layers->items[low];
    *index = at - (layer->first_place - base);
    return *index < layer->count ? layer : NULL;
}

/* A place of long ago may say a row of another key. */
bool layers_get(const struct layers *layers, uint32_t place, enum part part, uint32_t id, struct text *record,
                bool *found, struct err *err)
{
    size_t index;
    struct layer_row row;
    const struct layer *layer = layers_at(layers, place, &index);
    *found = false;
    if (layer == NULL)
        return true;
    if (!layer_row(layer, index, &row, err))
        return false;
    *found = row.db == part_db(part) && text_equal(row.key, id_key(&id));
    *record = row.value;
    return true;
}

static bool get_stored(struct state *state, enum part part, uint32_t id, struct text *record, bool *found,
                       struct err *err)
{
    if (part != PART_ATTRIBUTES)
        return state_db_get_stored(state, part_db(part), id_key(&id), record, found, err);
    *found = spots_get(&state->spots, id, record);
    if (*found)
        return true;
    if (!state_db_get_stored(state, DB_DEVICES, id_key(&id), record, found, err))
        return false;
    if (*found)
        spots_put(&state->spots, id, *record);
    return true;
}

bool state_part_get(struct state *state, enum part part, uint32_t id, struct text *record, bool *found,
                    struct err *err)
{
    uint32_t place = state->places[part] == NULL ? 0 : state->places[part][id];
    const struct change *change = changes_at(state->now, place, part_db(part), id_key(&id));
    if (change == NULL)
        change = changes_at(state->frozen, place, part_db(part), id_key(&id));
    if (change == NULL)
        change = changes_at(state->last, place, part_db(part), id_key(&id));
    if (change != NULL) {
        *record = change_value(change);
        *found = true;
        return true;
    }
    if (!layers_get(&state->layers, place, part, id, record, found, err))
        return false;
    return *found || get_stored(state, part, id, record, found, err);
}

/* --- looking ahead --- */

/* Of rows in the database's pages nothing is known without walking there. */
static void prefetch_row(const struct state *state, uint32_t place, unsigned step)
{
    size_t index;
    const struct layer *layer = layers_at(&state->layers, place, &index);
    if (layer != NULL)
        layer_prefetch(layer, index, step);
    changes_prefetch_at(state->last, place, step);
    changes_prefetch_at(state->frozen, place, step);
    changes_prefetch_at(state->now, place, step);
}

static struct expected *expected_before(struct state *state, uint32_t steps)
{
    return &state->expected[(state->expected_count - steps) % LOOK_AHEAD];
}

/* A hash that is another device's does no harm. */
static void find_expected(const struct state *state, struct expected *expected)
{
    struct name_probe probe = names_start(&state->names, expected->hash);
    expected->is_known = expected->is_known && names_next(&state->names, &probe, &expected->id);
    if (!expected->is_known)
        return;
    __builtin_prefetch(&state->places[PART_ATTRIBUTES][expected->id]);
    seen_prefetch(&state->seen, expected->id);
}

static void prefetch_expected(const struct state *state, const struct expected *expected, unsigned step)
{
    if (expected->is_known)
        prefetch_row(state, state->places[PART_ATTRIBUTES][expected->id], step);
}

/* Each step asks for what the next one reads, a few events later. */
void state_expect(struct state *state, struct text name)
{
    enum { FITS_CACHES = 4000, STEP = LOOK_AHEAD / 4 };
    if (state->totals.device_count < FITS_CACHES)
        return;
    struct expected *expected = expected_before(state, 0);
    *expected = (struct expected){.hash = name_hash(name), .is_known = name.len > 0};
    if (expected->is_known)
        names_prefetch(&state->names, expected->hash);
    find_expected(state, expected_before(state, STEP));
    prefetch_expected(state, expected_before(state, 2 * STEP), 0);
    prefetch_expected(state, expected_before(state, 3 * STEP), 1);
    state->expected_count++;
}

/* --- the list --- */

void layers_push(struct layers *layers, struct layer *layer)
{
    layers->items = realloc(layers->items, (layers->count + 1) * sizeof *layers->items);
    if (layers->items == NULL)
        abort();
    layers->items[layers->count++] = layer;
}

void layers_drop(struct layers *layers, size_t count, struct layers *to)
{
    if (count == 0)
        return; /* perhaps there is no list yet */
    for (size_t i = 0; i < count; i++)
        layers_push(to, layers->items[i]);
    layers->count -= count;
    memmove(layers->items, layers->items + count, layers->count * sizeof *layers->items);
}

void layers_release(struct layers *layers)
{
    for (size_t i = 0; i < layers->count; i++)
        layer_release(layers->items[i]);
    free(layers->items);
    *layers = (struct layers){.count = 0};
}

size_t layers_rows(const struct layers *layers)
{
    size_t rows = 0;
    for (size_t i = 0; i < layers->count; i++)
        rows += layers->items[i]->count;
    return rows;
}

uint64_t layers_bytes(const struct layers *layers)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < layers->count; i++)
        bytes += layers->items[i]->bytes;
    return bytes;
}

void state_layers_close(struct state *state)
{
    layers_release(&state->layers);
    layers_release(&state->dropped);
    layer_release(state->checkpoint.layer);
}

/* --- from disk --- */

static bool fits(const struct state *state, const struct layer_span *last, struct err *err)
{
    if (state->checkpoint_seq == last->seq || state->checkpoint_seq == last->base_seq)
        return true;
    return lmdb_env_damaged(&state->env, err,
                            "it is at event %" PRIu64 ", and the last layer beside it leads from %" PRIu64
                            " to %" PRIu64, state->checkpoint_seq, last->base_seq, last->seq);
}

static bool follows(const struct state *state, const struct layer_span *span, struct err *err)
{
    const struct layers *layers = &state->layers;
    const struct layer_span *last = layers->count == 0 ? NULL : &layers->items[layers->count - 1]->span;
    if (last == NULL || (last->number + 1 == span->number && last->seq == span->base_seq))
        return true;
    return lmdb_env_damaged(&state->env, err,
                            "layer %" PRIx64 " beside it leads on from event %" PRIu64
                            ", and the one before it is missing", span->number, span->base_seq);
}

static bool missing(const struct state *state, uint64_t number, struct err *err)
{
    return lmdb_env_damaged(&state->env, err, "layer %" PRIx64 " beside it is missing", number);
}

/* Are all there that have to be? Others may be, when a checkpoint was cut short. */
static bool is_complete(const struct state *state, struct err *err)
{
    const struct layers *layers = &state->layers;
    uint64_t newest = layers->count == 0 ? 0 : layers->items[layers->count - 1]->span.number;
    if (newest < state->totals.layer)
        return missing(state, state->totals.layer, err);
    if (newest == 0)
        return true;
    uint64_t oldest = layers->items[layers->count - 1]->span.oldest;
    return layers->items[0]->span.number <= oldest || missing(state, oldest, err);
}

static bool open_layers(struct state *state, const uint64_t *numbers, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct layer *layer;
        if (!layer_open(state->dir, numbers[i], &layer, err))
            return false;
        layer->first_place = state->now->first_place;
        changes_follow(state->now, layer->first_place + (uint32_t)layer->count);
        bool good = follows(state, &layer->span, err);
        layers_push(&state->layers, layer);
        if (!good)
            return false;
    }
    return is_complete(state, err);
}

static void put_row(struct changes *changes, const struct layer_row *row)
{
    if (row->is_deleted)
        changes_delete(changes, row->db, row->key);
    else if (row->value.len == 0)
        changes_put(changes, row->db, row->key, 0);
    else
        memcpy(changes_put(changes, row->db, row->key, row->value.len), row->value.bytes, row->value.len);
}

/* The places of the devices' rows, and when devices were seen. More of them may be in it than the database knows of. */
static bool note_rows(struct state *state, const struct layer *layer, struct err *err)
{
    for (size_t i = 0; i < layer->count; i++) {
        struct layer_row row;
        uint32_t id;
        if (!layer_row(layer, i, &row, err))
            return false;
        if (row.db == DB_SEEN && !state_seen_note(state, layer, &row, err))
            return false;
        if (!db_is_of_devices(row.db) || row.key.len != sizeof id)
            continue;
        memcpy(&id, row.key.bytes, sizeof id);
        state_places_grow(state, (size_t)id + 1);
        *place_of(state, db_part(row.db), id) = layer->first_place + (uint32_t)i;
    }
    return true;
}

/* The rows that a checkpoint, cut short, may not have put into the database, and how it goes on. */
static bool take_up(struct state *state, struct err *err)
{
    struct layers *layers = &state->layers;
    struct layer *last = layers->items[--layers->count];
    state->checkpoint.is_frozen = true;
    state->checkpoint.layer = last;
    state->checkpoint.seq = last->span.seq;
    state->checkpoint.layered = true;
    for (size_t i = 0; i < last->count; i++) {
        struct layer_row row;
        if (!layer_row(last, i, &row, err))
            return false;
        if (!db_is_of_devices(row.db) && row.db != DB_SEEN)
            put_row(state->frozen, &row);
    }
    return true;
}

bool state_layers_load(struct state *state, bool *cut_short, struct err *err)
{
    const struct layers *layers = &state->layers;
    uint64_t *numbers;
    size_t count;
    *cut_short = false;
    if (!layer_list(state->dir, &numbers, &count, err))
        return false;
    bool done = open_layers(state, numbers, count, err);
    free(numbers);
    for (size_t i = 0; done && i < count; i++)
        done = note_rows(state, layers->items[i], err);
    if (!done || count == 0)
        return done;
    struct layer_span last = layers->items[count - 1]->span;
    state->layer_number = last.number;
    *cut_short = last.seq != state->checkpoint_seq || last.seq == last.base_seq; /* so perhaps */
    return fits(state, &last, err) && (!*cut_short || take_up(state, err));
}
