/* query_deadletters.c - the messages that the rules could not handle. */
#include "engine/service/ask.h"

static bool answer_dead_letters(struct ask *ask)
{
    struct text *letters;
    size_t limit, count;
    uint64_t before = 0, unused = 0, next;
    struct state *state = ask->context->state;
    if (!ask_cursor(ask, &before, &unused) || !ask_limit(ask, &limit) ||
        !state_dead_letters(state, before, limit, REQUEST_BYTES_MAX, &ask->query->arena, &letters, &count, &next,
                            ask->err))
        return false;
    json_member_unsigned(ask->out, "count", state_dead_letter_count(state));
    json_member_unsigned(ask->out, "trimmed", state_dead_letter_trimmed(state));
    json_open(ask->out, "deadletters", '[');
    for (size_t i = 0; i < count; i++) {
        json_comma(ask->out);
        buf_append(ask->out, letters[i]);
    }
    buf_byte(ask->out, ']');
    if (next > 0)
        ask_write_cursor(ask, next, unused);
    return true;
}

const struct op op_deadletters = {"deadletters", {"limit", "cursor"}, answer_dead_letters};
