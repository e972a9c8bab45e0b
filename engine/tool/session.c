#include "engine/tool/session.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/tool/interrupt.h"

enum { CHUNK_BYTES = 65536 };

void session_open(struct session *session, const struct setup *setup, const char *command)
{
    struct client_options options = {
        .events = setup->events,
        .query = setup->query,
        .results = setup->results,
        .timeout_ms = setup->timeout_ms,
        .stop_fd = interrupt_fd(),
    };
    *session = (struct session){.setup = setup, .command = command};
    session->client = client_create(&options);
    arena_init(&session->arena, CHUNK_BYTES);
    arena_init(&session->scratch, CHUNK_BYTES);
}

int session_close(struct session *session)
{
    client_destroy(session->client);
    buf_fini(&session->question);
    buf_fini(&session->raw);
    arena_fini(&session->arena);
    arena_fini(&session->scratch);
    return interrupted() ? EXIT_INTERRUPTED : session->exit_code;
}

struct buf *session_question(struct session *session, const char *op)
{
    buf_clear(&session->question);
    buf_byte(&session->question, '{');
    json_member_text(&session->question, "op", text_of(op));
    return &session->question;
}

bool session_read(struct session *session, struct text json, struct err *err)
{
    arena_reset(&session->scratch);
    arena_reset(&session->arena);
    session->answer = (struct fields){NULL, 0};
    return json_parse_object(json, &session->scratch, &session->arena, &session->answer, err);
}

static const char *endpoint(const struct session *session, enum client_door door)
{
    return door == CLIENT_EVENTS ? session->setup->events : session->setup->query;
}

bool session_request(struct session *session, enum client_door door, struct text body, bool *ok)
{
    struct err err;
    session->door = door;
    if (!client_request(session->client, door, body, &session->raw, &err))
        return session_fail(session, &err);
    if (!session_read(session, buf_text(&session->raw), &err)) {
        err_context(&err, "cannot read the answer from %s: ", endpoint(session, door));
        return session_fail(session, &err);
    }
    *ok = field_boolean(&session->answer, "ok");
    return true;
}

bool session_try(struct session *session, bool *ok)
{
    buf_byte(&session->question, '}');
    return session_request(session, CLIENT_QUERY, buf_text(&session->question), ok);
}

bool session_ask(struct session *session)
{
    bool ok;
    if (!session_try(session, &ok))
        return false;
    return ok ? true : session_complain(session);
}

/* Only the events door counts what it accepts; only the query door finds a question bad. */
static bool wrong_door(const struct session *session, enum client_door door)
{
    return door == CLIENT_EVENTS ? text_is(field_text(&session->answer, "code"), "bad-query")
                                 : fields_get(&session->answer, TEXT("accepted")) != NULL;
}

struct text session_error(struct session *session, enum client_door door)
{
    static const char *const doors[] = {[CLIENT_EVENTS] = "an events", [CLIENT_QUERY] = "a query"};
    if (wrong_door(session, door))
        return arena_format(&session->arena, "%s is %s door, not %s door", endpoint(session, door),
                            doors[!door], doors[door]);
    struct value *errors;
    struct text text = field_text(&session->answer, "error");
    if (text.len == 0 && field_array(session, &session->answer, "errors", &errors) > 0) {
        struct fields first = value_object(session, &errors[0]);
        text = field_text(&first, "error");
    }
    if (text.len == 0)
        text = field_text(&session->answer, "code");
    if (text.len == 0)
        return arena_format(&session->arena, "cannot read the answer from %s: it doesn't say what is wrong",
                            endpoint(session, door));
    return screen_clean(text, &session->arena);
}

bool session_complain(struct session *session)
{
    session->exit_code = EXIT_ERROR;
    if (session->setup->json) {
        session_print_raw(session);
        return false;
    }
    struct text text = session_error(session, session->door);
    fprintf(stderr, "fwsync %s: " TEXT_FMT "\n", session->command, TEXT_ARG(text));
    return false;
}

bool session_fail(struct session *session, const struct err *err)
{
    session->exit_code = err->code == ERR_CONFIG ? EXIT_USAGE : EXIT_ERROR;
    if (interrupted())
        return false;
    if (session->setup->json) {
        struct buf line = {.bytes = NULL};
        buf_append(&line, TEXT("{\"ok\":false"));
        json_member_text(&line, "code", text_of(err_code_name(err->code)));
        json_member_text(&line, "error", text_of(err->text));
        printf(TEXT_FMT "}\n", TEXT_ARG(line));
        buf_fini(&line);
        return false;
    }
    fprintf(stderr, "fwsync %s: %s\n", session->command, err->text);
    return false;
}

void session_keep_cursor(const struct session *session, struct buf *cursor)
{
    const struct value *next = fields_get(&session->answer, TEXT("cursor"));
    buf_clear(cursor);
    if (next != NULL && next->kind != VALUE_NULL)
        json_value(cursor, next);
}

bool session_list(struct session *session, const char *name, struct value **values, size_t *count)
{
    const struct value *list = fields_get(&session->answer, text_of(name));
    bool right = list != NULL && list->kind == VALUE_JSON && list->text.bytes[0] == '[';
    *count = field_array(session, &session->answer, name, values);
    for (size_t i = 0; right && i < *count; i++)
        right = (*values)[i].kind == VALUE_JSON;
    if (right)
        return true;
    struct err err;
    err_set(&err, ERR_BAD_JSON, "cannot read the answer from %s: '%s' isn't a list of objects",
            endpoint(session, session->door), name);
    return session_fail(session, &err);
}

struct text session_source(struct session *session, const struct fields *fields)
{
    struct text source = field_text(fields, "source");
    if (source.len == 0)
        return source;
    return arena_format(&session->arena, TEXT_FMT "#%" PRId64, TEXT_ARG(source), field_integer(fields, "n"));
}

void session_print_raw(const struct session *session)
{
    fwrite(session->raw.bytes, 1, session->raw.len, stdout);
    fputc('\n', stdout);
}

struct fields value_object(struct session *session, const struct value *value)
{
    struct fields fields = {NULL, 0};
    arena_reset(&session->scratch);
    if (value != NULL && value->kind == VALUE_JSON && value->text.bytes[0] == '{')
        json_parse_object(value->text, &session->scratch, &session->arena, &fields, NULL);
    return fields;
}

struct fields field_object(struct session *session, const struct fields *fields, const char *key)
{
    return value_object(session, fields_get(fields, text_of(key)));
}

size_t field_array(struct session *session, const struct fields *fields, const char *key,
                   struct value **values)
{
    const struct value *value = fields_get(fields, text_of(key));
    size_t count = 0;
    *values = NULL;
    arena_reset(&session->scratch);
    if (value != NULL && value->kind == VALUE_JSON && value->text.bytes[0] == '[')
        json_parse_array(value->text, &session->scratch, &session->arena, values, &count, NULL);
    return count;
}
