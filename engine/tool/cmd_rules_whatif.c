/* cmd_rules_whatif.c - `fwsync rules whatif DIR`: what would these rules make of the fleet?
 *
 * All devices as they are at one event, page after page, judged by the rules that run and by those in the folder
 * (rules/whatif.h). Nothing is changed, and the daemon only gives the pages. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/progress.h"
#include "engine/tool/rules_folder.h"
#include "engine/tool/rules_running.h"
#include "engine/tool/table.h"
#include "rules/whatif.h"

enum { OPTION_LIMIT = 1, OPTION_ALL };
static const struct option_spec specs[] = {
    {OPTION_LIMIT, "limit", "N", "list at most N devices (20)"},
    {OPTION_ALL, "all", NULL, "no limit"},
};
enum { LIMIT_DEFAULT = 20 };

enum { WHAT, NOW, THEN, COLUMNS };

/* The same difference of many devices. */
struct group {
    struct text cells[COLUMNS];
    int64_t devices;
};
enum { GROUPS_MAX = 1000, SLOTS = 4096 }; /* SLOTS is a power of two */

struct survey {
    struct session session;
    const char *dir;
    int64_t limit;
    int64_t at_ms;
    struct ruleset *now, *then;
    struct whatif *whatif;
    struct progress progress;
    struct table *devices; /* listed */
    int64_t device_count, differing;
    struct arena arena; /* of the groups */
    struct group groups[GROUPS_MAX];
    size_t group_count;
    uint16_t slots[SLOTS]; /* a group's number and 1; 0: none */
    bool more_groups;
};

/* --- a difference in words -------------------------------------------------------------------------------- */

static struct text what(const struct difference *difference, struct arena *arena)
{
    switch (difference->kind) {
    case DIFFERENCE_VALUE:
        return arena_format(arena, "%s." TEXT_FMT, scope_short(difference->scope), TEXT_ARG(difference->name));
    case DIFFERENCE_RESULTS:
        return arena_format(arena, "results " TEXT_FMT, TEXT_ARG(difference->name));
    case DIFFERENCE_DEAD_LETTERS:
        break;
    }
    return arena_format(arena, "dead letters " TEXT_FMT, TEXT_ARG(difference->name));
}

static struct text side(const struct survey *survey, const struct value *value, struct arena *arena)
{
    return value->kind == VALUE_NULL ? TEXT("") : screen_value(&survey->session.setup->screen, value, arena);
}

/* Where both share a long beginning, a narrow screen would show nothing else of them: from the word on in which they
 * begin to differ. */
static void put_cells(struct survey *survey, struct table *table, const struct text cells[COLUMNS])
{
    enum { LONG_BYTES = 16 };
    const struct screen *screen = &survey->session.setup->screen;
    struct text now = cells[NOW], then = cells[THEN];
    size_t same = 0, word = 0;
    for (; same < now.len && same < then.len && now.bytes[same] == then.bytes[same]; same++)
        if (now.bytes[same] == ' ')
            word = same + 1;
    table_cell(table, cells[WHAT], STYLE_PLAIN);
    if (!screen->tables || screen->columns == 0 || word < LONG_BYTES) {
        table_cell(table, now, STYLE_PLAIN);
        table_cell(table, then, STYLE_PLAIN);
        return;
    }
    struct arena *arena = &survey->session.arena;
    table_cell(table, arena_format(arena, "...%.*s", (int)(now.len - word), now.bytes + word), STYLE_PLAIN);
    table_cell(table, arena_format(arena, "...%.*s", (int)(then.len - word), then.bytes + word), STYLE_PLAIN);
}

static void write_difference(struct buf *out, const struct difference *difference)
{
    json_comma(out);
    buf_byte(out, '{');
    if (difference->kind == DIFFERENCE_VALUE)
        json_member_text(out, "scope", text_of(scope_name(difference->scope)));
    json_member_text(out,
                     difference->kind == DIFFERENCE_VALUE     ? "key"
                     : difference->kind == DIFFERENCE_RESULTS ? "class"
                                                              : "deadletter",
                     difference->name);
    if (difference->now.kind != VALUE_NULL) {
        json_key(out, "now");
        json_value(out, &difference->now);
    }
    if (difference->then.kind != VALUE_NULL) {
        json_key(out, "then");
        json_value(out, &difference->then);
    }
    buf_byte(out, '}');
}

/* --- groups ----------------------------------------------------------------------------------------------- */

static bool same_cells(const struct group *group, const struct text cells[COLUMNS])
{
    return text_equal(group->cells[WHAT], cells[WHAT]) && text_equal(group->cells[NOW], cells[NOW]) &&
           text_equal(group->cells[THEN], cells[THEN]);
}

