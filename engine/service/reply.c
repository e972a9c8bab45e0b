#include "engine/service/reply.h"

#include "engine/service/results.h"
#include "engine/service/trace.h"

void reply_begin(struct buf *reply, uint64_t seq)
{
    buf_byte(reply, '{');
    json_member_boolean(reply, "ok", true);
    json_member_unsigned(reply, "seq", seq);
}

void reply_error_begin(struct buf *reply, enum err_code code, const char *error)
{
    buf_byte(reply, '{');
    json_member_boolean(reply, "ok", false);
    json_member_text(reply, "code", text_of(err_code_name(code)));
    json_member_text(reply, "error", text_of(error));
}

void reply_error(struct buf *reply, enum err_code code, const char *error)
{
    reply_error_begin(reply, code, error);
    buf_byte(reply, '}');
}

static void write_attribute(void *context, const struct attribute *attribute)
{
    struct buf *out = context;
    json_key_text(out, attribute->key);
    json_value(out, &attribute->value);
}

bool reply_scopes(struct buf *reply, struct device *device, enum scope last, struct err *err)
{
    for (enum scope scope = SCOPE_CLIENT; scope <= last; scope++) {
        json_open(reply, scope_short(scope), '{');
        if (!device_each(device, scope, write_attribute, reply, err))
            return false;
        buf_byte(reply, '}');
    }
    return true;
}

void reply_values(struct buf *reply, const struct value *old, const struct value *new)
{
    if (old != NULL) {
        json_key(reply, "old");
        json_value(reply, old);
    }
    if (new != NULL) {
        json_key(reply, "new");
        json_value(reply, new);
    }
}

void reply_change(struct buf *reply, const struct history_change *change)
{
    json_member_text(reply, "scope", text_of(scope_name(change->scope)));
    json_member_text(reply, "key", change->new.key);
    reply_values(reply, change->has_old ? &change->old.value : NULL, change->has_new ? &change->new.value : NULL);
}

void reply_result(struct buf *reply, struct text topic, struct text payload)
{
    json_comma(reply);
    buf_byte(reply, '{');
    json_member_text(reply, "class", results_class(topic));
    buf_byte(reply, ',');
    buf_append(reply, (struct text){payload.bytes + 1, payload.len - 1}); /* without its '{' */
}

void reply_step(struct buf *reply, const struct trace_step *step)
{
    json_member_text(reply, "chain", step->chain);
    json_member_text(reply, "node", step->node);
    json_member_text(reply, "type", step->type);
    if (step->relation.len > 0)
        json_member_text(reply, "relation", step->relation);
}
