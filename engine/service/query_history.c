/* query_history.c - what changed: of one device, for a follower, and everything as it was at one event. */
#include <inttypes.h>

#include "engine/service/fleet.h"
#include "engine/service/reply.h"
#include "engine/service/rerun.h"

enum {
    PAGE_BYTES_MAX = REQUEST_BYTES_MAX,
    WORK_MAX = 5000,  /* rows that one answer looks at */
    RERUN_WORK = 25,  /* how many of them a rerun is worth */
};

/* --- one device's ----------------------------------------------------------------------------------------- */

/* The message type of the event behind a row; len 0 when it is one of the user's own and no longer kept. */
static bool read_type(struct rerun *rerun, const struct history_row *row, struct text device, struct text *type,
                      struct err *err)
{
    const char *name = event_type_name(row->cause);
    struct event event;
    struct text line;
    int64_t received_ms;
    *type = name == NULL ? TEXT("") : text_of(name);
    if (name != NULL)
        return true;
    if (!rerun_read(rerun, row->seq, device, &event, &line, &received_ms, err))
        return err->code == ERR_GONE;
    *type = event.type;
    return true;
}

static void begin_change(const struct history_row *row, struct text type, struct buf *out)
{
    json_comma(out);
    buf_byte(out, '{');
    json_member_unsigned(out, "seq", row->seq);
    json_member_integer(out, "ts", row->received_ms);
    if (type.len > 0)
        json_member_text(out, "type", type);
}

static void write_change(const struct history_row *row, const struct history_change *change, struct text type,
                         struct buf *out)
{
    begin_change(row, type, out);
    reply_change(out, change);
    buf_byte(out, '}');
}

/* The row's changes, the last one first; with the device's type as one of them. */
static void write_row(const struct history_row *row, struct text type, struct buf *out)
{
    for (size_t i = row->change_count; i > 0; i--)
        write_change(row, &row->changes[i - 1], type, out);
    if (row->new_type.len == 0)
        return;
    begin_change(row, type, out);
    json_member_text(out, "key", TEXT("deviceType"));
    if (row->old_type.len > 0)
        json_member_text(out, "old", row->old_type);
    json_member_text(out, "new", row->new_type);
    buf_byte(out, '}');
}

static bool is_kept(const struct state *state, uint64_t position)
{
    return position != HISTORY_NONE && position >= state_history_first(state);
}

/* Where a cursor leads to no row of the device, it isn't from us: every other row is reached from one. */
static bool check_cursor(struct ask *ask, struct rerun *rerun, uint32_t number, uint64_t position)
{
    struct history_row row;
    if (!is_kept(ask->context->state, position))
        return true;
    if (!state_history_read(ask->context->state, position, &rerun->arena, &row, ask->err))
        return ask->err->code == ERR_DAMAGED ? ask_wrong_cursor(ask) : false;
    rerun_clear(rerun);
    return row.device == number || ask_wrong_cursor(ask);
}

/* The rows of a device, from `position` on back in time. */
static bool write_rows(struct ask *ask, struct rerun *rerun, struct text device, uint64_t *position, size_t limit)
{
    struct state *state = ask->context->state;
    size_t count = 0, work = 0, bytes_max = ask->out->len + PAGE_BYTES_MAX;
    while (is_kept(state, *position) && count < limit && work < WORK_MAX && ask->out->len < bytes_max) {
        struct history_row row;
        struct text type;
        if (!state_history_read(state, *position, &rerun->arena, &row, ask->err) ||
            !read_type(rerun, &row, device, &type, ask->err))
            return false;
        write_row(&row, type, ask->out);
        count += row.change_count + (row.new_type.len > 0);
        work += RERUN_WORK;
        *position = row.before;
        rerun_clear(rerun);
    }
    return true;
}

