#include "engine/service/query.h"

#include <stdlib.h>

#include "engine/service/ask.h"
#include "engine/service/meeting.h"
#include "engine/service/reply.h"

enum { QUERY_ARENA_BYTES = 4096 };

/* --- the table ------------------------------------------------------------------------------------------- */

static const struct op *const ops[] = {
    &op_backup,   &op_changes,     &op_count,       &op_deadletters,    &op_device,
    &op_devices,  &op_explain,     &op_history,     &op_metrics,        &op_ping,
    &op_rules,    &op_rules_check, &op_rules_apply, &op_rules_rollback, &op_snapshot,
    &op_stats,    &op_trace,
};
enum { OP_COUNT = sizeof ops / sizeof ops[0] };

static bool unknown_word(struct ask *ask, const char *what, struct text word,
                         const char *const *known, size_t known_count)
{
    const char *nearest = text_nearest(word, known, known_count);
    struct buf list = {.arena = &ask->query->arena};
    for (size_t i = 0; i < known_count; i++)
        buf_printf(&list, "%s%s", i == 0 ? "" : ", ", known[i]);
    return nearest != NULL
               ? err_set(ask->err, ERR_BAD_QUERY, "unknown %s \"%.*s\"; did you mean \"%s\"?", what,
                         (int)(word.len < 64 ? word.len : 64), word.bytes, nearest)
               : err_set(ask->err, ERR_BAD_QUERY, "unknown %s \"%.*s\"; there are: %.*s", what,
                         (int)(word.len < 64 ? word.len : 64), word.bytes, (int)list.len,
                         list.bytes);
}

static const struct op *find_op(struct ask *ask)
{
    const struct value *name = fields_get(&ask->fields, TEXT("op"));
    const char *names[OP_COUNT];
    for (size_t i = 0; i < OP_COUNT; i++) {
        names[i] = ops[i]->name;
        if (name != NULL && name->kind == VALUE_STRING && text_is(name->text, ops[i]->name))
            return ops[i];
    }
    if (name == NULL || name->kind != VALUE_STRING)
        err_set(ask->err, ERR_BAD_QUERY, "op: expected a string, such as {\"op\":\"ping\"}");
    else
        unknown_word(ask, "op", name->text, names, OP_COUNT);
    return NULL;
}

static bool check_fields(struct ask *ask, const struct op *op)
{
    const char *known[ASK_FIELDS_MAX + 1] = {"op"};
    size_t count = 1;
    while (count <= ASK_FIELDS_MAX && op->fields[count - 1] != NULL) {
        known[count] = op->fields[count - 1];
        count++;
    }
    for (size_t i = 0; i < ask->fields.count; i++) {
        size_t k = 0;
        while (k < count && !text_is(ask->fields.items[i].key, known[k]))
            k++;
        if (k == count)
            return unknown_word(ask, "field", ask->fields.items[i].key, known, count);
    }
    return true;
}

static const struct op *read_question(struct ask *ask)
{
    struct arena *arena = &ask->query->arena;
    if (ask->query->body.len > REQUEST_BYTES_MAX) {
        err_set(ask->err, ERR_TOO_LARGE, "a question has at most %d bytes", REQUEST_BYTES_MAX);
        return NULL;
    }
    if (!json_parse_object(ask->query->body, arena, arena, &ask->fields, ask->err))
        return NULL;
    const struct op *op = find_op(ask);
    return op != NULL && check_fields(ask, op) ? op : NULL;
}

/* Gives the question to whom it is for, if that is somebody else: then it isn't ours any longer. */
static bool pass_on(struct ask *ask, const struct op *op)
{
    const struct query_context *context = ask->context;
    struct engine *engine = context->partition->engine;
    const struct value *device = fields_get(&ask->fields, TEXT("device"));
    if (op->needs == OP_NEEDS_ALL && context->count < engine->partition_count) {
        meeting_call(engine, ask->query);
        return true;
    }
    if (op->needs != OP_NEEDS_DEVICE || device == NULL || device->kind != VALUE_STRING)
        return false;
    unsigned number = partition_of(device->text, engine->partition_count);
    if (number == context->partition->number)
        return false;
    queue_push(engine->partitions[number].apply_queue, &ask->query->work);
    return true;
}

static bool answer(struct ask *ask, const struct op *op)
{
    reply_begin(ask->out, state_applied_seq(ask->context->state));
    if (!op->answer(ask))
        return false;
    if (ask->query->answered_later)
        buf_clear(ask->out);
    else
        buf_byte(ask->out, '}');
    return true;
}

static void reply_with(struct query *query, const struct err *err, struct text details)
{
    buf_clear(&query->reply);
    reply_error_begin(&query->reply, err->code, err->text);
    if (details.len > 0) {
        json_comma(&query->reply);
        buf_append(&query->reply, details);
    }
    buf_byte(&query->reply, '}');
}

void query_reply_error(struct query *query, const struct err *err)
{
    reply_with(query, err, TEXT(""));
}

bool query_answer(const struct query_context *context, struct query *query, bool *home, struct err *err)
{
    struct ask ask = {
        .context = context,
        .query = query,
        .out = &query->reply,
        .err = err,
        .details.arena = &query->arena,
    };
    const struct op *op = read_question(&ask);
    *home = op == NULL || !pass_on(&ask, op);
    if (!*home)
        return true;
    stats_add(&context->partition->engine->stats->queries, 1);
    if (op != NULL && answer(&ask, op)) {
        *home = !query->answered_later;
        return true;
    }
    reply_with(query, err, buf_text(&ask.details));
    return err->code != ERR_STORE;
}

struct query *query_create(void)
{
    struct query *query = calloc(1, sizeof *query);
    if (query == NULL)
        abort();
    query->work.kind = WORK_QUERY;
    arena_init(&query->arena, QUERY_ARENA_BYTES);
    return query;
}

void query_destroy(struct query *query)
{
    arena_fini(&query->arena);
    buf_fini(&query->reply);
    free(query);
}
