/* prop_follower.c - followers against a stand-in for fwsyncd that loses, stalls, forgets and restarts at random.
 *
 * The stand-in has a log of results, in one to four partitions, and the table that they come to. Each partition publishes
 * its own after a while of its own, with holes, singly or in batches; and the stand-in leaves questions unanswered, gives
 * short pages, says `gone`, breaks connections, repeats, and now and then goes back to an earlier state. Whatever happened: at quiet a follower's table is the stand-in's, its numbers had no gap and
 * no repetition, and where there is no snapshot, what was delivered and what was told to be lost add up.
 * Both run in this thread, turn by turn. FWSYNC_SEED repeats a run (but for ZeroMQ's part in it). */
#include "engine/client/fwsync.h"

#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "tests/unit/temp_dir.h"

enum {
    ROUND_COUNT = 6,
    STEP_COUNT = 300,
    DEVICE_COUNT = 7,
    KEY_COUNT = 3,
    PARTITIONS_MAX = 4,
    RESULT_COUNT_MAX = 100000,
    DEADLINE_MS = 60000,
    TIMEOUT_MS = 40,
};

static uint64_t random_state;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % bound);
}

/* --- the stand-in's data ---------------------------------------------------------------------------- */

enum class { ATTRIBUTES, SYNC, CLASS_COUNT };
static const char *const class_names[] = {"attributes", "sync"};

/* A table of values; 0: not there. */
struct table {
    int values[DEVICE_COUNT][KEY_COUNT];
};

struct result {
    enum class class;
    uint64_t n, seq;
    unsigned partition;
    int device, key, value; /* 0: deleted */
};

struct data {
    struct result results[RESULT_COUNT_MAX];
    size_t result_count;
    uint64_t seq;
    unsigned partition_count;
    uint64_t n[PARTITIONS_MAX][CLASS_COUNT];
    uint64_t kept_after; /* results of events up to here are gone */
    struct table table;
};

/* Where a partition stands: what is behind isn't published yet. */
struct place {
    uint64_t seq;
    size_t at; /* in the results */
};

struct stand_in {
    void *context;
    void *query, *results;
    char *folder;
    char query_endpoint[128], results_endpoint[128];
    struct data data;
    struct data earlier;
    uint64_t snapshot_seq; /* of the last snapshot that was begun */
    uint64_t snapshot_n[PARTITIONS_MAX][CLASS_COUNT];
    struct table snapshot;
    struct place places[PARTITIONS_MAX];
    bool batched;                                  /* the follower listens to batches */
    struct buf batch[PARTITIONS_MAX][CLASS_COUNT]; /* lines that are not published yet */
    unsigned batch_count;                          /* published */
    unsigned loss_percent;
    bool trouble; /* unanswered questions, `gone` */
    bool honest;  /* never that: it only loses what it publishes */
    bool refuses; /* every question */
    unsigned question_count;
};

static void partition_json(struct buf *out, const struct stand_in *server, unsigned partition)
{
    if (server->data.partition_count > 1)
        json_member_unsigned(out, "partition", partition);
}

static void result_json(struct buf *out, const struct stand_in *server, const struct result *result, bool with_class)
{
    buf_byte(out, '{');
    if (with_class)
        json_member_text(out, "class", text_of(class_names[result->class]));
    json_member_unsigned(out, "n", result->n);
    json_member_unsigned(out, "seq", result->seq);
    json_member_integer(out, "ts", 1);
    json_key(out, "device");
    buf_printf(out, "\"d%d\"", result->device);
    partition_json(out, server, result->partition);
    if (result->class == ATTRIBUTES) {
        json_member_text(out, "scope", TEXT("CLIENT_SCOPE"));
        json_key(out, "key");
        buf_printf(out, "\"k%d\"", result->key);
        if (result->value != 0)
            json_member_integer(out, "value", result->value);
        else
            json_member_boolean(out, "deleted", true);
    } else {
        json_member_text(out, "deviceType", TEXT("T"));
    }
    buf_byte(out, '}');
}

/* In a batch, whose lines begin with a head. */
static void result_row(struct buf *lines, const struct stand_in *server, const struct result *result)
{
    if (lines->len == 0) {
        buf_printf(lines, "{\"n\":%" PRIu64 ",\"ts\":1", result->n);
        partition_json(lines, server, result->partition);
        buf_append(lines, TEXT(",\"members\":[\"seq\",\"device\",\"scope\",\"key\",\"value\",\"deleted\"]}"));
    }
    buf_printf(lines, "\n[%" PRIu64 ",\"d%d\"", result->seq, result->device);
    if (result->class == ATTRIBUTES)
        buf_printf(lines, ",\"CLIENT_SCOPE\",\"k%d\",", result->key);
    if (result->class == ATTRIBUTES && result->value != 0)
        buf_printf(lines, "%d", result->value);
    else if (result->class == ATTRIBUTES)
        buf_append(lines, TEXT("null,true"));
    buf_byte(lines, ']');
}

