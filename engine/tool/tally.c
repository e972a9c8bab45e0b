#include "engine/tool/tally.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"

enum { CHUNK_BYTES = 65536 };

void tally_init(struct tally *tally)
{
    *tally = (struct tally){.rows = NULL};
    arena_init(&tally->arena, CHUNK_BYTES);
}

void tally_fini(struct tally *tally)
{
    free(tally->rows);
    arena_fini(&tally->arena);
}

static struct text value_json(const struct value *value, struct arena *arena)
{
    struct buf json = {.arena = arena};
    json_value(&json, value);
    return buf_text(&json);
}

static void add(struct tally *tally, const struct value *value, int64_t count)
{
    if (tally->row_count == tally->capacity) {
        tally->capacity = tally->capacity == 0 ? 64 : tally->capacity * 2;
        tally->rows = realloc(tally->rows, tally->capacity * sizeof *tally->rows);
        if (tally->rows == NULL) {
            fputs("out of memory\n", stderr);
            abort();
        }
    }
    tally->rows[tally->row_count++] = (struct tally_row){value_json(value, &tally->arena), count};
}

static int by_json(const void *left, const void *right)
{
    struct text a = ((const struct tally_row *)left)->json, b = ((const struct tally_row *)right)->json;
    int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Rows of the same value become one, rows with 0 go. */
static void add_up(struct tally *tally)
{
    size_t kept = 0;
    if (tally->row_count > 0)
        qsort(tally->rows, tally->row_count, sizeof *tally->rows, by_json);
    for (size_t i = 0; i < tally->row_count; i++) {
        if (kept > 0 && text_equal(tally->rows[kept - 1].json, tally->rows[i].json)) {
            tally->rows[kept - 1].count += tally->rows[i].count;
            continue;
        }
        kept -= kept > 0 && tally->rows[kept - 1].count == 0;
        tally->rows[kept++] = tally->rows[i];
    }
    tally->row_count = kept - (kept > 0 && tally->rows[kept - 1].count == 0);
}

static void add_page(struct tally *tally, struct session *session)
{
    struct value *items;
    size_t item_count = field_array(session, &session->answer, "values", &items);
    for (size_t i = 0; i < item_count; i++) {
        struct fields item = value_object(session, &items[i]);
        const struct value *value = fields_get(&item, TEXT("value"));
        if (value != NULL)
            add(tally, value, field_integer(&item, "count"));
    }
}

bool tally_ask(struct tally *tally, struct session *session, struct text index, int64_t at_ms, bool *ok)
{
    struct buf cursor = {.bytes = NULL};
    bool answered;
    do {
        struct buf *question = session_question(session, "count");
        json_member_text(question, "index", index);
        json_member_integer(question, "limit", LIST_COUNT_MAX);
        if (at_ms != TALLY_NOW)
            json_member_integer(question, "at", at_ms);
        if (cursor.len > 0)
            json_member_raw(question, "cursor", buf_text(&cursor));
        answered = session_try(session, ok);
        if (!answered || !*ok)
            break;
        if (session->setup->json && at_ms == TALLY_NOW)
            session_print_raw(session);
        add_page(tally, session);
        session_keep_cursor(session, &cursor);
    } while (cursor.len > 0);
    buf_fini(&cursor);
    add_up(tally);
    return answered;
}

bool tally_ask_value(struct session *session, struct text index, const struct value *value, bool *ok)
{
    struct buf *question = session_question(session, "count");
    json_member_text(question, "index", index);
    json_key(question, "value");
    json_value(question, value);
    return session_try(session, ok);
}

bool tally_find_index(struct session *session, const char *name, struct buf *index)
{
    static const char *const prefixes[] = {"server.", "client.", "shared.", ""};
    bool full = strchr(name, '.') != NULL || strcmp(name, "type") == 0;
    for (size_t i = full ? 3 : 0; i < 4; i++) {
        struct value probe = value_string(TEXT("-"));
        bool ok;
        buf_clear(index);
        buf_printf(index, "%s%s", prefixes[i], name);
        if (!tally_ask_value(session, buf_text(index), &probe, &ok))
            return false;
        if (ok)
            return true;
    }
    return session_complain(session);
}

int64_t tally_count(const struct tally *tally, const struct value *value)
{
    struct arena arena;
    int64_t count = 0;
    arena_init(&arena, 1024);
    struct text json = value_json(value, &arena);
    for (size_t i = 0; i < tally->row_count; i++)
        if (text_equal(tally->rows[i].json, json))
            count = tally->rows[i].count;
    arena_fini(&arena);
    return count;
}

int64_t tally_total(const struct tally *tally)
{
    int64_t total = 0;
    for (size_t i = 0; i < tally->row_count; i++)
        total += tally->rows[i].count;
    return total;
}
