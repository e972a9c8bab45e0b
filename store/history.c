#include "store/history.h"

#include <assert.h>
#include <inttypes.h>

#include "store/coding.h"

enum { GONE = 15, FLAG_CREATED = 1, FLAG_TYPE = 2 };

/* --- notes --- */

void history_notes_fini(struct history_notes *notes)
{
    buf_fini(&notes->changes);
}

void history_notes_clear(struct history_notes *notes)
{
    notes->created = false;
    notes->old_type = TEXT("");
    buf_clear(&notes->changes);
    notes->change_count = notes->result_count = 0;
}

static size_t side_bytes(const struct attribute *attribute)
{
    return attribute == NULL ? 0
                             : 2 * CODING_VARINT_BYTES_MAX + coding_value_bytes(&attribute->value);
}

static unsigned char kind_of(const struct attribute *attribute)
{
    return attribute == NULL ? GONE : (unsigned char)coding_kind(&attribute->value);
}

void history_note_change(struct history_notes *notes, const struct words *words, enum scope scope,
                         struct text key, const struct attribute *old, const struct attribute *new)
{
    struct buf *buf = &notes->changes;
    unsigned char *start = (unsigned char *)buf_room(
        buf, 2 + coding_word_room(key) + side_bytes(old) + side_bytes(new));
    unsigned char *out = start;
    *out++ = (unsigned char)((unsigned)scope << 4 | kind_of(new));
    *out++ = kind_of(old);
    out = coding_put_word(out, words, key);
    if (new != NULL) {
        out = coding_put_varint(out, coding_zigzag(new->ts_ms - notes->received_ms));
        out = coding_put_value(out, &new->value);
    }
    if (old != NULL) {
        out = coding_put_varint(out, coding_zigzag(old->ts_ms - notes->received_ms));
        out = coding_put_varint(out, notes->seq - old->seq);
        out = coding_put_value(out, &old->value);
    }
    buf->len += (size_t)(out - start);
    notes->change_count++;
}

void history_note_result(struct history_notes *notes, const struct text *class_name, uint64_t n)
{
    for (size_t i = 0; i < notes->result_count; i++)
        if (notes->results[i].class_name == class_name) {
            assert(n == notes->results[i].first_n + notes->results[i].count);
            notes->results[i].count++;
            return;
        }
    assert(notes->result_count < HISTORY_CLASSES_MAX);
    notes->results[notes->result_count].class_name = class_name;
    notes->results[notes->result_count].first_n = n;
    notes->results[notes->result_count++].count = 1;
}

/* --- writing --- */

/* Everything before the changes. */
static size_t put_head(unsigned char *start, const struct words *words, const struct history_notes *notes,
                       uint32_t device, struct text type, uint64_t back)
{
    unsigned char *out = coding_put_varint(start, notes->seq);
    out = coding_put_varint(out, coding_zigzag(notes->received_ms));
    out = coding_put_varint(out, notes->cause);
    out = coding_put_varint(out, device);
    out = coding_put_varint(out, back);
    *out++ = (unsigned char)((notes->created ? FLAG_CREATED : 0) | (notes->old_type.len > 0 ? FLAG_TYPE : 0));
    if (notes->old_type.len > 0)
        out = coding_put_word(out, words, notes->old_type);
    if (notes->old_type.len > 0 || notes->created)
        out = coding_put_word(out, words, type);
    out = coding_put_varint(out, notes->change_count);
    return (size_t)(out - start);
}

static size_t put_results(unsigned char *start, const struct words *words, const struct history_notes *notes)
{
    unsigned char *out = coding_put_varint(start, notes->result_count);
    for (size_t i = 0; i < notes->result_count; i++) {
        out = coding_put_word(out, words, *notes->results[i].class_name);
        out = coding_put_varint(out, notes->results[i].first_n);
        out = coding_put_varint(out, notes->results[i].count);
    }
    return (size_t)(out - start);
}

uint64_t history_write(struct seglog *log, const struct words *words, const struct history_notes *notes,
                       uint32_t device, struct text type, uint64_t before)
{
    enum {
        WORD_TEXT_BYTES_MAX = WORD_BYTES_MAX + 3,
        HEAD_BYTES_MAX = 6 * CODING_VARINT_BYTES_MAX + 1 + 2 * WORD_TEXT_BYTES_MAX,
        RESULT_BYTES_MAX = 2 * CODING_VARINT_BYTES_MAX + CLASS_NAME_BYTES_MAX + 3,
    };
    unsigned char head[HEAD_BYTES_MAX];
    unsigned char results[CODING_VARINT_BYTES_MAX + HISTORY_CLASSES_MAX * RESULT_BYTES_MAX];
    uint64_t back = before == HISTORY_NONE ? 0 : seglog_end(log) - before;
    const struct text parts[] = {
        {(const char *)head, put_head(head, words, notes, device, type, back)},
        buf_text(&notes->changes),
        {(const char *)results, put_results(results, words, notes)},
    };
    return seglog_append(log, parts, sizeof parts / sizeof parts[0]);
}

