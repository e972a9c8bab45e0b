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

static char *put_change(char *at, const char *end, const struct common *common, const void *what)
{
    enum { FRAME_ROOM = sizeof ",'scope':,'key':,null,'deleted':true" };
    const struct attribute_change *change = what;
    if ((size_t)(end - at) < FRAME_ROOM + json_string_room(change->scope) + json_string_room(change->key) +
                                 (change->value == NULL ? 0 : json_value_room(change->value)))
        return NULL;
    at = put_json_string(put_name(at, common, TEXT("scope")), change->scope);
    at = put_json_string(put_name(at, common, TEXT("key")), change->key);
    if (change->value != NULL)
        return put_json_value(put_name(at, common, TEXT("value")), change->value);
    if (common != NULL)
        at = put_text(at, TEXT(",null")); /* in place of the value */
    return put_text(put_name(at, common, TEXT("deleted")), TEXT("true"));
}

const struct shape change_shape = {"\"scope\",\"key\",\"value\",\"deleted\"", put_change, NULL};

/* --- a message that a rule publishes ------------------------------------------------------------------ */

enum { MESSAGE_ROOM = sizeof ",'deviceType':,'type':,'data':,'metadata':,null,null" };

/* A row with members of its own, where they aren't as the head says. */
static char *put_own_row(char *at, const char *end, const struct common *common, const struct published *published)
{
    const struct message_view *message = published->message;
    const struct text none = TEXT(",null");
    bool metadata = !common->no_metadata || !chosen_none(&message->metadata);
    bool device_type = !text_equal(common->device_type, published->device_type);
    bool type = !text_equal(common->type, message->type);
    at = chosen_put(put_text(at, TEXT(",")), end, &message->data);
    if (at != NULL && metadata)
        at = chosen_put(put_text(at, TEXT(",")), end, &message->metadata);
    if (at == NULL)
        return NULL;
    if (!metadata && (device_type || type))
        at = put_text(at, none);
    if (device_type)
        at = put_json_string(put_text(at, TEXT(",")), published->device_type);
    else if (type)
        at = put_text(at, none);
    return type ? put_json_string(put_text(at, TEXT(",")), message->type) : at;
}

static char *put_whole(char *at, const char *end, const struct published *published)
{
    at = put_json_string(put_name(at, NULL, TEXT("deviceType")), published->device_type);
    at = put_json_string(put_name(at, NULL, TEXT("type")), published->message->type);
    at = chosen_put(put_name(at, NULL, TEXT("data")), end, &published->message->data);
    return at == NULL ? NULL : chosen_put(put_name(at, NULL, TEXT("metadata")), end, &published->message->metadata);
}

static __attribute__((noinline)) char *put_more(char *at, const char *end, const struct common *common,
                                                const struct published *published)
{
    size_t room = MESSAGE_ROOM + json_string_room(published->device_type) +
                  json_string_room(published->message->type); /* for all but data and metadata */
    if ((size_t)(end - at) < room)
        return NULL;
    return common == NULL ? put_whole(at, end - room, published) : put_own_row(at, end - room, common, published);
}

static bool is_as_head(const struct common *common, const struct published *published)
{
    return common->no_metadata && chosen_none(&published->message->metadata) &&
           text_equal(common->type, published->message->type) &&
           text_equal(common->device_type, published->device_type);
}

static char *put_message(char *at, const char *end, const struct common *common, const void *what)
{
    const struct published *published = what;
    if (common == NULL || !is_as_head(common, published))
        return put_more(at, end, common, published);
    return end == at ? NULL : chosen_put(put_text(at, TEXT(",")), end, &published->message->data);
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
    common->no_metadata = chosen_none(&published->message->metadata);
    at = put_json_string(put_name(at, NULL, TEXT("deviceType")), device_type);
    at = put_json_string(put_name(at, NULL, TEXT("type")), type);
    return common->no_metadata ? put_text(put_name(at, NULL, TEXT("metadata")), TEXT("{}")) : at;
}

const struct shape message_shape = {"\"data\",\"metadata\",\"deviceType\",\"type\"", put_message,
                                    put_message_common};

/* --- a dead letter ------------------------------------------------------------------------------------ */

static char *put_letter(char *at, const char *end, const struct common *common, const void *what)
{
    enum { FRAME_ROOM = sizeof ",'chain':,'node':,'error':,'event':" };
    const struct letter *letter = what;
    if ((size_t)(end - at) < FRAME_ROOM + json_string_room(letter->chain) + json_string_room(letter->node) +
                                 json_string_room(letter->error) + letter->event.len)
        return NULL;
    at = put_json_string(put_name(at, common, TEXT("chain")), letter->chain);
    at = put_json_string(put_name(at, common, TEXT("node")), letter->node);
    at = put_json_string(put_name(at, common, TEXT("error")), letter->error);
    return put_text(put_name(at, common, TEXT("event")), letter->event);
}

const struct shape letter_shape = {"\"chain\",\"node\",\"error\",\"event\"", put_letter, NULL};
