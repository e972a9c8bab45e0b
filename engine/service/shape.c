#include "engine/service/shape.h"

#include <assert.h>

/* The comma before a member and, where they aren't in a head, its name. */
static inline char *put_name(char *at, const struct common *common, struct text name)
{
    *at++ = ',';
    if (common != NULL)
        return at;
    *at++ = '"';
    at = put_text(at, name);
    return put_text(at, TEXT("\":"));
}

/* --- a changed attribute ------------------------------------------------------------------------------ */

static size_t change_room(const void *what)
{
    enum { FRAME_ROOM = sizeof ",'scope':,'key':,null,'deleted':true" };
    const struct attribute_change *change = what;
    return FRAME_ROOM + json_string_room(change->scope) + json_string_room(change->key) +
           (change->value == NULL ? 0 : json_value_room(change->value));
}

static char *put_change(char *at, const struct common *common, const void *what)
{
    const struct attribute_change *change = what;
    at = put_json_string(put_name(at, common, TEXT("scope")), change->scope);
    at = put_json_string(put_name(at, common, TEXT("key")), change->key);
    if (change->value != NULL)
        return put_json_value(put_name(at, common, TEXT("value")), change->value);
    if (common != NULL)
        at = put_text(at, TEXT(",null")); /* in place of the value */
    return put_text(put_name(at, common, TEXT("deleted")), TEXT("true"));
}

const struct shape change_shape = {"\"scope\",\"key\",\"value\",\"deleted\"", change_room, put_change, NULL};

/* --- a message that a rule publishes ------------------------------------------------------------------ */

static size_t message_room(const void *what)
{
    enum { FRAME_ROOM = sizeof ",'deviceType':,'type':,'data':,'metadata':,null,null" };
    const struct published *published = what;
    return FRAME_ROOM + json_string_room(published->device_type) + json_string_room(published->message->type) +
           published->message->data.room + published->message->metadata.room;
}

static bool has_no_metadata(const struct published *published)
{
    return published->message->metadata.count == 0;
}

/* In front of a member of its own: those before it that are as the head says. */
static char *put_skipped(char *at, unsigned *skipped)
{
    for (; *skipped > 0; --*skipped)
        at = put_text(at, TEXT(",null"));
    return put_text(at, TEXT(","));
}

static char *put_message_row(char *at, const struct common *common, const struct published *published)
{
    unsigned skipped = 0;
    at = chosen_put(put_text(at, TEXT(",")), &published->message->data);
    if (common->no_metadata && has_no_metadata(published))
        skipped++;
    else
        at = chosen_put(put_skipped(at, &skipped), &published->message->metadata);
    if (text_equal(common->device_type, published->device_type))
        skipped++;
    else
        at = put_json_string(put_skipped(at, &skipped), published->device_type);
    if (text_equal(common->type, published->message->type))
        return at;
    return put_json_string(put_skipped(at, &skipped), published->message->type);
}

static char *put_message(char *at, const struct common *common, const void *what)
{
    const struct published *published = what;
    if (common != NULL)
        return put_message_row(at, common, published);
    at = put_json_string(put_name(at, NULL, TEXT("deviceType")), published->device_type);
    at = put_json_string(put_name(at, NULL, TEXT("type")), published->message->type);
    at = chosen_put(put_name(at, NULL, TEXT("data")), &published->message->data);
    return chosen_put(put_name(at, NULL, TEXT("metadata")), &published->message->metadata);
}

static char *put_message_common(char *at, struct common *common, const void *what)
{
    const struct published *published = what;
    struct text device_type = published->device_type, type = published->message->type;
    assert(device_type.len <= TYPE_BYTES_MAX && type.len <= TYPE_BYTES_MAX);
    char *behind = put_text(common->bytes, device_type);
    put_text(behind, type);
    common->device_type = (struct text){common->bytes, device_type.len};
    common->type = (struct text){behind, type.len};
    common->no_metadata = has_no_metadata(published);
    at = put_json_string(put_name(at, NULL, TEXT("deviceType")), device_type);
    at = put_json_string(put_name(at, NULL, TEXT("type")), type);
    return common->no_metadata ? put_text(put_name(at, NULL, TEXT("metadata")), TEXT("{}")) : at;
}

const struct shape message_shape = {"\"data\",\"metadata\",\"deviceType\",\"type\"", message_room, put_message,
                                    put_message_common};

/* --- a dead letter ------------------------------------------------------------------------------------ */

static size_t letter_room(const void *what)
{
    enum { FRAME_ROOM = sizeof ",'chain':,'node':,'error':,'event':" };
    const struct letter *letter = what;
    return FRAME_ROOM + json_string_room(letter->chain) + json_string_room(letter->node) +
           json_string_room(letter->error) + letter->event.len;
}

static char *put_letter(char *at, const struct common *common, const void *what)
{
    const struct letter *letter = what;
    at = put_json_string(put_name(at, common, TEXT("chain")), letter->chain);
    at = put_json_string(put_name(at, common, TEXT("node")), letter->node);
    at = put_json_string(put_name(at, common, TEXT("error")), letter->error);
    return put_text(put_name(at, common, TEXT("event")), letter->event);
}

const struct shape letter_shape = {"\"chain\",\"node\",\"error\",\"event\"", letter_room, put_letter, NULL};