static void publish(struct stand_in *server, const char *topic, const struct buf *payload)
{
    if (random_below(100) < server->loss_percent)
        return;
    zmq_send(server->results, topic, strlen(topic), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(server->results, payload->bytes, payload->len, ZMQ_DONTWAIT);
}

static void publish_batches(struct stand_in *server, unsigned partition)
{
    for (enum class class = 0; class < CLASS_COUNT; class++) {
        char topic[64];
        struct buf *lines = &server->batch[partition][class];
        snprintf(topic, sizeof topic, "batch/%s", class_names[class]);
        if (lines->len > 0) {
            publish(server, topic, lines);
            server->batch_count++;
        }
        buf_clear(lines);
    }
}

static void publish_result(struct stand_in *server, const struct result *result)
{
    struct buf payload = {.bytes = NULL};
    char topic[64];
    if (server->batched) {
        result_row(&server->batch[result->partition][result->class], server, result);
        return;
    }
    result_json(&payload, server, result, false);
    snprintf(topic, sizeof topic, "%s/d%d", class_names[result->class], result->device);
    publish(server, topic, &payload);
    buf_fini(&payload);
}

static void add_result(struct stand_in *server, enum class class, int device)
{
    struct data *data = &server->data;
    assert_true(data->result_count < RESULT_COUNT_MAX);
    struct result *result = &data->results[data->result_count++];
    unsigned partition = (unsigned)device % data->partition_count;
    *result = (struct result){class, ++data->n[partition][class], data->seq, partition, device, 0, 0};
    if (class == ATTRIBUTES) {
        result->key = (int)random_below(KEY_COUNT);
        result->value = (int)random_below(5);
        data->table.values[device][result->key] = result->value;
    }
}

/* Of one device; or, as passing time does it, of many. */
static void event_happens(struct stand_in *server)
{
    int device = (int)random_below(DEVICE_COUNT);
    bool of_many = random_below(5) == 0;
    server->data.seq++;
    for (unsigned count = random_below(4); count > 0; count--)
        add_result(server, random_below(3) > 0 ? ATTRIBUTES : SYNC,
                   of_many ? (int)random_below(DEVICE_COUNT) : device);
}

/* The partition goes through so many events, or up to the last. */
static void pass(struct stand_in *server, unsigned partition, uint64_t count)
{
    const struct data *data = &server->data;
    struct place *place = &server->places[partition];
    place->seq = data->seq - place->seq < count ? data->seq : place->seq + count;
    for (; place->at < data->result_count && data->results[place->at].seq <= place->seq; place->at++)
        if (data->results[place->at].partition == partition)
            publish_result(server, &data->results[place->at]);
}

static void some_pass(struct stand_in *server)
{
    for (unsigned count = random_below(4); count > 0; count--) {
        unsigned partition = random_below(server->data.partition_count);
        pass(server, partition, random_below(6));
        if (random_below(4) == 0)
            publish_batches(server, partition);
    }
}

static void all_pass(struct stand_in *server)
{
    for (unsigned partition = 0; partition < server->data.partition_count; partition++)
        pass(server, partition, UINT64_MAX);
}

/* Without a partition having published anything. */
static void put_places(struct stand_in *server, uint64_t seq)
{
    size_t at = 0;
    while (at < server->data.result_count && server->data.results[at].seq <= seq)
        at++;
    for (unsigned partition = 0; partition < PARTITIONS_MAX; partition++)
        server->places[partition] = (struct place){seq, at};
}

static void numbers_json(struct buf *out, const uint64_t n[CLASS_COUNT])
{
    for (enum class class = 0; class < CLASS_COUNT; class++)
        if (n[class] > 0)
            json_member_unsigned(out, class_names[class], n[class]);
}

/* A partition's, of where it stands. */
static void heart_beats(struct stand_in *server, unsigned partition)
{
    struct buf payload = {.bytes = NULL};
    uint64_t n[CLASS_COUNT] = {0};
    for (size_t i = 0; i < server->places[partition].at; i++)
        if (server->data.results[i].partition == partition)
            n[server->data.results[i].class] = server->data.results[i].n;
    publish_batches(server, partition); /* a heartbeat comes between batches */
    buf_byte(&payload, '{');
    json_member_integer(&payload, "ts", 1);
    json_member_unsigned(&payload, "seq", server->places[partition].seq);
    partition_json(&payload, server, partition);
    if (server->data.partition_count > 1)
        json_member_unsigned(&payload, "partitions", server->data.partition_count);
    json_open(&payload, "n", '{');
    numbers_json(&payload, n);
    buf_append(&payload, TEXT("}}"));
    publish(server, "heartbeat", &payload);
    buf_fini(&payload);
}

static void all_hearts_beat(struct stand_in *server)
{
    for (unsigned partition = 0; partition < server->data.partition_count; partition++)
        heart_beats(server, partition);
}

/* --- its answers ------------------------------------------------------------------------------------ */

static void answer_changes(struct stand_in *server, const struct fields *question, struct buf *out)
{
    const struct data *data = &server->data;
    const struct value *class = fields_get(question, TEXT("class"));
    uint64_t after = (uint64_t)fields_get(question, TEXT("after"))->integer;
    uint64_t last = after;
    unsigned limit = 1 + random_below(20), count = 0;
    bool more = false;
    if (after < data->kept_after) {
        buf_printf(out, "{\"ok\":false,\"code\":\"gone\",\"error\":\"kept from %" PRIu64 " on\"}", data->kept_after);
        return;
    }
    buf_printf(out, "{\"ok\":true,\"seq\":%" PRIu64 ",\"results\":[", data->seq);
    for (size_t i = 0; i < data->result_count && !more; i++) {
        const struct result *result = &data->results[i];
        if (result->seq <= after)
            continue;
        more = count >= limit && result->seq > last;
        if (more || (class != NULL && !text_is(class->text, class_names[result->class])))
            continue;
        json_comma(out);
        result_json(out, server, result, true);
        last = result->seq;
        count++;
    }
    buf_byte(out, ']');
    json_member_unsigned(out, "after", more ? last : data->seq);
    json_member_boolean(out, "more", more);
    buf_byte(out, '}');
}

static void snapshot_numbers_json(struct buf *out, const struct stand_in *server)
{
    if (server->data.partition_count == 1) {
        json_open(out, "n", '{');
        numbers_json(out, server->snapshot_n[0]);
        buf_byte(out, '}');
        return;
    }
    json_open(out, "partitions", '[');
    for (unsigned partition = 0; partition < server->data.partition_count; partition++) {
        buf_append(out, partition > 0 ? TEXT(",{") : TEXT("{"));
        numbers_json(out, server->snapshot_n[partition]);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* The cursor is the next device; a snapshot that was begun again makes the one before it gone. */
static void answer_snapshot(struct stand_in *server, const struct fields *question, struct buf *out)
{
    const struct value *cursor = fields_get(question, TEXT("cursor"));
    int device = 0;
    uint64_t at = server->data.seq;
    if (cursor == NULL) {
        server->snapshot_seq = at;
        server->snapshot = server->data.table;
        memcpy(server->snapshot_n, server->data.n, sizeof server->snapshot_n);
    } else {
        assert_int_equal(sscanf(cursor->text.bytes, "%d/%" SCNu64, &device, &at), 2);
    }
    if (at != server->snapshot_seq || (cursor != NULL && server->trouble && random_below(4) == 0)) {
        buf_printf(out, "{\"ok\":false,\"code\":\"gone\",\"error\":\"it took too long\"}");
        return;
    }
    buf_printf(out, "{\"ok\":true,\"seq\":%" PRIu64, server->data.seq);
    json_member_unsigned(out, "at", at);
    if (cursor == NULL)
        snapshot_numbers_json(out, server);
    json_open(out, "devices", '[');
    int end = device + (int)random_below(4);
    for (; device < DEVICE_COUNT && device < end; device++) {
        json_comma(out);
        buf_printf(out, "{\"device\":\"d%d\",\"deviceType\":\"T\",\"created\":1,\"client\":{", device);
        for (int key = 0; key < KEY_COUNT; key++)
            if (server->snapshot.values[device][key] != 0) {
                json_comma(out);
                buf_printf(out, "\"k%d\":%d", key, server->snapshot.values[device][key]);
            }
        buf_append(out, TEXT("},\"shared\":{},\"server\":{}}"));
    }
    buf_byte(out, ']');
    if (device < DEVICE_COUNT) {
        json_key(out, "cursor");
        buf_printf(out, "\"%d/%" PRIu64 "\"", device, at);
    }
    buf_byte(out, '}');
}

static void reply(struct stand_in *server, struct text body)
{
    struct arena arena, scratch;
    struct fields question;
    struct buf out = {.bytes = NULL};
    arena_init(&arena, 1024);
    arena_init(&scratch, 1024);
    assert_true(json_parse_object(body, &scratch, &arena, &question, NULL));
    if (server->refuses)
        buf_append(&out, TEXT("{\"ok\":false,\"code\":\"damaged\",\"error\":\"the log says why\"}"));
    else if (text_is(fields_get(&question, TEXT("op"))->text, "snapshot"))
        answer_snapshot(server, &question, &out);
    else
        answer_changes(server, &question, &out);
    zmq_send(server->query, out.bytes, out.len, ZMQ_DONTWAIT);
    buf_fini(&out);
    arena_fini(&arena);
    arena_fini(&scratch);
}

/* One question, if there is one: [peer, number, "", body]. */
static void serve(struct stand_in *server)
{
    char frames[4][1024];
    int lens[4], count = 0, more = 1;
    size_t more_bytes = sizeof more;
    zmq_msg_t subscription;
    zmq_msg_init(&subscription);
    while (zmq_msg_recv(&subscription, server->results, ZMQ_DONTWAIT) >= 0) {
        struct text wish = {zmq_msg_data(&subscription), zmq_msg_size(&subscription)};
        server->batched |= text_starts(wish, TEXT("\1batch/"));
    }
    zmq_msg_close(&subscription);
    while (more && count < 4) {
        lens[count] = zmq_recv(server->query, frames[count], sizeof frames[count], ZMQ_DONTWAIT);
        if (lens[count] < 0)
            return;
        zmq_getsockopt(server->query, ZMQ_RCVMORE, &more, &more_bytes);
        count++;
    }
    assert_int_equal(count, 4);
    server->question_count++;
    if (server->trouble && random_below(10) == 0)
        return;
    for (int i = 0; i < 3; i++)
        zmq_send(server->query, frames[i], (size_t)lens[i], ZMQ_SNDMORE);
    reply(server, (struct text){frames[3], (size_t)lens[3]});
}

static void *bind_socket(struct stand_in *server, int type, const char *endpoint)
{
    int none = 0;
    void *socket = zmq_socket(server->context, type);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_bind(socket, endpoint), 0);
    return socket;
}

static void start(struct stand_in *server)
{
    server->context = zmq_ctx_new();
    server->query = bind_socket(server, ZMQ_ROUTER, server->query_endpoint);
    server->results = bind_socket(server, ZMQ_XPUB, server->results_endpoint);
}

/* With its context, because only then the endpoints are surely free. */
static void stop(struct stand_in *server)
{
    for (unsigned partition = 0; partition < PARTITIONS_MAX; partition++)
        for (enum class class = 0; class < CLASS_COUNT; class++)
            buf_fini(&server->batch[partition][class]); /* lost */
    zmq_close(server->query);
    zmq_close(server->results);
    zmq_ctx_term(server->context);
}

/* What wasn't published is lost, or some results are published again. */
static void restart(struct stand_in *server)
{
    uint64_t again = random_below(2) * random_below(20);
    stop(server);
    put_places(server, again < server->data.seq ? server->data.seq - again : server->data.seq);
    start(server);
}

/* Starts again with nothing, in so many partitions. */
static void begin_anew(struct stand_in *server, unsigned partition_count)
{
    memset(&server->data, 0, sizeof server->data);
    server->data.seq = 1;
    server->data.partition_count = partition_count;
    restart(server);
}

static struct stand_in *stand_in_create(void)
{
    struct stand_in *server = calloc(1, sizeof *server);
    server->data.seq = server->earlier.seq = 1;
    server->data.partition_count = server->earlier.partition_count = 1 + random_below(PARTITIONS_MAX);
    server->folder = temp_dir_make();
    snprintf(server->query_endpoint, sizeof server->query_endpoint, "ipc://%s/query", server->folder);
    snprintf(server->results_endpoint, sizeof server->results_endpoint, "ipc://%s/results", server->folder);
    start(server);
    return server;
}

static void stand_in_destroy(struct stand_in *server)
{
    stop(server);
    temp_dir_remove(server->folder);
    free(server);
}

/* How many results of this class there are. */
static uint64_t attribute_count(const struct stand_in *server)
{
    uint64_t count = 0;
    for (unsigned partition = 0; partition < server->data.partition_count; partition++)
        count += server->data.n[partition][ATTRIBUTES];
    return count;
}

/* --- the follower's side ---------------------------------------------------------------------------- */

struct mirror {
    struct fwsync_follower *follower;
    const struct stand_in *server;
    struct table table;
    bool in_snapshot;
    unsigned snapshots;
    uint64_t last_n[PARTITIONS_MAX][CLASS_COUNT]; /* 0: not known */
    uint64_t told, lost;          /* results of attributes */
    bool lost_unknown;
    unsigned stop_one_in; /* 0: never */
};

static int maybe_stop(const struct mirror *mirror)
{
    return mirror->stop_one_in > 0 && random_below(mirror->stop_one_in) == 0;
}

static int index_of(const char *name, char letter)
{
    int index = -1;
    assert_int_equal(name[0], letter);
    assert_int_equal(sscanf(name + 1, "%d", &index), 1);
    return index;
}

static void expect_next(struct mirror *mirror, enum class class, unsigned partition, const char *device, uint64_t n)
{
    assert_false(mirror->in_snapshot);
    assert_int_equal(partition, (unsigned)index_of(device, 'd') % mirror->server->data.partition_count);
    uint64_t *last_n = &mirror->last_n[partition][class];
    if (*last_n != 0)
        assert_int_equal(n, *last_n + 1);
    *last_n = n;
}

static int on_begin(void *context, uint64_t seq)
{
    struct mirror *mirror = context;
    (void)seq;
    *mirror = (struct mirror){mirror->follower,
                              mirror->server,
                              .in_snapshot = true,
                              .snapshots = mirror->snapshots + 1,
                              .stop_one_in = mirror->stop_one_in};
    return maybe_stop(mirror);
}

static int on_device(void *context, const struct fwsync_device *device)
{
    struct mirror *mirror = context;
    assert_true(mirror->in_snapshot);
    for (size_t i = 0; i < device->attribute_count; i++) {
        assert_string_equal(device->attributes[i].scope, "CLIENT_SCOPE");
        mirror->table.values[index_of(device->device, 'd')][index_of(device->attributes[i].key, 'k')] =
            device->attributes[i].value[0] - '0';
    }
    return maybe_stop(mirror);
}

static int on_end(void *context, uint64_t seq)
{
    struct mirror *mirror = context;
    assert_true(mirror->in_snapshot && seq > 0);
    mirror->in_snapshot = false;
    return maybe_stop(mirror);
}

static int on_change(void *context, const struct fwsync_change *change)
{
    struct mirror *mirror = context;
    const char *value = change->attribute.value;
    expect_next(mirror, ATTRIBUTES, change->partition, change->device, change->n);
    assert_true(value == NULL || (value[0] >= '1' && value[0] < '5'));
    assert_int_equal(change->ts_ms, 1);
    mirror->told++;
    mirror->table.values[index_of(change->device, 'd')][index_of(change->attribute.key, 'k')] =
        value == NULL ? 0 : value[0] - '0';
    return maybe_stop(mirror);
}

static int on_result(void *context, const struct fwsync_result *result)
{
    struct mirror *mirror = context;
    assert_string_equal(result->class_name, "sync");
    assert_memory_equal(result->json, "{\"class\":\"sync\",\"n\":", 20);
    assert_int_equal(strstr(result->json, "\",\"partition\":") != NULL, mirror->server->data.partition_count > 1);
    assert_non_null(strstr(result->json, ",\"deviceType\":\"T\"}")); /* the last one */
    expect_next(mirror, SYNC, result->partition, result->device, result->n);
    return maybe_stop(mirror);
}

static int on_lost(void *context, const char *class_name, uint64_t count, const char *why)
{
    struct mirror *mirror = context;
    assert_true(why[0] != '\0');
    if (strcmp(class_name, "attributes") == 0)
        mirror->lost += count;
    mirror->lost_unknown |= count == 0;
    memset(mirror->last_n, 0, sizeof mirror->last_n);
    return maybe_stop(mirror);
}

static void on_state(void *context, enum fwsync_follower_state state, const char *why)
{
    const struct mirror *mirror = context;
    assert_non_null(why);
    assert_false(state == FWSYNC_FOLLOWER_LIVE && mirror->in_snapshot);
}

static void mirror_open(struct mirror *mirror, const struct stand_in *server, struct fwsync_follow follow)
{
    const struct fwsync_options options = {
        .query = server->query_endpoint, .results = server->results_endpoint, .timeout_ms = TIMEOUT_MS};
    follow.on_snapshot_begin = on_begin;
    follow.on_device = on_device;
    follow.on_snapshot_end = on_end;
    follow.on_change = on_change;
    follow.on_result = on_result;
    follow.on_lost = on_lost;
    follow.on_state = on_state;
    follow.silence_ms = 300;
    follow.context = mirror;
    mirror->server = server;
    assert_int_equal(fwsync_follow(&options, &follow, &mirror->follower), FWSYNC_OK);
}

static void mirror_turn(struct mirror *mirror)
{
    enum fwsync_code code = fwsync_follower_process(mirror->follower, 0);
    assert_true(code == FWSYNC_OK || (code == FWSYNC_E_STOPPED && mirror->stop_one_in > 0));
}

/* As an event loop does it. */
static void wait_and_turn(struct mirror *mirror, int64_t end_ns)
{
    struct pollfd item = {.fd = fwsync_follower_fd(mirror->follower), .events = POLLIN};
    assert_true(clock_monotonic_ns() < end_ns);
    poll(&item, 1, 10);
    assert_int_equal(fwsync_follower_process(mirror->follower, 0), FWSYNC_OK);
}

/* --- what happens ----------------------------------------------------------------------------------- */

static bool is_level(const struct mirror *mirror, const struct stand_in *server)
{
    return fwsync_follower_state(mirror->follower) == FWSYNC_FOLLOWER_LIVE &&
           fwsync_follower_seq(mirror->follower) == server->data.seq;
}

/* No more trouble: until the follower stands where the stand-in does. */
static void quiet(struct stand_in *server, struct mirror *mirror)
{
    int64_t end = clock_monotonic_ns() + DEADLINE_MS * INT64_C(1000000);
    server->loss_percent = 0;
    server->trouble = false;
    while (!is_level(mirror, server)) {
        assert_true(clock_monotonic_ns() < end);
        all_pass(server);
        all_hearts_beat(server);
        for (int i = 0; i < 20 && !is_level(mirror, server); i++) {
            serve(server);
            fwsync_follower_process(mirror->follower, 1);
        }
    }
}

static void something_happens(struct stand_in *server)
{
    switch (random_below(30)) {
    case 0:
        heart_beats(server, random_below(server->data.partition_count));
        break;
    case 1:
        if (!server->honest)
            server->data.kept_after = server->data.seq - random_below((unsigned)server->data.seq);
        break;
    case 2:
        if (random_below(8) == 0)
            restart(server);
        break;
    case 3:
        server->loss_percent = random_below(2) * random_below(60);
        server->trouble = random_below(2) && !server->honest;
        break;
    default:
        event_happens(server);
    }
}

/* As one that was restored from a backup. */
static void go_back(struct stand_in *server)
{
    server->data = server->earlier;
    put_places(server, server->data.seq);
    restart(server);
}

static void steps(struct stand_in *server, struct mirror *mirror)
{
    for (int i = 0; i < STEP_COUNT; i++) {
        something_happens(server);
        some_pass(server);
        if (random_below(3) > 0)
            serve(server);
        if (mirror != NULL && random_below(2) > 0)
            mirror_turn(mirror);
    }
}

static void test_a_follower_ends_with_the_servers_state(void **state)
{
    (void)state;
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct stand_in *server = stand_in_create();
        struct mirror mirror = {.stop_one_in = round % 3 == 0 ? 5 : 0};
        for (int i = 0; i < 30; i++)
            event_happens(server);
        mirror_open(&mirror, server, (struct fwsync_follow){.class_name = round % 2 == 0 ? NULL : ""});
        for (int part = 0; part < 3; part++) {
            steps(server, &mirror);
            quiet(server, &mirror);
            assert_memory_equal(&mirror.table, &server->data.table, sizeof mirror.table);
            if (part == 0)
                server->earlier = server->data;
            if (part == 1) { /* noticed only before as many events as were taken back have come anew */
                go_back(server);
                quiet(server, &mirror);
            }
        }
        assert_int_equal(server->batch_count > 0, round % 2 == 0); /* one class comes in batches, all don't */
        fwsync_follower_close(mirror.follower);
        stand_in_destroy(server);
    }
}

/* What is lost on the way is no reason for a snapshot: it is asked for, and nothing is taken for other data. */
static void test_what_the_daemon_keeps_is_had_without_a_snapshot(void **state)
{
    (void)state;
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct stand_in *server = stand_in_create();
        struct mirror mirror = {.stop_one_in = round % 3 == 0 ? 5 : 0};
        server->honest = true;
        mirror_open(&mirror, server, (struct fwsync_follow){.class_name = round % 2 == 0 ? NULL : ""});
        for (int part = 0; part < 3; part++) {
            steps(server, &mirror);
            quiet(server, &mirror);
            assert_memory_equal(&mirror.table, &server->data.table, sizeof mirror.table);
        }
        assert_int_equal(mirror.snapshots, 1);
        fwsync_follower_close(mirror.follower);
        stand_in_destroy(server);
    }
}

