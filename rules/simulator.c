#include "rules/simulator.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "rules/apply.h"

/* A store's part: what has one bound together. */
enum part { PART_ATTRIBUTES, PART_TELEMETRY, PART_COUNT };

struct simulated_device {
    struct simulator *simulator;
    struct text name, type;
    int64_t due_ms; /* the timer; 0: none */
    struct simulated_value *values; /* sorted by (scope, key) */
    size_t count, capacity;
    size_t bytes[PART_COUNT];
};

struct simulator {
    const struct ruleset *ruleset; /* borrowed */
    unsigned noted;
    int64_t now_ms;
    uint64_t seq;
    struct simulated_device **devices; /* in the order in which they came */
    size_t device_count, device_capacity;
    struct simulated_device **slots; /* the same by name: a hash table, a power of two */
    size_t slot_count;
    struct arena arena; /* devices and their values, until they are forgotten */
    struct arena event; /* of the event under way */
    struct arena notes_arena;
    struct note *first_note, *last_note;
    const struct simulated_device *device; /* of the event under way */
};

/* --- life ------------------------------------------------------------------------------------------- */

struct simulator *simulator_create(const struct ruleset *ruleset, unsigned notes)
{
    enum { CHUNK_BYTES = 64 * 1024 };
    struct simulator *simulator = malloc(sizeof *simulator);
    if (simulator == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    *simulator = (struct simulator){.ruleset = ruleset, .noted = notes};
    arena_init(&simulator->arena, CHUNK_BYTES);
    arena_init(&simulator->event, CHUNK_BYTES);
    arena_init(&simulator->notes_arena, CHUNK_BYTES);
    return simulator;
}

void simulator_destroy(struct simulator *simulator)
{
    if (simulator == NULL)
        return;
    arena_fini(&simulator->arena);
    arena_fini(&simulator->event);
    arena_fini(&simulator->notes_arena);
    free(simulator);
}

void simulator_forget(struct simulator *simulator)
{
    simulator_clear_notes(simulator);
    arena_reset(&simulator->arena);
    simulator->devices = simulator->slots = NULL;
    simulator->device_count = simulator->device_capacity = simulator->slot_count = 0;
    simulator->now_ms = 0;
    simulator->seq = 0;
}

/* --- devices ---------------------------------------------------------------------------------------- */

/* Where the device of that name is, or belongs. */
static struct simulated_device **slot_of(const struct simulator *simulator, struct text name)
{
    size_t slot = text_hash(name) & (simulator->slot_count - 1);
    while (simulator->slots[slot] != NULL && !text_equal(simulator->slots[slot]->name, name))
        slot = (slot + 1) & (simulator->slot_count - 1);
    return &simulator->slots[slot];
}

/* The list and the table, at most half full, have room for one more. What they were before stays in the arena. */
static void make_room(struct simulator *simulator)
{
    enum { FIRST_CAPACITY = 8 };
    if (simulator->device_count < simulator->device_capacity)
        return;
    size_t capacity = simulator->device_capacity == 0 ? FIRST_CAPACITY : 2 * simulator->device_capacity;
    struct simulated_device **devices = arena_alloc(&simulator->arena, capacity * sizeof *devices);
    if (simulator->device_count > 0)
        memcpy(devices, simulator->devices, simulator->device_count * sizeof *devices);
    simulator->devices = devices;
    simulator->device_capacity = capacity;
    simulator->slot_count = 2 * capacity;
    simulator->slots = arena_zero(&simulator->arena, simulator->slot_count * sizeof *devices);
    for (size_t i = 0; i < simulator->device_count; i++)
        *slot_of(simulator, devices[i]->name) = devices[i];
}

struct simulated_device *simulator_find(const struct simulator *simulator, struct text name)
{
    return simulator->slot_count == 0 ? NULL : *slot_of(simulator, name);
}

static struct simulated_device *create_device(struct simulator *simulator, struct text name)
{
    make_room(simulator);
    struct simulated_device *device = arena_zero(&simulator->arena, sizeof *device);
    device->simulator = simulator;
    device->name = arena_copy(&simulator->arena, name);
    device->type = TEXT("default");
    *slot_of(simulator, name) = device;
    simulator->devices[simulator->device_count++] = device;
    return device;
}

struct simulated_device *simulator_device(struct simulator *simulator, struct text name, struct text type)
{
    assert(name.len >= 1 && name.len <= DEVICE_BYTES_MAX && type.len <= TYPE_BYTES_MAX);
    struct simulated_device *device = simulator_find(simulator, name);
    if (device == NULL)
        device = create_device(simulator, name);
    if (type.len > 0 && !text_equal(type, device->type))
        device->type = arena_copy(&simulator->arena, type);
    return device;
}

struct text simulated_type(const struct simulated_device *device)
{
    return device->type;
}

int64_t simulated_timer(const struct simulated_device *device)
{
    return device->due_ms;
}

void simulated_timer_set(struct simulated_device *device, int64_t due_ms)
{
    assert(due_ms >= 0 && due_ms <= JSON_INTEGER_MAX);
    device->due_ms = due_ms;
}

/* --- their values ----------------------------------------------------------------------------------- */

static int compare(const struct simulated_value *value, enum scope scope, struct text key)
{
    return value->scope != scope ? (int)value->scope - (int)scope : text_compare(value->key, key);
}

/* True and *position of the value, or false and where it belongs. */
static bool find_value(const struct simulated_device *device, enum scope scope, struct text key, size_t *position)
{
    size_t low = 0, high = device->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(&device->values[middle], scope, key);
        if (order == 0) {
            *position = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *position = low;
    return false;
}

const struct simulated_value *simulated_get(const struct simulated_device *device, enum scope scope, struct text key)
{
    size_t position;
    return find_value(device, scope, key, &position) ? &device->values[position] : NULL;
}

const struct simulated_value *simulated_values(const struct simulated_device *device, size_t *count)
{
    *count = device->count;
    return device->values;
}

static bool has_text(const struct value *value)
{
    return value->kind == VALUE_STRING || value->kind == VALUE_JSON;
}

static enum part part_of(enum scope scope)
{
    return scope == SCOPE_TELEMETRY ? PART_TELEMETRY : PART_ATTRIBUTES;
}

/* What a value takes in a device's record at the least, where its key is one of the words that are stored once: so any
 * device that a daemon has fits in here. */
static size_t value_bytes(const struct value *value)
{
    enum { AROUND_BYTES = 8 };
    return AROUND_BYTES + (has_text(value) ? value->text.len : 0);
}

static struct value copy_value(struct arena *arena, const struct value *value)
{
    struct value copy = *value;
    if (has_text(value))
        copy.text = arena_copy(arena, value->text);
    return copy;
}

/* A gap for one more value. */
static void insert_value(struct simulated_device *device, size_t position)
{
    enum { FIRST_CAPACITY = 16 };
    struct simulated_value *values = device->values;
    if (device->count == device->capacity) {
        device->capacity = device->capacity == 0 ? FIRST_CAPACITY : 2 * device->capacity;
        device->values = arena_alloc(&device->simulator->arena, device->capacity * sizeof *values);
        if (position > 0)
            memcpy(device->values, values, position * sizeof *values);
    }
    if (position < device->count)
        memmove(device->values + position + 1, values + position, (device->count - position) * sizeof *values);
    device->count++;
}

/* Put `new` in at `position`, in place of `old` if that isn't NULL. */
static bool place_value(struct simulated_device *device, size_t position, const struct simulated_value *old,
                        const struct simulated_value *new, struct err *err)
{
    struct arena *arena = &device->simulator->arena;
    enum part part = part_of(new->scope);
    size_t bytes = device->bytes[part] + value_bytes(&new->value);
    if (old != NULL)
        bytes -= value_bytes(&old->value);
    if (bytes > DEVICE_RECORD_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, "device '" TEXT_FMT "': all its %s together would pass %d bytes",
                       TEXT_ARG(device->name), part == PART_TELEMETRY ? "telemetry" : "attributes",
                       DEVICE_RECORD_BYTES_MAX);
    struct text key = old != NULL ? old->key : arena_copy(arena, new->key);
    if (old == NULL)
        insert_value(device, position);
    device->values[position] = *new;
    device->values[position].key = key;
    device->values[position].value = copy_value(arena, &new->value);
    device->bytes[part] = bytes;
    return true;
}

/* As device_put in store/state.h. */
static bool put(struct simulated_device *device, struct simulated_value new, bool *changed, struct err *err)
{
    size_t position;
    assert(new.key.len >= 1 && new.key.len <= KEY_BYTES_MAX && new.value.kind != VALUE_NULL);
    if (has_text(&new.value) && new.value.text.len > VALUE_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, "the value of '" TEXT_FMT "' is over %d bytes", TEXT_ARG(new.key),
                       VALUE_BYTES_MAX);
    if (!find_value(device, new.scope, new.key, &position)) {
        *changed = place_value(device, position, NULL, &new, err);
        return *changed;
    }
    struct simulated_value *old = &device->values[position];
    bool equal = value_equal(&old->value, &new.value), reading = new.scope == SCOPE_TELEMETRY;
    *changed = !equal && !(reading && new.ts_ms < old->ts_ms);
    if (*changed)
        return place_value(device, position, old, &new, err);
    if (equal && reading && new.ts_ms > old->ts_ms)
        old->ts_ms = new.ts_ms;
    return true;
}

bool simulated_put(struct simulated_device *device, enum scope scope, struct text key, const struct value *value,
                   int64_t ts_ms, struct err *err)
{
    bool changed;
    return put(device, (struct simulated_value){scope, key, *value, ts_ms, device->simulator->seq}, &changed, err);
}

/* --- notes ------------------------------------------------------------------------------------------ */

const struct note *simulator_notes(const struct simulator *simulator)
{
    return simulator->first_note;
}

void simulator_clear_notes(struct simulator *simulator)
{
    arena_reset(&simulator->notes_arena);
    simulator->first_note = simulator->last_note = NULL;
}

/* A new one at the end, or NULL when its kind isn't wanted. */
static struct note *note_add(struct simulator *simulator, unsigned kind)
{
    if ((simulator->noted & kind) == 0)
        return NULL;
    struct note *note = arena_zero(&simulator->notes_arena, sizeof *note);
    note->kind = kind;
    note->device = arena_copy(&simulator->notes_arena, simulator->device->name);
    note->at_ms = simulator->now_ms;
    if (simulator->last_note == NULL)
        simulator->first_note = note;
    else
        simulator->last_note->next = note;
    simulator->last_note = note;
    return note;
}

static struct text keep(struct simulator *simulator, struct text text)
{
    return arena_copy(&simulator->notes_arena, text);
}

/* value  NULL: deleted */
static void note_change(struct simulator *simulator, enum scope scope, struct text key, const struct value *value)
{
    struct note *note = note_add(simulator, NOTE_CHANGES);
    if (note == NULL)
        return;
    note->scope = scope;
    note->key = keep(simulator, key);
    if (value != NULL)
        note->value = copy_value(&simulator->notes_arena, value);
}

/* --- the device as the rules see it ----------------------------------------------------------------- */

static bool access_get(void *context, enum scope scope, struct text key, struct value *value, bool *found,
                       struct err *err)
{
    (void)err;
    const struct simulated_value *stored = simulated_get(context, scope, key);
    *found = stored != NULL;
    if (*found)
        *value = stored->value;
    return true;
}

static bool access_put(void *context, enum scope scope, struct text key, const struct value *value, int64_t ts_ms,
                       uint64_t seq, bool *changed, struct err *err)
{
    struct simulated_device *device = context;
    if (!put(device, (struct simulated_value){scope, key, *value, ts_ms, seq}, changed, err))
        return false;
    if (*changed)
        note_change(device->simulator, scope, key, value);
    return true;
}

static bool access_remove(void *context, enum scope scope, struct text key, bool *existed, struct err *err)
{
    struct simulated_device *device = context;
    size_t position;
    (void)err;
    *existed = find_value(device, scope, key, &position);
    if (!*existed)
        return true;
    struct simulated_value *value = &device->values[position];
    device->bytes[part_of(scope)] -= value_bytes(&value->value);
    memmove(value, value + 1, (--device->count - position) * sizeof *value);
    note_change(device->simulator, scope, key, NULL);
    return true;
}

static void access_timer_set(void *context, int64_t due_ms, int64_t now_ms)
{
    (void)now_ms;
    simulated_timer_set(context, due_ms);
}

static const struct device_access device_access = {access_get, access_put, access_remove, access_timer_set};

/* --- the sink and the tracer ------------------------------------------------------------------------ */

static void sink_attribute(void *context, enum scope scope, struct text key, const struct value *value)
{
    (void)context, (void)scope, (void)key, (void)value; /* access_put noted it, and telemetry too */
}

static void sink_publish(void *context, struct text class_name, int class_index,
                         const struct message_view *message)
{
    struct simulator *simulator = context;
    struct note *note = note_add(simulator, NOTE_RESULTS);
    (void)class_index;
    if (note == NULL)
        return;
    note->name = keep(simulator, class_name);
    note->text = chosen_json(&message->data, &simulator->notes_arena);
}

static void note_of_node(struct simulator *simulator, unsigned kind, struct text chain, struct text node,
                         struct text name, struct text text)
{
    struct note *note = note_add(simulator, kind);
    if (note == NULL)
        return;
    note->chain = keep(simulator, chain);
    note->node = keep(simulator, node);
    note->name = keep(simulator, name);
    note->text = keep(simulator, text);
}

static void sink_dead_letter(void *context, struct text chain, struct text node, const char *error)
{
    note_of_node(context, NOTE_DEAD_LETTERS, chain, node, TEXT(""), text_of(error));
}

static void sink_log(void *context, struct text chain, struct text node, struct text line)
{
    note_of_node(context, NOTE_LOGS, chain, node, TEXT(""), line);
}

static void tracer_passed(void *context, struct text chain, struct text node, const char *type, const char *relation,
                          const struct message_passage *passage)
{
    (void)passage;
    note_of_node(context, NOTE_STEPS, chain, node, text_of(relation), text_of(type));
}

/* --- what happens ----------------------------------------------------------------------------------- */

static void apply(struct simulator *simulator, const struct event *event)
{
    struct simulated_device *device = simulator_device(simulator, event->device, event->device_type);
    const struct sink sink = {
        simulator, sink_attribute, sink_publish, sink_dead_letter, sink_log,
    };
    const struct tracer tracer = {.context = simulator, .passed = tracer_passed};
    const struct apply_input input = {
        .event = event,
        .seq = ++simulator->seq,
        .received_ms = simulator->now_ms,
        .device_type = device->type,
        .device = device,
        .access = &device_access,
        .sink = &sink,
        .tracer = (simulator->noted & NOTE_STEPS) != 0 ? &tracer : NULL,
        .arena = &simulator->event,
    };
    simulator->device = device;
    struct note *note = note_add(simulator, NOTE_EVENTS);
    if (note != NULL)
        note->name = keep(simulator, event->type);
    unsigned dead_letter_count;
    struct err err;
    bool applied = apply_event(simulator->ruleset, &input, &dead_letter_count, &err);
    assert(applied); /* no store that could fail: a bound fails the node only */
    arena_reset(&simulator->event);
}

void simulator_apply(struct simulator *simulator, const struct event *event, int64_t received_ms)
{
    assert(received_ms >= simulator->now_ms);
    simulator->now_ms = received_ms;
    apply(simulator, event);
}

/* The device whose timer is due first, by until_ms; or NULL. */
static struct simulated_device *first_due(const struct simulator *simulator, int64_t until_ms)
{
    struct simulated_device *first = NULL;
    for (size_t i = 0; i < simulator->device_count; i++) {
        struct simulated_device *device = simulator->devices[i];
        if (device->due_ms > 0 && device->due_ms <= until_ms && (first == NULL || device->due_ms < first->due_ms))
            first = device;
    }
    return first;
}

static void pass_deadline(struct simulator *simulator, struct simulated_device *device)
{
    struct event event;
    event_deadline_passed(device->name, &simulator->event, &event);
    if (simulator->now_ms < device->due_ms)
        simulator->now_ms = device->due_ms;
    device->due_ms = 0;
    apply(simulator, &event);
}

bool simulator_pass(struct simulator *simulator, int64_t until_ms, struct err *err)
{
    assert(until_ms >= simulator->now_ms);
    struct simulated_device *device;
    for (unsigned count = 0; (device = first_due(simulator, until_ms)) != NULL; count++) {
        if (count == DEADLINE_COUNT_MAX)
            return err_set(err, ERR_LIMIT, "more than %d deadlines came due", DEADLINE_COUNT_MAX);
        pass_deadline(simulator, device);
    }
    simulator->now_ms = until_ms;
    return true;
}

int64_t simulator_now_ms(const struct simulator *simulator)
{
    return simulator->now_ms;
}
