/* cmd_history.c - `fwsync history DEVICE`: what changed of a device, newest first. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/client/command.h"
#include "engine/client/interrupt.h"
#include "engine/client/session.h"
#include "engine/client/table.h"
#include "engine/client/when.h"

enum { OPT_LIMIT = 1, OPT_ALL };

static const struct option_spec specs[] = {
    {OPT_LIMIT, "limit", "N", "at most N changes (100)"},
    {OPT_ALL, "all", NULL, "no limit"},
};

struct listing {
    struct session session;
    const char *device;
    struct table *table;
    int64_t limit;
    int64_t count;
    bool has_more;
    bool is_complete; /* the last page goes back to the device's first event */
    struct buf cursor;
};

static void add_value(struct listing *listing, const struct value *value)
{
    struct session *session = &listing->session;
    struct text text = TEXT("-");
    if (value != NULL)
        text = screen_value(&session->setup->screen, value, &session->arena);
    table_cell(listing->table, text, value == NULL ? STYLE_DIM : STYLE_PLAIN);
}

/* "client.currentFwVer"; the device's type has no scope. */
static struct text attribute_name(struct session *session, const struct fields *change)
{
    enum scope scope;
    struct text name = field_text(change, "scope");
    if (name.len == 0)
        return field_text(change, "key");
    if (scope_parse(name, &scope))
        name = text_of(scope_short(scope));
    return arena_format(&session->arena, TEXT_FMT "." TEXT_FMT, TEXT_ARG(name),
                        TEXT_ARG(field_text(change, "key")));
}

static void add_change(struct listing *listing, const struct value *item)
{
    struct session *session = &listing->session;
    if (listing->count == listing->limit) { /* a page has all changes of an event */
        listing->has_more = true;
        return;
    }
    listing->count++;
    if (session->setup->json) {
        printf(TEXT_FMT "\n", TEXT_ARG(item->text));
        return;
    }
    struct fields change = value_object(session, item);
    table_cell(listing->table,
               when_text(&session->setup->screen, field_integer(&change, "ts"), &session->arena),
               STYLE_PLAIN);
    table_cell(listing->table, attribute_name(session, &change), STYLE_PLAIN);
    add_value(listing, fields_get(&change, TEXT("old")));
    add_value(listing, fields_get(&change, TEXT("new")));
    table_cell(listing->table, field_text(&change, "type"), STYLE_PLAIN);
    table_cell_count(listing->table, field_integer(&change, "seq"));
}

static bool list_page(struct listing *listing)
{
    struct session *session = &listing->session;
    int64_t left = listing->limit - listing->count;
    struct buf *question = session_question(session, "history");
    json_member_text(question, "device", text_of(listing->device));
    json_member_integer(question, "limit", left < LIST_COUNT_MAX ? left : LIST_COUNT_MAX);
    if (listing->cursor.len > 0)
        json_member_raw(question, "cursor", buf_text(&listing->cursor));
    if (!session_ask(session))
        return false;
    struct value *changes;
    size_t count = field_array(session, &session->answer, "changes", &changes);
    for (size_t i = 0; i < count; i++)
        add_change(listing, &changes[i]);
    table_print(listing->table, stdout);
    session_keep_cursor(session, &listing->cursor);
    listing->is_complete = field_boolean(&session->answer, "complete");
    return true;
}

static void list_all(struct listing *listing)
{
    do
        if (!list_page(listing))
            return;
    while (listing->cursor.len > 0 && listing->count < listing->limit && !interrupted());
    fflush(stdout);
    if (listing->cursor.len > 0 || listing->has_more)
        fprintf(stderr, "These are the newest %" PRId64 "; for more: --limit N or --all\n",
                listing->count);
    else if (!listing->is_complete && listing->session.setup->screen.tables)
        fprintf(stderr, "What was before that is no longer kept.\n");
}

static bool read_words(struct options *options, struct listing *listing)
{
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WORD && listing->device != NULL) {
            options_wrong(options, "too much: '%s'", options->value);
            return false;
        }
        if (id == OPTION_WORD)
            listing->device = options->value;
        else if (id == OPT_ALL)
            listing->limit = INT64_MAX;
        else if (id != OPT_LIMIT || !options_number(options, 1, OPTION_COUNT_MAX, &listing->limit))
            return false;
    }
    if (listing->device == NULL)
        options_wrong(options, "DEVICE is missing");
    return listing->device != NULL;
}

static int run(const struct setup *setup, struct options *options)
{
    enum { WHEN, ATTRIBUTE, OLD, NEW, EVENT, SEQ };
    static const struct table_column columns[] = {
        [WHEN] = {"WHEN", false},   [ATTRIBUTE] = {"ATTRIBUTE", false}, [OLD] = {"OLD", false},
        [NEW] = {"NEW", false},     [EVENT] = {"EVENT", false},         [SEQ] = {"SEQ", true},
    };
    static const unsigned char drop_order[] = {SEQ, EVENT};
    struct listing listing = {.limit = LIST_COUNT_DEFAULT};
    if (!read_words(options, &listing))
        return EXIT_USAGE;
    session_open(&listing.session, setup, "history");
    listing.table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    table_may_drop(listing.table, drop_order, sizeof drop_order);
    list_all(&listing);
    table_destroy(listing.table);
    buf_fini(&listing.cursor);
    return session_close(&listing.session);
}

const struct command command_history = {
    .name = "history",
    .usage = "DEVICE [--limit N|--all]",
    .summary = "list what changed of a device, newest first",
    .details = "OLD '-' means that the attribute wasn't there before, NEW '-' that it was deleted. EVENT is\n"
               "the type of the message that caused the change (DEADLINE_PASSED: time did), SEQ its number. How\n"
               "long changes are kept is a setting of fwsyncd.\n"
               "\n"
               "  fwsync history ESP32\n"
               "  fwsync history ESP32 --all --json | grep fwSyncState\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DEVICE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};