static void test_a_follower_goes_on_where_another_one_stopped(void **state)
{
    (void)state;
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct stand_in *server = stand_in_create();
        struct mirror mirror = {.follower = NULL};
        server->honest = round % 3 == 0;
        mirror_open(&mirror, server, (struct fwsync_follow){.class_name = round % 2 == 0 ? NULL : ""});
        for (int part = 0; part < 8; part++) {
            steps(server, &mirror);
            if (random_below(2) == 0)
                quiet(server, &mirror);
            uint64_t seq = fwsync_follower_seq(mirror.follower);
            fwsync_follower_close(mirror.follower);
            if (random_below(2) == 0)
                steps(server, NULL);
            mirror.in_snapshot = false;
            memset(mirror.last_n, 0, sizeof mirror.last_n); /* some results may come again */
            mirror_open(&mirror, server,
                        (struct fwsync_follow){.class_name = round % 2 == 0 ? NULL : "",
                                               .start = FWSYNC_START_AFTER,
                                               .after = seq});
        }
        quiet(server, &mirror);
        assert_memory_equal(&mirror.table, &server->data.table, sizeof mirror.table);
        assert_true(mirror.snapshots <= 1 || !server->honest);
        fwsync_follower_close(mirror.follower);
        stand_in_destroy(server);
    }
}

