#include "engine/service/publisher.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "engine/base/log.h"
#include "engine/service/shape.h"

enum { FIRST_ROOM = 1024 }; /* for the members of a result, before it shows that they need more */
enum { RESULTS_KEPT = 16 }; /* for the next use; more are needed only while the door is behind */
enum { PARTITION_BYTES = 24 };
enum { OWN_ATTRIBUTES, OWN_DEADLETTER, OWN_COUNT }; /* classes that fwsync itself publishes */

struct class {
    struct text name; /* static, or the rule set's: until the next publisher_rules */
    const struct shape *shape;
    uint64_t *n;      /* the last one given; in the state, of a trial in the next field */
    uint64_t trial_n;
    unsigned slot;    /* in the subscriptions */
    struct results *batch; /* that takes more rows; NULL: none */
    uint64_t batch_next_n; /* of the next row, if it is to go in there */
    int64_t batch_ms;      /* the ts in its head */
    struct common common;  /* what else is in it */
};

struct publisher {
    struct state *state; /* NULL: a trial, see publisher.h */
    struct subscriptions *subscriptions;
    uint64_t dead_letter_keep;
    struct class own[OWN_COUNT];
    struct class *classes; /* by the rule set's class index */
    size_t class_count;
    unsigned heartbeat_slot;
    char partition_bytes[PARTITION_BYTES]; /* a member of all results; "": there is one partition */
    struct text partition;
    unsigned partition_count;
    struct sink sink;
    struct results *single;  /* NULL: nothing written; the batches are in their classes */
    struct work *ready;      /* results to be taken, oldest first */
    struct work **ready_end;
    struct work *spares;     /* empty results */
    struct queue *home;      /* more of them; NULL: none come back */
    unsigned made_count;
    struct buf letter_json;  /* the dead letter being written */
    struct buf beat;         /* the heartbeat, likewise */

    /* the event under way */
    uint64_t seq;
    int64_t received_ms;
    struct text device;
    struct text device_type;
    struct text line;
};

/* --- writing one result ------------------------------------------------------------------------------ */

/* Those that came back, or new ones. */
static struct results *empty_results(struct publisher *publisher)
{
    if (publisher->spares == NULL && publisher->home != NULL)
        publisher->spares = queue_take(publisher->home, 0);
    struct work *spare = publisher->spares;
    if (spare == NULL)
        return results_create(publisher->made_count++ < RESULTS_KEPT ? publisher->home : NULL);
    publisher->spares = spare->next;
    return (struct results *)spare;
}

static struct results *single_results(struct publisher *publisher)
{
    if (publisher->single == NULL)
        publisher->single = empty_results(publisher);
    return publisher->single;
}

/* What is in *open is taken next. */
static void make_ready(struct publisher *publisher, struct results **open)
{
    if (*open == NULL)
        return;
    (*open)->work.next = NULL;
    *publisher->ready_end = &(*open)->work;
    publisher->ready_end = &(*open)->work.next;
    *open = NULL;
}

/* A row's n and ts are in its batch's head: numbers that nobody listened to, or another time, need a new one. */
static bool takes_row(const struct class *class, int64_t ts_ms)
{
    return class->batch != NULL && class->batch_next_n == *class->n && class->batch_ms == ts_ms;
}

/* what  the first row */
static void begin_batch(struct publisher *publisher, struct class *class, const void *what)
{
    enum { FRAME_ROOM = sizeof "{'n':,'ts':,'members':['seq','device',]}" + 2 * DECIMAL_BYTES };
    class->batch = empty_results(publisher);
    class->batch_next_n = *class->n;
    class->batch_ms = publisher->received_ms;
    struct text names = text_of(class->shape->names);
    char *at = results_begin_batch(class->batch, class->name,
                                   FRAME_ROOM + PARTITION_BYTES + COMMON_ROOM + names.len);
    at = put_unsigned(put_text(at, TEXT("{\"n\":")), *class->n);
    at = put_unsigned(put_text(at, TEXT(",\"ts\":")), (uint64_t)publisher->received_ms);
    at = put_text(at, publisher->partition);
    if (class->shape->put_common != NULL)
        at = class->shape->put_common(at, &class->common, what);
    at = put_text(put_text(at, TEXT(",\"members\":[\"seq\",\"device\",")), names);
    results_end_head(class->batch, put_text(at, TEXT("]}")));
}

