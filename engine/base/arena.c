#include "engine/base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_chunk {
    struct arena_chunk *older;
    size_t bytes;
    _Alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *arena, size_t chunk_bytes)
{
    assert(chunk_bytes > 0);
    *arena = (struct arena){.chunk_bytes = chunk_bytes};
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}

void arena_fini(struct arena *arena)
{
    free_chunks(arena->chunks);
    free_chunks(arena->spare);
    arena->chunks = arena->spare = NULL;
    arena->next = arena->end = NULL;
    arena->used_bytes = 0;
}

static size_t keep_bytes(const struct arena *arena)
{
    return arena->chunk_bytes * ARENA_KEEP_CHUNKS;
}

void arena_reset(struct arena *arena)
{
    arena->used_bytes = 0;
    struct arena_chunk *kept = arena->chunks;
    while (kept != NULL && kept->bytes > keep_bytes(arena)) {
        struct arena_chunk *older = kept->older;
        free(kept);
        kept = older;
    }
    arena->chunks = kept;
    if (kept == NULL) {
        arena->next = arena->end = NULL;
        return;
    }
    free_chunks(kept->older);
    kept->older = NULL;
    arena->next = kept->data;
    arena->end = kept->data + kept->bytes;
}

/* The chunks of a list that fit `bytes` together become spare. */
static void spare_chunks(struct arena *arena, struct arena_chunk *chunk, size_t *bytes)
{
    for (struct arena_chunk *older; chunk != NULL; chunk = older) {
        older = chunk->older;
        if (chunk->bytes > *bytes) {
            free(chunk);
            continue;
        }
        *bytes -= chunk->bytes;
        chunk->older = arena->spare;
        arena->spare = chunk;
    }
}

void arena_reset_keeping(struct arena *arena, size_t bytes)
{
    struct arena_chunk *used = arena->chunks, *unused = arena->spare;
    arena->chunks = arena->spare = NULL;
    arena->next = arena->end = NULL;
    arena->used_bytes = 0;
    spare_chunks(arena, used, &bytes);
    spare_chunks(arena, unused, &bytes);
}

static struct arena_chunk *take_spare(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk = arena->spare;
    if (chunk == NULL || chunk->bytes < bytes)
        return NULL;
    arena->spare = chunk->older;
    return chunk;
}

static struct arena_chunk *new_chunk(const struct arena *arena, size_t bytes)
{
    size_t size = arena->chunks == NULL ? arena->chunk_bytes : arena->chunks->bytes * 2;
    if (size > keep_bytes(arena))
        size = keep_bytes(arena);
    if (size < bytes)
        size = bytes;
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    chunk->bytes = size;
    return chunk;
}

static void arena_grow(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk = take_spare(arena, bytes);
    if (chunk == NULL)
        chunk = new_chunk(arena, bytes);
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->next = chunk->data;
    arena->end = arena->next + chunk->bytes;
}

void *arena_alloc_slow(struct arena *arena, size_t bytes)
{
    assert(bytes < SIZE_MAX / 2);
    arena_grow(arena, (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1));
    return arena_alloc(arena, bytes);
}

void *arena_zero(struct arena *arena, size_t bytes)
{
    return memset(arena_alloc(arena, bytes), 0, bytes);
}

struct text arena_copy(struct arena *arena, struct text text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.bytes, text.len);
    copy[text.len] = '\0';
    return (struct text){copy, text.len};
}

struct text arena_format(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *memory = arena_alloc(arena, (size_t)len + 1);
    vsnprintf(memory, (size_t)len + 1, format, again);
    va_end(again);
    return (struct text){memory, (size_t)len};
}