static void test_from_now_on_everything_comes_or_is_told_to_be_lost(void **state)
{
    (void)state;
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct stand_in *server = stand_in_create();
        struct mirror mirror = {.stop_one_in = round % 3 == 0 ? 5 : 0};
        for (int i = 0; i < 30; i++)
            event_happens(server);
        mirror_open(&mirror, server,
                    (struct fwsync_follow){.class_name = round % 2 == 0 ? NULL : "", .start = FWSYNC_START_NOW});
        quiet(server, &mirror);
        uint64_t before = attribute_count(server), told = mirror.told;
        steps(server, &mirror);
        quiet(server, &mirror);
        if (!mirror.lost_unknown)
            assert_int_equal(mirror.told - told + mirror.lost, attribute_count(server) - before);
        fwsync_follower_close(mirror.follower);
        stand_in_destroy(server);
    }
}

/* A follower that misread what it hears would find out, and get it all by questions. */
static void test_what_is_heard_is_not_asked_for(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct stand_in *server = stand_in_create();
        struct mirror mirror = {.stop_one_in = 0};
        event_happens(server);
        mirror_open(&mirror, server, (struct fwsync_follow){.class_name = round == 0 ? NULL : ""});
        quiet(server, &mirror);
        unsigned question_count = server->question_count;
        uint64_t before = attribute_count(server), told = mirror.told;
        for (int i = 0; i < 100; i++) {
            event_happens(server);
            some_pass(server);
        }
        quiet(server, &mirror);
        assert_int_equal(mirror.told - told, attribute_count(server) - before);
        assert_int_equal(server->question_count, question_count);
        fwsync_follower_close(mirror.follower);
        stand_in_destroy(server);
    }
}

