#include "store/record.h"

#include <assert.h>
#include <stdlib.h>

#include "store/coding.h"

enum { RECORD_ALIGN = 8, DUE_BYTES_MIN = 6 };

/* --- the list of entries --- */

void entries_fini(struct entries *entries)
{
    free(entries->items);
    *entries = (struct entries){0};
}

static int entry_compare(const struct entry *entry, enum scope scope, struct text key)
{
    if (entry->scope != scope)
        return entry->scope < scope ? -1 : 1;
    return text_compare((struct text){entry->key, entry->key_len}, key);
}

static bool is_entry(const struct entry *entry, enum scope scope, struct text key)
{
    return entry->key_len == key.len && entry->scope == scope && bytes_equal(entry->key, key.bytes, key.len);
}

bool entries_find(const struct entries *entries, enum scope scope, struct text key,
                  size_t *position)
{
    enum { FEW = 8 }; /* most lengths differ, so a look at each takes less than halving */
    for (size_t i = 0; entries->count <= FEW && i < entries->count; i++)
        if (is_entry(&entries->items[i], scope, key)) {
            *position = i;
            return true;
        }
    size_t low = 0, high = entries->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = entry_compare(&entries->items[middle], scope, key);
        if (order == 0) {
            *position = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *position = low;
    return false;
}

static void entries_append(struct entries *entries, struct entry entry)
{
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity == 0 ? 16 : 2 * entries->capacity;
        entries->items = realloc(entries->items, entries->capacity * sizeof *entries->items);
        if (entries->items == NULL)
            abort();
    }
    entries->items[entries->count++] = entry;
    entries->bytes += entry.len;
}

void entries_insert(struct entries *entries, size_t position, struct entry entry)
{
    assert(position <= entries->count);
    entries_append(entries, entry);
    struct entry *at = entries->items + position;
    memmove(at + 1, at, (entries->count - 1 - position) * sizeof *at);
    *at = entry;
}

void entries_replace(struct entries *entries, size_t position, struct entry entry)
{
    assert(position < entries->count);
    entries->bytes += entry.len;
    entries->bytes -= entries->items[position].len;
    entries->items[position] = entry;
}

void entries_remove(struct entries *entries, size_t position)
{
    assert(position < entries->count);
    struct entry *at = entries->items + position;
    entries->bytes -= at->len;
    entries->count--;
    memmove(at, at + 1, (entries->count - position) * sizeof *at);
}

/* --- one entry --- */

struct entry entry_encode(struct arena *arena, struct words *words, enum scope scope,
                          const struct attribute *attribute)
{
    uint32_t number;
    struct text key = attribute->key;
    assert(key.len >= 1 && key.len <= KEY_BYTES_MAX);
    size_t room = 1 + coding_word_room(key) + CODING_VARINT_BYTES_MAX + coding_seq_bytes(attribute->seq) +
                  coding_value_bytes(&attribute->value);
    unsigned char *bytes = arena_alloc(arena, room);
    bytes[0] = (unsigned char)((unsigned)scope << 4 | coding_kind(&attribute->value));
    unsigned char *after_key = words_intern(words, key, &number) ? coding_put_number(bytes + 1, number)
                                                                 : coding_put_word(bytes + 1, words, key);
    unsigned char *value_at = coding_put_varint(after_key, coding_zigzag(attribute->ts_ms));
    value_at = coding_put_seq(value_at, attribute->seq);
    unsigned char *end = coding_put_value(value_at, &attribute->value);
    assert(end <= bytes + room);

    struct coding_reader reader = {bytes + 1, after_key};
    key = coding_read_word(&reader, words); /* the caller's key need not last */
    return (struct entry){bytes,
                          key.bytes,
                          (uint32_t)(end - bytes),
                          (uint16_t)(after_key - bytes),
                          (uint16_t)(value_at - bytes),
                          (uint8_t)key.len,
                          (uint8_t)scope};
}

struct value entry_value(const struct entry *entry)
{
    struct coding_reader reader = {entry->bytes + entry->value_at, entry->bytes + entry->len};
    struct value value;
    bool known = coding_read_value(&reader, entry->bytes[0] & 15, &value);
    assert(known && reader.at == reader.end);
    return value;
}

struct attribute entry_decode(const struct entry *entry)
{
    struct coding_reader reader = {entry->bytes + entry->after_key, entry->bytes + entry->len};
    struct attribute attribute = {.key = {entry->key, entry->key_len}};
    attribute.ts_ms = coding_unzigzag(coding_read_varint(&reader));
    attribute.seq = coding_read_varint(&reader);
    assert(reader.at == entry->bytes + entry->value_at);
    attribute.value = entry_value(entry);
    return attribute;
}