/* At the end of the class's batch; false when there is no room for it. */
static inline bool put_row(const struct publisher *publisher, const struct class *class, const void *what)
{
    enum { EACH_ROOM = sizeof "n[,]" + DECIMAL_BYTES };
    const char *end; /* it may be before `at`, behind a large first row */
    char *at = results_begin_row(class->batch, &end);
    if (end - at < (ptrdiff_t)(EACH_ROOM + json_string_room(publisher->device)))
        return false;
    at = put_unsigned(put_text(at, TEXT("\n[")), publisher->seq);
    at = put_json_string(put_text(at, TEXT(",")), publisher->device);
    at = class->shape->put(at, end - 1, &class->common, what);
    if (at == NULL)
        return false;
    results_end_row(class->batch, put_text(at, TEXT("]")));
    return true;
}

static __attribute__((noinline)) void put_first_row(struct publisher *publisher, struct class *class, const void *what)
{
    make_ready(publisher, &class->batch);
    begin_batch(publisher, class, what);
    while (!put_row(publisher, class, what))
        results_grow(class->batch);
}

static void add_row(struct publisher *publisher, struct class *class, const void *what)
{
    if (!takes_row(class, publisher->received_ms) || !put_row(publisher, class, what))
        put_first_row(publisher, class, what);
    class->batch_next_n++;
}

/* payload_room  of which it may need more: then false */
static bool put_single(const struct publisher *publisher, const struct class *class, struct results *single,
                       size_t payload_room, const void *what)
{
    char *at = results_begin(single, class->name, publisher->device, payload_room), *end = at + payload_room;
    at = put_unsigned(put_text(at, TEXT("{\"n\":")), *class->n);
    at = put_unsigned(put_text(at, TEXT(",\"seq\":")), publisher->seq);
    at = put_unsigned(put_text(at, TEXT(",\"ts\":")), (uint64_t)publisher->received_ms);
    at = put_json_string(put_text(at, TEXT(",\"device\":")), publisher->device);
    at = put_text(at, publisher->partition);
    at = class->shape->put(at, end - 1, NULL, what);
    if (at == NULL)
        return false;
    results_end(single, put_text(at, TEXT("}")));
    return true;
}

static void add_single(struct publisher *publisher, const struct class *class, const void *what)
{
    enum { EACH_ROOM = sizeof "{'n':,'seq':,'ts':,'device':}" + 3 * DECIMAL_BYTES + PARTITION_BYTES };
    size_t room = EACH_ROOM + json_string_room(publisher->device) + FIRST_ROOM;
    struct results *single = single_results(publisher);
    while (!put_single(publisher, class, single, room, what))
        room *= 2;
}

/* Of WANTED_*; a trial is all for its results. */
static unsigned wanted_of(const struct publisher *publisher, const struct class *class)
{
    return publisher->state == NULL ? WANTED_SINGLE : subscriptions_wanted(publisher->subscriptions, class->slot);
}

/* One more of the class, whether or not anybody listens. Returns who does. */
static unsigned number(struct publisher *publisher, struct class *class)
{
    ++*class->n;
    if (publisher->state != NULL)
        state_note_result(publisher->state, class->n);
    return wanted_of(publisher, class);
}

static void put(struct publisher *publisher, struct class *class, unsigned wanted, const void *what)
{
    if ((wanted & WANTED_BATCHED) != 0)
        add_row(publisher, class, what);
    if ((wanted & WANTED_SINGLE) != 0)
        add_single(publisher, class, what);
}

static void publish(struct publisher *publisher, struct class *class, const void *what)
{
    unsigned wanted = number(publisher, class);
    if (wanted != 0)
        put(publisher, class, wanted, what);
}

/* --- the sink ----------------------------------------------------------------------------------------- */

static void sink_attribute(void *context, enum scope scope, struct text key, const struct value *value)
{
    struct publisher *publisher = context;
    struct attribute_change change = {text_of(scope_name(scope)), key, value};
    publish(publisher, &publisher->own[OWN_ATTRIBUTES], &change);
}

static struct class *class_at(const struct publisher *publisher, int class_index)
{
    assert(class_index >= 0 && (size_t)class_index < publisher->class_count);
    return &publisher->classes[class_index];
}

static void sink_publish(void *context, struct text class_name, int class_index,
                         const struct message_view *message)
{
    struct publisher *publisher = context;
    struct class *class = class_at(publisher, class_index);
    struct published published = {publisher->device_type, message};
    unsigned wanted = number(publisher, class);
    (void)class_name;
    if (wanted != 0)
        put(publisher, class, wanted, &published);
}