/* --- partitions ------------------------------------------------------------------------------------- */

/* What isn't known yet is how many partitions there are, and then, where the third of them stands. */
static void test_now_is_when_each_partition_was_heard(void **state)
{
    (void)state;
    struct stand_in *server = stand_in_create();
    struct mirror mirror = {.follower = NULL};
    begin_anew(server, 3);
    event_happens(server);
    all_pass(server);
    mirror_open(&mirror, server, (struct fwsync_follow){.class_name = "", .start = FWSYNC_START_NOW});
    for (int i = 0; i < 100; i++) {
        serve(server);
        heart_beats(server, (unsigned)i % 2);
        fwsync_follower_process(mirror.follower, 1);
        assert_int_equal(fwsync_follower_state(mirror.follower), FWSYNC_FOLLOWER_CONNECTING);
        assert_int_equal(fwsync_follower_seq(mirror.follower), 0);
    }
    quiet(server, &mirror);
    assert_int_equal(server->question_count, 0);
    fwsync_follower_close(mirror.follower);
    stand_in_destroy(server);
}

/* Data of other partitions is other data, however like the old it is in its numbers. */
static void test_other_partitions_are_other_data(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 3, 4, 2, 1};
    struct stand_in *server = stand_in_create();
    begin_anew(server, 2);
    struct mirror mirrors[2] = {{.follower = NULL}};
    for (int i = 0; i < 2; i++)
        mirror_open(&mirrors[i], server,
                    (struct fwsync_follow){
                        .class_name = "", .start = i == 0 ? FWSYNC_START_SNAPSHOT : FWSYNC_START_NOW});
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (int event = 0; event < 30; event++)
            event_happens(server);
        quiet(server, &mirrors[0]);
        quiet(server, &mirrors[1]);
        assert_memory_equal(&mirrors[0].table, &server->data.table, sizeof mirrors[0].table);
        assert_int_equal(mirrors[1].lost_unknown, i > 0);
        mirrors[1].lost_unknown = false;
        begin_anew(server, counts[i]);
        for (uint64_t seq = fwsync_follower_seq(mirrors[0].follower); server->data.seq < seq;)
            event_happens(server);
    }
    for (int i = 0; i < 2; i++)
        fwsync_follower_close(mirrors[i].follower);
    stand_in_destroy(server);
}

