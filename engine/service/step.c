#include "engine/service/step.h"

#include <assert.h>
#include <inttypes.h>

enum { EVENT_ARENA_BYTES = 256 * 1024, NAMES_ARENA_BYTES = 64 * 1024 };

void step_init(struct step *step)
{
    *step = (struct step){.state = NULL};
    arena_init(&step->arena, EVENT_ARENA_BYTES);
    arena_init(&step->names, NAMES_ARENA_BYTES);
}

void step_fini(struct step *step)
{
    arena_fini(&step->arena);
    arena_fini(&step->names);
}

/* --- the device as the rules see it --------------------------------------------------------------------- */

static bool access_get(void *device, enum scope scope, struct text key, struct value *value,
                       bool *found, struct err *err)
{
    return device_value(device, scope, key, value, found, err);
}

static bool access_put(void *device, enum scope scope, struct text key, const struct value *value,
                       int64_t ts_ms, uint64_t seq, bool *changed, struct err *err)
{
    return device_put(device, scope, key, value, ts_ms, seq, changed, err);
}

static bool access_remove(void *device, enum scope scope, struct text key, bool *existed,
                          struct err *err)
{
    return device_delete(device, scope, key, existed, err);
}

static void access_timer_set(void *device, int64_t due_ms, int64_t now_ms)
{
    device_timer_set(device, due_ms, now_ms);
}

static const struct device_access device_access = {access_get, access_put, access_remove,
                                                   access_timer_set};

/* --- the step -------------------------------------------------------------------------------------------- */

/* seen_ms  as state_device_open takes it */
static bool apply_to_device(struct step *step, const struct event *event, struct text line, uint64_t seq,
                            int64_t received_ms, int64_t seen_ms, unsigned *dead_letters,
                            struct err *err)
{
    assert(step->ruleset != NULL); /* a rules record is the journal's first */
    assert(seq > state_applied_seq(step->state));
    struct device *device;
    state_step(step->state, seq, received_ms, (unsigned)event->type_index);
    if (!state_device_open(step->state, event->device, event->device_type, received_ms, seen_ms, &device,
                           err))
        return err_context(err, "event %" PRIu64 ": ", seq);
    publisher_event(step->publisher, seq, received_ms, event->device, device_type(device), line);
    struct apply_input input = {
        .event = event,
        .seq = seq,
        .received_ms = received_ms,
        .device_type = device_type(device),
        .device = device,
        .access = &device_access,
        .sink = publisher_sink(step->publisher),
        .arena = &step->arena,
    };
    *dead_letters = 0;
    bool applied = apply_event(step->ruleset, &input, dead_letters, err) &&
                   state_device_save(step->state, device, err);
    arena_reset(&step->arena);
    return applied || err_context(err, "event %" PRIu64 ": ", seq);
}

bool step_event(struct step *step, const struct event *event, struct text line, uint64_t seq,
                int64_t received_ms, unsigned *dead_letters, struct err *err)
{
    int64_t seen_ms = event->has_scope ? 0 : received_ms; /* 0: an operator's */
    if (!apply_to_device(step, event, line, seq, received_ms, seen_ms, dead_letters, err))
        return false;
    state_set_applied_seq(step->state, seq);
    return true;
}

static bool deadline_passed(struct step *step, struct text name, uint64_t seq, int64_t received_ms,
                            struct err *err)
{
    struct event event;
    unsigned dead_letters;
    struct text line = event_deadline_passed(name, &step->names, &event);
    return apply_to_device(step, &event, line, seq, received_ms, 0, &dead_letters, err);
}

bool step_tick(struct step *step, uint64_t seq, int64_t received_ms, struct err *err)
{
    enum { DEVICES_MAX = 500 }; /* never change it: a replay has to take the same */
    struct text *names;
    size_t count;
    bool done = state_timers_due(step->state, received_ms, DEVICES_MAX, &step->names, &names, &count, err);
    for (size_t i = 0; done && i < count; i++)
        done = deadline_passed(step, names[i], seq, received_ms, err);
    arena_reset(&step->names);
    if (done)
        state_set_applied_seq(step->state, seq);
    return done;
}
