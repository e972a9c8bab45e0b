/* query_deadletters.c - the messages that the rules could not handle. */
#include "engine/service/fleet.h"

static bool answer_dead_letters(struct ask *ask)
{
    size_t limit;
    struct fleet_letters letters;
    uint64_t kept = 0, trimmed = 0;
    if (!ask_limit(ask, &limit) || !fleet_letters(ask, limit, &letters))
        return false;
    for (unsigned i = 0; i < ask->context->count; i++) {
        kept += state_dead_letter_count(ask->context->all[i].state);
        trimmed += state_dead_letter_trimmed(ask->context->all[i].state);
    }
    json_member_unsigned(ask->out, "count", kept);
    json_member_unsigned(ask->out, "trimmed", trimmed);
    json_open(ask->out, "deadletters", '[');
    for (size_t i = 0; i < letters.count; i++) {
        json_comma(ask->out);
        buf_append(ask->out, letters.items[i]);
    }
    buf_byte(ask->out, ']');
    fleet_letters_cursor(ask, &letters);
    return true;
}

const struct op op_deadletters = {"deadletters", {"limit", "cursor"}, answer_dead_letters, OP_NEEDS_ALL};
