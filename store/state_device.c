#include <assert.h>
#include <stdlib.h>

#include "store/state_db.h"

static enum part part_of(enum scope scope)
{
    return scope == SCOPE_TELEMETRY ? PART_TELEMETRY : PART_ATTRIBUTES;
}

/* --- names --- */

bool state_names_load(struct state *state, struct err *err)
{
    struct scan scan;
    struct text name, value;
    bool found = true;
    bool done = state_scan_open(state, DB_NAMES, TEXT(""), TEXT(""), &scan, err);
    while (done && (done = state_scan_next(&scan, &name, &value, &found, err)) && found) {
        uint32_t id = UINT32_MAX;
        if (value.len == sizeof id)
            memcpy(&id, value.bytes, sizeof id);
        done = id < state->totals.device_count || state_db_damaged(state, DB_NAMES, err);
        if (done)
            names_add(&state->names, name_hash(name), id);
    }
    state_scan_close(&scan);
    return done;
}

/* --- in --- */

static bool damaged(struct state *state, uint32_t id, struct err *err)
{
    return lmdb_env_damaged(&state->env, err, "device number %u is missing or fails its checksum",
                            (unsigned)id);
}

static void reset_device(struct device *device, uint32_t id)
{
    arena_reset(&device->arena);
    device->id = id;
    device->touched = 0;
    device->is_trial = false;
    for (enum part part = 0; part < PART_COUNT; part++) {
        device->parts[part].count = device->parts[part].bytes = 0;
        device->loaded[part] = device->changed[part] = false;
    }
}

bool state_device_load(struct state *state, uint32_t id, struct err *err)
{
    struct device *device = &state->device;
    struct text record;
    bool found;
    reset_device(device, id);
    if (!state_part_get(state, PART_ATTRIBUTES, id, &record, &found, err))
        return false;
    if (!found)
        return damaged(state, id, err);
    record = arena_copy(&device->arena, record);
    if (!record_read(&state->words, record, &device->head, &device->parts[PART_ATTRIBUTES]))
        return damaged(state, id, err);
    device->loaded[PART_ATTRIBUTES] = true;
    return true;
}

bool state_device_look(struct state *state, uint32_t id, struct record_head *head, struct err *err)
{
    struct text record;
    bool found;
    if (!state_part_get(state, PART_ATTRIBUTES, id, &record, &found, err))
        return false;
    if (!found || !record_read(&state->words, record, head, &state->scratch))
        return damaged(state, id, err);
    return true;
}

/* The part that holds a scope; telemetry is read when it is first asked for. */
static bool load_part(struct device *device, enum scope scope, struct entries **entries,
                      struct err *err)
{
    enum part part = part_of(scope);
    *entries = &device->parts[part];
    if (device->loaded[part])
        return true;
    assert(part == PART_TELEMETRY);
    struct text record;
    bool found;
    if (!state_part_get(device->state, part, device->id, &record, &found, err))
        return false;
    if (found &&
        !record_read(&device->state->words, arena_copy(&device->arena, record), NULL, *entries))
        return damaged(device->state, device->id, err);
    device->loaded[part] = true;
    return true;
}

/* --- out --- */

static void write_part(struct state *state, const struct device *device, enum part part)
{
    const struct record_head *head = part == PART_ATTRIBUTES ? &device->head : NULL;
    const struct entries *entries = &device->parts[part];
    const struct words *words = &state->words;
    uint32_t number;
    if (head != NULL)
        words_intern(&state->words, head->type, &number);
    size_t len = record_bytes(words, head, entries);
    char *bytes = state_part_put(state, part, device->id, len);
    record_write(bytes, len, words, head, entries);
}

/* The value_key that an index should now hold for the device. */
static struct text current_key(const struct device *device, size_t place,
                               unsigned char key[VALUE_KEY_BYTES_MAX])
{
    const struct index *index = &device->state->indexes[place];
    const struct entries *entries = &device->parts[PART_ATTRIBUTES];
    size_t position;
    struct value value = value_string(device->head.type);
    if (place == TIMER_INDEX) {
        if (device->head.bucket_ms == 0)
            return TEXT("");
        value = (struct value){.kind = VALUE_INTEGER, .integer = device->head.bucket_ms};
    } else if (place != TYPE_INDEX) {
        if (!entries_find(entries, index->scope, index->key, &position))
            return TEXT("");
        value = entry_value(&entries->items[position]);
    }
    return (struct text){(const char *)key, value_key_encode(&value, key)};
}