/* Kept in the state, too: what its result says but the n. */
static void keep_letter(struct publisher *publisher, const struct letter *letter)
{
    struct buf *out = &publisher->letter_json;
    buf_clear(out);
    buf_byte(out, '{');
    json_member_unsigned(out, "seq", publisher->seq);
    json_member_integer(out, "ts", publisher->received_ms);
    json_member_text(out, "device", publisher->device);
    char *end = NULL;
    for (size_t room = FIRST_ROOM; end == NULL; room *= 2) {
        char *at = buf_room(out, room);
        end = letter_shape.put(at, at + room - 1, NULL, letter);
    }
    out->len = (size_t)(put_text(end, TEXT("}")) - out->bytes);
    state_dead_letter_add(publisher->state, buf_text(out), publisher->dead_letter_keep);
}

static void sink_dead_letter(void *context, struct text chain, struct text node, const char *error)
{
    struct publisher *publisher = context;
    struct letter letter = {chain, node, text_of(error), publisher->line};
    if (publisher->state != NULL)
        keep_letter(publisher, &letter);
    publish(publisher, &publisher->own[OWN_DEADLETTER], &letter);
}

static void sink_log(void *context, struct text chain, struct text node, struct text line)
{
    const struct publisher *publisher = context;
    char of[256], cut[400]; /* names may have blanks in them */
    if (publisher->state == NULL)
        return;
    snprintf(of, sizeof of, TEXT_FMT "/" TEXT_FMT, TEXT_ARG(chain), TEXT_ARG(node));
    snprintf(cut, sizeof cut, TEXT_FMT, TEXT_ARG(line));
    log_line(LOG_INFO, "rule", "seq=%llu node=%s text=%s", (unsigned long long)publisher->seq, log_quote(of),
             log_quote(cut));
}

/* --- life ---------------------------------------------------------------------------------------------- */

enum { COUNTER_NAME_BYTES = 64 }; /* the most that a counter's can be */

static struct text counter_name(struct text class_name, char name[COUNTER_NAME_BYTES])
{
    int len = snprintf(name, COUNTER_NAME_BYTES, "n/" TEXT_FMT, TEXT_ARG(class_name));
    assert(len > 0 && len < COUNTER_NAME_BYTES);
    return (struct text){name, (size_t)len};
}

/* There is room for it. */
static void class_init(struct publisher *publisher, struct class *class, struct text name, const struct shape *shape)
{
    char counter[COUNTER_NAME_BYTES];
    class->name = name;
    class->shape = shape;
    class->n = &class->trial_n;
    if (publisher->state == NULL)
        return;
    class->n = state_counter(publisher->state, counter_name(name, counter));
    assert(class->n != NULL);
    class->slot = subscriptions_class(publisher->subscriptions, name);
}

struct publisher *publisher_create(struct state *state, struct subscriptions *subscriptions,
                                   uint64_t dead_letter_keep)
{
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL)
        abort();
    publisher->state = state;
    publisher->subscriptions = subscriptions;
    publisher->dead_letter_keep = dead_letter_keep;
    publisher->ready_end = &publisher->ready;
    publisher->sink = (struct sink){
        publisher, sink_attribute, sink_publish, sink_dead_letter, sink_log,
    };
    class_init(publisher, &publisher->own[OWN_ATTRIBUTES], TEXT("attributes"), &change_shape);
    class_init(publisher, &publisher->own[OWN_DEADLETTER], TEXT("deadletter"), &letter_shape);
    if (state != NULL)
        publisher->heartbeat_slot = subscriptions_class(subscriptions, TEXT("heartbeat"));
    return publisher;
}

struct publisher *publisher_create_trial(void)
{
    return publisher_create(NULL, NULL, 0);
}

static void number_class(struct publisher *publisher, const struct history_result *result)
{
    for (size_t i = 0; i < OWN_COUNT; i++)
        if (text_equal(publisher->own[i].name, result->class_name))
            publisher->own[i].trial_n = result->first_n - 1;
    for (size_t i = 0; i < publisher->class_count; i++)
        if (text_equal(publisher->classes[i].name, result->class_name))
            publisher->classes[i].trial_n = result->first_n - 1;
}

void publisher_number(struct publisher *publisher, const struct history_row *row)
{
    assert(publisher->state == NULL);
    for (size_t i = 0; i < row->result_count; i++)
        number_class(publisher, &row->results[i]);
}

static void close_batches(struct publisher *publisher)
{
    for (size_t i = 0; i < OWN_COUNT; i++)
        make_ready(publisher, &publisher->own[i].batch);
    for (size_t i = 0; i < publisher->class_count; i++)
        make_ready(publisher, &publisher->classes[i].batch);
}

void publisher_destroy(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    close_batches(publisher);
    results_destroy(publisher->single);
    results_destroy_all(publisher->ready);
    results_destroy_all(publisher->spares);
    buf_fini(&publisher->letter_json);
    buf_fini(&publisher->beat);
    free(publisher->classes);
    free(publisher);
}

