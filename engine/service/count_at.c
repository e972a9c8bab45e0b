#include "engine/service/count_at.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ROWS_MAX = 5000, BYTES_MAX = 8 << 20, ROW_ARENA_BYTES = 16384 };

/* A value, as its JSON, with what to add to its count. */
struct delta {
    struct text json;
    int64_t by;
};

struct tally {
    struct ask *ask;
    struct state *state; /* of the partition that this page is about */
    const struct asked_index *index;
    struct index_key key;
    struct text wanted; /* JSON of the one value that is asked for; {NULL, 0}: all */
    int64_t devices;
    struct delta *deltas;
    size_t count;
    size_t capacity;
};

static struct text json_of(struct ask *ask, const struct value *value)
{
    struct buf json = {.arena = &ask->query->arena};
    json_value(&json, value);
    return buf_text(&json);
}

/* Makes room for `more` deltas. */
static void reserve(struct tally *tally, size_t more)
{
    if (tally->count + more <= tally->capacity)
        return;
    struct delta *larger =
        arena_alloc(&tally->ask->query->arena, 2 * (tally->count + more) * sizeof *larger);
    if (tally->count > 0)
        memcpy(larger, tally->deltas, tally->count * sizeof *larger);
    tally->deltas = larger;
    tally->capacity = 2 * (tally->count + more);
}

static void add(struct tally *tally, const struct value *value, int64_t by)
{
    struct text json = json_of(tally->ask, value);
    if (tally->wanted.bytes == NULL || text_equal(json, tally->wanted))
        tally->deltas[tally->count++] = (struct delta){json, by};
}

static void add_type(struct tally *tally, struct text type, int64_t by)
{
    struct value value = value_string(type);
    if (type.len > 0)
        add(tally, &value, by);
}

/* Takes back what a row did. */
static void undo(struct tally *tally, const struct history_row *row)
{
    if (row->created)
        tally->devices--;
    if (tally->index->type) {
        add_type(tally, row->old_type, 1);
        add_type(tally, row->new_type, -1);
        return;
    }
    for (size_t i = 0; tally->index->given && i < row->change_count; i++) {
        const struct history_change *change = &row->changes[i];
        if (change->scope != tally->key.scope || !text_equal(change->new.key, tally->key.key))
            continue;
        if (change->has_old)
            add(tally, &change->old.value, 1);
        if (change->has_new)
            add(tally, &change->new.value, -1);
    }
}

/* --- the counts of now ------------------------------------------------------------------------------------ */

static bool add_all(struct tally *tally)
{
    struct ask *ask = tally->ask;
    struct state *state = tally->state;
    struct arena *arena = &ask->query->arena;
    struct value_count *values;
    struct text next;
    size_t count;
    if (!(tally->index->type
              ? state_type_values(state, TEXT(""), LIST_COUNT_MAX, arena, &values, &count, &next, ask->err)
              : state_index_values(state, tally->index->index, TEXT(""), LIST_COUNT_MAX, arena, &values, &count,
                                   &next, ask->err)))
        return false;
    if (next.len > 0)
        return err_set(ask->err, ERR_LIMIT, "the index has more than %d values: ask for one, with `value`",
                       LIST_COUNT_MAX);
    for (size_t i = 0; i < count; i++)
        add(tally, &values[i].value, (int64_t)values[i].count);
    return true;
}

static bool add_one(struct tally *tally)
{
    struct ask *ask = tally->ask;
    struct state *state = tally->state;
    const struct value *value = tally->index->value;
    uint64_t count;
    if (!(tally->index->type ? state_type_devices(state, value->text, &count, ask->err)
                             : state_index_devices(state, tally->index->index, value, &count, ask->err)))
        return false;
    add(tally, value, (int64_t)count);
    return true;
}

static bool add_now(struct tally *tally)
{
    tally->devices += (int64_t)state_device_count(tally->state);
    if (!tally->index->given)
        return true;
    return tally->index->value == NULL ? add_all(tally) : add_one(tally);
}

/* --- the answer ------------------------------------------------------------------------------------------- */

static int order(const void *left, const void *right)
{
    const struct delta *a = left, *b = right;
    size_t shorter = a->json.len < b->json.len ? a->json.len : b->json.len;
    int by_bytes = memcmp(a->json.bytes, b->json.bytes, shorter);
    return by_bytes != 0 ? by_bytes : (a->json.len > b->json.len) - (a->json.len < b->json.len);
}

