/* cmd_list.c - `fwsync list`: devices with what they run, what they should run, and the verdict. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/compose.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/repeat.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/tally.h"
#include "engine/tool/verdict.h"
#include "engine/tool/when.h"

enum {
    OPT_UNSYNCED = 1,
    OPT_SYNCED,
    OPT_STATE,
    OPT_VERSION,
    OPT_TARGET,
    OPT_TYPE,
    OPT_WHERE,
    OPT_SINCE,
    OPT_PREFIX,
    OPT_LIMIT,
    OPT_ALL,
};

static const struct option_spec specs[] = {
    {OPT_UNSYNCED, "unsynced", NULL, "only where the running firmware isn't the target"},
    {OPT_SYNCED, "synced", NULL, "only where it is"},
    {OPT_STATE, "state", "STATE", "only in this state; may be given again, for another one"},
    {OPT_VERSION, "version", "VERSION", "only those that run it"},
    {OPT_TARGET, "target", "VERSION", "only those that should run it"},
    {OPT_TYPE, "type", "DEVICETYPE", "only of this type"},
    {OPT_WHERE, "where", "KEY=VALUE", "only where an indexed attribute is that; again: and another"},
    {OPT_SINCE, "since", "TIME", "only where the verdict changed since: 30s, 15m, 1h, 2d, 06:13, a date"},
    {OPT_PREFIX, "prefix", "TEXT", "only names that begin with it"},
    {OPT_LIMIT, "limit", "N", "at most N devices (100)"},
    {OPT_ALL, "all", NULL, "no limit"},
};

/* The values that one attribute may have: those that a word may mean, or several words. */
struct choice {
    const char *index; /* its full name; of --where, as typed until it is `found` */
    bool found;
    struct value values[VERDICT_STATE_COUNT];
    size_t count; /* 0: any value */
};
enum { BY_VERSION, BY_TARGET, BY_STATE, BY_OTHERS, CHOICE_COUNT_MAX = BY_OTHERS + 8 };
_Static_assert(VERDICT_STATE_COUNT >= 2, "a version has up to two readings");

struct wish {
    bool synced_given;
    bool synced;
    struct choice choices[CHOICE_COUNT_MAX];
    size_t choice_count;
    const char *type;
    const char *since; /* as typed: with --watch, "1h" moves */
    const char *prefix;
    int64_t limit;
    struct arena arena; /* of the versions */
};

struct listing {
    struct session session;
    struct wish *wish;
    struct table *table;
    int64_t since_ms; /* 0: whenever */
    int64_t count;
    size_t combination; /* the daemon is asked for one combination of the choices after the other */
    struct buf cursor;  /* JSON; empty: no next page */
};

/* --- the options --- */

static bool add_state(const struct options *options, struct choice *choice)
{
    const char *state = options_one_of(options, "state", verdict_states, VERDICT_STATE_COUNT);
    if (state == NULL)
        return false;
    for (size_t i = 0; i < choice->count; i++)
        if (text_is(choice->values[i].text, state))
            return true;
    choice->values[choice->count++] = value_string(text_of(state));
    return true;
}

static bool set_synced(const struct options *options, struct wish *wish, bool synced)
{
    if (wish->synced_given && wish->synced != synced) {
        options_wrong(options, "--synced and --unsynced exclude each other");
        return false;
    }
    wish->synced_given = true;
    wish->synced = synced;
    return true;
}

static void read_value(struct wish *wish, const char *word, struct choice *choice)
{
    choice->count = compose_readings(word, &wish->arena, choice->values);
}

/* KEY=VALUE */
static bool add_where(const struct options *options, struct wish *wish)
{
    const char *equals = strchr(options->value, '=');
    if (equals == NULL || equals == options->value) {
        options_wrong(options, "'%s' is not KEY=VALUE, such as currentFwVer=v1.1", options->value);
        return false;
    }
    if (wish->choice_count == CHOICE_COUNT_MAX) {
        options_wrong(options, "more than %d times --where", CHOICE_COUNT_MAX - BY_OTHERS);
        return false;
    }
    struct choice *choice = &wish->choices[wish->choice_count++];
    choice->index = arena_format(&wish->arena, "%.*s", (int)(equals - options->value), options->value).bytes;
    read_value(wish, equals + 1, choice);
    return true;
}

