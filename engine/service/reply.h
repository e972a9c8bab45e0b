/* reply.h - the form of every answer that isn't ok: {"ok":false,"code":...,"error":...}. */
#ifndef SERVICE_REPLY_H
#define SERVICE_REPLY_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

/* reply_error - append the whole object. `code` is for machines, `error` one line for a person. */
void reply_error(struct buf *reply, enum err_code code, const char *error);

#endif
