#include "engine/service/publisher.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/log.h"

enum { OWN_ATTRIBUTES, OWN_DEADLETTER, OWN_COUNT }; /* classes that fwsync itself publishes */

struct class {
    struct text name; /* static, or the rule set's: until the next publisher_rules */
    uint64_t *n;      /* the last one given; in the state */
    unsigned slot;    /* in the subscriptions */
};

struct publisher {
    struct state *state;
    struct subscriptions *subscriptions;
    uint64_t dead_letter_keep;
    struct class own[OWN_COUNT];
    struct class *classes; /* by the rule set's class index */
    size_t class_count;
    unsigned heartbeat_slot;
    struct sink sink;
    struct results *results; /* NULL: nothing written */
    struct buf letter;       /* the dead letter being written */

    /* the event under way */
    uint64_t seq;
    int64_t received_ms;
    struct text device;
    struct text device_type;
    struct text line;
};

/* --- writing one result ------------------------------------------------------------------------------ */

struct record_head {
    uint32_t topic_bytes;
    uint32_t payload_bytes;
};

/* Starts a record, or returns NULL when nobody listens. The n is taken either way. */
static struct buf *begin(struct publisher *publisher, const struct class *class)
{
    ++*class->n;
    if (!subscriptions_wanted(publisher->subscriptions, class->slot))
        return NULL;
    if (publisher->results == NULL) {
        publisher->results = calloc(1, sizeof *publisher->results);
        if (publisher->results == NULL)
            abort();
        publisher->results->work.kind = WORK_RESULTS;
    }
    struct buf *out = &publisher->results->records;
    struct record_head head = {(uint32_t)(class->name.len + 1 + publisher->device.len), 0};
    buf_append(out, (struct text){(const char *)&head, sizeof head});
    buf_append(out, class->name);
    buf_byte(out, '/');
    buf_append(out, publisher->device);
    return out;
}

static void begin_payload(struct publisher *publisher, const struct class *class, struct buf *out)
{
    buf_byte(out, '{');
    json_member_unsigned(out, "n", *class->n);
    json_member_unsigned(out, "seq", publisher->seq);
    json_member_integer(out, "ts", publisher->received_ms);
    json_member_text(out, "device", publisher->device);
}

/* `at` is where the record's head stands. */
static void end_record(struct buf *out, size_t at)
{
    struct record_head head;
    memcpy(&head, out->bytes + at, sizeof head);
    head.payload_bytes = (uint32_t)(out->len - at - sizeof head - head.topic_bytes);
    memcpy(out->bytes + at, &head, sizeof head);
}

static size_t written(const struct publisher *publisher)
{
    return publisher->results == NULL ? 0 : publisher->results->records.len;
}

/* --- the sink ----------------------------------------------------------------------------------------- */

static void sink_attribute(void *context, enum scope scope, struct text key, const struct value *value)
{
    struct publisher *publisher = context;
    const struct class *class = &publisher->own[OWN_ATTRIBUTES];
    size_t at = written(publisher);
    struct buf *out = begin(publisher, class);
    if (out == NULL)
        return;
    begin_payload(publisher, class, out);
    json_member_text(out, "scope", text_of(scope_name(scope)));
    json_member_text(out, "key", key);
    if (value == NULL) {
        json_member_boolean(out, "deleted", true);
    } else {
        json_key(out, "value");
        json_value(out, value);
    }
    buf_byte(out, '}');
    end_record(out, at);
}

static void write_fields(struct buf *out, const char *key, const struct fields *fields)
{
    json_key(out, key);
    buf_byte(out, '{');
    for (size_t i = 0; i < fields->count; i++) {
        json_key_text(out, fields->items[i].key);
        json_value(out, &fields->items[i].value);
    }
    buf_byte(out, '}');
}

static void sink_publish(void *context, struct text class_name, int class_index,
                         const struct message_view *message)
{
    struct publisher *publisher = context;
    (void)class_name;
    assert(class_index >= 0 && (size_t)class_index < publisher->class_count);
    const struct class *class = &publisher->classes[class_index];
    size_t at = written(publisher);
    struct buf *out = begin(publisher, class);
    if (out == NULL)
        return;
    begin_payload(publisher, class, out);
    json_member_text(out, "deviceType", publisher->device_type);
    json_member_text(out, "type", message->type);
    write_fields(out, "data", message->data);
    write_fields(out, "metadata", message->metadata);
    buf_byte(out, '}');
    end_record(out, at);
}

static void write_letter(const struct publisher *publisher, struct buf *out, struct text chain,
                         struct text node, const char *error)
{
    json_member_text(out, "chain", chain);
    json_member_text(out, "node", node);
    json_member_text(out, "error", text_of(error));
    json_member_raw(out, "event", publisher->line);
    buf_byte(out, '}');
}

