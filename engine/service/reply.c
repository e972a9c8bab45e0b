#include "engine/service/reply.h"

void reply_error(struct buf *reply, enum err_code code, const char *error)
{
    buf_byte(reply, '{');
    json_member_boolean(reply, "ok", false);
    json_member_text(reply, "code", text_of(err_code_name(code)));
    json_member_text(reply, "error", text_of(error));
    buf_byte(reply, '}');
}
