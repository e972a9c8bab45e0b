/* query_rules.c - the rules, and the messages that they could not handle. */
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

/* Of a version that is active, or was. */
static bool answer_files(struct ask *ask, struct text version)
{
    struct text bundle;
    bool found = version.len > 0 && version.len <= VERSION_BYTES_MAX;
    if (found &&
        !state_ruleset_bundle(ask->context->state, version, &ask->query->arena, &bundle, &found, ask->err))
        return false;
    if (!found)
        return err_set(ask->err, ERR_NOT_FOUND, "no rules of version '" TEXT_FMT "' were ever active here",
                       TEXT_CUT(version, VERSION_BYTES_MAX));
    json_member_text(ask->out, "version", version);
    json_member_raw(ask->out, "files", bundle);
    return true;
}

static bool write_activations(struct ask *ask, size_t limit)
{
    struct ruleset_activation *activations;
    size_t count;
    if (!state_rulesets(ask->context->state, limit, &ask->query->arena, &activations, &count, ask->err))
        return false;
    json_open(ask->out, "activations", '[');
    for (size_t i = 0; i < count; i++) {
        json_comma(ask->out);
        buf_byte(ask->out, '{');
        json_member_text(ask->out, "version", activations[i].version);
        json_member_integer(ask->out, "since", activations[i].since_ms);
        json_member_unsigned(ask->out, "activated", activations[i].seq);
        buf_byte(ask->out, '}');
    }
    buf_byte(ask->out, ']');
    return true;
}

static bool answer_rules(struct ask *ask)
{
    struct text wanted, version, bundle;
    size_t limit;
    uint64_t seq;
    int64_t since_ms;
    const struct ruleset *ruleset = ask->context->ruleset;
    if (!ask_text(ask, "version", &wanted) || !ask_limit(ask, &limit))
        return false;
    if (wanted.bytes != NULL)
        return answer_files(ask, wanted);
    if (!state_ruleset_active(ask->context->state, &ask->query->arena, &version, &bundle, &seq,
                              &since_ms, ask->err))
        return false;
    if (ruleset == NULL)
        return err_set(ask->err, ERR_NOT_FOUND, "no rules are active yet");
    json_member_text(ask->out, "version", version);
    json_member_integer(ask->out, "since", since_ms);
    json_member_unsigned(ask->out, "activated", seq);
    json_open(ask->out, "chains", '[');
    for (size_t i = 0; i < ruleset_chain_count(ruleset); i++) {
        json_comma(ask->out);
        buf_byte(ask->out, '{');
        json_member_text(ask->out, "chain", ruleset_chain_name(ruleset, i));
        json_member_unsigned(ask->out, "nodes", ruleset_chain_node_count(ruleset, i));
        buf_byte(ask->out, '}');
    }
    buf_append(ask->out, TEXT("]"));
    json_open(ask->out, "classes", '[');
    for (size_t i = 0; i < ruleset_class_count(ruleset); i++) {
        json_comma(ask->out);
        json_string(ask->out, ruleset_class_name(ruleset, i));
    }
    buf_byte(ask->out, ']');
    return write_activations(ask, limit);
}

const struct op op_rules = {"rules", {"version", "limit"}, answer_rules};
