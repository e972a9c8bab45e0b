#include "engine/service/fleet.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t fleet_device_count(const struct query_context *context)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < context->count; i++)
        count += state_device_count(context->all[i].state);
    return count;
}

/* --- lists of devices ------------------------------------------------------------------------------------------- */

struct state *fleet_state(const struct query_context *context, struct text name)
{
    return context->all[partition_of(name, context->count)].state;
}

/* Which partition the list is at, and that one's own cursor. */
static bool read_turn(struct ask *ask, struct text cursor, unsigned *part, struct text *own)
{
    char *end = NULL;
    *part = 0;
    *own = cursor;
    if (cursor.len == 0)
        return true;
    unsigned long number = strtoul(cursor.bytes, &end, 10);
    if (cursor.bytes[0] < '0' || cursor.bytes[0] > '9' || *end != '/' || number >= ask->context->count)
        return ask_wrong_cursor(ask);
    *part = (unsigned)number;
    *own = (struct text){end + 1, cursor.len - (size_t)(end + 1 - cursor.bytes)};
    return true;
}

static bool list_in_turn(struct ask *ask, const struct device_filter *filter, struct text cursor, size_t limit,
                         struct text **names, size_t *name_count, struct text *next)
{
    unsigned part;
    struct text own, own_next;
    struct arena *arena = &ask->query->arena;
    if (!read_turn(ask, cursor, &part, &own) ||
        !state_devices(ask->context->all[part].state, filter, own, limit, arena, names, name_count, &own_next,
                       ask->err))
        return false;
    part += own_next.len == 0;
    *next = part == ask->context->count ? TEXT("") : arena_format(arena, "%u/" TEXT_FMT, part, TEXT_ARG(own_next));
    return true;
}

/* One partition's names. */
struct names {
    struct text *items;
    size_t count, taken;
};

/* The one whose next name is the first; NULL: there are none. */
static struct names *first_of(struct names *lists, unsigned count)
{
    struct names *best = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct names *list = &lists[i];
        if (list->taken < list->count &&
            (best == NULL || text_compare(list->items[list->taken], best->items[best->taken]) < 0))
            best = list;
    }
    return best;
}

/* A partition that had to stop early knows nothing behind its own cursor, so nothing behind the earliest of these may be
 * in the page. */
static bool list_by_name(struct ask *ask, const struct device_filter *filter, struct text cursor, size_t limit,
                         struct text **out, size_t *out_count, struct text *next)
{
    const struct query_context *context = ask->context;
    struct arena *arena = &ask->query->arena;
    struct names lists[PARTITION_COUNT_MAX] = {{.count = 0}}, *list;
    struct text bound = {"", 0}, *names = arena_alloc(arena, limit * sizeof *names);
    size_t count = 0;
    for (unsigned i = 0; i < context->count; i++) {
        struct text own;
        if (!state_devices(context->all[i].state, filter, cursor, limit, arena, &lists[i].items, &lists[i].count, &own,
                           ask->err))
            return false;
        if (own.len > 0 && (bound.len == 0 || text_compare(own, bound) < 0))
            bound = own;
    }
    *next = bound;
    while ((list = first_of(lists, context->count)) != NULL) {
        struct text behind = state_devices_cursor(filter, list->items[list->taken], arena);
        if (bound.len > 0 && text_compare(behind, bound) > 0)
            break;
        if (count == limit) {
            *next = state_devices_cursor(filter, names[count - 1], arena);
            break;
        }
        names[count++] = list->items[list->taken++];
    }
    *out = names;
    *out_count = count;
    return true;
}

bool fleet_devices(struct ask *ask, const struct device_filter *filter, struct text cursor, size_t limit,
                   struct text **names, size_t *name_count, struct text *next)
{
    const struct query_context *context = ask->context;
    if (context->count == 1)
        return state_devices(context->state, filter, cursor, limit, &ask->query->arena, names, name_count, next,
                             ask->err);
    return state_devices_ordered(filter) ? list_by_name(ask, filter, cursor, limit, names, name_count, next)
                                         : list_in_turn(ask, filter, cursor, limit, names, name_count, next);
}

