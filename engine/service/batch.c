#include "engine/service/batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "engine/service/partition.h"
#include "engine/service/reply.h"

enum { BATCH_ARENA_BYTES = 32 * 1024, ACKS_ARENA_BYTES = 4 * 1024 };

static struct acks *acks_create(void)
{
    struct acks *acks = calloc(1, sizeof *acks);
    if (acks == NULL)
        abort();
    acks->work.kind = WORK_ACKS;
    arena_init(&acks->arena, ACKS_ARENA_BYTES);
    return acks;
}

struct batch *batch_create(void)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        abort();
    batch->shared.work.kind = WORK_BATCH;
    arena_init(&batch->arena, BATCH_ARENA_BYTES);
    batch->acks = acks_create();
    return batch;
}

void batch_destroy(struct batch *batch)
{
    if (batch == NULL)
        return;
    acks_destroy(batch->acks);
    arena_fini(&batch->arena);
    free(batch->events);
    free(batch);
}

void acks_destroy(struct acks *acks)
{
    if (acks == NULL)
        return;
    arena_fini(&acks->arena);
    free(acks->requests);
    free(acks);
}

void acks_clear(struct acks *acks)
{
    arena_reset(&acks->arena);
    acks->request_count = 0;
}

void batch_clear(struct batch *batch)
{
    arena_reset(&batch->arena);
    batch->event_count = 0;
    batch->refuse = NULL;
}

void batch_pair(struct batch *batch, struct acks *acks)
{
    assert(batch->acks == NULL);
    batch->acks = acks != NULL ? acks : acks_create();
}

/* Room for one more item of an array that keeps its memory from use to use. */
static void *grow(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    items = realloc(items, *capacity * item_bytes);
    if (items == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return items;
}

static struct request *add_request(struct acks *acks, struct envelope envelope)
{
    acks->requests = grow(acks->requests, acks->request_count, &acks->request_capacity,
                          sizeof *acks->requests);
    struct request *request = &acks->requests[acks->request_count++];
    *request = (struct request){
        .envelope = envelope,
        .line_errors = {.arena = &acks->arena},
    };
    return request;
}

static void reject_line(struct request *request, size_t line, const struct err *err)
{
    if (request->rejected++ >= LINE_ERRORS_MAX)
        return;
    struct buf *errors = &request->line_errors;
    if (errors->len > 0)
        buf_byte(errors, ',');
    buf_byte(errors, '{');
    json_member_unsigned(errors, "line", line);
    json_member_text(errors, "code", text_of(err_code_name(err->code)));
    json_member_text(errors, "error", text_of(err->text));
    buf_byte(errors, '}');
}

static bool line_is_blank(struct text line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.bytes[i] != ' ' && line.bytes[i] != '\t' && line.bytes[i] != '\r')
            return false;
    return true;
}

static void add_lines(struct batch *batch, struct request *request, struct text body,
                      struct arena *scratch)
{
    const char *at = body.bytes, *end = body.bytes + body.len;
    for (size_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct text line = {at, (size_t)((newline == NULL ? end : newline) - at)};
        at = newline == NULL ? end : newline + 1;
        if (line_is_blank(line))
            continue;
        batch->events =
            grow(batch->events, batch->event_count, &batch->event_capacity, sizeof *batch->events);
        struct batch_event *event = &batch->events[batch->event_count];
        struct err err;
        if (!event_parse(line, scratch, &batch->arena, &event->event, &err)) {
            reject_line(request, number, &err);
            continue;
        }
        event->line = line;
        event->seq = 0;
        event->request = (uint32_t)(request - batch->acks->requests);
        batch->event_count++;
    }
}

static struct text failed_reply(struct arena *arena, enum err_code code, const char *error)
{
    struct buf reply = {.arena = arena};
    reply_error(&reply, code, error);
    return buf_text(&reply);
}

/* Could an event of this body have a source? If not, a refusal needs no look at the events. */
static bool may_name_source(struct text body)
{
    return memmem(body.bytes, body.len, "source", 6) != NULL ||
           memmem(body.bytes, body.len, "\\u", 2) != NULL; /* a key can be written with escapes */
}

void batch_add(struct batch *batch, struct envelope envelope, struct text body,
               struct arena *scratch)
{
    struct request *request = add_request(batch->acks, envelope);
    if (batch->refuse != NULL && !may_name_source(body)) {
        request->refused = batch->refuse;
        return;
    }
    if (body.len > REQUEST_BYTES_MAX)
        request->failed = failed_reply(&batch->acks->arena, ERR_TOO_LARGE,
                                       "a request is at most 1048576 bytes; send fewer events at once");
    else
        add_lines(batch, request, arena_copy(&batch->arena, body), scratch);
    if (request->failed.len == 0 && request->rejected == 0 &&
        (batch->event_count == 0 ||
         batch->events[batch->event_count - 1].request != batch->acks->request_count - 1))
        request->failed = failed_reply(&batch->acks->arena, ERR_BAD_EVENT,
                                       "there is no event in this request; send one JSON object a line");
}

void batch_split(struct batch *batch, unsigned partition_count)
{
    for (size_t i = 0; i < batch->event_count; i++)
        batch->events[i].partition = partition_of(batch->events[i].event.device, partition_count);
}

size_t batch_bytes(const struct batch *batch)
{
    const struct acks *acks = batch->acks;
    return batch->arena.used_bytes + batch->event_count * sizeof *batch->events +
           acks->arena.used_bytes + acks->request_count * sizeof *acks->requests;
}

static void member(struct buf *reply, struct text key, uint64_t number)
{
    buf_append(reply, key);
    buf_unsigned(reply, number);
}

void request_reply(const struct request *request, struct buf *reply)
{
    if (request->failed.len > 0) {
        buf_append(reply, request->failed);
        return;
    }
    buf_byte(reply, '{');
    if (request->refused != NULL) {
        json_member_boolean(reply, "ok", false);
        json_member_text(reply, "code", text_of(err_code_name(ERR_BUSY)));
        json_member_unsigned(reply, "retry_ms", BUSY_RETRY_MS);
        json_member_text(reply, "error", text_of(request->refused));
        buf_byte(reply, '}');
        return;
    }
    /* in large pieces, since every request gets one */
    buf_append(reply, request->rejected == 0 ? TEXT("\"ok\":true") : TEXT("\"ok\":false"));
    member(reply, TEXT(",\"accepted\":"), request->accepted);
    member(reply, TEXT(",\"duplicates\":"), request->duplicates);
    member(reply, TEXT(",\"rejected\":"), request->rejected);
    if (request->first_seq > 0) {
        member(reply, TEXT(",\"first\":"), request->first_seq);
        member(reply, TEXT(",\"last\":"), request->last_seq);
    }
    if (request->line_errors.len > 0) {
        buf_append(reply, TEXT(",\"errors\":["));
        buf_append(reply, buf_text(&request->line_errors));
        buf_byte(reply, ']');
    }
    buf_byte(reply, '}');
}
