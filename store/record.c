#include "store/record.h"

#include <assert.h>
#include <stdlib.h>

enum { VARINT_BYTES_MAX = 10, SEQ_BYTES_MIN = 5, RECORD_ALIGN = 8 };

/* What an entry's value is. On disk: never renumber. */
enum stored_kind {
    STORED_FALSE,
    STORED_TRUE,
    STORED_INTEGER,
    STORED_DOUBLE,
    STORED_STRING,
    STORED_JSON,
    STORED_KIND_COUNT
};

/* --- numbers --- */

static size_t varint_bytes(uint64_t number)
{
    size_t bytes = 1;
    for (; number >= 128; number >>= 7)
        bytes++;
    return bytes;
}

static unsigned char *put_varint(unsigned char *out, uint64_t number)
{
    for (; number >= 128; number >>= 7)
        *out++ = (unsigned char)(number | 128);
    *out++ = (unsigned char)number;
    return out;
}

/* The same number in at least SEQ_BYTES_MIN bytes. */
static size_t seq_bytes(uint64_t seq)
{
    size_t bytes = varint_bytes(seq);
    return bytes > SEQ_BYTES_MIN ? bytes : SEQ_BYTES_MIN;
}

static unsigned char *put_seq(unsigned char *out, uint64_t seq)
{
    for (size_t left = seq_bytes(seq); left > 1; left--, seq >>= 7)
        *out++ = (unsigned char)(seq | 128);
    *out++ = (unsigned char)seq;
    return out;
}

static uint64_t zigzag(int64_t number)
{
    return ((uint64_t)number << 1) ^ (uint64_t)(number >> 63);
}

static int64_t unzigzag(uint64_t number)
{
    return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

/* Reading: `end` bounds it; a cursor of NULL means that the bytes were no good. */
struct reader {
    const unsigned char *at;
    const unsigned char *end;
};

static uint64_t read_varint(struct reader *reader)
{
    uint64_t number = 0;
    for (unsigned shift = 0; reader->at != NULL && shift < 7 * VARINT_BYTES_MAX; shift += 7) {
        if (reader->at == reader->end)
            break;
        unsigned char byte = *reader->at++;
        number |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return number;
    }
    reader->at = NULL;
    return 0;
}

static struct text read_bytes(struct reader *reader, uint64_t len)
{
    if (reader->at == NULL || len > (uint64_t)(reader->end - reader->at)) {
        reader->at = NULL;
        return (struct text){NULL, 0};
    }
    struct text text = {(const char *)reader->at, (size_t)len};
    reader->at += len;
    return text;
}

static struct text read_text(struct reader *reader)
{
    return read_bytes(reader, read_varint(reader));
}

/* --- words: a number plus one, or 0, the length and the text --- */

static size_t word_bytes(const struct words *words, struct text word)
{
    uint32_t number;
    if (words_find(words, word, &number))
        return varint_bytes((uint64_t)number + 1);
    return 1 + varint_bytes(word.len) + word.len;
}

static unsigned char *put_text(unsigned char *out, struct text text)
{
    out = put_varint(out, text.len);
    if (text.len > 0)
        memcpy(out, text.bytes, text.len);
    return out + text.len;
}

static unsigned char *put_word(unsigned char *out, const struct words *words, struct text word)
{
    uint32_t number;
    if (words_find(words, word, &number))
        return put_varint(out, (uint64_t)number + 1);
    *out++ = 0;
    return put_text(out, word);
}

static struct text read_word(struct reader *reader, const struct words *words)
{
    uint64_t number = read_varint(reader);
    if (number == 0)
        return read_text(reader);
    if (number <= words->count)
        return words->items[number - 1];
    reader->at = NULL;
    return (struct text){NULL, 0};
}

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
    size_t shorter = entry->key_len < key.len ? entry->key_len : key.len;
    int order = memcmp(entry->key, key.bytes, shorter);
    if (order != 0)
        return order;
    return (entry->key_len > key.len) - (entry->key_len < key.len);
}

bool entries_find(const struct entries *entries, enum scope scope, struct text key,
                  size_t *position)
{
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

static size_t value_bytes(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        return 0;
    case VALUE_INTEGER:
        return varint_bytes(zigzag(value->integer));
    case VALUE_DOUBLE:
        return sizeof value->number;
    case VALUE_STRING:
    case VALUE_JSON:
        return varint_bytes(value->text.len) + value->text.len;
    }
    abort();
}

static enum stored_kind stored_kind(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        return value->boolean ? STORED_TRUE : STORED_FALSE;
    case VALUE_INTEGER:
        return STORED_INTEGER;
    case VALUE_DOUBLE:
        return STORED_DOUBLE;
    case VALUE_STRING:
        return STORED_STRING;
    case VALUE_JSON:
        return STORED_JSON;
    }
    abort();
}

static unsigned char *put_value(unsigned char *out, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        return out;
    case VALUE_INTEGER:
        return put_varint(out, zigzag(value->integer));
    case VALUE_DOUBLE:
        memcpy(out, &value->number, sizeof value->number);
        return out + sizeof value->number;
    case VALUE_STRING:
    case VALUE_JSON:
        return put_text(out, value->text);
    }
    abort();
}

