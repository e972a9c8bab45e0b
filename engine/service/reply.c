#include "engine/service/reply.h"

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