/* What a save changes in the indexes. */
struct moves {
    size_t count;
    struct move {
        size_t place;
        struct text old_key, new_key;
        unsigned char new_bytes[VALUE_KEY_BYTES_MAX];
    } items[INDEX_PLACES];
    size_t set_count;
    struct set_place sets[2 * INDEX_PLACES];
};

static void note_set(struct moves *moves, const struct device *device, size_t place, struct text value_key)
{
    if (value_key.len > 0)
        moves->sets[moves->set_count++] = state_index_set_place(device->state, place, device->id, value_key);
}

static void plan_moves(const struct device *device, struct moves *moves)
{
    moves->count = moves->set_count = 0;
    for (size_t place = 0; device->touched >> place != 0; place++) {
        if ((device->touched >> place & 1) == 0)
            continue;
        struct move *move = &moves->items[moves->count];
        move->place = place;
        move->old_key = device->old_keys[place];
        move->new_key = current_key(device, place, move->new_bytes);
        if (text_equal(move->old_key, move->new_key))
            continue;
        moves->count++;
        note_set(moves, device, place, move->old_key);
        note_set(moves, device, place, move->new_key);
    }
}

/* In a large fleet each of the sets is somewhere else, in memory that no cache has: between these steps there is
 * other work to do. */
static void prefetch_sets(const struct state *state, const struct moves *moves, unsigned step)
{
    for (size_t i = 0; i < moves->set_count; i++)
        changes_prefetch(state->now, moves->sets[i].hash, moves->sets[i].at, step);
}

static bool make_moves(struct state *state, uint32_t id, const struct moves *moves, struct err *err)
{
    for (const struct move *move = moves->items; move < moves->items + moves->count; move++) {
        if (!state_index_move(state, move->place, id, move->old_key, move->new_key, err))
            return false;
        if (move->place == TIMER_INDEX)
            state_timer_moved(state, move->old_key, move->new_key);
    }
    return true;
}

static bool save(struct state *state, struct device *device, bool with_history, struct err *err)
{
    struct moves moves;
    plan_moves(device, &moves);
    prefetch_sets(state, &moves, 0);
    if (with_history && !state_history_add(state, device, err))
        return false;
    prefetch_sets(state, &moves, 1);
    for (enum part part = 0; part < PART_COUNT; part++)
        if (device->changed[part])
            write_part(state, device, part);
    prefetch_sets(state, &moves, 2);
    if (!make_moves(state, device->id, &moves, err))
        return false;
    device->changed[PART_ATTRIBUTES] = device->changed[PART_TELEMETRY] = false;
    device->touched = 0;
    return true;
}

bool state_device_save(struct state *state, struct device *device, struct err *err)
{
    assert(device == &state->device && !device->is_trial);
    return save(state, device, true, err);
}

/* --- finding and creating --- */

static bool find(struct state *state, struct text name, uint32_t hash, bool *found, struct err *err)
{
    uint32_t id;
    struct name_probe probe = names_start(&state->names, hash);
    while (names_next(&state->names, &probe, &id)) {
        if (!state_device_load(state, id, err))
            return false;
        if (text_equal(state->device.head.name, name)) {
            *found = true;
            return true;
        }
    }
    *found = false;
    return true;
}

void device_touch(struct device *device, size_t place, const struct value *old)
{
    uint64_t bit = UINT64_C(1) << place;
    if (device->touched & bit)
        return;
    device->touched |= bit;
    device->old_keys[place] = TEXT("");
    if (old == NULL)
        return;
    unsigned char key[VALUE_KEY_BYTES_MAX];
    size_t len = value_key_encode(old, key);
    device->old_keys[place] = arena_copy(&device->arena, (struct text){(const char *)key, len});
}

