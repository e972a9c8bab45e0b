/* fuzz_event.c - any bytes into event_parse: no crash, and an accepted event is within its bounds. */
#include "rules/event.h"

#include <assert.h>

#include "engine/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(const struct event *event)
{
    assert(event->device.len >= 1 && event->device.len <= DEVICE_BYTES_MAX);
    assert(text_valid_utf8(event->device));
    assert(event->type.len >= 1 && event->type.len <= TYPE_BYTES_MAX);
    assert(event->has_scope == text_is(event->type, "ATTRIBUTES_UPDATED"));
    assert(!event->has_scope || event->scope < SCOPE_TELEMETRY);
    assert(!event->has_ts || (event->ts_ms >= 0 && event->ts_ms <= JSON_INTEGER_MAX));
    assert((event->source.bytes != NULL) == (event->n > 0));
    assert(event->data.count <= FIELD_COUNT_MAX && event->metadata.count <= FIELD_COUNT_MAX);
    for (size_t i = 0; i < event->data.count; i++)
        assert(event->data.items[i].key.len <= KEY_BYTES_MAX);
    for (size_t i = 0; i < event->metadata.count; i++)
        assert(event->metadata.items[i].value.kind == VALUE_STRING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena scratch, arena;
    arena_init(&scratch, 4096);
    arena_init(&arena, 4096);
    struct event event;
    struct err err = {.code = ERR_NONE};
    if (event_parse((struct text){(const char *)data, size}, &scratch, &arena, &event, &err)) {
        check_event(&event);
    } else {
        assert(err.code == ERR_BAD_JSON || err.code == ERR_LIMIT || err.code == ERR_TOO_LARGE ||
               err.code == ERR_BAD_EVENT);
        assert(err.text[0] != '\0');
    }
    arena_fini(&scratch);
    arena_fini(&arena);
    return 0;
}
