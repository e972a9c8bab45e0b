/* fuzz_json.c - any bytes into json_parse_object: no crash, what comes out keeps its promises, and the short way
 * agrees. */
#include "engine/base/json.h"

#include <assert.h>

#include "engine/base/limits.h"
#include "tests/unit/json_agree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const struct value *value, struct arena *scratch, struct arena *arena)
{
    if (value->kind == VALUE_INTEGER)
        assert(value->integer <= JSON_INTEGER_MAX && value->integer >= -JSON_INTEGER_MAX);
    if (value->kind == VALUE_STRING)
        assert(text_valid_utf8(value->text));
    if (value->kind == VALUE_JSON) { /* what we write is what we read */
        struct value again;
        struct err err;
        assert(json_parse_value(value->text, scratch, arena, &again, &err));
        assert(value_equal(value, &again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena scratch, arena;
    arena_init(&scratch, 4096);
    arena_init(&arena, 4096);
    struct fields fields;
    struct err err = {.code = ERR_NONE};
    if (json_parse_object((struct text){(const char *)data, size}, &scratch, &arena, &fields, &err)) {
        for (size_t i = 0; i < fields.count; i++) {
            assert(text_valid_utf8(fields.items[i].key));
            assert(fields_get(&fields, fields.items[i].key) == &fields.items[i].value);
            check_value(&fields.items[i].value, &scratch, &arena);
        }
    } else {
        assert(err.code == ERR_BAD_JSON || err.code == ERR_LIMIT);
        assert(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
    }
    bool accepted, agree = json_agree((struct text){(const char *)data, size}, &arena, &accepted);
    assert(agree);
    arena_fini(&scratch);
    arena_fini(&arena);
    return 0;
}
