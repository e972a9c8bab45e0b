/* expand.c - a pattern's text for one message. */
#include "rules/message.h"

#include "engine/base/limits.h"
#include "rules/pattern.h"

/* Where a part's text comes from, and whether it was there. */
static bool data_value(struct fwsync_message *message, const struct part *part, struct value *value)
{
    if (part->dotted)
        return json_path(&message->data.fields, part->text, message->run->input->arena, value);
    const struct value *found = fields_get(&message->data.fields, part->text);
    if (found != NULL)
        *value = *found;
    return found != NULL;
}

static struct text part_text(struct fwsync_message *message, const struct part *part, bool *complete)
{
    struct value value;
    switch (part->kind) {
    case PART_LITERAL:
        return part->text;
    case PART_METADATA: {
        const struct value *found = fields_get(&message->metadata.fields, part->text);
        if (found != NULL)
            return found->text;
        break;
    }
    case PART_DATA:
        if (data_value(message, part, &value))
            return value_text(&value, message->run->input->arena);
        break;
    case PART_ALL_METADATA:
        return members_json(&message->metadata, message->run->input->arena);
    case PART_ALL_DATA:
        return members_json(&message->data, message->run->input->arena);
    }
    *complete = false;
    return part->written;
}

static bool too_long(struct fwsync_message *message, const struct fwsync_pattern *pattern)
{
    fwsync_fail(message, "'%.*s' gives more than %d bytes",
                pattern->source.len > 64 ? 64 : (int)pattern->source.len, pattern->source.bytes,
                VALUE_BYTES_MAX);
    return false;
}

static bool join(struct fwsync_message *message, const struct fwsync_pattern *pattern,
                 struct text *out, bool *complete)
{
    struct arena *arena = message->run->input->arena;
    struct text *texts = arena_alloc(arena, pattern->count * sizeof *texts);
    size_t bytes = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        texts[i] = part_text(message, &pattern->parts[i], complete);
        bytes += texts[i].len;
        if (bytes > VALUE_BYTES_MAX)
            return too_long(message, pattern);
    }
    char *joined = arena_alloc(arena, bytes + 1);
    char *end = joined;
    for (size_t i = 0; i < pattern->count; i++) {
        if (texts[i].len > 0)
            memcpy(end, texts[i].bytes, texts[i].len);
        end += texts[i].len;
    }
    *out = (struct text){joined, bytes};
    return true;
}

bool fwsync_pattern_expand(struct fwsync_message *message, const struct fwsync_pattern *pattern,
                           struct fwsync_text *text, bool *complete)
{
    bool all_there = true;
    struct text out = TEXT("");
    if (pattern->count == 1)
        out = part_text(message, &pattern->parts[0], &all_there);
    else if (pattern->count > 1 && !join(message, pattern, &out, &all_there))
        return false;
    if (out.len > VALUE_BYTES_MAX)
        return too_long(message, pattern);
    *text = text_out(out);
    if (complete != NULL)
        *complete = all_there;
    return true;
}

bool fwsync_pattern_value(struct fwsync_message *message, const struct fwsync_pattern *pattern,
                          struct fwsync_value *value, bool *complete)
{
    struct value found;
    if (pattern->count == 1 && pattern->parts[0].kind == PART_DATA &&
        data_value(message, &pattern->parts[0], &found)) {
        *value = value_out(&found);
        if (complete != NULL)
            *complete = true;
        return true;
    }
    struct fwsync_text text;
    if (!fwsync_pattern_expand(message, pattern, &text, complete))
        return false;
    *value = (struct fwsync_value){.kind = FWSYNC_STRING, .text = text};
    return true;
}