/* --- reading --- */

static bool read_side(struct coding_reader *reader, unsigned kind, const struct history_row *row, bool is_old,
                      bool *there, struct attribute *attribute)
{
    *there = kind != GONE;
    if (!*there)
        return true;
    attribute->ts_ms = row->received_ms + coding_unzigzag(coding_read_varint(reader));
    attribute->seq = is_old ? row->seq - coding_read_varint(reader) : row->seq;
    return coding_read_value(reader, kind, &attribute->value);
}

static bool read_change(struct coding_reader *reader, const struct words *words, const struct history_row *row,
                        struct history_change *change)
{
    struct text kinds = coding_read_bytes(reader, 2);
    if (kinds.bytes == NULL)
        return false;
    unsigned new_kind = (unsigned char)kinds.bytes[0] & 15, old_kind = (unsigned char)kinds.bytes[1];
    change->scope = (enum scope)((unsigned char)kinds.bytes[0] >> 4);
    change->old.key = change->new.key = coding_read_word(reader, words);
    return change->scope < SCOPE_COUNT && change->new.key.len > 0 && change->new.key.len <= KEY_BYTES_MAX &&
           read_side(reader, new_kind, row, false, &change->has_new, &change->new) &&
           read_side(reader, old_kind, row, true, &change->has_old, &change->old) && reader->at != NULL;
}

/* A count of things that take a byte at least; else the reader turns bad. */
static size_t read_count(struct coding_reader *reader)
{
    uint64_t count = coding_read_varint(reader);
    if (reader->at != NULL && count > (uint64_t)(reader->end - reader->at))
        reader->at = NULL;
    return reader->at == NULL ? 0 : (size_t)count;
}

static bool read_head(struct coding_reader *reader, const struct words *words, struct history_row *row)
{
    row->seq = coding_read_varint(reader);
    row->received_ms = coding_unzigzag(coding_read_varint(reader));
    row->cause = (unsigned)coding_read_varint(reader);
    row->device = (uint32_t)coding_read_varint(reader);
    uint64_t back = coding_read_varint(reader);
    row->before = back == 0 ? HISTORY_NONE : row->position - back;
    struct text flags = coding_read_bytes(reader, 1);
    if (flags.bytes == NULL || back > row->position)
        return false;
    row->created = flags.bytes[0] & FLAG_CREATED;
    row->old_type = row->new_type = TEXT("");
    if (flags.bytes[0] & FLAG_TYPE)
        row->old_type = coding_read_word(reader, words);
    if (flags.bytes[0] & (FLAG_TYPE | FLAG_CREATED))
        row->new_type = coding_read_word(reader, words);
    return reader->at != NULL;
}

static bool read_row(struct coding_reader *reader, const struct words *words, struct arena *arena,
                     struct history_row *row)
{
    if (!read_head(reader, words, row))
        return false;
    row->change_count = read_count(reader);
    row->changes = arena_zero(arena, row->change_count * sizeof *row->changes);
    for (size_t i = 0; i < row->change_count; i++)
        if (!read_change(reader, words, row, &row->changes[i]))
            return false;
    row->result_count = read_count(reader);
    row->results = arena_zero(arena, row->result_count * sizeof *row->results);
    for (size_t i = 0; i < row->result_count; i++) {
        row->results[i].class_name = coding_read_word(reader, words);
        row->results[i].first_n = coding_read_varint(reader);
        row->results[i].count = coding_read_varint(reader);
    }
    return reader->at == reader->end;
}

bool history_read(struct seglog *log, const struct words *words, uint64_t position, struct arena *arena,
                  struct history_row *row, struct err *err)
{
    struct text bytes;
    row->position = position;
    if (!seglog_read(log, position, arena, &bytes, &row->next, err))
        return false;
    const unsigned char *start = (const unsigned char *)bytes.bytes;
    struct coding_reader reader = {start, start + bytes.len};
    return read_row(&reader, words, arena, row) ||
           seglog_damaged(log, position, err, "the row at %" PRIu64 " makes no sense", position);
}
