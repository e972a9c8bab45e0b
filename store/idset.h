/* idset.h - which of IDSET_SPAN consecutive device ids are in an index entry, as bytes.
 *
 * A fleet has few firmware versions and many devices, so an entry per device would be a large tree
 * that every report writes at two random places. Instead ids are grouped: few of a group are a
 * sorted list of 16-bit offsets, many are a bitmap. A million devices in an index then take about a
 * megabyte. The length tells the form: IDSET_BYTES_MAX is the bitmap. (The idea is that of Roaring
 * bitmaps.) */
#ifndef STORE_IDSET_H
#define STORE_IDSET_H

#include "engine/base/text.h"

enum {
    IDSET_SPAN = 4096,
    IDSET_BYTES_MAX = IDSET_SPAN / 8,
    IDSET_LIST_MAX = IDSET_BYTES_MAX / 2 - 1, /* offsets in the list form */
};

/* idset_add, idset_remove - write the changed set to `out` and return its length; 0: it is empty
 * now. *changed is false when the offset was already there (or wasn't). `out` may not be `set`. */
size_t idset_add(struct text set, unsigned offset, unsigned char out[IDSET_BYTES_MAX],
                 bool *changed);
size_t idset_remove(struct text set, unsigned offset, unsigned char out[IDSET_BYTES_MAX],
                    bool *changed);

/* idset_flip - the same, in place; false when it isn't as easy as that, and nothing was done. Then the other two
 * are to be asked. */
bool idset_flip(char *bytes, size_t len, unsigned offset, bool add);

/* idset_next - the smallest offset in the set from `from` on; IDSET_SPAN: none. */
unsigned idset_next(struct text set, unsigned from);

#endif
