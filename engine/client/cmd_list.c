/* cmd_list.c - `fwsync list`: devices with what they run and what they should run.
 *
 * The daemon filters by one index, the type and a prefix; when more is asked for, the rest is filtered
 * here from what each listed device says, page by page. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/client/command.h"
#include "engine/client/compose.h"
#include "engine/client/interrupt.h"
#include "engine/client/session.h"
#include "engine/client/table.h"
#include "engine/client/when.h"

enum { OPT_UNSYNCED = 1, OPT_SYNCED, OPT_VERSION, OPT_TARGET, OPT_TYPE, OPT_PREFIX, OPT_LIMIT, OPT_ALL };

static const struct option_spec specs[] = {
    {OPT_UNSYNCED, "unsynced", NULL, "only where the running firmware isn't the target"},
    {OPT_SYNCED, "synced", NULL, "only where it is"},
    {OPT_VERSION, "version", "VERSION", "only those that run it"},
    {OPT_TARGET, "target", "VERSION", "only those that should run it"},
    {OPT_TYPE, "type", "DEVICETYPE", "only of this type"},
    {OPT_PREFIX, "prefix", "TEXT", "only names that begin with it"},
    {OPT_LIMIT, "limit", "N", "at most N devices (100)"},
    {OPT_ALL, "all", NULL, "no limit"},
};

/* A version as typed, with the values that it may mean. */
struct version {
    struct value readings[2];
    size_t count; /* 0: any version */
};

struct wish {
    bool synced_given;
    bool synced;
    struct version version;
    struct version target;
    const char *type;
    const char *prefix;
    int64_t limit;
    struct arena arena; /* of the versions */
};

struct listing {
    struct session session;
    struct wish wish;
    struct table *table;
    int64_t count;
    size_t reading;    /* of the version that the daemon filters by: one after the other */
    struct buf cursor; /* JSON; empty: no next page */
};

static void read_version(struct wish *wish, const char *word, struct version *version)
{
    version->count = compose_readings(word, &wish->arena, version->readings);
}

static bool read_wish(struct options *options, struct wish *wish)
{
    *wish = (struct wish){.limit = LIST_COUNT_DEFAULT};
    arena_init(&wish->arena, 1024);
    for (;;) {
        switch (options_next(options)) {
        case OPT_UNSYNCED:
        case OPT_SYNCED: {
            bool synced = strcmp(options->words[options->at - 1], "--synced") == 0;
            if (wish->synced_given && wish->synced != synced) {
                options_wrong(options, "--synced and --unsynced exclude each other");
                return false;
            }
            wish->synced_given = true;
            wish->synced = synced;
            break;
        }
        case OPT_VERSION:
            read_version(wish, options->value, &wish->version);
            break;
        case OPT_TARGET:
            read_version(wish, options->value, &wish->target);
            break;
        case OPT_TYPE:
            wish->type = options->value;
            break;
        case OPT_PREFIX:
            wish->prefix = options->value;
            break;
        case OPT_LIMIT:
            if (!options_number(options, 1, OPTION_COUNT_MAX, &wish->limit))
                return false;
            break;
        case OPT_ALL:
            wish->limit = INT64_MAX - 1;
            break;
        case OPTION_WORD:
            options_wrong(options, "'%s' is too much; one device: fwsync get %s", options->value,
                          options->value);
            return false;
        case OPTION_END:
            return true;
        default:
            return false;
        }
    }
}

/* The version that the daemon filters by. */
static const struct version *asked_version(const struct wish *wish)
{
    return wish->version.count > 0 ? &wish->version : &wish->target;
}

static void write_question(struct listing *listing)
{
    const struct wish *wish = &listing->wish;
    struct buf *question = session_question(&listing->session, "devices");
    int64_t wanted = wish->limit + 1 - listing->count;
    json_member_integer(question, "limit", wanted < LIST_COUNT_MAX ? wanted : LIST_COUNT_MAX);
    const struct version *version = asked_version(wish);
    if (version->count > 0) {
        json_member_text(question, "index", version == &wish->version ? TEXT("client.currentFwVer")
                                                                      : TEXT("server.lastTargetFwVer"));
        json_key(question, "value");
        json_value(question, &version->readings[listing->reading]);
    } else if (wish->synced_given) {
        json_member_text(question, "index", TEXT("server.fwStateIsSynced"));
        json_member_boolean(question, "value", wish->synced);
    }
    if (wish->type != NULL)
        json_member_text(question, "type", text_of(wish->type));
    if (wish->prefix != NULL)
        json_member_text(question, "prefix", text_of(wish->prefix));
    if (listing->cursor.len > 0)
        json_member_raw(question, "cursor", buf_text(&listing->cursor));
}