static bool create(struct state *state, struct text name, struct text type, uint32_t hash,
                   int64_t now_ms, struct err *err)
{
    if (state->totals.device_count >= UINT32_MAX - 1)
        return err_set(err, ERR_LIMIT, "there are %u devices: no more fit", UINT32_MAX - 1);
    struct device *device = &state->device;
    uint32_t id = (uint32_t)state->totals.device_count;
    reset_device(device, id);
    device->head = (struct record_head){
        .name = arena_copy(&device->arena, name),
        .type = arena_copy(&device->arena, type.len > 0 ? type : TEXT("default")),
        .created_ms = now_ms,
        .history = HISTORY_NONE,
    };
    device->loaded[PART_ATTRIBUTES] = device->loaded[PART_TELEMETRY] = true;
    device->changed[PART_ATTRIBUTES] = true;
    device_touch(device, TYPE_INDEX, NULL);

    memcpy(state_db_put(state, DB_NAMES, name, sizeof id), &id, sizeof id);
    state_places_grow(state, (size_t)id + 1);
    if (!save(state, device, false, err))
        return false;
    state->notes.created = true;
    state->totals.device_count++;
    seen_grow(&state->seen, state->totals.device_count);
    seen_set(&state->seen, id, 0); /* a checkpoint may have had it already: seen.h */
    names_add(&state->names, hash, id);
    return true;
}

static void set_type(struct device *device, struct text type)
{
    if (type.len == 0 || text_equal(type, device->head.type))
        return;
    struct value old = value_string(device->head.type);
    device_touch(device, TYPE_INDEX, &old);
    device->state->notes.old_type = device->head.type;
    device->head.type = arena_copy(&device->arena, type);
    device->changed[PART_ATTRIBUTES] = true;
}

bool state_device_open(struct state *state, struct text name, struct text type, int64_t now_ms,
                       int64_t seen_ms, struct device **device, struct err *err)
{
    assert(name.len >= 1 && name.len <= DEVICE_BYTES_MAX && type.len <= TYPE_BYTES_MAX);
    uint32_t hash = name_hash(name);
    bool found;
    if (!find(state, name, hash, &found, err))
        return false;
    if (found)
        set_type(&state->device, type);
    else if (!create(state, name, type, hash, now_ms, err))
        return false;
    if (seen_ms > 0)
        seen_set(&state->seen, state->device.id, seen_ms);
    *device = &state->device;
    return true;
}

bool state_device_at(struct state *state, uint32_t number, struct device **device, struct err *err)
{
    assert(number < state->totals.device_count);
    if (!state_device_load(state, number, err))
        return false;
    *device = &state->device;
    return true;
}

bool state_device_name(struct state *state, uint32_t number, struct arena *arena, struct text *name,
                       struct err *err)
{
    struct record_head head;
    if (!state_device_look(state, number, &head, err))
        return false;
    *name = arena_copy(arena, head.name);
    return true;
}

bool state_device_find(struct state *state, struct text name, struct device **device,
                       struct err *err)
{
    assert(name.len >= 1 && name.len <= DEVICE_BYTES_MAX);
    bool found;
    if (!find(state, name, name_hash(name), &found, err))
        return false;
    *device = found ? &state->device : NULL;
    return true;
}

/* --- reading a device --- */

struct text device_name(const struct device *device)
{
    return device->head.name;
}

struct text device_type(const struct device *device)
{
    return device->head.type;
}

int64_t device_created_ms(const struct device *device)
{
    return device->head.created_ms;
}

int64_t device_seen_ms(const struct device *device)
{
    return seen_get(&device->state->seen, device->id);
}

bool device_value(struct device *device, enum scope scope, struct text key, struct value *value, bool *found,
                  struct err *err)
{
    struct entries *entries;
    size_t position;
    if (!load_part(device, scope, &entries, err))
        return false;
    *found = entries_find(entries, scope, key, &position);
    if (*found)
        *value = entry_value(&entries->items[position]);
    return true;
}

bool device_get(struct device *device, enum scope scope, struct text key,
                struct attribute *attribute, bool *found, struct err *err)
{
    struct entries *entries;
    size_t position;
    if (!load_part(device, scope, &entries, err))
        return false;
    *found = entries_find(entries, scope, key, &position);
    if (*found)
        *attribute = entry_decode(&entries->items[position]);
    return true;
}

bool device_each(struct device *device, enum scope scope,
                 void (*visit)(void *context, const struct attribute *attribute), void *context,
                 struct err *err)
{
    struct entries *entries;
    size_t position;
    if (!load_part(device, scope, &entries, err))
        return false;
    entries_find(entries, scope, (struct text){"", 0}, &position);
    for (; position < entries->count && entries->items[position].scope == scope; position++) {
        struct attribute attribute = entry_decode(&entries->items[position]);
        visit(context, &attribute);
    }
    return true;
}

/* --- changing a device --- */

static void touch_attribute(struct device *device, enum scope scope, struct text key,
                            const struct value *old)
{
    size_t place = state_index_place(device->state, scope, key);
    if (place != 0)
        device_touch(device, place, old);
}

