#include "engine/service/trace.h"

#include "engine/base/limits.h"

enum { TRACE_MEMBERS_BYTES = REQUEST_BYTES_MAX }; /* of what all steps did to the message */

void *trace_grow(struct arena *arena, void *items, size_t count, size_t item_bytes)
{
    if (count > 0 && (count < 8 || (count & (count - 1)) != 0))
        return items;
    void *larger = arena_alloc(arena, (count < 8 ? 8 : 2 * count) * item_bytes);
    if (count > 0)
        memcpy(larger, items, count * item_bytes);
    return larger;
}

void trace_note_read(struct trace *trace, enum scope scope, struct text key, int64_t ts_ms)
{
    for (size_t i = 0; i < trace->read_count; i++)
        if (trace->reads[i].scope == scope && text_equal(trace->reads[i].key, key))
            return;
    trace->reads = trace_grow(trace->arena, trace->reads, trace->read_count, sizeof *trace->reads);
    trace->reads[trace->read_count++] = (struct trace_read){scope, arena_copy(trace->arena, key), ts_ms};
}

struct value trace_copy_value(struct arena *arena, const struct value *value)
{
    struct value copy = *value;
    if (value->kind == VALUE_STRING || value->kind == VALUE_JSON)
        copy.text = arena_copy(arena, value->text);
    return copy;
}

static void note_begun(void *context, const struct fields *metadata)
{
    struct trace *trace = context;
    trace->saved_count = trace->change_count;
    if (!trace->wants_members)
        return;
    struct field *items = arena_alloc(trace->arena, metadata->count * sizeof *items);
    for (size_t i = 0; i < metadata->count; i++)
        items[i] = (struct field){arena_copy(trace->arena, metadata->items[i].key),
                                  trace_copy_value(trace->arena, &metadata->items[i].value)};
    trace->metadata = (struct fields){items, metadata->count};
}

static size_t value_bytes(const struct value *value)
{
    return value != NULL && (value->kind == VALUE_STRING || value->kind == VALUE_JSON) ? value->text.len : 0;
}

/* One member that is otherwise now; NULL: it wasn't there, or is no longer. */
static void note_member(struct trace *trace, bool in_metadata, struct text key, const struct value *old,
                        const struct value *new)
{
    trace->members = trace_grow(trace->arena, trace->members, trace->member_count, sizeof *trace->members);
    struct trace_member *member = &trace->members[trace->member_count++];
    *member = (struct trace_member){
        .in_metadata = in_metadata,
        .has_old = old != NULL,
        .has_new = new != NULL,
        .key = arena_copy(trace->arena, key),
    };
    if (old != NULL)
        member->old = trace_copy_value(trace->arena, old);
    if (new != NULL)
        member->new = trace_copy_value(trace->arena, new);
    trace->member_bytes += sizeof *member + key.len + value_bytes(old) + value_bytes(new);
}

/* The value of a member, NULL: it isn't there. Members keep their order but for a few, so each is looked for where
 * the one before it was found: *next is the position behind that. */
static const struct value *value_next(const struct fields *fields, struct text key, size_t *next)
{
    size_t at = *next;
    if (at >= fields->count || !text_equal(fields->items[at].key, key))
        for (at = 0; at < fields->count && !text_equal(fields->items[at].key, key);)
            at++;
    if (at == fields->count)
        return NULL;
    *next = at + 1;
    return &fields->items[at].value;
}

static void note_members(struct trace *trace, bool in_metadata, const struct fields *before, const struct fields *after)
{
    size_t next = 0;
    for (size_t i = 0; i < after->count; i++) {
        const struct field *field = &after->items[i];
        const struct value *old = value_next(before, field->key, &next);
        if (old == NULL || !value_equal(old, &field->value))
            note_member(trace, in_metadata, field->key, old, &field->value);
    }
    next = 0;
    for (size_t i = 0; i < before->count; i++)
        if (value_next(after, before->items[i].key, &next) == NULL)
            note_member(trace, in_metadata, before->items[i].key, &before->items[i].value, NULL);
}

static void note_published(void *context, struct text class_name)
{
    struct trace *trace = context;
    trace->published = arena_copy(trace->arena, class_name);
}

static void note_step(void *context, struct text chain, struct text node, const char *type, const char *relation,
                      const struct message_passage *passage)
{
    struct trace *trace = context;
    if (passage != NULL) {
        note_members(trace, false, &passage->data_before, &passage->data);
        note_members(trace, true, &passage->metadata_before, &passage->metadata);
        trace->cut = trace->member_bytes > TRACE_MEMBERS_BYTES;
        trace->tracer.wants_passages = !trace->cut;
    }
    trace->steps = trace_grow(trace->arena, trace->steps, trace->step_count, sizeof *trace->steps);
    trace->steps[trace->step_count++] = (struct trace_step){
        .chain = arena_copy(trace->arena, chain),
        .node = arena_copy(trace->arena, node),
        .type = text_of(type),
        .relation = text_of(relation),
        .changes_end = trace->change_count,
        .members_end = trace->member_count,
        .published = trace->published,
    };
    trace->published = TEXT("");
}

const struct tracer *trace_begin(struct trace *trace, struct arena *arena)
{
    trace->arena = arena;
    trace->tracer = (struct tracer){
        .context = trace,
        .begun = note_begun,
        .passed = note_step,
        .published = note_published,
        .wants_passages = trace->wants_members,
    };
    return &trace->tracer;
}

void trace_note_change(struct trace *trace, enum scope scope, struct text key, const struct value *old,
                       const struct value *new)
{
    trace->changes = trace_grow(trace->arena, trace->changes, trace->change_count, sizeof *trace->changes);
    struct history_change *change = &trace->changes[trace->change_count];
    *change = (struct history_change){.scope = scope, .has_old = old != NULL, .has_new = new != NULL};
    change->old.key = change->new.key = arena_copy(trace->arena, key);
    if (old != NULL)
        change->old.value = trace_copy_value(trace->arena, old);
    if (new != NULL)
        change->new.value = trace_copy_value(trace->arena, new);
}