/* Back to before one partition's place, and not before the other's. */
static void test_data_that_is_behind_one_partition_is_other_data(void **state)
{
    (void)state;
    struct stand_in *server = stand_in_create();
    struct mirror mirror = {.follower = NULL};
    int64_t end_ns = clock_monotonic_ns() + DEADLINE_MS * INT64_C(1000000);
    begin_anew(server, 2);
    server->honest = true;
    mirror_open(&mirror, server, (struct fwsync_follow){.class_name = NULL});
    quiet(server, &mirror);
    for (int i = 0; i < 60; i++) {
        event_happens(server);
        if (i == 30)
            server->earlier = server->data;
    }
    uint64_t told = mirror.told + server->data.n[0][ATTRIBUTES];
    while (mirror.told < told) {
        serve(server);
        pass(server, 0, 1);
        heart_beats(server, 0);
        wait_and_turn(&mirror, end_ns);
    }
    go_back(server);
    quiet(server, &mirror);
    assert_memory_equal(&mirror.table, &server->data.table, sizeof mirror.table);
    fwsync_follower_close(mirror.follower);
    stand_in_destroy(server);
}

/* --- when there is nothing to do -------------------------------------------------------------------- */

/* An event with one attribute changed, and its result published singly. */
static void one_change(struct stand_in *server)
{
    server->data.seq++;
    add_result(server, ATTRIBUTES, 0);
    all_pass(server);
}

