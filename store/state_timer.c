/* state_timer.c - which devices' timers are due.
 *
 * A fleet's timers are set and cleared with nearly every report, so doing so must not cost a move in an
 * index each time. A device stands in a *bucket*: a time to look at it, its due time rounded up, the
 * further away the more. Buckets are an index like the device types', with few values and a set of ids
 * each. A timer that is cleared or put off leaves its device where it is; when the bucket's time has come, the
 * device is looked at and goes on to a later bucket, or out. Only a timer that is due before its device's
 * bucket moves it at once.
 *
 * Widths of buckets are seconds times powers of two, so the buckets of different days fall together, and
 * there are some thousand at most, whatever the number of devices: a sorted array in memory. */
#include <assert.h>
#include <stdlib.h>

#include "store/state_db.h"

enum { BUCKET_MS_MIN = 1000, DISTANCE_TO_WIDTH = 64 };

static int64_t bucket_for(int64_t due_ms, int64_t now_ms)
{
    int64_t width_ms = BUCKET_MS_MIN;
    while (2 * width_ms * DISTANCE_TO_WIDTH <= due_ms - now_ms)
        width_ms *= 2;
    return (due_ms + width_ms - 1) / width_ms * width_ms;
}

/* --- the buckets in memory --- */

/* Where the bucket is, or belongs. */
static size_t bucket_position(const struct buckets *buckets, int64_t at_ms)
{
    size_t low = 0, high = buckets->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (buckets->items[middle].at_ms < at_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct bucket *bucket_insert(struct buckets *buckets, size_t position, int64_t at_ms)
{
    if (buckets->count == buckets->capacity) {
        buckets->capacity = buckets->capacity == 0 ? 64 : 2 * buckets->capacity;
        buckets->items = realloc(buckets->items, buckets->capacity * sizeof *buckets->items);
        if (buckets->items == NULL)
            abort();
    }
    struct bucket *bucket = &buckets->items[position];
    memmove(bucket + 1, bucket, (buckets->count++ - position) * sizeof *bucket);
    *bucket = (struct bucket){at_ms, 0};
    return bucket;
}

static void bucket_add(struct buckets *buckets, int64_t at_ms, uint64_t device_count)
{
    size_t position = bucket_position(buckets, at_ms);
    bool is_there = position < buckets->count && buckets->items[position].at_ms == at_ms;
    struct bucket *bucket = is_there ? &buckets->items[position] : bucket_insert(buckets, position, at_ms);
    bucket->device_count += device_count;
}

static void bucket_leave(struct buckets *buckets, int64_t at_ms)
{
    size_t position = bucket_position(buckets, at_ms);
    struct bucket *bucket = &buckets->items[position];
    assert(position < buckets->count && bucket->at_ms == at_ms && bucket->device_count > 0);
    if (--bucket->device_count > 0)
        return;
    memmove(bucket, bucket + 1, (--buckets->count - position) * sizeof *bucket);
}

static int64_t key_time(struct text key)
{
    struct value value;
    bool whole = value_key_decode(key, &value);
    assert(whole && value.kind == VALUE_INTEGER);
    return value.integer;
}

void state_timer_moved(struct state *state, struct text old_key, struct text new_key)
{
    if (old_key.len > 0)
        bucket_leave(&state->buckets, key_time(old_key));
    if (new_key.len > 0)
        bucket_add(&state->buckets, key_time(new_key), 1);
}

bool state_timers_load(struct state *state, struct err *err)
{
    static const unsigned char number = TIMER_INDEX;
    struct scan scan;
    struct text key, value;
    bool found = true;
    bool done = state_scan_open(state, DB_COUNTS, row_key(&number, 1), TEXT(""), &scan, err);
    while (done && (done = state_scan_next(&scan, &key, &value, &found, err)) && found) {
        uint64_t count;
        done = value.len == sizeof count || state_db_damaged(state, DB_COUNTS, err);
        if (done) {
            memcpy(&count, value.bytes, sizeof count);
            bucket_add(&state->buckets, key_time(row_key(key.bytes + 1, key.len - 1)), count);
        }
    }
    state_scan_close(&scan);
    return done;
}

/* --- one device --- */

int64_t device_timer(const struct device *device)
{
    return device->head.due_ms;
}

static void set_bucket(struct device *device, int64_t bucket_ms)
{
    struct value old = {.kind = VALUE_INTEGER, .integer = device->head.bucket_ms};
    device_touch(device, TIMER_INDEX, old.integer == 0 ? NULL : &old);
    device->head.bucket_ms = bucket_ms;
    device->changed[PART_ATTRIBUTES] = true;
}

void device_timer_set(struct device *device, int64_t due_ms, int64_t now_ms)
{
    struct record_head *head = &device->head;
    assert(due_ms >= 0 && due_ms <= JSON_INTEGER_MAX);
    if (due_ms == head->due_ms)
        return;
    head->due_ms = due_ms;
    device->changed[PART_ATTRIBUTES] = true;
    if (due_ms == 0)
        return;
    int64_t bucket_ms = bucket_for(due_ms, now_ms);
    if (head->bucket_ms == 0 || bucket_ms < head->bucket_ms)
        set_bucket(device, bucket_ms);
}

/* --- those that are due --- */

int64_t state_timer_next(const struct state *state)
{
    return state->buckets.count == 0 ? INT64_MAX : state->buckets.items[0].at_ms;
}

/* The device's bucket has come: out of it, and on to a later one if its timer isn't due yet. */
static bool leave_bucket(struct state *state, uint32_t id, int64_t now_ms, bool *due, struct err *err)
{
    if (!state_device_load(state, id, err))
        return false;
    struct device *device = &state->device;
    int64_t due_ms = device->head.due_ms;
    if (device->head.bucket_ms != state_timer_next(state))
        return state_db_damaged(state, DB_INDEX, err);
    *due = due_ms > 0 && due_ms <= now_ms;
    if (*due)
        device->head.due_ms = 0;
    set_bucket(device, due_ms > now_ms ? bucket_for(due_ms, now_ms) : 0);
    return state_device_save(state, device, err);
}

/* Ids of devices in the first bucket. */
static bool first_ids(struct state *state, uint32_t *ids, size_t id_count_max, size_t *id_count,
                      struct err *err)
{
    unsigned char bytes[VALUE_KEY_BYTES_MAX];
    struct value at = {.kind = VALUE_INTEGER, .integer = state_timer_next(state)};
    struct text key = {(const char *)bytes, value_key_encode(&at, bytes)};
    return state_index_ids(state, TIMER_INDEX, key, 0, ids, id_count_max, id_count, err) &&
           (*id_count > 0 || state_db_damaged(state, DB_INDEX, err));
}

bool state_timers_due(struct state *state, int64_t now_ms, size_t limit, struct arena *arena,
                      struct text **names, size_t *name_count, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    uint32_t ids[LIST_COUNT_MAX];
    struct text *list = arena_alloc(arena, limit * sizeof *list);
    size_t looked = 0, count = 0, id_count;
    for (; looked < limit && state_timer_next(state) <= now_ms; looked += id_count) {
        if (!first_ids(state, ids, limit - looked, &id_count, err))
            return false;
        for (size_t i = 0; i < id_count; i++) {
            bool due = false;
            if (!leave_bucket(state, ids[i], now_ms, &due, err))
                return false;
            if (due)
                list[count++] = arena_copy(arena, state->device.head.name);
        }
    }
    *names = list;
    *name_count = count;
    return true;
}
