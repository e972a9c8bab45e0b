#include "store/changes.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>


enum { CHUNK_BYTES = 64 * 1024, SLOTS_AT_REST = 4096, ROWS_AT_REST = 2048, ROW_ALIGN = 16 };

struct change_slot {
    uint32_t hash;
    uint32_t row_plus_one; /* 0: free */
};

static void *allocate(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (memory == NULL)
        abort();
    return memory;
}

static void set_slot_count(struct changes *changes, size_t slot_count)
{
    changes->slot_count = slot_count;
    changes->slots = allocate(changes->slots, slot_count * sizeof *changes->slots);
    memset(changes->slots, 0, slot_count * sizeof *changes->slots);
}

static void set_capacity(struct changes *changes, size_t capacity)
{
    changes->capacity = capacity;
    changes->rows = allocate(changes->rows, capacity * sizeof(struct change *));
}

void changes_init(struct changes *changes)
{
    *changes = (struct changes){.first_place = 1};
    arena_init(&changes->arena, CHUNK_BYTES);
    set_slot_count(changes, SLOTS_AT_REST);
    set_capacity(changes, ROWS_AT_REST);
}

void changes_fini(struct changes *changes)
{
    arena_fini(&changes->arena);
    free(changes->rows);
    free(changes->slots);
    *changes = (struct changes){.count = 0};
}

/* A steady load finds a table of the right size: what stays is twice what was needed. */
static size_t shrink(size_t now, size_t needed, size_t at_rest)
{
    while (now > at_rest && needed < now / 8)
        now /= 2;
    return now;
}

void changes_clear(struct changes *changes)
{
    if (changes->count == 0)
        return;
    arena_reset_keeping(&changes->arena, changes->arena.used_bytes + changes->arena.used_bytes / 8);
    set_slot_count(changes, shrink(changes->slot_count, changes->hashed_count, SLOTS_AT_REST));
    set_capacity(changes, shrink(changes->capacity, changes->count, ROWS_AT_REST));
    changes->count = changes->hashed_count = 0;
    memset(changes->dbs, 0, sizeof changes->dbs);
}

void changes_rest(struct changes *changes)
{
    uint32_t place = changes->first_place;
    changes_fini(changes);
    changes_init(changes);
    changes->first_place = place;
}

void changes_follow(struct changes *changes, uint32_t place)
{
    assert(changes->count == 0);
    changes->first_place = place;
}

uint32_t changes_end_place(const struct changes *changes)
{
    return changes->first_place + (uint32_t)changes->count;
}

size_t changes_bytes(const struct changes *changes)
{
    return changes->arena.used_bytes + changes->capacity * sizeof(struct change *) +
           changes->slot_count * sizeof *changes->slots;
}

/* --- the table --- */

uint32_t changes_hash(unsigned db, struct text key)
{
    uint32_t hash = (uint32_t)(text_hash(key) >> 32) ^ db; /* the low bits choose the slot */
    return hash != 0 ? hash : 1;
}

static bool is_row(const struct change *change, unsigned db, struct text key)
{
    return change->db == db && text_equal(change_key(change), key);
}

/* The row's slot, or the free one where it belongs. */
static struct change_slot *slot_of(const struct changes *changes, unsigned db, struct text key,
                                   uint32_t hash)
{
    size_t mask = changes->slot_count - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct change_slot *slot = &changes->slots[i];
        if (slot->row_plus_one == 0 ||
            (slot->hash == hash && is_row(changes->rows[slot->row_plus_one - 1], db, key)))
            return slot;
    }
}

static void grow(struct changes *changes)
{
    set_slot_count(changes, 2 * changes->slot_count);
    size_t mask = changes->slot_count - 1;
    for (size_t row = 0; row < changes->count; row++) {
        if (changes->rows[row]->hash == 0)
            continue;
        size_t i = changes->rows[row]->hash & mask;
        while (changes->slots[i].row_plus_one != 0)
            i = (i + 1) & mask;
        changes->slots[i] = (struct change_slot){changes->rows[row]->hash, (uint32_t)row + 1};
    }
}

const struct change *changes_find(const struct changes *changes, unsigned db, struct text key)
{
    if (changes->dbs[db].count == 0)
        return NULL;
    const struct change_slot *slot = slot_of(changes, db, key, changes_hash(db, key));
    return slot->row_plus_one == 0 ? NULL : changes->rows[slot->row_plus_one - 1];
}

/* Another row that has its slot is a wrong guess, which does no harm. */
void changes_prefetch(const struct changes *changes, uint32_t hash, size_t at, unsigned step)
{
    const struct change_slot *slot = &changes->slots[hash & (changes->slot_count - 1)];
    if (step == 0)
        __builtin_prefetch(slot);
    else if (slot->row_plus_one != 0 && step == 1)
        __builtin_prefetch(&changes->rows[slot->row_plus_one - 1]);
    else if (slot->row_plus_one != 0) {
        const struct change *change = changes->rows[slot->row_plus_one - 1];
        __builtin_prefetch(change);
        __builtin_prefetch(&change->bytes[at], 1);
    }
}

/* --- writing --- */

