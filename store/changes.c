#include "store/changes.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "engine/base/crc32c.h"

enum { CHUNK_BYTES = 1 << 20, SLOTS_AT_REST = 4096, ROW_ALIGN = 16 };

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

/* How many rows the table takes. */
static size_t row_room(const struct changes *changes)
{
    return changes->slot_count / 4 * 3;
}

static void set_slot_count(struct changes *changes, size_t slot_count)
{
    changes->slot_count = slot_count;
    changes->slots = allocate(changes->slots, slot_count * sizeof *changes->slots);
    changes->rows = allocate(changes->rows, row_room(changes) * sizeof(struct change *));
    memset(changes->slots, 0, slot_count * sizeof *changes->slots);
}

void changes_init(struct changes *changes)
{
    *changes = (struct changes){.count = 0};
    arena_init(&changes->arena, CHUNK_BYTES);
    set_slot_count(changes, SLOTS_AT_REST);
}

void changes_fini(struct changes *changes)
{
    arena_fini(&changes->arena);
    free(changes->rows);
    free(changes->slots);
    *changes = (struct changes){.count = 0};
}

void changes_clear(struct changes *changes)
{
    if (changes->count == 0)
        return;
    /* twice what was needed stays: a steady load finds its table ready */
    size_t slot_count = changes->slot_count;
    while (slot_count > SLOTS_AT_REST && changes->count < slot_count / 8)
        slot_count /= 2;
    arena_reset(&changes->arena);
    changes->count = 0;
    memset(changes->dbs, 0, sizeof changes->dbs);
    set_slot_count(changes, slot_count);
}

size_t changes_bytes(const struct changes *changes)
{
    return changes->arena.used_bytes + row_room(changes) * sizeof(struct change *) +
           changes->slot_count * sizeof *changes->slots;
}

/* --- the table --- */

static uint32_t hash_of(unsigned db, struct text key)
{
    uint32_t hash = crc32c(db, key.bytes, key.len) * 0x9E3779B1u;
    return hash ^ hash >> 16; /* the low bits choose the slot */
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
    const struct change_slot *slot = slot_of(changes, db, key, hash_of(db, key));
    return slot->row_plus_one == 0 ? NULL : changes->rows[slot->row_plus_one - 1];
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

/* The row with room for a value. */
static struct change *row_for(struct changes *changes, unsigned db, struct text key,
                              size_t value_len)
{
    assert(db < CHANGES_DB_MAX && key.len >= 1 && key.len <= UINT16_MAX);
    assert(value_len < UINT32_MAX / 2);
    if (changes->count == row_room(changes))
        grow(changes);
    uint32_t hash = hash_of(db, key);
    struct change_slot *slot = slot_of(changes, db, key, hash);
    if (slot->row_plus_one == 0) {
        changes->rows[changes->count++] = make(changes, db, key, hash, value_len, false);
        *slot = (struct change_slot){hash, (uint32_t)changes->count};
        changes->dbs[db].count++;
        changes->dbs[db].bytes += key.len;
    }
    struct change **row = &changes->rows[slot->row_plus_one - 1];
    changes->dbs[db].bytes += value_len;
    changes->dbs[db].bytes -= (*row)->value_len;
    if (value_len > (*row)->capacity)
        *row = make(changes, db, key, hash, value_len, true);
    (*row)->value_len = (uint32_t)value_len;
    return *row;
}

char *changes_put(struct changes *changes, unsigned db, struct text key, size_t len)
{
    struct change *change = row_for(changes, db, key, len);
    change->is_deleted = false;
    return change->bytes + change->key_len;
}

void changes_delete(struct changes *changes, unsigned db, struct text key)
{
    row_for(changes, db, key, 0)->is_deleted = true;
}

/* --- in order --- */

struct ranked {
    uint64_t rank; /* the number, or the first bytes of the key */
    const struct change *change;
};

static uint64_t rank_of(const struct change *change, bool by_number)
{
    uint64_t rank = 0;
    if (by_number && change->key_len == sizeof(uint32_t)) {
        uint32_t number;
        memcpy(&number, change->bytes, sizeof number);
        return number;
    }
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
