#include "tests/bench/asker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "tests/bench/fail.h"

enum { FRAMES_MAX = 4, CURSOR_BYTES_MAX = 1024 };

bool asker_kind_named(const char *name, enum ask_kind *kind)
{
    static const char *const names[] = {[ASK_DEVICE] = "device", [ASK_PAGE] = "page", [ASK_COUNT] = "count"};
    for (enum ask_kind k = ASK_DEVICE; k <= ASK_COUNT; k++)
        if (strcmp(name, names[k]) == 0) {
            *kind = k;
            return true;
        }
    return false;
}

void asker_open(struct asker *asker, const char *endpoint)
{
    *asker = (struct asker){.kind = ASK_NOTHING};
    wire_open(&asker->wire, endpoint, "DEALER");
}

void asker_close(struct asker *asker)
{
    wire_close(&asker->wire);
    buf_fini(&asker->cursor);
    latencies_fini(&asker->latencies);
}

void asker_begin(struct asker *asker, enum ask_kind kind, double rate, uint64_t device_count)
{
    asker->kind = kind;
    asker->rate = rate;
    asker->device_count = device_count;
    asker->random = UINT64_C(2463534242);
    asker->sent = asker->answered = 0;
    asker->start_ns = clock_monotonic_ns();
    buf_clear(&asker->cursor);
    latencies_reset(&asker->latencies, 1024);
}

/* --- asking -------------------------------------------------------------------------------------- */

int64_t asker_due_ns(const struct asker *asker)
{
    uint64_t under_way = asker->sent - asker->answered;
    if (asker->kind == ASK_NOTHING || under_way >= (asker->rate > 0 ? ASKED_AT_ONCE : 1))
        return INT64_MAX;
    return asker->rate > 0 ? asker->start_ns + (int64_t)((double)asker->sent / asker->rate * 1e9) : 0;
}

static uint64_t random_device(struct asker *asker)
{
    asker->random ^= asker->random << 13; /* xorshift64 */
    asker->random ^= asker->random >> 7;
    asker->random ^= asker->random << 17;
    return asker->random % asker->device_count;
}

static void write_question(struct asker *asker, struct buf *out)
{
    switch (asker->kind) {
    case ASK_DEVICE:
        buf_printf(out, "{\"op\":\"device\",\"device\":\"ESP32-%08" PRIu64 "\"}", random_device(asker));
        return;
    case ASK_PAGE:
        buf_append(out, TEXT("{\"op\":\"devices\",\"limit\":1000"));
        if (asker->cursor.len > 0)
            json_member_text(out, "cursor", buf_text(&asker->cursor));
        buf_byte(out, '}');
        return;
    case ASK_COUNT:
        buf_append(out, TEXT("{\"op\":\"count\",\"index\":\"client.currentFwVer\"}"));
        return;
    case ASK_NOTHING:
        break;
    }
    abort();
}

void asker_send_due(struct asker *asker)
{
    int64_t now_ns = clock_monotonic_ns(), due_ns;
    while ((due_ns = asker_due_ns(asker)) <= now_ns) {
        struct buf question = {.arena = NULL};
        write_question(asker, &question);
        asker->since_ns[asker->sent++ % ASKED_AT_ONCE] = asker->rate > 0 ? due_ns : now_ns;
        wire_frame(&asker->wire, TEXT(""), true);
        wire_frame(&asker->wire, buf_text(&question), false);
        buf_fini(&question);
    }
    if (asker->wire.out.len > 0)
        wire_flush(&asker->wire);
}

/* --- answers ------------------------------------------------------------------------------------- */

/* The cursor stands last in an answer; it has nothing in it that JSON would escape. */
static void keep_cursor(struct asker *asker, struct text answer)
{
    static const char member[] = ",\"cursor\":\"";
    size_t from = answer.len > CURSOR_BYTES_MAX ? answer.len - CURSOR_BYTES_MAX : 0;
    const char *found = memmem(answer.bytes + from, answer.len - from, member, sizeof member - 1);
    buf_clear(&asker->cursor);
    if (found == NULL)
        return;
    const char *start = found + sizeof member - 1;
    const char *end = memchr(start, '"', (size_t)(answer.bytes + answer.len - start));
    buf_append(&asker->cursor, (struct text){start, (size_t)(end - start)});
}

static void take_answer(struct asker *asker, struct text answer)
{
    if (!text_starts(answer, TEXT("{\"ok\":true,")) || asker->answered == asker->sent)
        fail("a wrong answer: %.*s", TEXT_CUT(answer, 200));
    latencies_add(&asker->latencies,
                  clock_monotonic_ns() - asker->since_ns[asker->answered++ % ASKED_AT_ONCE]);
    if (asker->kind == ASK_PAGE)
        keep_cursor(asker, answer);
}

void asker_take(struct asker *asker)
{
    struct text frames[FRAMES_MAX];
    bool more = true;
    while (more) {
        more = wire_read(&asker->wire);
        for (size_t count; (count = wire_take(&asker->wire, frames, FRAMES_MAX)) > 0;)
            take_answer(asker, frames[count - 1]);
    }
}
