#include "engine/base/problems.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/base/buf.h"

void problems_init(struct problems *problems)
{
    enum { CHUNK_BYTES = 4096 };
    *problems = (struct problems){.first = NULL};
    arena_init(&problems->arena, CHUNK_BYTES);
}

void problems_fini(struct problems *problems)
{
    arena_fini(&problems->arena);
    *problems = (struct problems){.first = NULL};
}

/* What is quoted from a file may hold line ends; a problem is one line. */
static void flatten(char *line)
{
    for (; *line != '\0'; line++)
        if ((unsigned char)*line < 0x20 || *line == 0x7F)
            *line = ' ';
}

__attribute__((format(printf, 3, 0))) static const char *
format_line(struct arena *arena, struct place place, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int text_bytes = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char spot[32] = "";
    if (place.line > 0)
        snprintf(spot, sizeof spot, ":%u:%u", place.line, place.column);
    size_t head_bytes = strlen(place.file) + strlen(spot) + 2;
    size_t bytes = head_bytes + (size_t)(text_bytes < 0 ? 0 : text_bytes) + 1;
    char *line = arena_alloc(arena, bytes);
    snprintf(line, bytes, "%s%s: ", place.file, spot);
    vsnprintf(line + head_bytes, bytes - head_bytes, format, args);
    flatten(line);
    return line;
}

static int compare_places(struct place left, struct place right)
{
    int order = strcmp(left.file, right.file);
    if (order == 0)
        order = (left.line > right.line) - (left.line < right.line);
    if (order == 0)
        order = (left.column > right.column) - (left.column < right.column);
    return order;
}

/* Behind all that come before it or stand in the same place. */
static void insert(struct problems *problems, struct problem *problem)
{
    struct problem **at = &problems->first;
    while (*at != NULL && compare_places((*at)->place, problem->place) <= 0)
        at = &(*at)->next;
    problem->next = *at;
    *at = problem;
}

void problem_add(struct problems *problems, struct place place, const char *format, ...)
{
    problems->count++;
    if (problems->count > PROBLEM_COUNT_MAX)
        return;
    va_list args;
    va_start(args, format);
    struct problem *problem = arena_alloc(&problems->arena, sizeof *problem);
    *problem = (struct problem){format_line(&problems->arena, place, format, args), place, NULL};
    va_end(args);
    problem->place.file = arena_copy(&problems->arena, text_of(place.file)).bytes;
    insert(problems, problem);
}

void problems_json(struct buf *out, const struct problems *problems)
{
    buf_byte(out, '[');
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next) {
        json_comma(out);
        json_string(out, text_of(problem->line));
    }
    buf_byte(out, ']');
}