static void sink_dead_letter(void *context, struct text chain, struct text node, const char *error)
{
    struct publisher *publisher = context;
    struct buf *letter = &publisher->letter;
    buf_clear(letter);
    buf_byte(letter, '{');
    json_member_unsigned(letter, "seq", publisher->seq);
    json_member_integer(letter, "ts", publisher->received_ms);
    json_member_text(letter, "device", publisher->device);
    write_letter(publisher, letter, chain, node, error);
    state_dead_letter_add(publisher->state, buf_text(letter), publisher->dead_letter_keep);

    const struct class *class = &publisher->own[OWN_DEADLETTER];
    size_t at = written(publisher);
    struct buf *out = begin(publisher, class);
    if (out == NULL)
        return;
    begin_payload(publisher, class, out);
    write_letter(publisher, out, chain, node, error);
    end_record(out, at);
}

static void sink_log(void *context, struct text chain, struct text node, struct text line)
{
    const struct publisher *publisher = context;
    char cut[400];
    size_t len = line.len < sizeof cut - 1 ? line.len : sizeof cut - 1;
    memcpy(cut, line.bytes, len);
    cut[len] = '\0';
    log_line(LOG_INFO, "rule", "seq=%llu chain=" TEXT_FMT " node=" TEXT_FMT " text=%s",
             (unsigned long long)publisher->seq, TEXT_ARG(chain), TEXT_ARG(node), log_quote(cut));
}

/* --- life ---------------------------------------------------------------------------------------------- */

static bool class_init(struct publisher *publisher, struct class *class, struct text name,
                       struct err *err)
{
    char counter[64]; /* the most a counter's name can be */
    int len = snprintf(counter, sizeof counter, "n/" TEXT_FMT, TEXT_ARG(name));
    assert(len > 0 && (size_t)len < sizeof counter);
    class->name = name;
    class->n = state_counter(publisher->state, (struct text){counter, (size_t)len});
    if (class->n == NULL)
        return err_set(err, ERR_LIMIT, "no room for the result class \"" TEXT_FMT
                                       "\": too many different ones in this data folder",
                       TEXT_ARG(name));
    class->slot = subscriptions_class(publisher->subscriptions, name);
    return true;
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
    publisher->sink = (struct sink){publisher, sink_attribute, sink_publish, sink_dead_letter, sink_log};
    bool room = class_init(publisher, &publisher->own[OWN_ATTRIBUTES], TEXT("attributes"), NULL) &&
                class_init(publisher, &publisher->own[OWN_DEADLETTER], TEXT("deadletter"), NULL);
    assert(room);
    publisher->heartbeat_slot = subscriptions_class(subscriptions, TEXT("heartbeat"));
    return publisher;
}

void publisher_destroy(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    results_destroy(publisher->results);
    buf_fini(&publisher->letter);
    free(publisher->classes);
    free(publisher);
}

bool publisher_rules(struct publisher *publisher, const struct ruleset *ruleset, struct err *err)
{
    size_t count = ruleset_class_count(ruleset);
    struct class *classes = calloc(count + 1, sizeof *classes);
    if (classes == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        if (!class_init(publisher, &classes[i], ruleset_class_name(ruleset, i), err)) {
            free(classes);
            return false;
        }
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
    uint64_t unnumbered = 0;
    struct class heartbeat = {TEXT("heartbeat"), &unnumbered, publisher->heartbeat_slot};
    publisher->device = TEXT("");
    size_t at = written(publisher);
    struct buf *out = begin(publisher, &heartbeat);
    if (out == NULL)
        return;
    /* the topic is the bare class: take the '/' back */
    struct record_head head = {(uint32_t)heartbeat.name.len, 0};
    memcpy(out->bytes + at, &head, sizeof head);
    out->len--;
    buf_byte(out, '{');
    json_member_integer(out, "ts", now_ms);
    json_member_unsigned(out, "seq", seq);
    json_key(out, "n");
    buf_byte(out, '{');
    publisher_classes(publisher, out);
    buf_append(out, TEXT("}}"));
    end_record(out, at);
}

struct results *publisher_take(struct publisher *publisher)
{
    struct results *results = publisher->results;
    publisher->results = NULL;
    return results;
}

void results_destroy(struct results *results)
{
    if (results == NULL)
        return;
    buf_fini(&results->records);
    free(results);
}

bool results_next(const struct results *results, size_t *at, struct text *topic, struct text *payload)
{
    if (*at == results->records.len)
        return false;
    struct record_head head;
    memcpy(&head, results->records.bytes + *at, sizeof head);
    const char *bytes = results->records.bytes + *at + sizeof head;
    *topic = (struct text){bytes, head.topic_bytes};
    *payload = (struct text){bytes + head.topic_bytes, head.payload_bytes};
    *at += sizeof head + head.topic_bytes + head.payload_bytes;
    return true;
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
