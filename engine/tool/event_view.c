#include "engine/tool/event_view.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/tool/when.h"

struct text event_when(struct session *session, const struct fields *fields, const char *key)
{
    return when_text(&session->setup->screen, field_integer(fields, key), &session->arena);
}

struct text event_came(struct session *session, const struct fields *fields)
{
    return event_when(session, fields, field_integer(fields, "received") > 0 ? "received" : "ts");
}

struct text event_scope(const struct fields *fields)
{
    struct text name = field_text(fields, "scope");
    for (enum scope scope = 0; scope < SCOPE_COUNT; scope++)
        if (text_is(name, scope_name(scope)))
            return text_of(scope_short(scope));
    return name;
}

struct text event_number(struct session *session, const struct fields *fields)
{
    int64_t seq = field_integer(fields, "seq");
    return seq == 0 ? TEXT("") : arena_format(&session->arena, "%" PRId64, seq);
}

/* As much of it as there is room for. */
static void print_line(struct session *session, struct text line)
{
    enum { WIDTH_UNLIMITED = 120 };
    size_t columns = (size_t)session->setup->screen.columns;
    line = screen_cut(screen_clean(line, &session->arena), columns > 0 ? columns : WIDTH_UNLIMITED, &session->arena);
    printf(TEXT_FMT "\n", TEXT_ARG(line));
}

void event_print_data(struct session *session, const struct fields *event)
{
    struct fields body = field_object(session, event, "event");
    struct text data = field_json(&body, "data"), metadata = field_json(&body, "metadata");
    struct text scope = event_scope(&body);
    if (data.len > 0 && !text_is(data, "{}"))
        print_line(session, arena_format(&session->arena, "It said: " TEXT_FMT "%s" TEXT_FMT, TEXT_ARG(scope),
                                         scope.len > 0 ? " " : "", TEXT_ARG(data)));
    if (metadata.len > 0)
        print_line(session, arena_format(&session->arena, "With metadata: " TEXT_FMT, TEXT_ARG(metadata)));
}

void print_cells(struct session *session, const struct text *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct text text = cells[i].len == 0 ? TEXT("-") : screen_clean(cells[i], &session->arena);
        printf("%s" TEXT_FMT, i == 0 ? "" : "\t", TEXT_ARG(text));
    }
    putchar('\n');
}