static void count_in_group(struct survey *survey, const struct text cells[COLUMNS])
{
    uint64_t hash = text_hash(cells[WHAT]) ^ text_hash(cells[NOW]) * 3 ^ text_hash(cells[THEN]) * 5;
    size_t slot = hash & (SLOTS - 1);
    while (survey->slots[slot] != 0 && !same_cells(&survey->groups[survey->slots[slot] - 1], cells))
        slot = (slot + 1) & (SLOTS - 1);
    if (survey->slots[slot] == 0) {
        if (survey->group_count == GROUPS_MAX) {
            survey->more_groups = true;
            return;
        }
        struct group *group = &survey->groups[survey->group_count++];
        for (size_t i = 0; i < COLUMNS; i++)
            group->cells[i] = arena_copy(&survey->arena, cells[i]);
        group->devices = 0;
        survey->slots[slot] = (uint16_t)survey->group_count;
    }
    survey->groups[survey->slots[slot] - 1].devices++;
}

static int more_devices_first(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    if (a->devices != b->devices)
        return a->devices < b->devices ? 1 : -1;
    return text_compare(a->cells[WHAT], b->cells[WHAT]);
}

/* --- devices ---------------------------------------------------------------------------------------------- */

static void list_json(struct survey *survey, const struct whatif_device *device, const struct difference *differences,
                      size_t count)
{
    struct buf line = {.arena = &survey->session.arena};
    buf_byte(&line, '{');
    json_member_text(&line, "device", device->name);
    json_member_text(&line, "deviceType", device->type);
    json_open(&line, "differences", '[');
    for (size_t i = 0; i < count; i++)
        write_difference(&line, &differences[i]);
    printf(TEXT_FMT "]}\n", TEXT_ARG(line));
}

static void list_device(struct survey *survey, const struct whatif_device *device, const struct difference *differences,
                        size_t count)
{
    struct arena *arena = &survey->session.arena;
    bool listed = survey->differing <= survey->limit;
    if (listed && survey->session.setup->json) {
        progress_clear(&survey->progress);
        list_json(survey, device, differences, count);
    }
    for (size_t i = 0; i < count; i++) {
        struct text cells[COLUMNS] = {
            [WHAT] = what(&differences[i], arena),
            [NOW] = side(survey, &differences[i].now, arena),
            [THEN] = side(survey, &differences[i].then, arena),
        };
        count_in_group(survey, cells);
        if (!listed || survey->session.setup->json)
            continue;
        table_cell(survey->devices, device->name, STYLE_PLAIN);
        put_cells(survey, survey->devices, cells);
    }
}

static bool judge_device(struct survey *survey, const struct value *item)
{
    struct session *session = &survey->session;
    struct fields fields = value_object(session, item);
    struct whatif_device device = {
        .name = field_text(&fields, "device"),
        .type = field_text(&fields, "deviceType"),
    };
    struct difference *differences;
    size_t count;
    struct err err;
    for (enum scope scope = SCOPE_CLIENT; scope <= SCOPE_SERVER; scope++)
        device.values[scope] = field_object(session, &fields, scope_short(scope));
    survey->device_count++;
    if (!whatif_judge(survey->whatif, &device, survey->at_ms, &differences, &count, &err))
        return session_fail(session, &err);
    survey->differing += count > 0;
    if (count > 0)
        list_device(survey, &device, differences, count);
    return true;
}

