#include "engine/service/shape.h"

/* The comma before a member and, where they aren't in a head, its name. */
static inline char *put_name(char *at, enum form form, struct text name)
{
    *at++ = ',';
    if (form == FORM_ROW)
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

static char *put_change(char *at, enum form form, const void *what)
{
    const struct attribute_change *change = what;
    at = put_json_string(put_name(at, form, TEXT("scope")), change->scope);
    at = put_json_string(put_name(at, form, TEXT("key")), change->key);
    if (change->value != NULL)
        return put_json_value(put_name(at, form, TEXT("value")), change->value);
    if (form == FORM_ROW)
        at = put_text(at, TEXT(",null")); /* in place of the value */
    return put_text(put_name(at, form, TEXT("deleted")), TEXT("true"));
}

const struct shape change_shape = {"\"scope\",\"key\",\"value\",\"deleted\"", change_room, put_change};

/* --- a message that a rule publishes ------------------------------------------------------------------ */

static size_t message_room(const void *what)
{
    enum { FRAME_ROOM = sizeof ",'deviceType':,'type':,'data':,'metadata':" };
    const struct published *published = what;
    return FRAME_ROOM + json_string_room(published->device_type) + json_string_room(published->message->type) +
           published->message->data.len + published->message->metadata.len;
}

static char *put_message(char *at, enum form form, const void *what)
{
    const struct published *published = what;
    at = put_json_string(put_name(at, form, TEXT("deviceType")), published->device_type);
    at = put_json_string(put_name(at, form, TEXT("type")), published->message->type);
    at = put_text(put_name(at, form, TEXT("data")), published->message->data);
    return put_text(put_name(at, form, TEXT("metadata")), published->message->metadata);
}

const struct shape message_shape = {"\"deviceType\",\"type\",\"data\",\"metadata\"", message_room, put_message};

/* --- a dead letter ------------------------------------------------------------------------------------ */

static size_t letter_room(const void *what)
{
    enum { FRAME_ROOM = sizeof ",'chain':,'node':,'error':,'event':" };
    const struct letter *letter = what;
    return FRAME_ROOM + json_string_room(letter->chain) + json_string_room(letter->node) +
           json_string_room(letter->error) + letter->event.len;
}

static char *put_letter(char *at, enum form form, const void *what)
{
    const struct letter *letter = what;
    at = put_json_string(put_name(at, form, TEXT("chain")), letter->chain);
    at = put_json_string(put_name(at, form, TEXT("node")), letter->node);
    at = put_json_string(put_name(at, form, TEXT("error")), letter->error);
    return put_text(put_name(at, form, TEXT("event")), letter->event);
}

const struct shape letter_shape = {"\"chain\",\"node\",\"error\",\"event\"", letter_room, put_letter};
