/* query_rules.c - the rules: which are active and were; are others right; have others, or older ones, run. */
#include "engine/service/activation.h"
#include "engine/service/ask.h"

/* --- what there is ---------------------------------------------------------------------------------------- */

/* Of a version that is active, or was. */
static bool find_bundle(struct ask *ask, struct text version, struct text *bundle)
{
    bool found;
    if (!state_ruleset_bundle(ask->context->state, version, &ask->query->arena, bundle, &found, ask->err))
        return false;
    return found || err_set(ask->err, ERR_NOT_FOUND, "no rules of version '" TEXT_FMT "' were ever active here",
                            TEXT_CUT(version, VERSION_BYTES_MAX));
}

static bool answer_files(struct ask *ask, struct text version)
{
    struct text bundle;
    if (!find_bundle(ask, version, &bundle))
        return false;
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
        json_member_text(ask->out, "by", text_of(activation_by(activations[i].by)));
        buf_byte(ask->out, '}');
    }
    buf_byte(ask->out, ']');
    return true;
}

static void write_content(struct buf *out, const struct ruleset *ruleset)
{
    json_open(out, "chains", '[');
    for (size_t i = 0; i < ruleset_chain_count(ruleset); i++) {
        json_comma(out);
        buf_byte(out, '{');
        json_member_text(out, "chain", ruleset_chain_name(ruleset, i));
        json_member_unsigned(out, "nodes", ruleset_chain_node_count(ruleset, i));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    json_open(out, "classes", '[');
    for (size_t i = 0; i < ruleset_class_count(ruleset); i++) {
        json_comma(out);
        json_string(out, ruleset_class_name(ruleset, i));
    }
    buf_byte(out, ']');
}

static bool answer_rules(struct ask *ask)
{
    struct text wanted, bundle;
    struct ruleset_activation active;
    size_t limit;
    if (!ask_text(ask, "version", &wanted) || !ask_limit(ask, &limit))
        return false;
    if (wanted.bytes != NULL)
        return answer_files(ask, wanted);
    if (!state_ruleset_active(ask->context->state, &ask->query->arena, &active, &bundle, ask->err))
        return false;
    if (ask->context->ruleset == NULL)
        return err_set(ask->err, ERR_NOT_FOUND, "no rules are active yet");
    json_member_text(ask->out, "version", active.version);
    json_member_integer(ask->out, "since", active.since_ms);
    json_member_unsigned(ask->out, "activated", active.seq);
    write_content(ask->out, ask->context->ruleset);
    return write_activations(ask, limit);
}

const struct op op_rules = {"rules", {"version", "limit"}, answer_rules, OP_NEEDS_LEAD};

/* --- what there could be ---------------------------------------------------------------------------------- */

static void say_problems(struct ask *ask, const struct problems *problems)
{
    json_key(&ask->details, "problems");
    problems_json(&ask->details, problems);
    err_set(ask->err, ERR_CONFIG, "these rules have %zu problem%s: %s", problems->count,
            problems->count == 1 ? "" : "s", problems->first->line);
}

/* The rules in the question, if they are right. */
static struct ruleset *read_files(struct ask *ask)
{
    const struct value *files = fields_get(&ask->fields, TEXT("files"));
    struct problems problems;
    if (files == NULL || files->kind != VALUE_JSON || files->text.bytes[0] != '{') {
        err_set(ask->err, ERR_BAD_QUERY, "files: expected an object of files' names and texts, such as "
                                         "{\"root.yaml\":\"chain: root...\"}");
        return NULL;
    }
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_bundle(files->text, &problems);
    if (ruleset == NULL)
        say_problems(ask, &problems);
    problems_fini(&problems);
    return ruleset;
}

static bool answer_check(struct ask *ask)
{
    struct ruleset *ruleset = read_files(ask);
    if (ruleset == NULL)
        return false;
    json_member_text(ask->out, "version", ruleset_version(ruleset));
    write_content(ask->out, ruleset);
    ruleset_destroy(ruleset);
    return true;
}

const struct op op_rules_check = {"rules-check", {"files"}, answer_check, OP_NEEDS_LEAD};

/* Takes over `ruleset`. */
static bool apply(struct ask *ask, struct ruleset *ruleset)
{
    struct ruleset_activation active;
    struct text bundle;
    bool is_active;
    if (!activation_ask(ask->context->activation, ask->query, ruleset, &is_active, ask->err))
        return false;
    if (!is_active)
        return true;
    if (!state_ruleset_active(ask->context->state, &ask->query->arena, &active, &bundle, ask->err))
        return false;
    activation_write(ask->out, active.version, active.seq, false);
    return true;
}

static bool answer_apply(struct ask *ask)
{
    struct ruleset *ruleset = read_files(ask);
    return ruleset != NULL && apply(ask, ruleset);
}

const struct op op_rules_apply = {"rules-apply", {"files"}, answer_apply, OP_NEEDS_LEAD};

/* The version that was active before the active one. */
static bool find_former(struct ask *ask, struct text *version)
{
    struct ruleset_activation *activations;
    size_t count, i = 1;
    if (!state_rulesets(ask->context->state, RULESETS_KEPT, &ask->query->arena, &activations, &count, ask->err))
        return false;
    while (i < count && text_equal(activations[i].version, activations[0].version))
        i++;
    if (i >= count)
        return err_set(ask->err, ERR_NOT_FOUND, "no other rules were ever active here");
    *version = activations[i].version;
    return true;
}

static bool answer_rollback(struct ask *ask)
{
    struct text version, bundle;
    if (!ask_text(ask, "version", &version) || (version.bytes == NULL && !find_former(ask, &version)) ||
        !find_bundle(ask, version, &bundle))
        return false;
    struct ruleset *ruleset = ruleset_load_kept(bundle, ask->err);
    return ruleset != NULL && apply(ask, ruleset);
}

const struct op op_rules_rollback = {"rules-rollback", {"version"}, answer_rollback, OP_NEEDS_LEAD};