static bool judge_page(struct survey *survey)
{
    struct value *devices;
    size_t count;
    int64_t listed = survey->differing;
    if (!session_list(&survey->session, "devices", &devices, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!judge_device(survey, &devices[i]))
            return false;
    if (survey->differing > listed && listed < survey->limit) {
        progress_clear(&survey->progress);
        table_print(survey->devices, stdout);
    }
    survey->progress.total = field_integer(&survey->session.answer, "of");
    progress_show(&survey->progress, survey->device_count);
    return !ferror(stdout) && !interrupted();
}

/* Every device as it is at one event. */
static bool judge_all(struct survey *survey)
{
    struct buf cursor = {.bytes = NULL};
    bool going;
    do {
        struct buf *question = session_question(&survey->session, "snapshot");
        json_member_integer(question, "limit", LIST_COUNT_MAX);
        if (cursor.len > 0)
            json_member_raw(question, "cursor", buf_text(&cursor));
        going = session_ask(&survey->session) && judge_page(survey);
        session_keep_cursor(&survey->session, &cursor);
    } while (going && cursor.len > 0);
    buf_fini(&cursor);
    return going;
}

/* --- the sum ---------------------------------------------------------------------------------------------- */

static void print_groups(struct survey *survey)
{
    static const struct table_column columns[] = {
        {"DEVICES", true}, {"WHAT", false}, {"NOW", false}, {"THEN", false}};
    if (survey->group_count == 0 || !survey->session.setup->screen.tables)
        return;
    struct table *table = table_create(columns, 1 + COLUMNS, &survey->session.setup->screen);
    qsort(survey->groups, survey->group_count, sizeof survey->groups[0], more_devices_first);
    for (size_t i = 0; i < survey->group_count; i++) {
        table_cell_count(table, survey->groups[i].devices);
        put_cells(survey, table, survey->groups[i].cells);
    }
    putchar('\n');
    table_print(table, stdout);
    table_destroy(table);
    if (survey->more_groups)
        printf("and other differences, each of too few devices to be counted here\n");
}

static void print_sum(struct survey *survey)
{
    struct text now = ruleset_version(survey->now), then = ruleset_version(survey->then);
    if (survey->session.setup->json) {
        printf("{\"ok\":true,\"now\":\"" TEXT_FMT "\",\"then\":\"" TEXT_FMT "\",\"devices\":%" PRId64
               ",\"differ\":%" PRId64 "}\n",
               TEXT_ARG(now), TEXT_ARG(then), survey->device_count, survey->differing);
        return;
    }
    fflush(stdout); /* what follows goes to standard error, maybe, and comes last */
    if (survey->differing > survey->limit)
        fprintf(stderr, "These are the first %" PRId64 " devices; for more: --limit N or --all\n", survey->limit);
    print_groups(survey);
    fprintf(survey->session.setup->screen.tables ? stdout : stderr,
            "%s%" PRId64 " of %" PRId64 " device%s would come out otherwise by %s (" TEXT_FMT
            ") than by the active rules (" TEXT_FMT ")\n",
            survey->group_count > 0 && survey->session.setup->screen.tables ? "\n" : "", survey->differing,
            survey->device_count, survey->device_count == 1 ? "" : "s", survey->dir, TEXT_ARG(then), TEXT_ARG(now));
}

/* --- the command ------------------------------------------------------------------------------------------ */

static void look_at_fleet(struct survey *survey)
{
    static const struct table_column columns[] = {
        {"DEVICE", false}, {"WHAT", false}, {"NOW", false}, {"THEN", false}};
    enum { CHUNK_BYTES = 64 * 1024 };
    survey->now = rules_running(&survey->session);
    if (survey->now == NULL)
        return;
    arena_init(&survey->arena, CHUNK_BYTES);
    survey->whatif = whatif_create(survey->now, survey->then);
    survey->devices = table_create(columns, 1 + COLUMNS, &survey->session.setup->screen);
    survey->at_ms = clock_wall_ms();
    progress_start(&survey->progress, "devices", 0);
    bool whole = judge_all(survey);
    progress_clear(&survey->progress);
    if (whole)
        print_sum(survey);
    else if (survey->session.exit_code == EXIT_DONE)
        survey->session.exit_code = EXIT_ERROR;
    table_destroy(survey->devices);
    whatif_destroy(survey->whatif);
    ruleset_destroy(survey->now);
    arena_fini(&survey->arena);
}

static int run(const struct setup *setup, struct options *options)
{
    static struct survey survey = {.limit = LIMIT_DEFAULT};
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WRONG || (id == OPTION_LIMIT && !options_number(options, 1, OPTION_COUNT_MAX, &survey.limit)))
            return EXIT_USAGE;
        if (id == OPTION_ALL)
            survey.limit = INT64_MAX;
        if (id == OPTION_WORD && survey.dir != NULL)
            return options_wrong(options, "too much: '%s'", options->value);
        if (id == OPTION_WORD)
            survey.dir = options->value;
    }
    if (survey.dir == NULL)
        return options_wrong(options, "DIR is missing");
    survey.then = rules_folder_load(setup, survey.dir, stderr);
    if (survey.then == NULL)
        return EXIT_ERROR;
    session_open(&survey.session, setup, "rules whatif");
    look_at_fleet(&survey);
    ruleset_destroy(survey.then);
    return session_close(&survey.session);
}

const struct command command_rules_whatif = {
    .name = "rules whatif",
    .usage = "DIR [--limit N|--all]",
    .summary = "show what other rules would make of the fleet",
    .details = "Each device, as it is, is judged twice: by the rules that run, and by those in the folder. Judged\n"
               "means that a write comes that writes nothing, and then the device reports all its client attributes\n"
               "again, in one event. What differs then is listed: values, how often a class was published, how often\n"
               "a node failed. Nothing is changed, here or at the daemon.\n"
               "\n"
               "What it can't see: telemetry, the metadata of events, deadlines, and whatever comes only of a value\n"
               "that the device doesn't have yet. For these there is `fwsync rules test`.\n"
               "\n"
               "  fwsync rules whatif my-rules\n"
               "  fwsync rules whatif my-rules --all | awk -F'\\t' '$2 == \"server.fwSyncState\" {print $1}'\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DIR"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};
