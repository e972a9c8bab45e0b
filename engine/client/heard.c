#include "engine/client/heard.h"

#include <stdio.h>

#include "engine/client/numbers.h"

#define BATCH_PREFIX "batch/"

void heard_fini(struct heard *heard)
{
    buf_fini(&heard->topic);
    buf_fini(&heard->payload);
}

bool heard_subscribe(struct client *client, const char *class_name, struct err *err)
{
    char prefix[sizeof BATCH_PREFIX + CLASS_BYTES_MAX];
    snprintf(prefix, sizeof prefix, "%s%s", class_name[0] != '\0' ? BATCH_PREFIX : "", class_name);
    return client_subscribe(client, prefix, err) && client_subscribe(client, "heartbeat", err);
}

bool heard_next(struct heard *heard, struct client *client)
{
    while (heard->at >= heard->payload.len) {
        heard->at = 0;
        if (!client_take_result(client, &heard->topic, &heard->payload)) {
            buf_clear(&heard->payload); /* of a message that was thrown away */
            return false;
        }
    }
    return true;
}

bool heard_is_beat(const struct heard *heard)
{
    return text_is(buf_text(&heard->topic), "heartbeat");
}

struct text heard_class(const struct heard *heard)
{
    struct text topic = buf_text(&heard->topic), batch = TEXT(BATCH_PREFIX);
    if (text_starts(topic, batch))
        return (struct text){topic.bytes + batch.len, topic.len - batch.len};
    const char *slash = memchr(topic.bytes, '/', topic.len);
    return (struct text){topic.bytes, slash == NULL ? 0 : (size_t)(slash - topic.bytes)};
}

struct text heard_line(const struct heard *heard)
{
    const char *start = heard->payload.bytes + heard->at;
    size_t left = heard->payload.len - heard->at;
    const char *end = memchr(start, '\n', left);
    return (struct text){start, end == NULL ? left : (size_t)(end - start)};
}

void heard_pass(struct heard *heard)
{
    heard->at += heard_line(heard).len + 1;
}

void heard_pass_all(struct heard *heard)
{
    heard->at = heard->payload.len;
}
