/* cmd_history.c - `fwsync history DEVICE`: what changed of a device, newest first. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/when.h"

enum { OPT_SINCE = 1, OPT_ATTRIBUTE, OPT_LIMIT, OPT_ALL };

static const struct option_spec specs[] = {
    {OPT_SINCE, "since", "TIME", "only what changed since: 30s, 15m, 1h, 2d, 06:13, a date"},
    {OPT_ATTRIBUTE, "attribute", "KEY", "only of this attribute: fwSyncState or server.fwSyncState"},
    {OPT_LIMIT, "limit", "N", "at most N changes (100)"},
    {OPT_ALL, "all", NULL, "no limit"},
};

struct listing {
    struct session session;
    const char *device;
    const char *attribute; /* NULL: all */
    int64_t since_ms;      /* 0: whenever */
    struct table *table;
    int64_t limit;
    int64_t count;
    bool has_more;
    bool is_older;    /* the last page goes back to before `since_ms` */
    bool is_complete; /* it goes back to the device's first event */
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

static bool is_wanted(const struct listing *listing, const struct fields *change, struct text name)
{
    return listing->attribute == NULL || text_is(name, listing->attribute) ||
           text_is(field_text(change, "key"), listing->attribute);
}

static void add_change(struct listing *listing, const struct value *item)
{
    struct session *session = &listing->session;
    struct fields change = value_object(session, item);
    struct text name = attribute_name(session, &change);
    int64_t ms = field_integer(&change, "ts");
    listing->is_older |= ms < listing->since_ms;
    if (listing->is_older || !is_wanted(listing, &change, name))
        return;
    if (listing->count == listing->limit) { /* a page has all changes of an event */
        listing->has_more = true;
        return;
    }
    listing->count++;
    if (session->setup->json) {
        printf(TEXT_FMT "\n", TEXT_ARG(item->text));
        return;
    }
    table_cell(listing->table, when_moment(&session->setup->screen, ms, &session->arena), STYLE_PLAIN);
    table_cell(listing->table, name, STYLE_PLAIN);
    add_value(listing, fields_get(&change, TEXT("old")));
    add_value(listing, fields_get(&change, TEXT("new")));
    table_cell(listing->table, field_text(&change, "type"), STYLE_PLAIN);
    table_cell_seq(listing->table, field_integer(&change, "seq"));
}

static bool list_page(struct listing *listing)
{
    struct session *session = &listing->session;
    int64_t left = listing->attribute == NULL ? listing->limit - listing->count : INT64_MAX;
    struct buf *question = session_question(session, "history");
    json_member_text(question, "device", text_of(listing->device));
    json_member_integer(question, "limit", left < LIST_COUNT_MAX ? left : LIST_COUNT_MAX);
    if (listing->cursor.len > 0)
        json_member_raw(question, "cursor", buf_text(&listing->cursor));
    if (!session_ask(session))
        return false;
    struct value *changes;
    size_t count;
    if (!session_list(session, "changes", &changes, &count))
        return false;
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
    while (listing->cursor.len > 0 && listing->count < listing->limit && !listing->is_older && !interrupted() &&
           !ferror(stdout));
    fflush(stdout);
    if (listing->has_more || (listing->cursor.len > 0 && !listing->is_older))
        fprintf(stderr, "These are the newest %" PRId64 "; for more: --limit N or --all\n",
                listing->count);
    else if (!listing->is_complete && !listing->is_older)
        fprintf(stderr, listing->count == 0 ? "No such change is kept any more.\n"
                                            : "What was before that is no longer kept.\n");
    else if (listing->count == 0 && listing->session.setup->screen.tables)
        fprintf(stderr, "No such change.\n");
}

/* False after telling what is wrong. */
static bool take_option(const struct options *options, struct listing *listing, int id)
{
    switch (id) {
    case OPT_SINCE:
        return options_moment(options, &listing->since_ms);
    case OPT_ATTRIBUTE:
        listing->attribute = options->value;
        return true;
    case OPT_LIMIT:
        return options_number(options, 1, OPTION_COUNT_MAX, &listing->limit);
    case OPT_ALL:
        listing->limit = INT64_MAX;
        return true;
    case OPTION_WORD:
        if (listing->device != NULL)
            options_wrong(options, "too much: '%s'", options->value);
        else
            listing->device = options->value;
        return listing->device == options->value;
    default:
        return false;
    }
}

static bool read_words(struct options *options, struct listing *listing)
{
    for (int id; (id = options_next(options)) != OPTION_END;)
        if (!take_option(options, listing, id))
            return false;
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
    static const unsigned char drop_order[] = {SEQ, OLD, EVENT};
    enum { WHEN_WHOLE = 19, ATTRIBUTE_ENOUGH = 40, VALUE_ENOUGH = 10, EVENT_ENOUGH = 10 }; /* columns */
    struct listing listing = {.limit = LIST_COUNT_DEFAULT};
    if (!read_words(options, &listing))
        return EXIT_USAGE;
    session_open(&listing.session, setup, "history");
    listing.table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    table_may_drop(listing.table, drop_order, sizeof drop_order);
    table_needs(listing.table, WHEN, WHEN_WHOLE);
    table_needs(listing.table, ATTRIBUTE, ATTRIBUTE_ENOUGH);
    table_needs(listing.table, NEW, VALUE_ENOUGH);
    table_needs(listing.table, EVENT, EVENT_ENOUGH);
    list_all(&listing);
    table_destroy(listing.table);
    buf_fini(&listing.cursor);
    return session_close(&listing.session);
}

const struct command command_history = {
    .name = "history",
    .usage = "DEVICE [--since TIME] [--attribute KEY] [--limit N|--all]",
    .summary = "list what changed of a device, newest first",
    .details = "WHEN is the local time on a terminal, UTC in a pipe. OLD '-' means that the attribute wasn't there\n"
               "before, NEW '-' that it was deleted. EVENT is the type of the message that caused the change\n"
               "(DEADLINE_PASSED: time did), SEQ its number. How long changes are kept is a setting of fwsyncd; when\n"
               "the list doesn't go back to the device's first event, it says so at its end.\n"
               "\n"
               "  fwsync history ESP32\n"
               "  fwsync history ESP32 --attribute fwSyncState --since 2d\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DEVICE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};