static bool write_history(struct ask *ask, struct rerun *rerun, struct device *device)
{
    struct state *state = ask->context->state;
    struct text name = arena_copy(&ask->query->arena, device_name(device));
    uint32_t number = device_number(device);
    uint64_t position, is_next;
    size_t limit;
    if (!ask_limit(ask, &limit) || !ask_cursor(ask, &position, &is_next))
        return false;
    if (is_next == 0)
        position = device_history(device);
    else if (!check_cursor(ask, rerun, number, position))
        return false;
    json_member_text(ask->out, "device", name);
    json_open(ask->out, "changes", '[');
    if (!write_rows(ask, rerun, name, &position, limit))
        return false;
    buf_byte(ask->out, ']');
    if (is_kept(state, position))
        ask_write_cursor(ask, position, 1);
    else
        json_member_boolean(ask->out, "complete", position == HISTORY_NONE);
    return true;
}

static bool answer_history(struct ask *ask)
{
    struct device *device;
    struct rerun rerun;
    if (!ask_device(ask, &device))
        return false;
    rerun_init(&rerun, ask->context);
    bool done = write_history(ask, &rerun, device);
    rerun_fini(&rerun);
    return done;
}

const struct op op_history = {"history", {"device", "limit", "cursor"}, answer_history, OP_NEEDS_DEVICE};

/* --- for a follower ---------------------------------------------------------------------------------------- */

/* One partition's way through its history. */
struct lane {
    const struct query_context *context;
    struct rerun rerun;
    struct publisher *publisher; /* writes the `attributes` of rows */
    uint64_t position;           /* of the next row */
    bool has_row;                /* it has been read, in the rerun's arena */
    struct history_row row;
    uint64_t reads_start; /* rows of history */
};

struct changes_page {
    struct ask *ask;
    struct text class_name; /* {NULL, 0}: all */
    struct lane lanes[PARTITION_COUNT_MAX];
    unsigned lane_count;
    size_t limit;
    size_t bytes_max;
    size_t count; /* results written */
    size_t work;  /* that no lane's reads count */
};

static void open_lanes(struct changes_page *changes)
{
    const struct query_context *context = changes->ask->context;
    changes->lane_count = context->count;
    for (unsigned i = 0; i < context->count; i++) {
        struct lane *lane = &changes->lanes[i];
        lane->context = &context->all[i];
        rerun_init(&lane->rerun, lane->context);
        lane->publisher = publisher_create_trial();
        publisher_partition(lane->publisher, i, context->count);
        lane->reads_start = state_history_reads(lane->context->state);
    }
}

static void close_lanes(struct changes_page *changes)
{
    for (unsigned i = 0; i < changes->lane_count; i++) {
        publisher_destroy(changes->lanes[i].publisher);
        rerun_fini(&changes->lanes[i].rerun);
    }
}

static bool is_wanted(const struct changes_page *changes, struct text class_name)
{
    return changes->class_name.bytes == NULL || text_equal(changes->class_name, class_name);
}

/* The results of one class, or of all but `attributes`, as they were published, with their class. */
static void write_results(struct changes_page *changes, struct results *results, bool attributes)
{
    struct buf *out = changes->ask->out;
    struct text topic, payload;
    for (size_t at = 0; results != NULL && results_next(results, &at, &topic, &payload);) {
        struct text class_name = results_class(topic);
        if (!is_wanted(changes, class_name) || text_is(class_name, "attributes") != attributes)
            continue;
        reply_result(out, topic, payload);
        changes->count++;
    }
    results_destroy(results);
}

/* The row has all that an `attributes` result says. */
static void write_attributes(struct changes_page *changes, struct lane *lane, struct text device)
{
    const struct sink *sink = publisher_sink(lane->publisher);
    const struct history_row *row = &lane->row;
    publisher_number(lane->publisher, row);
    publisher_event(lane->publisher, row->seq, row->received_ms, device, TEXT(""), TEXT(""));
    for (size_t i = 0; i < row->change_count; i++) {
        const struct history_change *change = &row->changes[i];
        sink->attribute(sink->context, change->scope, change->new.key,
                        change->has_new ? &change->new.value : NULL);
    }
    write_results(changes, publisher_take(lane->publisher), true);
}

static bool has_others(const struct changes_page *changes, const struct history_row *row)
{
    for (size_t i = 0; i < row->result_count; i++)
        if (!text_is(row->results[i].class_name, "attributes") &&
            is_wanted(changes, row->results[i].class_name))
            return true;
    return false;
}