/* False after telling what is wrong. */
static bool take_option(struct options *options, struct wish *wish, int id)
{
    int64_t moment_ms;
    switch (id) {
    case OPT_UNSYNCED:
    case OPT_SYNCED:
        return set_synced(options, wish, id == OPT_SYNCED);
    case OPT_STATE:
        return add_state(options, &wish->choices[BY_STATE]);
    case OPT_VERSION:
        read_value(wish, options->value, &wish->choices[BY_VERSION]);
        return true;
    case OPT_TARGET:
        read_value(wish, options->value, &wish->choices[BY_TARGET]);
        return true;
    case OPT_TYPE:
        wish->type = options->value;
        return true;
    case OPT_WHERE:
        return add_where(options, wish);
    case OPT_SINCE:
        wish->since = options->value;
        return options_moment(options, &moment_ms);
    case OPT_PREFIX:
        wish->prefix = options->value;
        return true;
    case OPT_LIMIT:
        return options_number(options, 1, OPTION_COUNT_MAX, &wish->limit);
    case OPT_ALL:
        wish->limit = INT64_MAX - 1;
        return true;
    case OPTION_WORD:
        options_wrong(options, "'%s' is too much; one device: fwsync get %s", options->value,
                      options->value);
        return false;
    default:
        return false;
    }
}

static bool read_wish(struct options *options, struct wish *wish)
{
    *wish = (struct wish){.limit = LIST_COUNT_DEFAULT};
    wish->choices[BY_VERSION] = (struct choice){.index = "client.currentFwVer", .found = true};
    wish->choices[BY_TARGET] = (struct choice){.index = "server.lastTargetFwVer", .found = true};
    wish->choices[BY_STATE] = (struct choice){.index = "server.fwSyncState", .found = true};
    wish->choice_count = BY_OTHERS;
    arena_init(&wish->arena, 1024);
    for (int id; (id = options_next(options)) != OPTION_END;)
        if (!take_option(options, wish, id))
            return false;
    return true;
}

static bool has_conditions(const struct wish *wish)
{
    bool any = wish->synced_given || wish->type != NULL || wish->since != NULL || wish->prefix != NULL;
    for (size_t i = 0; i < wish->choice_count; i++)
        any |= wish->choices[i].count > 0;
    return any;
}

/* --- asking --- */

static size_t combination_count(const struct wish *wish)
{
    size_t count = 1;
    for (size_t i = 0; i < wish->choice_count; i++)
        count *= wish->choices[i].count == 0 ? 1 : wish->choices[i].count;
    return count;
}

/* What must hold in the present combination; the first choice changes last. */
static void write_where(const struct listing *listing, struct buf *question)
{
    const struct wish *wish = listing->wish;
    size_t rest = listing->combination;
    json_key(question, "where");
    buf_byte(question, '{');
    if (wish->synced_given)
        json_member_boolean(question, "server.fwStateIsSynced", wish->synced);
    for (size_t i = wish->choice_count; i-- > 0;) {
        const struct choice *choice = &wish->choices[i];
        if (choice->count == 0)
            continue;
        json_key(question, choice->index);
        json_value(question, &choice->values[rest % choice->count]);
        rest /= choice->count;
    }
    buf_byte(question, '}');
}

static void write_question(struct listing *listing)
{
    const struct wish *wish = listing->wish;
    struct buf *question = session_question(&listing->session, "devices");
    int64_t wanted = wish->limit + 1 - listing->count;
    json_member_integer(question, "limit", wanted < LIST_COUNT_MAX ? wanted : LIST_COUNT_MAX);
    write_where(listing, question);
    if (wish->type != NULL)
        json_member_text(question, "type", text_of(wish->type));
    if (wish->since != NULL)
        json_member_integer(question, "since", listing->since_ms);
    if (wish->prefix != NULL)
        json_member_text(question, "prefix", text_of(wish->prefix));
    if (listing->cursor.len > 0)
        json_member_raw(question, "cursor", buf_text(&listing->cursor));
}

