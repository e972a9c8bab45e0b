/* postgres.c - the bench's work done by PostgreSQL; peers.py starts the server and runs this
 * against it.
 *
 *     postgres CONNINFO SETUP.sql FUNCTION DEVICES EVENTS CLIENTS EVENTS_PER_CALL
 *
 * Each client has one call of a prepared statement under way, which is a transaction; all clients
 * are on one thread, which sleeps most of the time. With EVENTS_PER_CALL 1 the function is given an
 * event, with more an array, binary, because that is neither quoted here nor parsed there. One more
 * connection subscribes to the changes: it empties the outbox again and again, and counts them.
 *
 * Prints one line of JSON: acked_per_s, and results, which is how many changes the subscriber
 * received. They must be as many as the calls said that they published. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "tests/bench/fail.h"
#include "tests/bench/workload.h"

enum {
    CLIENTS_MAX = 90, /* below the server's max_connections */
    SETUP_BYTES_MAX = 65536,
    COPY_BYTES = 65536,
    TEXT_OID = 25,      /* of the server's catalog/pg_type.dat */
    TAKE_EVERY_MS = 50, /* the outbox; 10 takes more of the processor */
};

struct driver {
    PGconn *clients[CLIENTS_MAX];
    size_t client_count;
    uint64_t events_per_call;
    struct workload load;
    struct buf argument;
    uint64_t published; /* changes, as the calls returned */
    PGconn *subscriber;
    bool is_taking;
    int64_t take_at_ms; /* the next time */
    uint64_t results;   /* changes that the subscriber received */
};

/* How many changes the rows of a result tell of. */
typedef uint64_t count_changes(const PGresult *result);

static PGconn *connect_to(const char *conninfo)
{
    PGconn *client = PQconnectdb(conninfo);
    if (PQstatus(client) != CONNECTION_OK)
        fail("postgres: connect: %s", PQerrorMessage(client));
    return client;
}

static void check(PGconn *client, PGresult *result, ExecStatusType wanted)
{
    if (PQresultStatus(result) != wanted)
        fail("postgres: statement: %s", PQerrorMessage(client));
    PQclear(result);
}

static void execute(PGconn *client, const char *sql)
{
    check(client, PQexec(client, sql), PGRES_COMMAND_OK);
}

static void execute_file(PGconn *client, const char *path)
{
    static char sql[SETUP_BYTES_MAX];
    FILE *file = fopen(path, "r");
    size_t len = file == NULL ? 0 : fread(sql, 1, sizeof sql - 1, file);
    if (len == 0 || len == sizeof sql - 1)
        fail("%s: missing, empty or too long", path);
    fclose(file);
    sql[len] = '\0';
    execute(client, sql);
}

static void send_rows(PGconn *client, struct buf *rows)
{
    if (PQputCopyData(client, rows->bytes, (int)rows->len) != 1)
        fail("postgres: copy: %s", PQerrorMessage(client));
    buf_clear(rows);
}

/* The fleet as targets and first reports would leave it. No checkpoint follows: the pages are in
 * the log already, so the measured updates need not write whole pages into it again. */
static void prepare_fleet(PGconn *client, uint64_t device_count)
{
    struct workload reports = {WORK_REPORTS, device_count, .random = 1};
    struct workload targets = {WORK_TARGETS, device_count, .random = 1};
    struct buf rows = {0};
    check(client, PQexec(client, "COPY devices FROM STDIN"), PGRES_COPY_IN);
    for (uint64_t i = 0; i < device_count; i++) {
        struct report report = workload_next(&reports), target = workload_next(&targets);
        buf_printf(&rows, "%s\t%s\t%s\t%s\n", report.name, report.value, target.value,
                   strcmp(report.value, target.value) == 0 ? "t" : "f");
        if (rows.len >= COPY_BYTES)
            send_rows(client, &rows);
    }
    send_rows(client, &rows);
    buf_fini(&rows);
    if (PQputCopyEnd(client, NULL) != 1)
        fail("postgres: copy: %s", PQerrorMessage(client));
    for (PGresult *result; (result = PQgetResult(client)) != NULL;)
        check(client, result, PGRES_COMMAND_OK);
    execute(client, "VACUUM (ANALYZE) devices");
}