static bool write_row_results(struct changes_page *changes, struct lane *lane)
{
    struct ask *ask = changes->ask;
    const struct history_row *row = &lane->row;
    struct text name;
    if (!state_device_name(lane->context->state, row->device, &lane->rerun.arena, &name, ask->err))
        return false;
    if (is_wanted(changes, TEXT("attributes")) && row->change_count > 0)
        write_attributes(changes, lane, name);
    if (!has_others(changes, row))
        return true;
    struct results *results;
    changes->work += RERUN_WORK;
    if (!rerun_event(&lane->rerun, row->seq, name, row, NULL, &results, ask->err))
        return false;
    write_results(changes, results, false);
    return true;
}

static bool is_full(const struct changes_page *changes)
{
    uint64_t work = changes->work;
    for (unsigned i = 0; i < changes->lane_count; i++)
        work += state_history_reads(changes->lanes[i].context->state) - changes->lanes[i].reads_start;
    return changes->count >= changes->limit || work >= WORK_MAX ||
           changes->ask->out->len >= changes->bytes_max;
}

static bool has_more(const struct lane *lane)
{
    return lane->position < state_history_end(lane->context->state);
}

/* The lane whose next row is of the earliest event; *next NULL: there are no more rows. */
static bool choose_lane(struct changes_page *changes, struct lane **next)
{
    *next = NULL;
    for (unsigned i = 0; i < changes->lane_count; i++) {
        struct lane *lane = &changes->lanes[i];
        if (!has_more(lane))
            continue;
        if (!lane->has_row && !state_history_read(lane->context->state, lane->position, &lane->rerun.arena, &lane->row,
                                                  changes->ask->err))
            return false;
        lane->has_row = true;
        if (*next == NULL || lane->row.seq < (*next)->row.seq)
            *next = lane;
    }
    return true;
}

/* Whole events: a page ends only where the next row is another event's. */
static bool write_changes(struct changes_page *changes, uint64_t *after)
{
    struct lane *lane;
    for (;;) {
        if (!choose_lane(changes, &lane))
            return false;
        if (lane == NULL)
            break;
        if (lane->row.seq != *after && is_full(changes))
            return true;
        if (!write_row_results(changes, lane))
            return false;
        *after = lane->row.seq;
        lane->position = lane->row.next;
        lane->has_row = false;
        rerun_clear(&lane->rerun);
    }
    *after = state_applied_seq(changes->ask->context->state);
    return true;
}

/* Where to begin: each lane's position, and the event before it. `start` is the event, or a time. */
static bool find_start(struct changes_page *changes, struct moment start, uint64_t *after)
{
    uint64_t last = state_applied_seq(changes->ask->context->state);
    struct lane *first;
    *after = start.seq < last ? start.seq : last;
    for (unsigned i = 0; i < changes->lane_count; i++)
        if (!state_history_seek(changes->lanes[i].context->state, start, &changes->lanes[i].position,
                                changes->ask->err))
            return false;
    if (start.ms == INT64_MAX)
        return true;
    if (!choose_lane(changes, &first))
        return false;
    if (first != NULL)
        *after = first->row.seq - 1;
    return true;
}

static bool answer_all_changes(struct changes_page *changes, struct moment start)
{
    struct ask *ask = changes->ask;
    uint64_t after;
    bool more = false;
    if (!find_start(changes, start, &after))
        return false;
    json_member_unsigned(ask->out, "from", after);
    json_open(ask->out, "results", '[');
    if (!write_changes(changes, &after))
        return false;
    buf_byte(ask->out, ']');
    for (unsigned i = 0; i < changes->lane_count; i++) {
        const struct lane *lane = &changes->lanes[i];
        more |= has_more(lane);
        state_history_mark(lane->context->state, (struct moment){after, INT64_MAX}, lane->position);
    }
    json_member_unsigned(ask->out, "after", after);
    json_member_boolean(ask->out, "more", more);
    return true;
}

