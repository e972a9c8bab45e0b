/* cmd_import.c - `fwsync import FILE`: what `fwsync export` wrote, as an operator's writes.
 *
 * Each device becomes an event for each scope that it has attributes in, the server's last, since the rules run
 * on every one of them and the verdict is the server's. They go the way of `fwsync send -`, each exactly
 * once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/client/members.h"
#include "engine/tool/command.h"
#include "engine/tool/send_stream.h"

/* An event well below what one request may hold, whatever its values. */
enum { EVENT_BYTES_ENOUGH = REQUEST_BYTES_MAX / 4, LINE_BYTES_MAX = 16 << 20, CHUNK_BYTES = 65536 };

#define EXAMPLE                                                                                      \
    "{\"device\":\"ESP32\",\"deviceType\":\"ESP32_OTA\",\"client\":{\"currentFwVer\":\"v1.1\"}," \
    "\"server\":{\"lastTargetFwVer\":\"v1.2\"}}"

/* What a line is taken apart with. */
struct import {
    struct arena arena, scratch;
    struct fields device;
    struct buf *events;
};

static struct text text_member(const struct import *import, const char *key)
{
    return field_text(&import->device, key);
}

static void open_event(struct import *import, enum scope scope)
{
    struct buf *events = import->events;
    struct text type = text_member(import, "deviceType");
    buf_append(events, events->len > 0 ? TEXT("\n{") : TEXT("{"));
    json_member_text(events, "device", text_member(import, "device"));
    if (type.len > 0)
        json_member_text(events, "deviceType", type);
    json_member_text(events, "type", TEXT("ATTRIBUTES_UPDATED"));
    json_member_text(events, "scope", text_of(scope_name(scope)));
    json_key(events, "data");
    buf_byte(events, '{');
}

/* The attributes of one scope, in as many events as they need. */
static void add_scope(struct import *import, enum scope scope, const struct fields *attributes)
{
    size_t start = import->events->len, in_event = 0;
    open_event(import, scope);
    for (size_t i = 0; i < attributes->count; i++) {
        if (in_event == FIELD_COUNT_MAX || import->events->len - start > EVENT_BYTES_ENOUGH) {
            buf_append(import->events, TEXT("}}"));
            start = import->events->len;
            in_event = 0;
            open_event(import, scope);
        }
        json_key_text(import->events, attributes->items[i].key);
        json_value(import->events, &attributes->items[i].value);
        in_event++;
    }
    buf_append(import->events, TEXT("}}"));
}

/* The scope's attributes; none if there is no such member. */
static bool read_scope(struct import *import, enum scope scope, struct fields *attributes, struct err *err)
{
    const char *name = scope_short(scope);
    const struct value *value = fields_get(&import->device, text_of(name));
    *attributes = (struct fields){NULL, 0};
    if (value == NULL)
        return true;
    if (value->kind != VALUE_JSON || value->text.bytes[0] != '{')
        return err_set(err, ERR_BAD_JSON, "%s: expected an object, found %s", name, json_kind_name(value));
    return json_parse_object(value->text, &import->scratch, &import->arena, attributes, err);
}

static bool check_member(struct text key, struct err *err)
{
    /* Behind the words to choose from: times, which start anew. */
    static const char *const words[] = {"device", "deviceType", "client", "shared", "server",
                                        "created", "lastSeen", "since"};
    enum { CHOICE_COUNT = 5, WORD_COUNT = sizeof words / sizeof words[0] };
    for (size_t i = 0; i < WORD_COUNT; i++)
        if (text_is(key, words[i]))
            return true;
    const char *nearest = text_nearest(key, words, CHOICE_COUNT);
    if (nearest != NULL)
        return err_set(err, ERR_BAD_JSON, "unknown \"%.*s\"; did you mean \"%s\"?", TEXT_CUT(key, 64), nearest);
    return err_set(err, ERR_BAD_JSON,
                   "unknown \"%.*s\"; there are: device, deviceType, and client, shared, server, in which "
                   "attributes stand",
                   TEXT_CUT(key, 64));
}

/* A word of which nothing would come isn't passed over. */
static bool check_members(const struct import *import, struct err *err)
{
    for (size_t i = 0; i < import->device.count; i++)
        if (!check_member(import->device.items[i].key, err))
            return false;
    const struct value *type = fields_get(&import->device, TEXT("deviceType"));
    if (type != NULL && (type->kind != VALUE_STRING || type->text.len == 0))
        return err_set(err, ERR_BAD_JSON, "deviceType: expected a name, found %s", json_kind_name(type));
    return true;
}

static bool add_device(struct import *import, struct err *err)
{
    static const enum scope scopes[] = {SCOPE_CLIENT, SCOPE_SHARED, SCOPE_SERVER};
    struct fields attributes[3];
    if (!check_members(import, err))
        return false;
    if (text_member(import, "device").len == 0)
        return err_set(err, ERR_BAD_JSON, "no exported device: \"device\" is missing");
    for (size_t i = 0; i < 3; i++)
        if (!read_scope(import, scopes[i], &attributes[i], err))
            return false;
    for (size_t i = 0; i < 3; i++)
        if (attributes[i].count > 0)
            add_scope(import, scopes[i], &attributes[i]);
    if (import->events->len == 0) /* one without attributes is a device too */
        add_scope(import, SCOPE_SERVER, &attributes[2]);
    return true;
}

static bool expand(void *context, struct text line, struct buf *events, struct err *err)
{
    struct import *import = context;
    import->events = events;
    arena_reset(&import->scratch);
    arena_reset(&import->arena);
    return json_parse_object(line, &import->scratch, &import->arena, &import->device, err) &&
           add_device(import, err);
}

static int run(const struct setup *setup, struct options *options)
{
    const char *words[1];
    struct import import = {.events = NULL};
    if (!options_only_words(options, "FILE (or - for standard input)", 1, 1, words))
        return EXIT_USAGE;
    bool is_stdin = strcmp(words[0], "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(words[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return options_wrong(options, "cannot read '%s': %s", words[0], strerror(errno));
    arena_init(&import.arena, CHUNK_BYTES);
    arena_init(&import.scratch, CHUNK_BYTES);
    const struct send_job job = {
        .command = "import",
        .fd = fd,
        .line_bytes_max = LINE_BYTES_MAX,
        .example = EXAMPLE,
        .expand = expand,
        .context = &import,
    };
    int exit_code = send_stream(setup, &job);
    arena_fini(&import.arena);
    arena_fini(&import.scratch);
    if (!is_stdin)
        close(fd);
    return exit_code;
}

const struct command command_import = {
    .name = "import",
    .usage = "FILE|-",
    .summary = "write the devices of an export, with their attributes",
    .details = "Each line becomes an operator's writes (ATTRIBUTES_UPDATED), a scope after the other, the server's\n"
               "last. They are events as any: rules run on them, and what the rules decide counts, not what the\n"
               "file says of it. A device that is there keeps what isn't in the file. A line:\n"
               "\n"
               "  " EXAMPLE "\n"
               "\n"
               "  fwsync import fleet.ndjson\n"
               "  fwsync --query tcp://old:7602 export | fwsync --events tcp://new:7601 import -\n",
    .words = {"FILE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_EVENTS,
    .run = run,
};