void publisher_partition(struct publisher *publisher, unsigned number, unsigned count)
{
    if (count == 1)
        return;
    int len = snprintf(publisher->partition_bytes, PARTITION_BYTES, ",\"partition\":%u", number);
    publisher->partition = (struct text){publisher->partition_bytes, (size_t)len};
    publisher->partition_count = count;
}

void publisher_home(struct publisher *publisher, struct queue *home)
{
    publisher->home = home;
}

/* Rules that are refused take none of it. */
static bool has_room(const struct publisher *publisher, const struct ruleset *ruleset, struct err *err)
{
    char counter[COUNTER_NAME_BYTES];
    size_t new = 0, room = publisher->state == NULL ? SIZE_MAX : state_counter_room(publisher->state);
    for (size_t i = 0; publisher->state != NULL && i < ruleset_class_count(ruleset); i++)
        new += !state_counter_exists(publisher->state, counter_name(ruleset_class_name(ruleset, i), counter));
    return new <= room ||
           err_set(err, ERR_LIMIT, "%zu new result classes, and room for %zu: a data folder has at most %d in its life",
                   new, room, CLASS_LIFE_COUNT_MAX);
}

bool publisher_rules(struct publisher *publisher, const struct ruleset *ruleset, struct err *err)
{
    size_t count = ruleset_class_count(ruleset);
    if (!has_room(publisher, ruleset, err))
        return false;
    struct class *classes = calloc(count + 1, sizeof *classes);
    if (classes == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        class_init(publisher, &classes[i], ruleset_class_name(ruleset, i), &message_shape);
    close_batches(publisher);
    free(publisher->classes);
    publisher->classes = classes;
    publisher->class_count = count;
    return true;
}

void publisher_event(struct publisher *publisher, uint64_t seq, int64_t received_ms,
                     struct text device, struct text device_type, struct text line)
{
    publisher->seq = seq;
    publisher->received_ms = received_ms;
    publisher->device = device;
    publisher->device_type = device_type;
    publisher->line = line;
}

const struct sink *publisher_sink(const struct publisher *publisher)
{
    return &publisher->sink;
}

void publisher_heartbeat(struct publisher *publisher, int64_t now_ms, uint64_t seq)
{
    if ((subscriptions_wanted(publisher->subscriptions, publisher->heartbeat_slot) & WANTED_SINGLE) == 0)
        return;
    struct buf *beat = &publisher->beat;
    buf_clear(beat);
    buf_byte(beat, '{');
    json_member_integer(beat, "ts", now_ms);
    json_member_unsigned(beat, "seq", seq);
    if (publisher->partition.len > 0) {
        buf_append(beat, publisher->partition);
        json_member_unsigned(beat, "partitions", publisher->partition_count);
    }
    json_key(beat, "n");
    buf_byte(beat, '{');
    publisher_classes(publisher, beat);
    buf_append(beat, TEXT("}}"));
    struct results *single = single_results(publisher);
    char *at = results_begin(single, TEXT("heartbeat"), TEXT(""), beat->len);
    results_end(single, put_text(at, buf_text(beat)));
}

bool publisher_has_single(const struct publisher *publisher)
{
    return publisher->single != NULL;
}

struct results *publisher_take(struct publisher *publisher)
{
    close_batches(publisher);
    make_ready(publisher, &publisher->single);
    struct work *first = publisher->ready;
    if (first == NULL)
        return NULL;
    publisher->ready = first->next;
    if (publisher->ready == NULL)
        publisher->ready_end = &publisher->ready;
    return (struct results *)first;
}

struct class_visit {
    void (*visit)(void *context, struct text name, uint64_t number);
    void *context;
};

static void visit_counter(void *context, struct text name, uint64_t number)
{
    enum { PREFIX = sizeof "n/" - 1 };
    const struct class_visit *each = context;
    each->visit(each->context, (struct text){name.bytes + PREFIX, name.len - PREFIX}, number);
}

void publisher_each_class(const struct publisher *publisher,
                          void (*visit)(void *context, struct text name, uint64_t number), void *context)
{
    struct class_visit each = {visit, context};
    state_counter_each(publisher->state, TEXT("n/"), visit_counter, &each);
}

static void write_class(void *out, struct text name, uint64_t number)
{
    json_key_text(out, name);
    buf_unsigned(out, number);
}

void publisher_classes(const struct publisher *publisher, struct buf *out)
{
    publisher_each_class(publisher, write_class, out);
}