static bool is_version(const struct version *version, const struct value *value)
{
    for (size_t i = 0; value != NULL && i < version->count; i++)
        if (value_equal(value, &version->readings[i]))
            return true;
    return version->count == 0;
}

static bool matches(const struct wish *wish, const struct value *target, const struct value *synced)
{
    return is_version(&wish->target, target) &&
           (!wish->synced_given ||
            (synced != NULL && synced->kind == VALUE_BOOLEAN && synced->boolean == wish->synced));
}

static void add_value(struct listing *listing, const struct value *value)
{
    struct session *session = &listing->session;
    struct text text = TEXT("-");
    if (value != NULL)
        text = screen_value(&session->setup->screen, value, &session->arena);
    table_cell(listing->table, text, STYLE_PLAIN);
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

static void add_device(struct listing *listing, const struct value *item)
{
    struct session *session = &listing->session;
    struct fields device = value_object(session, item);
    struct fields client = field_object(session, &device, "client");
    struct fields server = field_object(session, &device, "server");
    const struct value *target = fields_get(&server, TEXT("lastTargetFwVer"));
    const struct value *synced = fields_get(&server, TEXT("fwStateIsSynced"));
    if (!matches(&listing->wish, target, synced) || ++listing->count > listing->wish.limit)
        return;
    if (session->setup->json) {
        printf(TEXT_FMT "\n", TEXT_ARG(item->text));
        return;
    }
    table_cell(listing->table, field_text(&device, "device"), STYLE_PLAIN);
    table_cell(listing->table, field_text(&device, "deviceType"), STYLE_PLAIN);
    add_value(listing, fields_get(&client, TEXT("currentFwVer")));
    add_value(listing, target);
    add_synced(listing, synced);
    table_cell(listing->table,
               when_text(&session->setup->screen, field_integer(&device, "lastSeen"), &session->arena),
               STYLE_PLAIN);
}

/* One page. False after telling what went wrong. */
static bool list_page(struct listing *listing)
{
    struct session *session = &listing->session;
    write_question(listing);
    if (!session_ask(session))
        return false;
    struct value *devices;
    size_t count = field_array(session, &session->answer, "devices", &devices);
    for (size_t i = 0; i < count; i++)
        add_device(listing, &devices[i]);
    table_print(listing->table, stdout);
    buf_clear(&listing->cursor);
    const struct value *cursor = fields_get(&session->answer, TEXT("cursor"));
    if (cursor != NULL && cursor->kind != VALUE_NULL)
        json_value(&listing->cursor, cursor);
    else
        listing->reading++;
    return true;
}

static bool has_more(const struct listing *listing)
{
    return listing->cursor.len > 0 || listing->reading < asked_version(&listing->wish)->count;
}

static void list_all(struct listing *listing)
{
    const struct wish *wish = &listing->wish;
    do
        if (!list_page(listing))
            return;
    while (has_more(listing) && listing->count <= wish->limit && !interrupted());
    fflush(stdout);
    if (listing->count > wish->limit)
        fprintf(stderr, "These are the first %" PRId64 "; for more: --limit N or --all\n", wish->limit);
    else if (listing->count == 0 && listing->session.setup->screen.tables)
        fprintf(stderr, "No device is like that.\n");
}

static int run(const struct setup *setup, struct options *options)
{
    static const struct table_column columns[] = {
        {"DEVICE", false}, {"TYPE", false},   {"CURRENT", false},
        {"TARGET", false}, {"SYNCED", false}, {"LAST SEEN", false},
    };
    struct listing listing = {.count = 0};
    if (!read_wish(options, &listing.wish)) {
        arena_fini(&listing.wish.arena);
        return EXIT_USAGE;
    }
    session_open(&listing.session, setup, "list");
    listing.table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    list_all(&listing);
    table_destroy(listing.table);
    buf_fini(&listing.cursor);
    arena_fini(&listing.wish.arena);
    return session_close(&listing.session);
}

const struct command command_list = {
    .name = "list",
    .usage = "[--unsynced|--synced] [--version V] [--target V] [--type T] [--prefix P]",
    .summary = "list devices, with what they run and what they should run",
    .details = "Several conditions all have to hold. SYNCED is the rules' verdict (server attribute\n"
               "fwStateIsSynced), TARGET is lastTargetFwVer; '-' means there is none.\n"
               "--version 1.1 means the string and the number; '\"1.1\"', with quotes, only the string.\n"
               "\n"
               "  fwsync list --unsynced --type ESP32_OTA\n"
               "  fwsync list --all --version v1.0 | cut -f1\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};