static bool answer_changes(struct ask *ask)
{
    struct changes_page changes = {.ask = ask, .bytes_max = ask->out->len + PAGE_BYTES_MAX};
    uint64_t after, last = state_applied_seq(ask->context->state);
    int64_t since_ms = 0;
    bool by_event, by_time;
    if (!ask_seq(ask, "after", &after, &by_event) || !ask_time(ask, "since", &since_ms, &by_time) ||
        !ask_text(ask, "class", &changes.class_name) || !ask_limit(ask, &changes.limit))
        return false;
    if (by_event == by_time)
        return err_set(ask->err, ERR_BAD_QUERY, "after: expected the number of the last event that you have seen; or "
                                                "since: a time in its place");
    if (by_event && after > last)
        return err_set(ask->err, ERR_BAD_QUERY, "after: there is no event %" PRIu64 " yet; the last one is %" PRIu64,
                       after, last);
    open_lanes(&changes);
    struct moment start = by_time ? (struct moment){UINT64_MAX, since_ms - 1} : (struct moment){after, INT64_MAX};
    bool done = answer_all_changes(&changes, start);
    close_lanes(&changes);
    return done;
}

const struct op op_changes = {"changes", {"after", "since", "class", "limit"}, answer_changes, OP_NEEDS_ALL};

/* --- everything, as it was at one event --------------------------------------------------------------------- */

static bool write_one_of_all(struct ask *ask, struct state *state, uint32_t number, uint64_t at)
{
    struct device *device;
    bool existed;
    if (!state_device_at(state, number, &device, ask->err) ||
        !device_rewind(device, (struct moment){at, INT64_MAX}, &existed, ask->err))
        return false;
    if (!existed)
        return true;
    json_comma(ask->out);
    buf_byte(ask->out, '{');
    json_member_text(ask->out, "device", device_name(device));
    json_member_text(ask->out, "deviceType", device_type(device));
    json_member_integer(ask->out, "created", device_created_ms(device));
    if (!reply_scopes(ask->out, device, SCOPE_SERVER, ask->err))
        return false;
    buf_byte(ask->out, '}');
    return true;
}

static void write_classes(const struct query_context *part, struct buf *out)
{
    buf_byte(out, '{');
    publisher_classes(part->publisher, out);
    buf_byte(out, '}');
}

/* The numbers that a follower begins with. */
static void write_numbers(struct ask *ask)
{
    const struct query_context *context = ask->context;
    if (context->count == 1) {
        json_key(ask->out, "n");
        write_classes(context, ask->out);
        return;
    }
    json_open(ask->out, "partitions", '[');
    for (unsigned i = 0; i < context->count; i++) {
        json_comma(ask->out);
        write_classes(&context->all[i], ask->out);
    }
    buf_byte(ask->out, ']');
}

/* The cursor: the event, and the number of the partition's next device. Later devices have higher numbers. */
static bool answer_snapshot(struct ask *ask)
{
    struct fleet_cursor cursor;
    size_t limit, bytes_max = ask->out->len + PAGE_BYTES_MAX;
    if (!ask_limit(ask, &limit) || !ask_fleet_cursor(ask, &cursor))
        return false;
    struct state *state = ask->context->all[cursor.part].state;
    uint64_t *at = &cursor.first, *number = &cursor.second;
    uint64_t end = state_device_count(state), reads = state_history_reads(state);
    if (cursor.part == 0 && *number == 0) {
        *at = state_applied_seq(state);
        write_numbers(ask);
    }
    if (*at > state_applied_seq(state) || *number > end)
        return ask_wrong_cursor(ask);
    json_member_unsigned(ask->out, "at", *at);
    json_member_unsigned(ask->out, "of", fleet_device_count(ask->context));
    json_open(ask->out, "devices", '[');
    for (; limit > 0 && *number < end && ask->out->len < bytes_max &&
           state_history_reads(state) - reads < WORK_MAX;
         limit--, ++*number)
        if (!write_one_of_all(ask, state, (uint32_t)*number, *at))
            return false;
    buf_byte(ask->out, ']');
    if (*number == end && cursor.part + 1 < ask->context->count) {
        cursor.part++;
        *number = 0;
        ask_write_fleet_cursor(ask, &cursor);
    } else if (*number < end) {
        ask_write_fleet_cursor(ask, &cursor);
    }
    return true;
}

const struct op op_snapshot = {"snapshot", {"limit", "cursor"}, answer_snapshot, OP_NEEDS_ALL};