/* A question isn't answered, and the follower goes on without: by what had come meanwhile it isn't woken any more. */
static void test_what_waited_for_an_answer_is_delivered_without_it(void **state)
{
    (void)state;
    struct stand_in *server = stand_in_create();
    struct mirror mirror = {.follower = NULL};
    int64_t end_ns = clock_monotonic_ns() + DEADLINE_MS * INT64_C(1000000);
    mirror_open(&mirror, server, (struct fwsync_follow){.class_name = "", .start = FWSYNC_START_NOW});
    quiet(server, &mirror);
    server->loss_percent = 100;
    one_change(server);
    server->loss_percent = 0;
    uint64_t told = mirror.told;
    while (fwsync_follower_state(mirror.follower) == FWSYNC_FOLLOWER_LIVE) {
        one_change(server);
        wait_and_turn(&mirror, end_ns);
    }
    while (fwsync_follower_state(mirror.follower) != FWSYNC_FOLLOWER_LIVE) {
        one_change(server);
        wait_and_turn(&mirror, end_ns);
    }
    assert_true(mirror.lost > 0 && mirror.told > told);
    fwsync_follower_close(mirror.follower);
    stand_in_destroy(server);
}

static void test_what_is_refused_is_asked_more_and_more_seldom(void **state)
{
    (void)state;
    enum { ASKED = 6, PAUSES_MS = 20 + 40 + 80 + 160 + 320 };
    struct stand_in *server = stand_in_create();
    struct mirror mirror = {.follower = NULL};
    int64_t start_ns = clock_monotonic_ns(), end_ns = start_ns + DEADLINE_MS * INT64_C(1000000);
    server->refuses = true;
    one_change(server);
    mirror_open(&mirror, server, (struct fwsync_follow){.class_name = ""});
    while (server->question_count < ASKED) {
        serve(server);
        wait_and_turn(&mirror, end_ns);
    }
    assert_true(clock_monotonic_ns() - start_ns >= PAUSES_MS * INT64_C(1000000));
    server->refuses = false;
    quiet(server, &mirror);
    assert_memory_equal(&mirror.table, &server->data.table, sizeof mirror.table);
    fwsync_follower_close(mirror.follower);
    stand_in_destroy(server);
}

