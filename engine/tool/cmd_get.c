/* cmd_get.c - `fwsync get DEVICE`: all that is known of one device, or was at a time. */
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/tool/command.h"
#include "engine/tool/repeat.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/verdict.h"
#include "engine/tool/when.h"

enum { OPT_AT = 1 };

static const struct option_spec specs[] = {
    {OPT_AT, "at", "TIME", "its attributes as they were: 1h (ago), 06:13, 2026-11-21T06:13:00, ..."},
};

struct wish {
    const char *device;
    const char *at; /* as typed, NULL: now */
};

static void add_row(struct table *table, const char *where, struct text key, struct text value,
                    enum screen_style style)
{
    table_cell(table, text_of(where), STYLE_DIM);
    table_cell(table, key, STYLE_PLAIN);
    table_cell(table, value, style);
}

static enum screen_style value_style(struct text key, const struct value *value)
{
    if (text_is(key, "fwSyncState") && value->kind == VALUE_STRING)
        return verdict_style(value->text);
    if (!text_is(key, "fwStateIsSynced") || value->kind != VALUE_BOOLEAN)
        return STYLE_PLAIN;
    return value->boolean ? STYLE_GOOD : STYLE_BAD;
}

static void add_values(struct session *session, struct table *table, enum scope scope)
{
    struct fields values = field_object(session, &session->answer, scope_short(scope));
    for (size_t i = 0; i < values.count; i++) {
        const struct field *field = &values.items[i];
        add_row(table, scope_short(scope), field->key,
                screen_value(&session->setup->screen, &field->value, &session->arena),
                value_style(field->key, &field->value));
    }
}

static void print_device(struct session *session)
{
    static const struct table_column columns[] = {{"WHERE", false}, {"KEY", false}, {"VALUE", false}};
    const struct screen *screen = &session->setup->screen;
    const struct fields *answer = &session->answer;
    struct table *table = table_create(columns, 3, screen);
    add_row(table, "device", TEXT("name"), field_text(answer, "device"), STYLE_HEAD);
    add_row(table, "device", TEXT("type"), field_text(answer, "deviceType"), STYLE_PLAIN);
    add_row(table, "device", TEXT("created"),
            when_text(screen, field_integer(answer, "created"), &session->arena), STYLE_PLAIN);
    if (fields_get(answer, TEXT("lastSeen")) != NULL)
        add_row(table, "device", TEXT("last seen"),
                when_text(screen, field_integer(answer, "lastSeen"), &session->arena), STYLE_PLAIN);
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++)
        add_values(session, table, scope);
    table_print(table, stdout);
    table_destroy(table);
}

static int get_once(const struct setup *setup, void *context)
{
    const struct wish *wish = context;
    struct session session;
    int64_t at_ms;
    session_open(&session, setup, "get");
    struct buf *question = session_question(&session, "device");
    json_member_text(question, "device", text_of(wish->device));
    if (wish->at != NULL && when_parse(wish->at, clock_wall_ms(), &at_ms))
        json_member_integer(question, "at", at_ms);
    if (session_ask(&session)) {
        if (setup->json)
            session_print_raw(&session);
        else
            print_device(&session);
    }
    return session_close(&session);
}

static int run(const struct setup *setup, struct options *options)
{
    struct wish wish = {.device = NULL};
    int64_t at_ms;
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WORD && wish.device != NULL)
            return options_wrong(options, "too much: '%s'", options->value);
        if (id == OPTION_WRONG || (id == OPT_AT && !options_moment(options, &at_ms)))
            return EXIT_USAGE;
        *(id == OPT_AT ? &wish.at : &wish.device) = options->value;
    }
    if (wish.device == NULL)
        return options_wrong(options, "DEVICE is missing");
    return repeat(setup, get_once, &wish);
}

const struct command command_get = {
    .name = "get",
    .usage = "DEVICE [--at TIME]",
    .summary = "show one device: its attributes and latest telemetry",
    .details = "With --at, its attributes as they were at that time, as far back as history is kept.\n"
               "\n"
               "  fwsync get ESP32\n"
               "  fwsync get ESP32 --at 2h\n"
               "  fwsync get ESP32 | awk -F'\\t' '$2 == \"currentFwVer\" {print $3}'\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DEVICE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY | COMMON_WATCH,
    .run = run,
};