static bool fits(const struct device *device, enum part part, size_t removed, size_t added)
{
    const struct record_head *head = part == PART_ATTRIBUTES ? &device->head : NULL;
    const struct entries *entries = &device->parts[part];
    if (entries->bytes - removed + added <= DEVICE_RECORD_BYTES_MAX - RECORD_HEAD_BYTES_MAX)
        return true;
    return record_bytes(&device->state->words, head, entries) - removed + added <= DEVICE_RECORD_BYTES_MAX;
}

static void note_change(struct device *device, enum scope scope, struct text key, const struct attribute *old,
                        const struct attribute *new)
{
    if (scope != SCOPE_TELEMETRY && !device->is_trial)
        history_note_change(&device->state->notes, &device->state->words, scope, key, old, new);
}

/* Put `attribute` in at `position`, in place of `old` if there is one. */
static bool place_entry(struct device *device, enum scope scope, size_t position,
                        const struct attribute *old, const struct attribute *attribute,
                        struct err *err)
{
    struct entries *entries = &device->parts[part_of(scope)];
    struct entry entry = entry_encode(&device->arena, &device->state->words, scope, attribute);
    if (!fits(device, part_of(scope), old != NULL ? entries->items[position].len : 0, entry.len))
        return err_set(
            err, ERR_TOO_LARGE, "device '" TEXT_FMT "': all its %s together would pass %d bytes",
            TEXT_ARG(device->head.name), scope == SCOPE_TELEMETRY ? "telemetry" : "attributes",
            DEVICE_RECORD_BYTES_MAX);
    touch_attribute(device, scope, attribute->key, old != NULL ? &old->value : NULL);
    if (old != NULL)
        entries_replace(entries, position, entry);
    else
        entries_insert(entries, position, entry);
    device->changed[part_of(scope)] = true;
    return true;
}

static bool is_too_long(const struct value *value)
{
    return (value->kind == VALUE_STRING || value->kind == VALUE_JSON) &&
           value->text.len > VALUE_BYTES_MAX;
}

static bool has_value(const struct entry *entry, const struct value *value)
{
    struct value old = entry_value(entry);
    return value_equal(&old, value);
}

bool device_put(struct device *device, enum scope scope, struct text key, const struct value *value,
                int64_t ts_ms, uint64_t seq, bool *changed, struct err *err)
{
    assert(key.len >= 1 && key.len <= KEY_BYTES_MAX && value->kind != VALUE_NULL);
    struct entries *entries;
    struct attribute old, attribute = {key, *value, ts_ms, seq};
    size_t position;
    if (is_too_long(value))
        return err_set(err, ERR_TOO_LARGE, "the value of '" TEXT_FMT "' is over %d bytes",
                       TEXT_ARG(key), VALUE_BYTES_MAX);
    if (!load_part(device, scope, &entries, err))
        return false;
    bool equal = false, found = entries_find(entries, scope, key, &position);
    if (found && scope != SCOPE_TELEMETRY && has_value(&entries->items[position], value)) {
        *changed = false; /* most reports end here */
        return true;
    }
    if (found) {
        old = entry_decode(&entries->items[position]);
        equal = value_equal(&old.value, value);
        bool newer = scope == SCOPE_TELEMETRY && ts_ms > old.ts_ms;
        bool older = scope == SCOPE_TELEMETRY && ts_ms < old.ts_ms;
        if (older || (equal && !newer)) {
            *changed = false;
            return true;
        }
        if (equal)
            attribute.seq = old.seq;
        attribute.key = old.key; /* mostly a word, which is found quicker */
    }
    if (!place_entry(device, scope, position, found ? &old : NULL, &attribute, err))
        return false;
    note_change(device, scope, attribute.key, found ? &old : NULL, &attribute);
    *changed = !equal;
    return true;
}

bool device_delete(struct device *device, enum scope scope, struct text key, bool *existed,
                   struct err *err)
{
    struct entries *entries;
    size_t position;
    if (!load_part(device, scope, &entries, err))
        return false;
    *existed = entries_find(entries, scope, key, &position);
    if (!*existed)
        return true;
    struct attribute old = entry_decode(&entries->items[position]);
    touch_attribute(device, scope, key, &old.value);
    note_change(device, scope, old.key, &old, NULL);
    entries_remove(entries, position);
    device->changed[part_of(scope)] = true;
    return true;
}
