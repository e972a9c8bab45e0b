#include "engine/service/step.h"

#include <assert.h>
#include <inttypes.h>

enum { EVENT_ARENA_BYTES = 256 * 1024 };

void step_init(struct step *step)
{
    *step = (struct step){.state = NULL};
    arena_init(&step->arena, EVENT_ARENA_BYTES);
}

void step_fini(struct step *step)
{
    arena_fini(&step->arena);
}

/* --- the device as the rules see it --------------------------------------------------------------------- */

static bool access_get(void *device, enum scope scope, struct text key, struct value *value,
                       bool *found, struct err *err)
{
    struct attribute attribute;
    if (!device_get(device, scope, key, &attribute, found, err))
        return false;
    if (*found)
        *value = attribute.value;
    return true;
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

static const struct device_access device_access = {access_get, access_put, access_remove};

/* --- the step -------------------------------------------------------------------------------------------- */

bool step_event(struct step *step, const struct event *event, struct text line, uint64_t seq,
                int64_t received_ms, unsigned *dead_letters, struct err *err)
{
    assert(step->ruleset != NULL); /* a rules record is the journal's first */
    assert(seq > state_applied_seq(step->state));
    struct device *device;
    if (!state_device_open(step->state, event->device, event->device_type, received_ms,
                           event->has_scope ? 0 : received_ms, &device, err)) /* 0: an operator's */
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
    if (!applied)
        return err_context(err, "event %" PRIu64 ": ", seq);
    state_set_applied_seq(step->state, seq);
    return true;
}