/* --- values --------------------------------------------------------------------------------------------------- */

bool fleet_value_devices(struct ask *ask, const struct asked_index *index, uint64_t *count)
{
    *count = 0;
    for (unsigned i = 0; i < ask->context->count; i++) {
        struct state *state = ask->context->all[i].state;
        uint64_t part;
        if (!(index->type ? state_type_devices(state, index->value->text, &part, ask->err)
                          : state_index_devices(state, index->index, index->value, &part, ask->err)))
            return false;
        *count += part;
    }
    return true;
}

static bool values_of(struct ask *ask, struct state *state, const struct asked_index *index, struct text cursor,
                      size_t limit, struct value_count **values, size_t *count, struct text *next)
{
    struct arena *arena = &ask->query->arena;
    return index->type ? state_type_values(state, cursor, limit, arena, values, count, next, ask->err)
                       : state_index_values(state, index->index, cursor, limit, arena, values, count, next, ask->err);
}

static int by_key(const void *left, const void *right)
{
    return text_compare(((const struct value_count *)left)->key, ((const struct value_count *)right)->key);
}

/* Each value once, with all its devices; at most `limit`. */
static size_t add_up(struct value_count *items, size_t count, size_t limit, bool *more)
{
    size_t kept = 0;
    qsort(items, count, sizeof *items, by_key);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && text_equal(items[kept - 1].key, items[i].key)) {
            items[kept - 1].count += items[i].count;
        } else if (kept == limit) {
            *more = true;
            break;
        } else {
            items[kept++] = items[i];
        }
    }
    return kept;
}

bool fleet_values(struct ask *ask, const struct asked_index *index, struct text cursor, size_t limit,
                  struct value_count **values, size_t *value_count, struct text *next)
{
    const struct query_context *context = ask->context;
    if (context->count == 1)
        return values_of(ask, context->state, index, cursor, limit, values, value_count, next);
    struct arena *arena = &ask->query->arena;
    struct value_count *all = arena_alloc(arena, context->count * limit * sizeof *all);
    size_t count = 0;
    bool more = false;
    for (unsigned i = 0; i < context->count; i++) {
        struct value_count *part;
        size_t part_count;
        if (!values_of(ask, context->all[i].state, index, cursor, limit, &part, &part_count, next))
            return false;
        if (part_count > 0)
            memcpy(all + count, part, part_count * sizeof *part);
        count += part_count;
        more |= next->len > 0;
    }
    *values = all;
    *value_count = add_up(all, count, limit, &more);
    *next = more ? state_values_cursor(&all[*value_count - 1], arena) : TEXT("");
    return true;
}

/* --- classes ---------------------------------------------------------------------------------------------------- */

struct class_sums {
    struct text names[CLASS_LIFE_COUNT_MAX];
    uint64_t numbers[CLASS_LIFE_COUNT_MAX];
    size_t count;
};

static void add_class(void *context, struct text name, uint64_t number)
{
    struct class_sums *sums = context;
    size_t i = 0;
    while (i < sums->count && !text_equal(sums->names[i], name))
        i++;
    assert(i < CLASS_LIFE_COUNT_MAX);
    sums->names[i] = name;
    sums->numbers[i] = number + (i < sums->count ? sums->numbers[i] : 0);
    sums->count += i == sums->count;
}

void fleet_each_class(const struct query_context *context,
                      void (*visit)(void *context, struct text name, uint64_t number), void *visit_context)
{
    struct class_sums sums = {.count = 0};
    for (unsigned i = 0; i < context->count; i++)
        publisher_each_class(context->all[i].publisher, add_class, &sums);
    for (size_t i = 0; i < sums.count; i++)
        visit(visit_context, sums.names[i], sums.numbers[i]);
}

/* --- dead letters ---------------------------------------------------------------------------------------------- */

