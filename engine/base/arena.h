/* arena.h - memory that is freed all at once.
 *
 * One arena per lifetime (process, rule set, batch, message). Allocation is a pointer bump. Chunks double
 * up to a bound, and a reset keeps the newest within it, so that a warm arena calls malloc no more.
 * Running out of memory aborts: every input is bounded, so a failing malloc means that the machine, not
 * the input, is at its end.
 * One owner, one thread at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "engine/base/text.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    struct arena_chunk *spare;  /* kept by arena_reset_keeping */
    char *next;
    char *end;
    size_t chunk_bytes;
    size_t used_bytes; /* handed out since the last reset */
};

/* arena_init - chunk_bytes is the size of the first chunk, which is taken at the first allocation; at most
 * ARENA_KEEP_CHUNKS times as much is kept over a reset. */
enum { ARENA_KEEP_CHUNKS = 16 };
void arena_init(struct arena *arena, size_t chunk_bytes);
void arena_fini(struct arena *arena);

/* arena_reset - forget everything allocated; pointers into the arena die. */
void arena_reset(struct arena *arena);
/* arena_reset_keeping - the same, and chunks of at most `bytes` bytes together stay for what comes next: for an
 * arena that is filled with much again and again, since fresh memory costs a page fault for each 4 KiB. */
void arena_reset_keeping(struct arena *arena, size_t bytes);

/* arena_alloc - `bytes` bytes aligned to 16, uninitialised; never NULL. */
enum { ARENA_ALIGN = 16 };
void *arena_alloc_slow(struct arena *arena, size_t bytes);
static inline void *arena_alloc(struct arena *arena, size_t bytes)
{
    size_t padded = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (padded < bytes || (size_t)(arena->end - arena->next) < padded)
        return arena_alloc_slow(arena, bytes);
    void *memory = arena->next;
    arena->next += padded;
    arena->used_bytes += padded;
    return memory;
}
void *arena_zero(struct arena *arena, size_t bytes);

/* arena_copy - a copy of the bytes with a NUL behind it (not counted in len). */
struct text arena_copy(struct arena *arena, struct text text);
/* arena_format - printf into the arena; NUL-terminated. */
struct text arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
