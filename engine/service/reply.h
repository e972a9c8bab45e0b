/* reply.h - pieces that several answers have. */
#ifndef SERVICE_REPLY_H
#define SERVICE_REPLY_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "store/state.h"

/* reply_begin - the answer that is ok, left open: {"ok":true,"seq":...  */
void reply_begin(struct buf *reply, uint64_t seq);

/* reply_error - append the whole answer that isn't ok: {"ok":false,"code":...,"error":...}. `code` is for
 * machines, `error` one line for a person. */
void reply_error(struct buf *reply, enum err_code code, const char *error);
/* reply_error_begin - the same, left open for more members. */
void reply_error_begin(struct buf *reply, enum err_code code, const char *error);

/* reply_scopes - `"client":{...}` and so on: the device's attributes by scope, up to the scope `last`. */
bool reply_scopes(struct buf *reply, struct device *device, enum scope last, struct err *err);

#endif
