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

void arena_fini(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *older = arena->chunks->older;
        free(arena->chunks);
        arena->chunks = older;
    }
    arena->next = arena->end = NULL;
    arena->used_bytes = 0;
}

void arena_reset(struct arena *arena)
{
    arena->used_bytes = 0;
    if (arena->chunks == NULL)
        return;
    while (arena->chunks->older != NULL) {
        struct arena_chunk *older = arena->chunks->older;
        free(arena->chunks);
        arena->chunks = older;
    }
    arena->next = arena->chunks->data;
    arena->end = arena->next + arena->chunks->bytes;
}

static void arena_grow(struct arena *arena, size_t bytes)
{
    size_t size = bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes;
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    chunk->older = arena->chunks;
    chunk->bytes = size;
    arena->chunks = chunk;
    arena->next = chunk->data;
    arena->end = arena->next + size;
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
