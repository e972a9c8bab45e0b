#include "engine/service/results.h"

#include <assert.h>
#include <stdlib.h>

enum { KEPT_BYTES = 256 * 1024 }; /* of memory, for the next use */

struct result_head {
    uint32_t topic_bytes;
    uint32_t payload_bytes;
};

struct results *results_create(struct queue *home)
{
    struct results *results = calloc(1, sizeof *results);
    if (results == NULL)
        abort();
    results->work.kind = WORK_RESULTS;
    results->home = home;
    return results;
}

/* --- single ones --------------------------------------------------------------------------------------- */

char *results_begin(struct results *results, struct text class_name, struct text device, size_t payload_room)
{
    assert(results->topic_bytes == 0);
    size_t topic_bytes = class_name.len + device.len + (device.len > 0); /* a '/' between the two */
    char *at = buf_room(&results->bytes, sizeof(struct result_head) + topic_bytes + payload_room);
    struct result_head head = {(uint32_t)topic_bytes, 0};
    at = put_text(at, (struct text){(const char *)&head, sizeof head});
    at = put_text(at, class_name);
    if (device.len > 0)
        *at++ = '/';
    return put_text(at, device);
}

void results_end(struct results *results, const char *end)
{
    struct buf *out = &results->bytes;
    struct result_head head;
    char *start = out->bytes + out->len;
    memcpy(&head, start, sizeof head);
    head.payload_bytes = (uint32_t)(end - start - (ptrdiff_t)sizeof head - head.topic_bytes);
    memcpy(start, &head, sizeof head);
    out->len = (size_t)(end - out->bytes);
    results->count++;
}

bool results_next(const struct results *results, size_t *at, struct text *topic, struct text *payload)
{
    assert(results->topic_bytes == 0);
    if (*at == results->bytes.len)
        return false;
    struct result_head head;
    memcpy(&head, results->bytes.bytes + *at, sizeof head);
    const char *bytes = results->bytes.bytes + *at + sizeof head;
    *topic = (struct text){bytes, head.topic_bytes};
    *payload = (struct text){bytes + head.topic_bytes, head.payload_bytes};
    *at += sizeof head + head.topic_bytes + head.payload_bytes;
    return true;
}

/* --- a batch ------------------------------------------------------------------------------------------- */

char *results_begin_batch(struct results *results, struct text class_name, size_t head_room)
{
    struct text prefix = TEXT(RESULTS_BATCH_PREFIX);
    results->topic_bytes = prefix.len + class_name.len;
    assert(results->bytes.len == 0 && results->topic_bytes <= RESULTS_TOPIC_BYTES && head_room < RESULTS_BATCH_BYTES);
    put_text(put_text(results->topic, prefix), class_name);
    return buf_room(&results->bytes, RESULTS_BATCH_BYTES);
}

void results_end_head(struct results *results, const char *end)
{
    results->bytes.len = (size_t)(end - results->bytes.bytes);
}

void results_grow(struct results *results)
{
    assert(results->count == 0);
    buf_room(&results->bytes, 2 * results->bytes.capacity - results->bytes.len);
}

/* --- afterwards ---------------------------------------------------------------------------------------- */

void results_done(struct results *results)
{
    if (results->home == NULL) {
        results_destroy(results);
        return;
    }
    buf_clear(&results->bytes);
    if (results->bytes.capacity > KEPT_BYTES)
        buf_fini(&results->bytes);
    results->count = 0;
    results->topic_bytes = 0;
    queue_push(results->home, &results->work);
}

void results_destroy(struct results *results)
{
    if (results == NULL)
        return;
    buf_fini(&results->bytes);
    free(results);
}

void results_destroy_all(struct work *first)
{
    for (struct work *next; first != NULL; first = next) {
        next = first->next;
        results_destroy((struct results *)first);
    }
}

struct text results_class(struct text topic)
{
    const char *slash = memchr(topic.bytes, '/', topic.len);
    return (struct text){topic.bytes, (size_t)(slash - topic.bytes)};
}