/* What grew once will grow again. */
static struct change *make(struct changes *changes, unsigned db, struct text key, uint32_t hash,
                           size_t value_len, bool grew)
{
    size_t head = sizeof(struct change) + key.len;
    size_t bytes = head + value_len + (grew ? value_len / 4 : 0);
    bytes = (bytes + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
    struct change *change = arena_alloc(&changes->arena, bytes);
    *change = (struct change){.hash = hash,
                              .capacity = (uint32_t)(bytes - head),
                              .key_len = (uint16_t)key.len,
                              .db = (uint8_t)db};
    memcpy(change->bytes, key.bytes, key.len);
    return change;
}

/* A new row. */
static void add(struct changes *changes, unsigned db, struct text key, uint32_t hash,
                           size_t value_len)
{
    assert(db < CHANGES_DB_MAX && key.len >= 1 && key.len <= UINT16_MAX);
    if (changes->count == changes->capacity)
        set_capacity(changes, 2 * changes->capacity);
    changes->rows[changes->count++] = make(changes, db, key, hash, value_len, false);
    changes->dbs[db].count++;
    changes->dbs[db].bytes += key.len;
}

/* The row with room for a value. */
static struct change *set_len(struct changes *changes, struct change **row, size_t value_len)
{
    struct change *change = *row;
    assert(value_len < UINT32_MAX / 2);
    changes->dbs[change->db].bytes += value_len;
    changes->dbs[change->db].bytes -= change->value_len;
    if (value_len > change->capacity)
        *row = change = make(changes, change->db, change_key(change), change->hash, value_len, true);
    change->value_len = (uint32_t)value_len;
    change->is_deleted = false;
    return change;
}

static struct change *row_for(struct changes *changes, unsigned db, struct text key,
                              size_t value_len)
{
    if (changes->hashed_count == changes->slot_count / 4 * 3)
        grow(changes);
    uint32_t hash = changes_hash(db, key);
    struct change_slot *slot = slot_of(changes, db, key, hash);
    if (slot->row_plus_one == 0) {
        add(changes, db, key, hash, value_len);
        changes->hashed_count++;
        *slot = (struct change_slot){hash, (uint32_t)changes->count};
    }
    return set_len(changes, &changes->rows[slot->row_plus_one - 1], value_len);
}

static char *value_of(struct change *change)
{
    return change->bytes + change->key_len;
}

char *changes_put(struct changes *changes, unsigned db, struct text key, size_t len)
{
    return value_of(row_for(changes, db, key, len));
}

void changes_delete(struct changes *changes, unsigned db, struct text key)
{
    row_for(changes, db, key, 0)->is_deleted = true;
}

char *changes_edit(struct changes *changes, unsigned db, struct text key, size_t *len)
{
    const struct change *found = changes_find(changes, db, key);
    if (found == NULL || found->is_deleted)
        return NULL;
    *len = found->value_len;
    return value_of((struct change *)(uintptr_t)found);
}

/* --- rows with places --- */

/* A place of long ago may say a row of another key. */
const struct change *changes_at(const struct changes *changes, uint32_t place, unsigned db,
                                struct text key)
{
    uint32_t row = place - changes->first_place;
    if (row >= changes->count || !is_row(changes->rows[row], db, key))
        return NULL;
    return changes->rows[row];
}

void changes_prefetch_at(const struct changes *changes, uint32_t place, unsigned step)
{
    uint32_t row = place - changes->first_place;
    if (row < changes->count)
        __builtin_prefetch(step == 0 ? (const void *)&changes->rows[row] : changes->rows[row]);
}

char *changes_put_at(struct changes *changes, uint32_t *place, unsigned db, struct text key,
                     size_t len)
{
    if (changes_at(changes, *place, db, key) == NULL) {
        *place = changes->first_place + (uint32_t)changes->count;
        add(changes, db, key, 0, len);
    }
    return value_of(set_len(changes, &changes->rows[*place - changes->first_place], len));
}

/* --- in order --- */

struct ranked {
    uint64_t rank; /* the number, or the first bytes of the key */
    const struct change *change;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a shorter number is the same number");

static uint64_t rank_of(const struct change *change, bool by_number)
{
    uint64_t rank = 0;
    memcpy(&rank, change->bytes, change->key_len < sizeof rank ? change->key_len : sizeof rank);
    return by_number ? rank : be64toh(rank);
}

static int compare(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    size_t a_len = a->change->key_len, b_len = b->change->key_len;
    int order = memcmp(a->change->bytes, b->change->bytes, a_len < b_len ? a_len : b_len);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static size_t rank_rows(const struct changes *changes, unsigned db, struct text prefix,
                        bool by_number, struct ranked *ranked)
{
    size_t count = 0;
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = changes->rows[i];
        if (change->db == db && text_starts(change_key(change), prefix))
            ranked[count++] = (struct ranked){rank_of(change, by_number), change};
    }
    return count;
}

const struct change **changes_sorted(const struct changes *changes, unsigned db, struct text prefix,
                                     bool by_number, size_t *count)
{
    *count = 0;
    if (changes->dbs[db].count == 0)
        return NULL;
    struct ranked *ranked = allocate(NULL, changes->dbs[db].count * sizeof *ranked);
    *count = rank_rows(changes, db, prefix, by_number, ranked);
    qsort(ranked, *count, sizeof *ranked, compare);
    const struct change **sorted = *count == 0 ? NULL : allocate(NULL, *count * sizeof *sorted);
    for (size_t i = 0; i < *count; i++)
        sorted[i] = ranked[i].change;
    free(ranked);
    return sorted;
}