/* --- printing --- */

static void add_value(struct listing *listing, const struct value *value)
{
    struct session *session = &listing->session;
    struct text text = TEXT("-");
    if (value != NULL)
        text = screen_value(&session->setup->screen, value, &session->arena);
    table_cell(listing->table, text, STYLE_PLAIN);
}

static void add_time(struct listing *listing, int64_t ms)
{
    struct session *session = &listing->session;
    table_cell(listing->table, when_text(&session->setup->screen, ms, &session->arena), STYLE_PLAIN);
}

/* Of a device without a verdict there is none. */
static void add_since(struct listing *listing, const struct fields *device)
{
    if (fields_get(device, TEXT("since")) == NULL)
        table_cell(listing->table, TEXT("-"), STYLE_PLAIN);
    else
        add_time(listing, field_integer(device, "since"));
}

static void add_synced(struct listing *listing, const struct value *synced)
{
    if (synced == NULL || synced->kind != VALUE_BOOLEAN)
        add_value(listing, synced);
    else if (synced->boolean)
        table_cell(listing->table, TEXT("yes"), STYLE_GOOD);
    else
        table_cell(listing->table, TEXT("no"), STYLE_BAD);
}

static void add_state_cell(struct listing *listing, const struct value *state)
{
    struct session *session = &listing->session;
    if (state == NULL || state->kind != VALUE_STRING)
        add_value(listing, state);
    else
        table_cell(listing->table, screen_value(&session->setup->screen, state, &session->arena),
                   verdict_style(state->text));
}

/* A person sees the two versions beside the reason, which begins with them: what tells it from the others comes
 * behind, and has to fit. */
static void add_reason(struct listing *listing, const struct value *reason, const struct value *current,
                       const struct value *target)
{
    struct session *session = &listing->session;
    if (!session->setup->screen.tables || reason == NULL || reason->kind != VALUE_STRING || current == NULL ||
        current->kind != VALUE_STRING || target == NULL || target->kind != VALUE_STRING) {
        add_value(listing, reason);
        return;
    }
    struct text versions = arena_format(&session->arena, "runs " TEXT_FMT ", should run " TEXT_FMT "; ",
                                        TEXT_ARG(current->text), TEXT_ARG(target->text));
    struct value rest = *reason;
    if (text_starts(rest.text, versions))
        rest.text = (struct text){rest.text.bytes + versions.len, rest.text.len - versions.len};
    add_value(listing, &rest);
}

static void add_device(struct listing *listing, const struct value *item)
{
    struct session *session = &listing->session;
    struct fields device = value_object(session, item);
    if (++listing->count > listing->wish->limit)
        return;
    if (session->setup->json) {
        printf(TEXT_FMT "\n", TEXT_ARG(item->text));
        return;
    }
    struct fields client = field_object(session, &device, "client");
    struct fields server = field_object(session, &device, "server");
    table_cell(listing->table, field_text(&device, "device"), STYLE_PLAIN);
    table_cell(listing->table, field_text(&device, "deviceType"), STYLE_PLAIN);
    const struct value *current = fields_get(&client, TEXT("currentFwVer"));
    const struct value *target = fields_get(&server, TEXT("lastTargetFwVer"));
    add_value(listing, current);
    add_value(listing, target);
    add_synced(listing, fields_get(&server, TEXT("fwStateIsSynced")));
    add_state_cell(listing, fields_get(&server, TEXT("fwSyncState")));
    add_time(listing, field_integer(&device, "lastSeen"));
    add_reason(listing, fields_get(&server, TEXT("fwSyncReason")), current, target);
    add_since(listing, &device);
}

