/* reply.h - pieces that several answers have. */
#ifndef SERVICE_REPLY_H
#define SERVICE_REPLY_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "store/state.h"

struct trace_step;

/* reply_begin - the answer that is ok, left open: {"ok":true,"seq":...  */
void reply_begin(struct buf *reply, uint64_t seq);

/* reply_error - append the whole answer that isn't ok: {"ok":false,"code":...,"error":...}. `code` is for
 * machines, `error` one line for a person. */
void reply_error(struct buf *reply, enum err_code code, const char *error);
/* reply_error_begin - the same, left open for more members. */
void reply_error_begin(struct buf *reply, enum err_code code, const char *error);

/* reply_scopes - `"client":{...}` and so on: the device's attributes by scope, up to the scope `last`. */
bool reply_scopes(struct buf *reply, struct device *device, enum scope last, struct err *err);

/* reply_values - the members `old` and `new` of a change; NULL: it wasn't there, or is no longer. */
void reply_values(struct buf *reply, const struct value *old, const struct value *new);
/* reply_change - the members of a stored value's: scope, key, old, new. */
void reply_change(struct buf *reply, const struct history_change *change);
/* reply_result - one as it was published, with its class, as an element of an array. */
void reply_result(struct buf *reply, struct text topic, struct text payload);
/* reply_step - the members of a node that a message passed: chain, node, type, relation. */
void reply_step(struct buf *reply, const struct trace_step *step);

#endif
