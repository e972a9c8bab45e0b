#include "engine/client/heard.h"

#include <stdio.h>

#include "engine/client/numbers.h"

#define BATCH_PREFIX "batch/"

enum { CHUNK_BYTES = 1024 };

void heard_init(struct heard *heard)
{
    *heard = (struct heard){.at = 0};
    arena_init(&heard->arena, CHUNK_BYTES);
    arena_init(&heard->scratch, CHUNK_BYTES);
}

void heard_fini(struct heard *heard)
{
    arena_fini(&heard->arena);
    arena_fini(&heard->scratch);
    buf_fini(&heard->topic);
    buf_fini(&heard->payload);
}

bool heard_subscribe(struct heard *heard, struct client *client, const char *class_name, struct err *err)
{
    char prefix[sizeof BATCH_PREFIX + CLASS_NAME_BYTES_MAX];
    heard->takes_batches = class_name[0] != '\0';
    snprintf(prefix, sizeof prefix, "%s%s", heard->takes_batches ? BATCH_PREFIX : "", class_name);
    return client_subscribe(client, prefix, err) && client_subscribe(client, "heartbeat", err);
}

static bool is_batch(const struct heard *heard)
{
    return text_starts(buf_text(&heard->topic), TEXT(BATCH_PREFIX));
}

static struct text line(const struct heard *heard)
{
    const char *start = heard->payload.bytes + heard->at;
    size_t left = heard->payload.len - heard->at;
    const char *end = memchr(start, '\n', left);
    return (struct text){start, end == NULL ? left : (size_t)(end - start)};
}

static void pass_line(struct heard *heard)
{
    size_t end = heard->at + line(heard).len + 1;
    heard->at = end < heard->payload.len ? end : heard->payload.len;
}

/* A batch whose head isn't understood is passed; the numbers of what follows show that it is missing. So is one that
 * somebody else asked for, and all topics bring: single results come too. */
static void begin_message(struct heard *heard)
{
    heard->at = 0;
    if (heard->payload.len == 0 || !is_batch(heard))
        return;
    arena_reset(&heard->arena);
    arena_reset(&heard->scratch);
    if (!heard->takes_batches || !batch_head_read(&heard->head, line(heard), &heard->scratch, &heard->arena)) {
        heard_pass_all(heard);
        return;
    }
    heard->n = heard->head.n;
    pass_line(heard);
}

bool heard_next(struct heard *heard, struct client *client)
{
    while (heard->at >= heard->payload.len) {
        if (!client_take_result(client, &heard->topic, &heard->payload)) {
            heard->at = 0;
            buf_clear(&heard->payload); /* of a message that was thrown away */
            return false;
        }
        begin_message(heard);
    }
    return true;
}

bool heard_is_beat(const struct heard *heard)
{
    return text_is(buf_text(&heard->topic), "heartbeat");
}

struct text heard_beat(const struct heard *heard)
{
    return buf_text(&heard->payload);
}

struct text heard_class(const struct heard *heard)
{
    struct text topic = buf_text(&heard->topic), batch = TEXT(BATCH_PREFIX);
    if (is_batch(heard))
        return (struct text){topic.bytes + batch.len, topic.len - batch.len};
    const char *slash = memchr(topic.bytes, '/', topic.len);
    return (struct text){topic.bytes, slash == NULL ? 0 : (size_t)(slash - topic.bytes)};
}

bool heard_read(const struct heard *heard, struct teller *teller, struct told_result *result)
{
    if (is_batch(heard))
        return teller_read_row(teller, heard_class(heard), &heard->head, heard->n, line(heard), result);
    return teller_read(teller, heard_class(heard), buf_text(&heard->payload), result);
}

void heard_pass(struct heard *heard)
{
    if (!is_batch(heard)) {
        heard_pass_all(heard);
        return;
    }
    heard->n++;
    pass_line(heard);
}

void heard_pass_all(struct heard *heard)
{
    heard->at = heard->payload.len;
}
