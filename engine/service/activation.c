#include "engine/service/activation.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/log.h"
#include "engine/service/reply.h"

enum { ARENA_BYTES = 256 * 1024 };

struct activation {
    const struct partition *partition;
    struct step *step;
    enum ruleset_by active_by; /* if there are active ones */
    /* What was configured last, and became active or is about to; "": nothing yet. */
    char configured[VERSION_BYTES_MAX + 1];
    enum ruleset_by configured_by;
    struct rules_change *asked; /* an operator's, on its way */
};

struct rules_change *rules_change_create(struct ruleset *ruleset, enum ruleset_by by)
{
    struct rules_change *change = calloc(1, sizeof *change);
    if (change == NULL)
        abort();
    *change = (struct rules_change){.shared.work.kind = WORK_RULES, .ruleset = ruleset, .by = by};
    return change;
}

void rules_change_destroy(struct rules_change *change)
{
    ruleset_destroy(change->ruleset);
    free(change->bundle_bytes);
    free(change);
}

/* What the journal keeps of who it was. */
static const struct origin {
    const char *name;
    enum journal_kind kind;
} origins[] = {
    [RULESET_BY_SETTINGS] = {"settings", JOURNAL_RULES},
    [RULESET_BY_OPERATOR] = {"operator", JOURNAL_RULES_OF_OPERATOR},
    [RULESET_BY_PROGRAM] = {"shipped", JOURNAL_RULES_OF_PROGRAM},
};

enum journal_kind rules_change_kind(const struct rules_change *change)
{
    return origins[change->by].kind;
}

const char *activation_by(enum ruleset_by by)
{
    return origins[by].name;
}

static enum ruleset_by by_of(enum journal_kind kind)
{
    enum ruleset_by by = RULESET_BY_SETTINGS;
    while (origins[by].kind != kind)
        by++;
    return by;
}

struct activation *activation_create(const struct partition *partition, struct step *step)
{
    struct activation *activation = calloc(1, sizeof *activation);
    if (activation == NULL)
        abort();
    activation->partition = partition;
    activation->step = step;
    return activation;
}

void activation_destroy(struct activation *activation)
{
    ruleset_destroy(activation->step->ruleset);
    free(activation);
}

/* --- becoming active -------------------------------------------------------------------------------------- */

static void copy_version(char out[VERSION_BYTES_MAX + 1], struct text version)
{
    memcpy(out, version.bytes, version.len);
    out[version.len] = '\0';
}

static void remember(struct activation *activation, struct text version, enum ruleset_by by)
{
    copy_version(activation->configured, version);
    activation->configured_by = by;
}

static bool note_active(struct activation *activation, const struct ruleset_activation *row, struct err *err)
{
    struct state *state = activation->step->state;
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    state_ruleset_activate(state, row, ruleset_bundle(activation->step->ruleset));
    bool done = state_ruleset_trim(state, &arena, err);
    arena_fini(&arena);
    return done;
}

/* Takes over `ruleset`. Too many classes leave the old rules active, which is the same at every replay: *active is
 * false, and `err` says why. Returns false only when the store failed. */
static bool activate(struct activation *activation, struct ruleset *ruleset, const struct ruleset_activation *row,
                     bool *active, struct err *err)
{
    struct step *step = activation->step;
    state_set_applied_seq(step->state, row->seq);
    *active = publisher_rules(step->publisher, ruleset, err);
    bool tells = activation->partition->number == ENGINE_LEAD; /* once for all */
    if (!*active) {
        if (tells)
            log_line(LOG_ERROR, "rules-refused", "error=%s", log_quote(err->text));
        ruleset_destroy(ruleset);
        return true;
    }
    ruleset_destroy(step->ruleset);
    step->ruleset = ruleset; /* from here on, since the publisher holds its class names */
    activation->active_by = row->by;
    if (tells)
        log_line(LOG_INFO, "rules-active", "version=" TEXT_FMT " chains=%zu by=%s seq=%" PRIu64,
                 TEXT_ARG(row->version), ruleset_chain_count(ruleset), activation_by(row->by), row->seq);
    return note_active(activation, row, err);
}

static bool load(struct activation *activation, struct arena *arena, struct err *err)
{
    struct step *step = activation->step;
    struct ruleset_activation active, configured;
    struct text bundle;
    if (!state_ruleset_active(step->state, arena, &active, &bundle, err) ||
        !state_ruleset_configured(step->state, arena, &configured, err))
        return false;
    activation->active_by = active.by;
    remember(activation, configured.version, configured.by);
    if (active.version.len == 0)
        return true;
    step->ruleset = ruleset_load_kept(bundle, err);
    return step->ruleset != NULL && publisher_rules(step->publisher, step->ruleset, err);
}

bool activation_load(struct activation *activation, struct err *err)
{
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    bool done = load(activation, &arena, err);
    arena_fini(&arena);
    return done;
}

bool activation_replay(struct activation *activation, const struct journal_record *record, struct err *err)
{
    bool active;
    struct ruleset *ruleset = ruleset_load_kept(record->body, err);
    if (ruleset == NULL)
        return false;
    struct ruleset_activation row = {
        .version = ruleset_version(ruleset),
        .seq = record->seq,
        .since_ms = record->received_ms,
        .by = by_of(record->kind),
    };
    if (!activate(activation, ruleset, &row, &active, err))
        return false;
    if (active && row.by != RULESET_BY_OPERATOR)
        remember(activation, row.version, row.by); /* when it wasn't replayed, activation_hear() did */
    return true;
}

/* --- what is configured ----------------------------------------------------------------------------------- */

static bool is_active(const struct activation *activation, struct text version)
{
    const struct ruleset *ruleset = activation->step->ruleset;
    return ruleset != NULL && text_equal(ruleset_version(ruleset), version);
}