/* One page. False after telling what went wrong. */
static bool list_page(struct listing *listing)
{
    struct session *session = &listing->session;
    write_question(listing);
    if (!session_ask(session))
        return false;
    struct value *devices;
    size_t count;
    if (!session_list(session, "devices", &devices, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        add_device(listing, &devices[i]);
    table_print(listing->table, stdout);
    session_keep_cursor(session, &listing->cursor);
    if (listing->cursor.len == 0)
        listing->combination++;
    return true;
}

/* The full names of the keys that --where was given. False after telling: there is no such index. */
static bool find_indexes(struct listing *listing)
{
    struct wish *wish = listing->wish;
    struct buf name = {.bytes = NULL};
    bool found = true;
    for (size_t i = 0; i < wish->choice_count && found; i++) {
        struct choice *choice = &wish->choices[i];
        if (choice->found)
            continue;
        found = choice->found = tally_find_index(&listing->session, choice->index, &name);
        choice->index = found ? arena_copy(&wish->arena, buf_text(&name)).bytes : choice->index;
    }
    buf_fini(&name);
    return found;
}

static void list_all(struct listing *listing)
{
    const struct wish *wish = listing->wish;
    if (!find_indexes(listing))
        return;
    do
        if (!list_page(listing))
            return;
    while (listing->combination < combination_count(wish) && listing->count <= wish->limit &&
           !interrupted() && !ferror(stdout));
    fflush(stdout);
    if (listing->count > wish->limit)
        fprintf(stderr, "These are the first %" PRId64 "; for more: --limit N or --all\n", wish->limit);
    else if (listing->count == 0 && listing->session.setup->screen.tables)
        fprintf(stderr, has_conditions(wish) ? "No device is like that.\n" : "No devices yet.\n");
}

static int list_once(const struct setup *setup, void *context)
{
    enum { DEVICE, TYPE, CURRENT, TARGET, SYNCED, STATE, LAST_SEEN, REASON, SINCE };
    enum { REASON_ENOUGH = 20 }; /* columns that tell one reason from another */
    static const struct table_column columns[] = {
        [DEVICE] = {"DEVICE", false}, [TYPE] = {"TYPE", false},     [CURRENT] = {"CURRENT", false},
        [TARGET] = {"TARGET", false}, [SYNCED] = {"SYNCED", false}, [STATE] = {"STATE", false},
        [LAST_SEEN] = {"LAST SEEN", false}, [REASON] = {"REASON", false},
        [SINCE] = {"SINCE", false},
    };
    static const unsigned char drop_order[] = {LAST_SEEN, TYPE, SINCE, REASON, STATE};
    struct listing listing = {.wish = context};
    if (listing.wish->since != NULL)
        when_parse(listing.wish->since, clock_wall_ms(), &listing.since_ms); /* was fine before */
    session_open(&listing.session, setup, "list");
    listing.table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    table_may_drop(listing.table, drop_order, sizeof drop_order);
    table_needs(listing.table, REASON, REASON_ENOUGH);
    list_all(&listing);
    table_destroy(listing.table);
    buf_fini(&listing.cursor);
    return session_close(&listing.session);
}

static int run(const struct setup *setup, struct options *options)
{
    struct wish wish;
    int exit_code = EXIT_USAGE;
    if (read_wish(options, &wish))
        exit_code = repeat(setup, list_once, &wish);
    arena_fini(&wish.arena);
    return exit_code;
}

const struct command command_list = {
    .name = "list",
    .usage = "[--unsynced|--synced] [--state S] [--version V] [--where KEY=VALUE] [--since TIME] ...",
    .summary = "list devices, with what they run, what they should run, and the verdict",
    .details = "Several conditions all have to hold. SYNCED, STATE and REASON are the rules' verdict (server\n"
               "attributes fwStateIsSynced, fwSyncState, fwSyncReason), SINCE is when it became this one, TARGET is\n"
               "lastTargetFwVer; '-' means there is none. A narrow terminal gets fewer columns, and REASON in a table\n"
               "is without the two versions, which stand beside it. STATE is one of\n"
               VERDICT_STATES ".\n"
               "The fleet is asked for one state after the other: with several, a device whose state changes\n"
               "meanwhile may come twice, or not at all.\n"
               "--version 1.1 means the string and the number; '\"1.1\"', with quotes, only the string. KEY is as for\n"
               "`fwsync count`.\n"
               "\n"
               "  fwsync list --unsynced --type ESP32_OTA\n"
               "  fwsync list --state failed --state stuck --since 1h --watch\n"
               "  fwsync list --all --version v1.0 | cut -f1\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY | COMMON_WATCH,
    .run = run,
};
