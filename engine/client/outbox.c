#include "engine/client/outbox.h"

#include <assert.h>

#include "engine/client/compose.h"

struct place {
    uint64_t n;
    size_t at; /* in bytes */
    size_t len;
};

void outbox_fini(struct outbox *outbox)
{
    buf_fini(&outbox->bytes);
    buf_fini(&outbox->places);
}

static struct place *place_at(const struct outbox *outbox, size_t index)
{
    assert(index < outbox->count);
    return (struct place *)(void *)outbox->places.bytes + outbox->first_place + index;
}

void outbox_add(struct outbox *outbox, struct text event, uint64_t n)
{
    struct place place = {n, outbox->bytes.len, event.len};
    char *copy = buf_room(&outbox->bytes, event.len + 1);
    for (size_t i = 0; i < event.len; i++)
        copy[i] = event.bytes[i] == '\n' || event.bytes[i] == '\r' ? ' ' : event.bytes[i];
    copy[event.len] = '\0';
    outbox->bytes.len += event.len + 1;
    buf_append(&outbox->places, (struct text){(const char *)&place, sizeof place});
    outbox->count++;
}

struct text outbox_get(const struct outbox *outbox, size_t index, uint64_t *n)
{
    const struct place *place = place_at(outbox, index);
    *n = place->n;
    return (struct text){outbox->bytes.bytes + place->at, place->len};
}

size_t outbox_bytes(const struct outbox *outbox)
{
    return outbox->bytes.len - outbox->first_byte;
}

size_t outbox_compose(const struct outbox *outbox, struct text source, size_t count_max, size_t bytes_max,
                      struct buf *body)
{
    size_t count = 0;
    for (; count < outbox->count && count < count_max; count++) {
        uint64_t n;
        size_t before = body->len;
        struct text event = outbox_get(outbox, count, &n);
        if (count > 0)
            buf_byte(body, '\n');
        if (source.len > 0)
            compose_numbered(body, event, source, n);
        else
            buf_append(body, event);
        if (count > 0 && body->len > bytes_max) {
            body->len = before;
            break;
        }
    }
    return count;
}

/* Drop the first `front` bytes once they are more than the rest; returns how many were. */
static size_t drop_front(struct buf *buf, size_t front)
{
    if (front < buf->len - front)
        return 0;
    buf->len -= front;
    memmove(buf->bytes, buf->bytes + front, buf->len);
    return front;
}

void outbox_settle(struct outbox *outbox, size_t count)
{
    if (count == 0)
        return;
    const struct place *last = place_at(outbox, count - 1);
    outbox->first_byte = last->at + last->len + 1;
    outbox->first_place += count;
    outbox->count -= count;
    size_t places = drop_front(&outbox->places, outbox->first_place * sizeof *last) / sizeof *last;
    outbox->first_place -= places;
    size_t bytes = drop_front(&outbox->bytes, outbox->first_byte);
    outbox->first_byte -= bytes;
    for (size_t i = 0; bytes > 0 && i < outbox->count; i++)
        place_at(outbox, i)->at -= bytes;
}
