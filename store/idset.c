#include "store/idset.h"

#include <assert.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bitmaps are read by words");

/* Turning a bitmap into a list waits until it is clearly shorter, so that one device going to and
 * fro doesn't turn it each time. */
enum { LIST_AGAIN = IDSET_LIST_MAX * 3 / 4 };

static bool is_bitmap(struct text set)
{
    return set.len == IDSET_BYTES_MAX;
}

static uint16_t list_get(struct text set, size_t i)
{
    uint16_t offset;
    memcpy(&offset, set.bytes + 2 * i, sizeof offset);
    return offset;
}

static void list_put(unsigned char *out, size_t i, unsigned offset)
{
    uint16_t stored = (uint16_t)offset;
    memcpy(out + 2 * i, &stored, sizeof stored);
}

/* Where `offset` is in the list or belongs. */
static size_t list_position(struct text set, unsigned offset)
{
    size_t low = 0, high = set.len / 2;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list_get(set, middle) < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool list_has(struct text set, size_t position, unsigned offset)
{
    return position < set.len / 2 && list_get(set, position) == offset;
}

static void to_bitmap(struct text set, unsigned char *out)
{
    memset(out, 0, IDSET_BYTES_MAX);
    for (size_t i = 0; i < set.len / 2; i++)
        out[list_get(set, i) / 8] |= (unsigned char)(1u << list_get(set, i) % 8);
}

/* The word of a bitmap that has this offset's bit; `bit` is that one alone. */
static uint64_t bitmap_word(const void *bitmap, unsigned offset, uint64_t *bit)
{
    uint64_t word;
    memcpy(&word, (const char *)bitmap + offset / 64 * sizeof word, sizeof word);
    *bit = UINT64_C(1) << offset % 64;
    return word;
}

static void bitmap_put_word(void *bitmap, unsigned offset, uint64_t word)
{
    memcpy((char *)bitmap + offset / 64 * sizeof word, &word, sizeof word);
}

static size_t bitmap_count(const void *bitmap)
{
    size_t count = 0;
    uint64_t bit;
    for (unsigned offset = 0; offset < IDSET_SPAN; offset += 64)
        count += (size_t)__builtin_popcountll(bitmap_word(bitmap, offset, &bit));
    return count;
}

/* The bitmap in `out` becomes a list, in place. */
static size_t to_list(unsigned char *out)
{
    unsigned char bitmap[IDSET_BYTES_MAX];
    memcpy(bitmap, out, sizeof bitmap);
    struct text set = {(const char *)bitmap, sizeof bitmap};
    size_t count = 0;
    for (unsigned offset = idset_next(set, 0); offset < IDSET_SPAN;
         offset = idset_next(set, offset + 1))
        list_put(out, count++, offset);
    return 2 * count;
}

size_t idset_add(struct text set, unsigned offset, unsigned char out[IDSET_BYTES_MAX],
                 bool *changed)
{
    assert(offset < IDSET_SPAN && set.len <= IDSET_BYTES_MAX);
    if (set.len > 0)
        memcpy(out, set.bytes, set.len);
    if (!is_bitmap(set)) {
        size_t position = list_position(set, offset);
        *changed = !list_has(set, position, offset);
        if (!*changed)
            return set.len;
        if (set.len / 2 < IDSET_LIST_MAX) {
            memmove(out + 2 * position + 2, out + 2 * position, set.len - 2 * position);
            list_put(out, position, offset);
            return set.len + 2;
        }
        to_bitmap(set, out);
    }
    uint64_t bit, word = bitmap_word(out, offset, &bit);
    *changed = (word & bit) == 0;
    bitmap_put_word(out, offset, word | bit);
    return IDSET_BYTES_MAX;
}

static size_t remove_from_list(struct text set, unsigned offset, unsigned char *out, bool *changed)
{
    size_t position = list_position(set, offset);
    *changed = list_has(set, position, offset);
    if (!*changed)
        return set.len;
    memmove(out + 2 * position, out + 2 * position + 2, set.len - 2 * position - 2);
    return set.len - 2;
}

size_t idset_remove(struct text set, unsigned offset, unsigned char out[IDSET_BYTES_MAX],
                    bool *changed)
{
    assert(offset < IDSET_SPAN && set.len <= IDSET_BYTES_MAX);
    if (set.len > 0)
        memcpy(out, set.bytes, set.len);
    if (!is_bitmap(set))
        return remove_from_list(set, offset, out, changed);
    uint64_t bit, word = bitmap_word(out, offset, &bit);
    *changed = (word & bit) != 0;
    bitmap_put_word(out, offset, word & ~bit);
    if ((word & ~bit) != 0) /* count only now and then */
        return IDSET_BYTES_MAX;
    return bitmap_count(out) <= LIST_AGAIN ? to_list(out) : IDSET_BYTES_MAX;
}

/* Where a word becomes 0, a bitmap may have to become a list. */
bool idset_flip(char *bytes, size_t len, unsigned offset, bool add)
{
    assert(offset < IDSET_SPAN);
    if (len != IDSET_BYTES_MAX)
        return false;
    uint64_t bit, word = bitmap_word(bytes, offset, &bit);
    if (((word & bit) != 0) == add || word == bit)
        return false;
    bitmap_put_word(bytes, offset, word ^ bit);
    return true;
}

unsigned idset_next(struct text set, unsigned from)
{
    if (!is_bitmap(set)) {
        size_t position = list_position(set, from);
        return position < set.len / 2 ? list_get(set, position) : IDSET_SPAN;
    }
    for (unsigned start = from / 64 * 64; start < IDSET_SPAN; start += 64) {
        uint64_t bit, word = bitmap_word(set.bytes, start, &bit);
        if (start < from)
            word &= UINT64_MAX << (from - start);
        if (word != 0)
            return start + (unsigned)__builtin_ctzll(word);
    }
    return IDSET_SPAN;
}