/* What one partition can give to the page. Its letters are numbered without gaps, newest first. */
struct stack {
    struct text *letters;
    size_t count, taken;
    bool cut; /* it has older ones that weren't read */
};

static uint64_t behind_newest(const struct state *state)
{
    return state_dead_letter_trimmed(state) + state_dead_letter_count(state) + 1;
}

/* The numbers before which to go on: those of the cursor, or behind the newest. */
static bool read_before(struct ask *ask, uint64_t before[PARTITION_COUNT_MAX])
{
    struct text cursor;
    int at = 0;
    if (!ask_text(ask, "cursor", &cursor))
        return false;
    for (unsigned i = 0; i < ask->context->count; i++) {
        uint64_t newest_number = behind_newest(ask->context->all[i].state);
        int len = 0;
        before[i] = newest_number;
        if (cursor.len == 0)
            continue;
        if (sscanf(cursor.bytes + at, "%" SCNu64 ":%n", &before[i], &len) != 1 || before[i] == 0)
            return ask_wrong_cursor(ask);
        if (before[i] > newest_number)
            before[i] = newest_number;
        at += len;
    }
    return (size_t)at == cursor.len || ask_wrong_cursor(ask);
}

void fleet_letters_cursor(struct ask *ask, const struct fleet_letters *letters)
{
    if (!letters->more)
        return;
    json_key(ask->out, "cursor");
    buf_byte(ask->out, '"');
    for (unsigned i = 0; i < ask->context->count; i++)
        buf_printf(ask->out, "%" PRIu64 ":", letters->before[i]);
    buf_byte(ask->out, '"');
}

/* publisher.c writes it first. */
static uint64_t letter_seq(struct text letter)
{
    uint64_t seq = 1; /* of one that is older than that */
    sscanf(letter.bytes, "{\"seq\":%" SCNu64, &seq);
    return seq;
}

/* The one with the newest letter; NULL: there is none, or the next may be one that wasn't read. */
static struct stack *newest(struct stack *stacks, unsigned count)
{
    struct stack *best = NULL;
    uint64_t best_seq = 0;
    for (unsigned i = 0; i < count; i++) {
        struct stack *stack = &stacks[i];
        if (stack->taken == stack->count && stack->cut)
            return NULL;
        uint64_t seq = stack->taken < stack->count ? letter_seq(stack->letters[stack->taken]) : 0;
        if (seq <= best_seq)
            continue;
        best_seq = seq;
        best = stack;
    }
    return best;
}

static void take_newest(struct stack *stacks, unsigned partition_count, size_t limit, struct fleet_letters *letters)
{
    size_t bytes = 0;
    struct stack *stack;
    while (letters->count < limit && (stack = newest(stacks, partition_count)) != NULL) {
        struct text letter = stack->letters[stack->taken];
        bytes += letter.len;
        if (letters->count > 0 && bytes > REQUEST_BYTES_MAX)
            return;
        letters->items[letters->count++] = letter;
        stack->taken++;
    }
}

bool fleet_letters(struct ask *ask, size_t limit, struct fleet_letters *letters)
{
    const struct query_context *context = ask->context;
    struct arena *arena = &ask->query->arena;
    struct stack stacks[PARTITION_COUNT_MAX] = {{.count = 0}};
    uint64_t next;
    *letters = (struct fleet_letters){.items = arena_alloc(arena, limit * sizeof *letters->items)};
    if (!read_before(ask, letters->before))
        return false;
    for (unsigned i = 0; i < context->count; i++) {
        if (!state_dead_letters(context->all[i].state, letters->before[i], limit, REQUEST_BYTES_MAX, arena,
                                &stacks[i].letters, &stacks[i].count, &next, ask->err))
            return false;
        stacks[i].cut = next > 0;
    }
    take_newest(stacks, context->count, limit, letters);
    for (unsigned i = 0; i < context->count; i++) {
        letters->before[i] -= stacks[i].taken;
        letters->more |= letters->before[i] > state_dead_letter_trimmed(context->all[i].state) + 1;
    }
    return true;
}