struct entry entry_encode(struct arena *arena, struct words *words, enum scope scope,
                          const struct attribute *attribute)
{
    uint32_t number;
    struct text key = attribute->key;
    assert(key.len >= 1 && key.len <= KEY_BYTES_MAX);
    words_intern(words, key, &number);
    size_t len = 1 + word_bytes(words, key) + varint_bytes(zigzag(attribute->ts_ms)) +
                 seq_bytes(attribute->seq) + value_bytes(&attribute->value);
    unsigned char *bytes = arena_alloc(arena, len);
    bytes[0] = (unsigned char)((unsigned)scope << 4 | stored_kind(&attribute->value));
    unsigned char *after_key = put_word(bytes + 1, words, key);
    unsigned char *out = put_varint(after_key, zigzag(attribute->ts_ms));
    out = put_seq(out, attribute->seq);
    out = put_value(out, &attribute->value);
    assert(out == bytes + len);

    struct reader reader = {bytes + 1, after_key};
    key = read_word(&reader, words); /* the caller's key need not last */
    return (struct entry){
        bytes,         key.bytes, (uint32_t)len, (uint16_t)(after_key - bytes), (uint8_t)key.len,
        (uint8_t)scope};
}

/* The value behind kind `kind`; false when there is no such kind. */
static bool read_value(struct reader *reader, unsigned kind, struct value *value)
{
    struct text eight;
    switch (kind) {
    case STORED_FALSE:
    case STORED_TRUE:
        *value = value_boolean(kind == STORED_TRUE);
        return true;
    case STORED_INTEGER:
        *value = (struct value){.kind = VALUE_INTEGER, .integer = unzigzag(read_varint(reader))};
        return true;
    case STORED_DOUBLE:
        *value = (struct value){.kind = VALUE_DOUBLE};
        eight = read_bytes(reader, sizeof value->number);
        if (eight.bytes != NULL)
            memcpy(&value->number, eight.bytes, sizeof value->number);
        return true;
    case STORED_STRING:
    case STORED_JSON:
        *value = (struct value){.kind = kind == STORED_STRING ? VALUE_STRING : VALUE_JSON,
                                .text = read_text(reader)};
        return true;
    default: /* bytes from disk can hold anything */
        return false;
    }
}

struct attribute entry_decode(const struct entry *entry)
{
    struct reader reader = {entry->bytes + entry->after_key, entry->bytes + entry->len};
    struct attribute attribute = {.key = {entry->key, entry->key_len}};
    attribute.ts_ms = unzigzag(read_varint(&reader));
    attribute.seq = read_varint(&reader);
    bool known = read_value(&reader, entry->bytes[0] & 15, &attribute.value);
    assert(known && reader.at == reader.end);
    return attribute;
}

/* Step over one entry, checking its lengths. */
static bool read_entry(struct reader *reader, const struct words *words, struct entry *entry)
{
    struct value value;
    const unsigned char *start = reader->at;
    if (read_bytes(reader, 1).bytes == NULL)
        return false;
    struct text key = read_word(reader, words);
    const unsigned char *after_key = reader->at;
    read_varint(reader);
    read_varint(reader);
    if (start[0] >> 4 >= SCOPE_COUNT || key.len == 0 || key.len > KEY_BYTES_MAX ||
        !read_value(reader, start[0] & 15, &value) || reader->at == NULL)
        return false;
    *entry = (struct entry){start,
                            key.bytes,
                            (uint32_t)(reader->at - start),
                            (uint16_t)(after_key - start),
                            (uint8_t)key.len,
                            (uint8_t)(start[0] >> 4)};
    return true;
}

/* --- the whole record --- */

static bool read_head(struct reader *reader, const struct words *words, struct record_head *head)
{
    head->type = read_word(reader, words);
    head->created_ms = unzigzag(read_varint(reader));
    head->name = read_text(reader);
    return reader->at != NULL;
}

static bool only_zeros(const struct reader *reader)
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
    struct reader reader = {bytes, bytes + record.len};
    entries->count = entries->bytes = 0;
    if (record.len == 0 || record.len > UINT32_MAX ||
        (head != NULL && !read_head(&reader, words, head)))
        return false;
    uint64_t count = read_varint(&reader);
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
    size_t bytes = varint_bytes(entries->count) + entries->bytes;
    if (head != NULL)
        bytes += word_bytes(words, head->type) + varint_bytes(zigzag(head->created_ms)) +
                 varint_bytes(head->name.len) + head->name.len;
    return bytes;
}

size_t record_bytes(const struct words *words, const struct record_head *head,
                    const struct entries *entries)
{
    size_t bytes = plain_bytes(words, head, entries);
    return (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

void record_write(char *record, const struct words *words, const struct record_head *head,
                  const struct entries *entries)
{
    size_t len = record_bytes(words, head, entries);
    unsigned char *end = (unsigned char *)record + len;
    unsigned char *out = (unsigned char *)record;
    if (head != NULL) {
        out = put_word(out, words, head->type);
        out = put_varint(out, zigzag(head->created_ms));
        out = put_text(out, head->name);
    }
    out = put_varint(out, entries->count);
    for (size_t i = 0; i < entries->count; i++) {
        memcpy(out, entries->items[i].bytes, entries->items[i].len);
        out += entries->items[i].len;
    }
    assert(out <= end && end - out < RECORD_ALIGN);
    memset(out, 0, (size_t)(end - out));
}