/* A heartbeat of results that the query door doesn't know, nor ever will: the data isn't what it was. */
static void test_what_the_answers_do_not_reach_is_lost(void **state)
{
    (void)state;
    struct stand_in *server = stand_in_create();
    struct mirror mirror = {.follower = NULL};
    int64_t end_ns = clock_monotonic_ns() + DEADLINE_MS * INT64_C(1000000);
    mirror_open(&mirror, server, (struct fwsync_follow){.class_name = "", .start = FWSYNC_START_NOW});
    one_change(server);
    quiet(server, &mirror);
    server->loss_percent = 100;
    one_change(server);
    server->loss_percent = 0;
    heart_beats(server, 0);
    server->data.seq--;
    server->data.n[0][ATTRIBUTES]--;
    server->data.result_count--;
    put_places(server, server->data.seq);
    while (mirror.lost == 0 && !mirror.lost_unknown) {
        serve(server);
        wait_and_turn(&mirror, end_ns);
    }
    assert_int_equal(mirror.lost, server->data.partition_count == 1); /* of several, others may have lost, too */
    fwsync_follower_close(mirror.follower);
    stand_in_destroy(server);
}

int main(void)
{
    const char *seed = getenv("FWSYNC_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_monotonic_ns() | 1;
    printf("# FWSYNC_SEED=%" PRIu64 "\n", random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_follower_ends_with_the_servers_state),
        cmocka_unit_test(test_what_the_daemon_keeps_is_had_without_a_snapshot),
        cmocka_unit_test(test_a_follower_goes_on_where_another_one_stopped),
        cmocka_unit_test(test_from_now_on_everything_comes_or_is_told_to_be_lost),
        cmocka_unit_test(test_what_is_heard_is_not_asked_for),
        cmocka_unit_test(test_now_is_when_each_partition_was_heard),
        cmocka_unit_test(test_other_partitions_are_other_data),
        cmocka_unit_test(test_data_that_is_behind_one_partition_is_other_data),
        cmocka_unit_test(test_what_waited_for_an_answer_is_delivered_without_it),
        cmocka_unit_test(test_what_is_refused_is_asked_more_and_more_seldom),
        cmocka_unit_test(test_what_the_answers_do_not_reach_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
