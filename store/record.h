/* record.h - the bytes of a device on disk (docs/decisions/0003-device-record.md).
 *
 *     attributes only: type, created_ms, name, position of its newest row of history, timer
 *     the number of entries, then the entries sorted by (scope, key)
 *     zeros up to a multiple of 8
 *
 * An entry is: scope and kind in one byte, key, ts_ms, seq, value; keys and the type are words, all as in
 * coding.h. A timer is its bucket in seconds and, when that isn't 0, the due time. A record that changes its
 * length makes LMDB move its neighbours and split full pages, so a seq always takes 5 bytes at least and a due
 * time 6, and the zeros take up small changes.
 *
 * An entry is kept as its bytes and decoded only when asked for, so taking a device in and writing
 * it back costs a walk and a copy. The walk checks every length, so bytes that pass it can be
 * decoded without further checks. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "store/state.h"
#include "store/words.h"

/* One attribute as its bytes; borrowed from the record or from an arena. */
struct entry {
    const unsigned char *bytes;
    const char *key; /* in the bytes or among the words */
    uint32_t len;
    uint16_t after_key; /* where ts_ms stands in the bytes */
    uint16_t value_at;
    uint8_t key_len;
    uint8_t scope;
};

/* A record's entries, sorted by (scope, key), no two alike. */
struct entries {
    struct entry *items;
    size_t count;
    size_t capacity;
    size_t bytes; /* of all entries */
};

struct record_head {
    struct text type;
    struct text name;
    int64_t created_ms;
    uint64_t history; /* position; HISTORY_NONE: there is none */
    int64_t due_ms;    /* of the timer; 0: none. Never without a bucket */
    int64_t bucket_ms; /* where the device stands in TIMER_INDEX, whole seconds; 0: nowhere */
};

void entries_fini(struct entries *entries);
/* entries_find - true and *position of (scope, key), or false and where it belongs. */
bool entries_find(const struct entries *entries, enum scope scope, struct text key,
                  size_t *position);
void entries_insert(struct entries *entries, size_t position, struct entry entry);
void entries_replace(struct entries *entries, size_t position, struct entry entry);
void entries_remove(struct entries *entries, size_t position);

/* entry_encode - the entry's bytes in `arena`. The key may become a word. The value is not
 * VALUE_NULL. */
struct entry entry_encode(struct arena *arena, struct words *words, enum scope scope,
                          const struct attribute *attribute);
/* entry_decode - texts are borrowed from the entry. */
struct attribute entry_decode(const struct entry *entry);
/* entry_value - of that, the value alone. */
struct value entry_value(const struct entry *entry);

/* record_read - take apart. `head` is NULL for a telemetry record; its texts and the
 * entries are borrowed from `record` and `words`. False when the bytes are damaged (outputs are
 * then undefined). */
bool record_read(const struct words *words, struct text record, struct record_head *head,
                 struct entries *entries);

/* record_bytes - the length of the record; at most RECORD_HEAD_BYTES_MAX more than the entries have. */
enum { RECORD_HEAD_BYTES_MAX = 1024 };
size_t record_bytes(const struct words *words, const struct record_head *head,
                    const struct entries *entries);
/* record_write - into as many bytes. */
void record_write(char *record, size_t len, const struct words *words, const struct record_head *head,
                  const struct entries *entries);

#endif