/* Step over one entry, checking its lengths. */
static bool read_entry(struct coding_reader *reader, const struct words *words, struct entry *entry)
{
    struct value value;
    const unsigned char *start = reader->at;
    if (coding_read_bytes(reader, 1).bytes == NULL)
        return false;
    struct text key = coding_read_word(reader, words);
    const unsigned char *after_key = reader->at;
    coding_skip_varint(reader);
    coding_skip_varint(reader);
    const unsigned char *value_at = reader->at;
    if (start[0] >> 4 >= SCOPE_COUNT || key.len == 0 || key.len > KEY_BYTES_MAX ||
        !coding_read_value(reader, start[0] & 15, &value) || reader->at == NULL)
        return false;
    *entry = (struct entry){start,
                            key.bytes,
                            (uint32_t)(reader->at - start),
                            (uint16_t)(after_key - start),
                            (uint16_t)(value_at - start),
                            (uint8_t)key.len,
                            (uint8_t)(start[0] >> 4)};
    return true;
}

/* --- the timer --- */

static size_t timer_bytes(const struct record_head *head)
{
    if (head->bucket_ms == 0)
        return 1;
    return coding_varint_bytes((uint64_t)head->bucket_ms / 1000) +
           coding_padded_bytes((uint64_t)head->due_ms, DUE_BYTES_MIN);
}

static unsigned char *put_timer(unsigned char *out, const struct record_head *head)
{
    assert(head->bucket_ms % 1000 == 0 && (head->due_ms == 0 || head->bucket_ms > 0));
    out = coding_put_varint(out, (uint64_t)head->bucket_ms / 1000);
    return head->bucket_ms == 0 ? out : coding_put_padded(out, (uint64_t)head->due_ms, DUE_BYTES_MIN);
}

static bool read_timer(struct coding_reader *reader, struct record_head *head)
{
    uint64_t bucket_s = coding_read_varint(reader);
    uint64_t due_ms = bucket_s == 0 ? 0 : coding_read_varint(reader);
    head->bucket_ms = (int64_t)(bucket_s * 1000);
    head->due_ms = (int64_t)due_ms;
    return reader->at != NULL && bucket_s <= INT64_MAX / 1000 && due_ms <= INT64_MAX;
}

/* --- the whole record --- */

/* Positions are multiples of 8, so 5 bytes are enough for long. */
static uint64_t pack_position(uint64_t position)
{
    return position == HISTORY_NONE ? 0 : position / 8 + 1;
}

static uint64_t unpack_position(uint64_t packed)
{
    return packed == 0 ? HISTORY_NONE : (packed - 1) * 8;
}

static bool read_head(struct coding_reader *reader, const struct words *words, struct record_head *head)
{
    head->type = coding_read_word(reader, words);
    head->created_ms = coding_unzigzag(coding_read_varint(reader));
    head->name = coding_read_text(reader);
    head->history = unpack_position(coding_read_varint(reader));
    return read_timer(reader, head);
}

static bool only_zeros(const struct coding_reader *reader)
{
    for (const unsigned char *at = reader->at; at < reader->end; at++)
        if (*at != 0)
            return false;
    return reader->end - reader->at < RECORD_ALIGN;
}

bool record_read(const struct words *words, struct text record, struct record_head *head,
                 struct entries *entries)
{
    const unsigned char *bytes = (const unsigned char *)record.bytes;
    struct coding_reader reader = {bytes, bytes + record.len};
    entries->count = entries->bytes = 0;
    if (record.len == 0 || record.len > UINT32_MAX ||
        (head != NULL && !read_head(&reader, words, head)))
        return false;
    uint64_t count = coding_read_varint(&reader);
    for (uint64_t i = 0; i < count && reader.at != NULL; i++) {
        struct entry entry;
        if (!read_entry(&reader, words, &entry))
            return false;
        entries_append(entries, entry);
    }
    return reader.at != NULL && only_zeros(&reader);
}

static size_t plain_bytes(const struct words *words, const struct record_head *head,
                          const struct entries *entries)
{
    size_t bytes = coding_varint_bytes(entries->count) + entries->bytes;
    if (head != NULL)
        bytes += coding_word_bytes(words, head->type) + coding_varint_bytes(coding_zigzag(head->created_ms)) +
                 coding_text_bytes(head->name) + coding_seq_bytes(pack_position(head->history)) +
                 timer_bytes(head);
    return bytes;
}

size_t record_bytes(const struct words *words, const struct record_head *head,
                    const struct entries *entries)
{
    size_t bytes = plain_bytes(words, head, entries);
    return (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

void record_write(char *record, size_t len, const struct words *words, const struct record_head *head,
                  const struct entries *entries)
{
    unsigned char *end = (unsigned char *)record + len;
    unsigned char *out = (unsigned char *)record;
    if (head != NULL) {
        out = coding_put_word(out, words, head->type);
        out = coding_put_varint(out, coding_zigzag(head->created_ms));
        out = coding_put_text(out, head->name);
        out = coding_put_seq(out, pack_position(head->history));
        out = put_timer(out, head);
    }
    out = coding_put_varint(out, entries->count);
    for (size_t i = 0; i < entries->count; i++) {
        memcpy(out, entries->items[i].bytes, entries->items[i].len);
        out += entries->items[i].len;
    }
    assert(out <= end && end - out < RECORD_ALIGN);
    memset(out, 0, (size_t)(end - out));
}