static void append_int32(struct buf *out, uint32_t value)
{
    value = htonl(value);
    buf_append(out, (struct text){(const char *)&value, sizeof value});
}

/* text[] as array_recv() of the server's arrayfuncs.c reads it: a head, then length and bytes of
 * each. */
static void append_array(struct driver *driver, uint64_t count)
{
    struct buf *out = &driver->argument;
    const uint32_t head[] = {1 /* dimension */, 0 /* no NULLs */, TEXT_OID, (uint32_t)count,
                             1 /* is the first index */};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        append_int32(out, head[i]);
    for (uint64_t i = 0; i < count; i++) {
        const size_t start = out->len;
        append_int32(out, 0);
        workload_event(&driver->load, out);
        const uint32_t bytes = htonl((uint32_t)(out->len - start - sizeof bytes));
        memcpy(out->bytes + start, &bytes, sizeof bytes);
    }
}

static void send_call(struct driver *driver, PGconn *client)
{
    const int is_binary = driver->events_per_call > 1;
    buf_clear(&driver->argument);
    if (is_binary)
        append_array(driver, driver->events_per_call);
    else
        workload_event(&driver->load, &driver->argument);
    buf_byte(&driver->argument, '\0'); /* ends the text; no part of the array */
    const char *value = driver->argument.bytes;
    const int len = (int)driver->argument.len - 1;
    if (PQsendQueryPrepared(client, "report", 1, &value, &len, &is_binary, 0) != 1)
        fail("postgres: send: %s", PQerrorMessage(client));
}

/* A call returns how many changes it published. */
static uint64_t count_published(const PGresult *result)
{
    return PQntuples(result) == 0 ? 0 : strtoull(PQgetvalue(result, 0, 0), NULL, 10);
}

/* A row of the outbox has a line for each change of its call. */
static uint64_t count_received(const PGresult *result)
{
    uint64_t count = 0;
    for (int i = 0; i < PQntuples(result); i++)
        for (const char *line = PQgetvalue(result, i, 0); line != NULL; count++) {
            line = strchr(line, '\n');
            line += line != NULL;
        }
    return count;
}

/* Takes what has arrived; true when that completes the statement. */
static bool receive(PGconn *client, count_changes *count_in, uint64_t *changes)
{
    if (PQconsumeInput(client) != 1)
        fail("postgres: receive: %s", PQerrorMessage(client));
    while (!PQisBusy(client)) {
        PGresult *result = PQgetResult(client);
        if (result == NULL)
            return true;
        *changes += count_in(result);
        check(client, result, PGRES_TUPLES_OK);
    }
    return false;
}

static void send_take(struct driver *driver)
{
    if (PQsendQueryPrepared(driver->subscriber, "take", 0, NULL, NULL, NULL, 0) != 1)
        fail("postgres: send: %s", PQerrorMessage(driver->subscriber));
    driver->is_taking = true;
    driver->take_at_ms = clock_monotonic_ms() + TAKE_EVERY_MS;
}

static void take_results(struct driver *driver, bool is_readable)
{
    if (driver->is_taking && is_readable)
        driver->is_taking = !receive(driver->subscriber, count_received, &driver->results);
    else if (!driver->is_taking && clock_monotonic_ms() >= driver->take_at_ms)
        send_take(driver);
}

/* Waits until what the subscriber is taking has arrived. */
static void await_results(struct driver *driver)
{
    for (PGresult *result; (result = PQgetResult(driver->subscriber)) != NULL;) {
        driver->results += count_received(result);
        check(driver->subscriber, result, PGRES_TUPLES_OK);
    }
}

