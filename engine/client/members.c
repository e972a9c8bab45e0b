#include "engine/client/members.h"

#include "engine/base/limits.h"

struct text field_text(const struct fields *fields, const char *key)
{
    const struct value *value = fields_get(fields, text_of(key));
    return value != NULL && value->kind == VALUE_STRING ? value->text : TEXT("");
}

struct text field_json(const struct fields *fields, const char *key)
{
    const struct value *value = fields_get(fields, text_of(key));
    return value != NULL && (value->kind == VALUE_STRING || value->kind == VALUE_JSON) ? value->text : TEXT("");
}

int64_t field_integer(const struct fields *fields, const char *key)
{
    const struct value *value = fields_get(fields, text_of(key));
    return value != NULL && value->kind == VALUE_INTEGER ? value->integer : 0;
}

uint64_t field_number(const struct fields *fields, const char *key)
{
    int64_t integer = field_integer(fields, key);
    return integer > 0 ? (uint64_t)integer : 0;
}

uint64_t field_partition(const struct fields *fields)
{
    const struct value *value = fields_get(fields, TEXT("partition"));
    if (value == NULL)
        return 0;
    return value->kind == VALUE_INTEGER && value->integer >= 0 ? (uint64_t)value->integer : PARTITION_COUNT_MAX;
}

bool field_boolean(const struct fields *fields, const char *key)
{
    const struct value *value = fields_get(fields, text_of(key));
    return value != NULL && value->kind == VALUE_BOOLEAN && value->boolean;
}
