#include "rules/whatif.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "rules/simulator.h"

enum { NOW, THEN, SIDES };
enum { ARENA_BYTES = 64 * 1024 };

struct whatif {
    struct simulator *simulators[SIDES];
    struct arena arena; /* of the differences */
    struct difference *items;
    size_t count, capacity;
};

struct whatif *whatif_create(const struct ruleset *now, const struct ruleset *then)
{
    struct whatif *whatif = calloc(1, sizeof *whatif);
    if (whatif == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    whatif->simulators[NOW] = simulator_create(now, NOTE_RESULTS | NOTE_DEAD_LETTERS);
    whatif->simulators[THEN] = simulator_create(then, NOTE_RESULTS | NOTE_DEAD_LETTERS);
    arena_init(&whatif->arena, ARENA_BYTES);
    return whatif;
}

void whatif_destroy(struct whatif *whatif)
{
    if (whatif == NULL)
        return;
    for (size_t side = 0; side < SIDES; side++)
        simulator_destroy(whatif->simulators[side]);
    arena_fini(&whatif->arena);
    free(whatif);
}

/* --- judging ---------------------------------------------------------------------------------------------- */

static bool in_bounds(const char *what, struct text text, size_t least, size_t most, struct err *err)
{
    enum { SHOWN_BYTES = 64 };
    return (text.len >= least && text.len <= most) ||
           err_set(err, ERR_TOO_LARGE, "a device's %s '" TEXT_FMT "' of %zu bytes; expected %zu to %zu", what,
                   TEXT_CUT(text, SHOWN_BYTES), text.len, least, most);
}

/* It comes from a daemon that may be another version. */
static bool check(const struct whatif_device *device, struct err *err)
{
    bool right = in_bounds("name", device->name, 1, DEVICE_BYTES_MAX, err) &&
                 in_bounds("type", device->type, 0, TYPE_BYTES_MAX, err);
    for (enum scope scope = SCOPE_CLIENT; scope <= SCOPE_SERVER; scope++)
        for (size_t i = 0; right && i < device->values[scope].count; i++)
            right = in_bounds("key", device->values[scope].items[i].key, 1, KEY_BYTES_MAX, err);
    return right;
}

static bool load(struct simulator *simulator, const struct whatif_device *device, struct err *err)
{
    simulator_forget(simulator);
    struct simulated_device *loaded = simulator_device(simulator, device->name, device->type);
    for (enum scope scope = SCOPE_CLIENT; scope <= SCOPE_SERVER; scope++)
        for (size_t i = 0; i < device->values[scope].count; i++) {
            const struct field *field = &device->values[scope].items[i];
            if (field->value.kind != VALUE_NULL &&
                !simulated_put(loaded, scope, field->key, &field->value, 0, err))
                return false;
        }
    return true;
}

static void write_nothing(struct simulator *simulator, const struct whatif_device *device, int64_t at_ms)
{
    struct event event = event_of(device->name, TEXT("ATTRIBUTES_UPDATED"));
    event.has_scope = true;
    event.scope = SCOPE_SERVER;
    simulator_apply(simulator, &event, at_ms);
}

/* In several parts, if it is more than an event may have. */
static void report_again(struct simulator *simulator, const struct whatif_device *device, int64_t at_ms)
{
    const struct fields *client = &device->values[SCOPE_CLIENT];
    for (size_t from = 0; from < client->count; from += FIELD_COUNT_MAX) {
        size_t left = client->count - from;
        struct event event = event_of(device->name, TEXT("POST_ATTRIBUTES_REQUEST"));
        event.data = (struct fields){client->items + from, left < FIELD_COUNT_MAX ? left : FIELD_COUNT_MAX};
        simulator_apply(simulator, &event, at_ms);
    }
}

/* --- differences ------------------------------------------------------------------------------------------ */

static struct difference *add(struct whatif *whatif, enum difference_kind kind, struct text name)
{
    if (whatif->count == whatif->capacity) {
        size_t capacity = whatif->capacity == 0 ? 16 : 2 * whatif->capacity;
        struct difference *items = arena_alloc(&whatif->arena, capacity * sizeof *items);
        if (whatif->count > 0)
            memcpy(items, whatif->items, whatif->count * sizeof *items);
        whatif->items = items;
        whatif->capacity = capacity;
    }
    struct difference *difference = &whatif->items[whatif->count++];
    *difference = (struct difference){.kind = kind, .name = name};
    return difference;
}

/* `now` or `then` is NULL: there is none on that side. */
static void add_value(struct whatif *whatif, const struct simulated_value *place, const struct simulated_value *now,
                      const struct simulated_value *then)
{
    struct difference *difference = add(whatif, DIFFERENCE_VALUE, place->key);
    difference->scope = place->scope;
    if (now != NULL)
        difference->now = now->value;
    if (then != NULL)
        difference->then = then->value;
}

static int compare_places(const struct simulated_value *a, const struct simulated_value *b)
{
    return a->scope != b->scope ? (int)a->scope - (int)b->scope : text_compare(a->key, b->key);
}

/* Both lists are sorted by scope and key. */
static void compare_values(struct whatif *whatif, const struct simulated_device *now,
                           const struct simulated_device *then)
{
    size_t now_count, then_count;
    const struct simulated_value *a = simulated_values(now, &now_count), *a_end = a + now_count;
    const struct simulated_value *b = simulated_values(then, &then_count), *b_end = b + then_count;
    while (a < a_end || b < b_end) {
        int order = a == a_end ? 1 : b == b_end ? -1 : compare_places(a, b);
        if (order != 0 || !value_equal(&a->value, &b->value))
            add_value(whatif, order <= 0 ? a : b, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
        a += order <= 0;
        b += order >= 0;
    }
}

static struct text note_name(struct whatif *whatif, const struct note *note)
{
    if (note->kind == NOTE_RESULTS)
        return note->name;
    if (note->chain.len == 0)
        return TEXT("");
    return arena_format(&whatif->arena, TEXT_FMT "/" TEXT_FMT, TEXT_ARG(note->chain), TEXT_ARG(note->node));
}

/* One more on that side, in the list of counts from `first` on. */
static void count_note(struct whatif *whatif, size_t first, const struct note *note, unsigned side)
{
    enum difference_kind kind = note->kind == NOTE_RESULTS ? DIFFERENCE_RESULTS : DIFFERENCE_DEAD_LETTERS;
    struct text name = note_name(whatif, note);
    size_t i = first;
    while (i < whatif->count && !(whatif->items[i].kind == kind && text_equal(whatif->items[i].name, name)))
        i++;
    if (i == whatif->count) {
        struct difference *counts = add(whatif, kind, name);
        counts->now = counts->then = (struct value){.kind = VALUE_INTEGER};
    }
    struct value *count = side == NOW ? &whatif->items[i].now : &whatif->items[i].then;
    count->integer++;
}

static void compare_notes(struct whatif *whatif, unsigned kind)
{
    size_t first = whatif->count, kept = first;
    for (unsigned side = 0; side < SIDES; side++)
        for (const struct note *note = simulator_notes(whatif->simulators[side]); note != NULL; note = note->next)
            if (note->kind == kind)
                count_note(whatif, first, note, side);
    for (size_t i = first; i < whatif->count; i++)
        if (whatif->items[i].now.integer != whatif->items[i].then.integer)
            whatif->items[kept++] = whatif->items[i];
    whatif->count = kept;
}

bool whatif_judge(struct whatif *whatif, const struct whatif_device *device, int64_t at_ms,
                  struct difference **differences, size_t *count, struct err *err)
{
    const struct simulated_device *judged[SIDES];
    arena_reset(&whatif->arena);
    whatif->count = whatif->capacity = 0;
    if (!check(device, err))
        return false;
    for (unsigned side = 0; side < SIDES; side++) {
        if (!load(whatif->simulators[side], device, err))
            return false;
        write_nothing(whatif->simulators[side], device, at_ms);
        report_again(whatif->simulators[side], device, at_ms);
        judged[side] = simulator_find(whatif->simulators[side], device->name);
    }
    compare_values(whatif, judged[NOW], judged[THEN]);
    compare_notes(whatif, NOTE_RESULTS);
    compare_notes(whatif, NOTE_DEAD_LETTERS);
    *differences = whatif->items;
    *count = whatif->count;
    return true;
}