static void run(struct driver *driver, uint64_t call_count)
{
    struct pollfd polls[CLIENTS_MAX + 1];
    struct pollfd *results = &polls[driver->client_count];
    uint64_t left = call_count, unanswered = call_count;
    for (size_t i = 0; i < driver->client_count; i++) {
        polls[i] = (struct pollfd){.fd = PQsocket(driver->clients[i]), .events = POLLIN};
        if (left > 0) {
            send_call(driver, driver->clients[i]);
            left--;
        }
    }
    *results = (struct pollfd){.fd = PQsocket(driver->subscriber), .events = POLLIN};
    while (unanswered > 0) {
        if (poll(polls, driver->client_count + 1, TAKE_EVERY_MS) < 0)
            fail("postgres: poll: %s", strerror(errno));
        take_results(driver, results->revents != 0);
        for (size_t i = 0; i < driver->client_count; i++) {
            if (polls[i].revents == 0 ||
                !receive(driver->clients[i], count_published, &driver->published))
                continue;
            unanswered--;
            if (left > 0) {
                send_call(driver, driver->clients[i]);
                left--;
            }
        }
    }
}

static void connect_clients(struct driver *driver, const char *conninfo, const char *function)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT %s($1)", function);
    for (size_t i = 0; i < driver->client_count; i++) {
        driver->clients[i] = connect_to(conninfo);
        check(driver->clients[i], PQprepare(driver->clients[i], "report", sql, 1, NULL),
              PGRES_COMMAND_OK);
    }
}

static void subscribe(struct driver *driver, const char *conninfo)
{
    driver->subscriber = connect_to(conninfo);
    check(driver->subscriber,
          PQprepare(driver->subscriber, "take", "DELETE FROM outbox RETURNING changes", 0, NULL),
          PGRES_COMMAND_OK);
}

/* The events a second. */
static double measure(struct driver *driver, uint64_t device_count, uint64_t event_count)
{
    const uint64_t call_count = event_count / driver->events_per_call;
    driver->load = (struct workload){WORK_CHANGING, device_count, .random = 88172645463325252u};
    int64_t start_ns = clock_monotonic_ns();
    run(driver, call_count);
    int64_t took_ns = clock_monotonic_ns() - start_ns;
    return (double)(call_count * driver->events_per_call) * 1e9 / (double)took_ns;
}

/* What is under way may have missed the last calls, so it takes once more. */
static void take_rest_of_results(struct driver *driver)
{
    await_results(driver);
    send_take(driver);
    await_results(driver);
    if (driver->results != driver->published)
        fail("postgres: %" PRIu64 " changes were published, %" PRIu64 " received",
             driver->published, driver->results);
}

static void drive(struct driver *driver, char **arguments)
{
    const uint64_t device_count = strtoull(arguments[3], NULL, 10);
    PGconn *admin = connect_to(arguments[0]);
    execute_file(admin, arguments[1]);
    prepare_fleet(admin, device_count);
    PQfinish(admin);
    subscribe(driver, arguments[0]);
    connect_clients(driver, arguments[0], arguments[2]);
    double acked_per_s = measure(driver, device_count, strtoull(arguments[4], NULL, 10));
    take_rest_of_results(driver);
    printf("{\"acked_per_s\":%.0f,\"results\":%" PRIu64 "}\n", acked_per_s, driver->results);
    for (size_t i = 0; i < driver->client_count; i++)
        PQfinish(driver->clients[i]);
    PQfinish(driver->subscriber);
    buf_fini(&driver->argument);
}

int main(int argc, char **argv)
{
    static struct driver driver;
    driver.client_count = argc == 8 ? strtoull(argv[6], NULL, 10) : 0;
    driver.events_per_call = argc == 8 ? strtoull(argv[7], NULL, 10) : 0;
    if (driver.client_count < 1 || driver.client_count > CLIENTS_MAX ||
        driver.events_per_call < 1) {
        fprintf(
            stderr,
            "usage: postgres CONNINFO SETUP.sql FUNCTION DEVICES EVENTS CLIENTS EVENTS_PER_CALL\n"
            "CLIENTS: 1..%d\n",
            CLIENTS_MAX);
        return 2;
    }
    drive(&driver, argv + 1);
    return 0;
}