/* What the settings want goes home to the door, which is ready once it is settled. */
static void settle(struct activation *activation, struct rules_change *change)
{
    if (change->by == RULESET_BY_OPERATOR) {
        rules_change_destroy(change);
        return;
    }
    queue_push(activation->partition->engine->door_queue, &change->shared.work);
}

/* The lead's own go their way, and may be gone before a slower partition has taken them. */
static void copy_bundle(struct rules_change *change)
{
    struct text bundle = ruleset_bundle(change->ruleset);
    change->bundle_bytes = malloc(bundle.len);
    if (change->bundle_bytes == NULL)
        abort();
    memcpy(change->bundle_bytes, bundle.bytes, bundle.len);
    change->bundle_len = bundle.len;
}

static void send(struct activation *activation, struct rules_change *change)
{
    struct engine *engine = activation->partition->engine;
    change->stage = RULES_JOURNALED;
    copy_version(change->version, ruleset_version(change->ruleset));
    if (engine->partition_count > 1)
        copy_bundle(change);
    queue_push(engine->commit_queue, &change->shared.work);
}

/* Is it another than before? A newer program's own rules are no news to whom an operator's suit better. */
static bool is_news(const struct activation *activation, const struct rules_change *change)
{
    if (change->by != activation->configured_by || activation->configured[0] == '\0')
        return true;
    if (change->by == RULESET_BY_PROGRAM && activation->active_by == RULESET_BY_OPERATOR)
        return false;
    return !text_is(ruleset_version(change->ruleset), activation->configured);
}

/* Only news: else the next start would undo what an operator did. */
void activation_hear(struct activation *activation, struct rules_change *change)
{
    struct text version = ruleset_version(change->ruleset);
    if (is_news(activation, change)) {
        remember(activation, version, change->by);
        send(activation, change);
        return;
    }
    if (is_active(activation, version))
        log_line(LOG_INFO, "rules-unchanged", "version=" TEXT_FMT, TEXT_ARG(version));
    else
        log_line(LOG_WARN, "rules-kept", "version=" TEXT_FMT " by=%s %s=" TEXT_FMT
                 " help=\"what is configured has not changed; fwsync rules rollback or apply brings it back\"",
                 TEXT_ARG(ruleset_version(activation->step->ruleset)), activation_by(activation->active_by),
                 activation_by(change->by), TEXT_ARG(version));
    settle(activation, change);
}

/* --- what an operator wants -------------------------------------------------------------------------------- */

void activation_write(struct buf *out, struct text version, uint64_t seq, bool changed)
{
    json_member_text(out, "version", version);
    json_member_unsigned(out, "activated", seq);
    json_member_boolean(out, "changed", changed);
}

bool activation_ask(struct activation *activation, struct query *query, struct ruleset *ruleset, bool *active,
                    struct err *err)
{
    *active = is_active(activation, ruleset_version(ruleset));
    if (*active || activation->asked != NULL) {
        ruleset_destroy(ruleset);
        return *active || err_set(err, ERR_BUSY, "another change of rules is on its way; ask again");
    }
    activation->asked = rules_change_create(ruleset, RULESET_BY_OPERATOR);
    activation->asked->asker = query;
    query->answered_later = true;
    send(activation, activation->asked);
    return true;
}

/* Done, or `err`. */
static void answer(struct activation *activation, struct rules_change *change, const struct err *err)
{
    struct query *query = change->asker;
    struct buf *out = &query->reply;
    change->asker = NULL;
    activation->asked = NULL;
    if (err != NULL) {
        query_reply_error(query, err);
    } else {
        reply_begin(out, change->seq);
        activation_write(out, text_of(change->version), change->seq, true);
        buf_byte(out, '}');
    }
    queue_push(activation->partition->engine->door_queue, &query->work);
}

/* --- what comes back ---------------------------------------------------------------------------------------- */

static bool take(struct activation *activation, struct ruleset *ruleset, const struct rules_change *change,
                 bool *active, struct err *err)
{
    struct ruleset_activation row = {ruleset_version(ruleset), change->seq, change->received_ms, change->by};
    return activate(activation, ruleset, &row, active, err);
}

static bool take_as_lead(struct activation *activation, struct rules_change *change, struct err *err)
{
    struct ruleset *ruleset = change->ruleset;
    change->taken = true;
    if (change->seq == 0) {
        err_set(&change->err, ERR_FULL, "there is no space for a change of rules in the journal; the old ones stay");
        return true;
    }
    change->ruleset = NULL;
    if (take(activation, ruleset, change, &change->active, &change->err))
        return true;
    *err = change->err;
    return false;
}

bool activation_take(struct activation *activation, struct rules_change *change, struct err *err)
{
    bool active;
    if (activation->partition->number == ENGINE_LEAD)
        return take_as_lead(activation, change, err);
    if (change->seq == 0)
        return true;
    struct ruleset *ruleset = ruleset_load_kept((struct text){change->bundle_bytes, change->bundle_len}, err);
    return ruleset != NULL && take(activation, ruleset, change, &active, err);
}

void activation_finish(struct activation *activation, struct rules_change *change)
{
    if (change->asker != NULL)
        answer(activation, change, change->active ? NULL : &change->err);
    settle(activation, change);
}

/* One that the lead has taken the others take before they stop. */
void activation_stop(struct activation *activation)
{
    struct err err;
    err_set(&err, ERR_BUSY, "the daemon is stopping; the old rules stay");
    struct rules_change *asked = activation->asked;
    if (asked != NULL)
        answer(activation, asked, !asked->taken ? &err : asked->active ? NULL : &asked->err);
}