static void write_values(struct tally *tally)
{
    struct buf *out = tally->ask->out;
    qsort(tally->deltas, tally->count, sizeof *tally->deltas, order);
    json_open(out, "values", '[');
    for (size_t i = 0, next; i < tally->count; i = next) {
        int64_t sum = 0;
        for (next = i; next < tally->count && order(&tally->deltas[i], &tally->deltas[next]) == 0; next++)
            sum += tally->deltas[next].by;
        if (sum == 0)
            continue;
        json_comma(out);
        buf_byte(out, '{');
        json_member_raw(out, "value", tally->deltas[i].json);
        json_member_integer(out, "count", sum);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* Where a cursor leads to no row, it isn't from us: every other row is reached from one. */
static bool check_cursor(struct ask *ask, struct state *state, uint64_t position, uint64_t end)
{
    struct history_row row;
    if (position >= end || end > state_history_end(state))
        return ask_wrong_cursor(ask);
    if (state_history_read(state, position, &ask->query->arena, &row, ask->err))
        return true;
    return ask->err->code == ERR_DAMAGED ? ask_wrong_cursor(ask) : false;
}

/* From *position on, up to `end` or as many rows as a page takes. */
static bool undo_rows(struct tally *tally, uint64_t *position, uint64_t end)
{
    struct ask *ask = tally->ask;
    struct arena arena;
    bool done = true;
    arena_init(&arena, ROW_ARENA_BYTES);
    for (size_t rows = 0, bytes = 0; rows < ROWS_MAX && bytes < BYTES_MAX && *position < end; rows++) {
        struct history_row row;
        done = state_history_read(tally->state, *position, &arena, &row, ask->err);
        if (!done)
            break;
        reserve(tally, 2 * row.change_count + 2);
        undo(tally, &row);
        *position = row.next;
        bytes += arena.used_bytes;
        arena_reset(&arena);
    }
    arena_fini(&arena);
    return done;
}

/* Where the page goes on; `second`, the end of the history as it was when the partition's turn came, is 0 before that. All
 * turns take the counts back to the event at which the first began, or to before it. */
static bool begin_turn(struct tally *tally, struct fleet_cursor *cursor, int64_t at_ms)
{
    struct ask *ask = tally->ask;
    uint64_t seq = cursor->part == 0 ? UINT64_MAX : cursor->seq;
    if (cursor->second > 0)
        return check_cursor(ask, tally->state, cursor->first, cursor->second);
    cursor->second = state_history_end(tally->state);
    if (cursor->part == 0)
        cursor->seq = state_applied_seq(tally->state);
    return state_history_seek(tally->state, (struct moment){seq, at_ms}, &cursor->first, ask->err) && add_now(tally);
}

static void write_next(struct ask *ask, const struct fleet_cursor *cursor)
{
    struct fleet_cursor other = {.part = cursor->part + 1, .seq = cursor->seq};
    if (cursor->first < cursor->second)
        ask_write_fleet_cursor(ask, cursor);
    else if (other.part < ask->context->count)
        ask_write_fleet_cursor(ask, &other);
}

/* Each page is about one partition. */
bool count_at(struct ask *ask, const struct asked_index *index, int64_t at_ms)
{
    struct tally tally = {.ask = ask, .index = index};
    struct fleet_cursor cursor;
    if (!ask_fleet_cursor(ask, &cursor))
        return false;
    tally.state = ask->context->all[cursor.part].state;
    reserve(&tally, LIST_COUNT_MAX);
    if (index->given && !index->type)
        tally.key = state_index_key(tally.state, index->index);
    if (index->value != NULL)
        tally.wanted = json_of(ask, index->value);
    if (!begin_turn(&tally, &cursor, at_ms) || !undo_rows(&tally, &cursor.first, cursor.second))
        return false;
    json_member_integer(ask->out, "at", at_ms);
    json_member_integer(ask->out, "devices", tally.devices);
    if (index->given) {
        json_member_text(ask->out, "index", index->name);
        write_values(&tally);
    }
    write_next(ask, &cursor);
    return true;
}
