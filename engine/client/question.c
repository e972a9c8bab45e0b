#include "engine/client/question.h"

#include "engine/client/members.h"

enum { CHUNK_BYTES = 65536 };

void question_init(struct question *question)
{
    arena_init(&question->arena, CHUNK_BYTES);
    arena_init(&question->scratch, CHUNK_BYTES);
    question_helped(question);
}

void question_fini(struct question *question)
{
    buf_fini(&question->text);
    buf_fini(&question->answer);
    arena_fini(&question->arena);
    arena_fini(&question->scratch);
}

void question_next(struct question *question, int64_t due_ms)
{
    question->posted = false;
    question->due_ms = due_ms;
    question->fields = (struct fields){NULL, 0};
    question->item_count = question->item_at = 0;
}

void question_again(struct question *question, int64_t now_ms)
{
    question_next(question, now_ms + question->again_ms);
    question->again_ms *= 2;
    if (question->again_ms > QUESTION_AGAIN_MS_MAX)
        question->again_ms = QUESTION_AGAIN_MS_MAX;
}

void question_helped(struct question *question)
{
    question->again_ms = QUESTION_AGAIN_MS;
}

bool question_post(struct question *question, struct reach *reach, int64_t now_ms, struct err *err)
{
    client_lost(reach->client, CLIENT_QUERY); /* before this question: of no interest */
    if (!client_post(reach->client, CLIENT_QUERY, buf_text(&question->text), &question->id, err)) {
        question_again(question, now_ms);
        return false;
    }
    question->posted = true;
    question->due_ms = now_ms + reach->timeout_ms;
    return true;
}

/* What came as an answer isn't one. */
static bool refuse_answer(struct question *question, const struct reach *reach, int64_t now_ms, struct err *err)
{
    question_next(question, now_ms + reach->timeout_ms);
    return err_set(err, ERR_CONFIG, "%s is no query door: its answer can't be read",
                   client_endpoint(reach->client, CLIENT_QUERY));
}

static bool read_answer(struct question *question, struct reach *reach, int64_t now_ms, struct err *err)
{
    arena_reset(&question->arena);
    arena_reset(&question->scratch);
    question->posted = false;
    bool read = json_parse_object(buf_text(&question->answer), &question->scratch, &question->arena,
                                  &question->fields, NULL);
    const struct value *ok = fields_get(&question->fields, TEXT("ok"));
    if (read && ok != NULL && ok->kind == VALUE_BOOLEAN && fields_get(&question->fields, TEXT("accepted")) == NULL)
        return true;
    return refuse_answer(question, reach, now_ms, err);
}

bool question_hear(struct question *question, struct reach *reach, int64_t now_ms, bool *found, bool *answered,
                   struct err *err)
{
    uint64_t id;
    *answered = false;
    if (!client_take(reach->client, CLIENT_QUERY, &id, &question->answer, found, err))
        return false;
    if (!*found || !question->posted || id != question->id)
        return true;
    if (!read_answer(question, reach, now_ms, err))
        return false;
    *answered = true;
    return true;
}

bool question_is_ok(const struct question *question)
{
    return field_boolean(&question->fields, "ok");
}

bool question_list(struct question *question, const struct reach *reach, const char *name, int64_t now_ms,
                   struct err *err)
{
    bool right = json_parse_array(field_json(&question->fields, name), &question->scratch, &question->arena,
                                  &question->items, &question->item_count, NULL);
    for (size_t i = 0; right && i < question->item_count; i++)
        right = question->items[i].kind == VALUE_JSON;
    return right || refuse_answer(question, reach, now_ms, err);
}

bool question_item(struct question *question, struct text *json)
{
    if (question->item_at == question->item_count)
        return false;
    *json = question->items[question->item_at++].text;
    return true;
}

enum due question_check_due(struct question *question, struct reach *reach, int64_t now_ms)
{
    bool lost = client_lost(reach->client, CLIENT_QUERY);
    if (!question->posted || (!lost && now_ms < question->due_ms))
        return DUE_NOT;
    client_reset(reach->client, CLIENT_QUERY);
    question_next(question, now_ms + QUESTION_AGAIN_MS);
    if (lost)
        return DUE_LOST;
    err_set(&reach->err, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?",
            client_endpoint(reach->client, CLIENT_QUERY), (double)reach->timeout_ms / 1000);
    return DUE_LATE;
}
