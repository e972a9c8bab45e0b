/* spots.h - where the rows of devices were last found on disk, by device id.
 *
 * A report that changes nothing reads its device from the database's pages, every time: a walk down the
 * tree and a checksum for a hundred bytes that the last report found in the same place. Between two renewals
 * of the reader that place can't change, so it is kept. Few and fixed: a small fleet fits whole, a large one
 * hardly finds anything here and pays one look. */
#ifndef STORE_SPOTS_H
#define STORE_SPOTS_H

#include <stdlib.h>

#include "engine/base/text.h"

enum { SPOT_COUNT = 16 * 1024 };

struct spots {
    struct spot {
        const char *bytes; /* NULL: none. In the map; borrowed until spots_clear */
        uint32_t len;
        uint32_t id;
    } *items;
    bool any;
};

static inline void spots_init(struct spots *spots)
{
    *spots = (struct spots){.items = calloc(SPOT_COUNT, sizeof *spots->items)};
    if (spots->items == NULL)
        abort();
}

static inline void spots_fini(struct spots *spots)
{
    free(spots->items);
}

/* spots_clear - the reader is about to be renewed. */
static inline void spots_clear(struct spots *spots)
{
    if (spots->any)
        memset(spots->items, 0, SPOT_COUNT * sizeof *spots->items);
    spots->any = false;
}

static inline bool spots_get(const struct spots *spots, uint32_t id, struct text *row)
{
    const struct spot *spot = &spots->items[id % SPOT_COUNT];
    if (spot->bytes == NULL || spot->id != id)
        return false;
    *row = (struct text){spot->bytes, spot->len};
    return true;
}

/* spots_put - a row whose checksum was looked at; shorter than 4 GiB. */
static inline void spots_put(struct spots *spots, uint32_t id, struct text row)
{
    spots->items[id % SPOT_COUNT] = (struct spot){row.bytes, (uint32_t)row.len, id};
    spots->any = true;
}

#endif
