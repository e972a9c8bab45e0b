/* postgres.c - the bench's work done by PostgreSQL; peers.py starts the server and runs this
 * against it.
 *
 *     postgres CONNINFO SETUP.sql DEVICES EVENTS CLIENTS EVENTS_PER_CALL
 *
 * Each client has one call of a prepared statement under way, which is a transaction; all clients
 * are on one thread, which sleeps most of the time. EVENTS_PER_CALL 1 calls report(), more call
 * report_many() with an array, binary, because that is neither quoted here nor parsed there.
 *
 * Prints one line of JSON: acked_per_s, and results, which is how many changes went to the outbox.
 */
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
    TEXT_OID = 25, /* of the server's catalog/pg_type.dat */
};

struct driver {
    PGconn *clients[CLIENTS_MAX];
    size_t client_count;
    uint64_t events_per_call;
    struct workload load;
    struct buf argument;
};

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

/* Takes what has arrived; true when that completes the call. */
static bool receive(PGconn *client)
{
    if (PQconsumeInput(client) != 1)
        fail("postgres: receive: %s", PQerrorMessage(client));
    while (!PQisBusy(client)) {
        PGresult *result = PQgetResult(client);
        if (result == NULL)
            return true;
        check(client, result, PGRES_TUPLES_OK);
    }
    return false;
}

static void run(struct driver *driver, uint64_t call_count)
{
    struct pollfd polls[CLIENTS_MAX];
    uint64_t left = call_count, unanswered = call_count;
    for (size_t i = 0; i < driver->client_count; i++) {
        polls[i] = (struct pollfd){.fd = PQsocket(driver->clients[i]), .events = POLLIN};
        if (left > 0) {
            send_call(driver, driver->clients[i]);
            left--;
        }
    }
    while (unanswered > 0) {
        if (poll(polls, driver->client_count, -1) < 0)
            fail("postgres: poll: %s", strerror(errno));
        for (size_t i = 0; i < driver->client_count; i++) {
            if (polls[i].revents == 0 || !receive(driver->clients[i]))
                continue;
            unanswered--;
            if (left > 0) {
                send_call(driver, driver->clients[i]);
                left--;
            }
        }
    }
}

static uint64_t count_results(PGconn *client)
{
    PGresult *result = PQexec(client, "SELECT count(*) FROM outbox");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail("postgres: count: %s", PQerrorMessage(client));
    uint64_t count = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return count;
}

static void connect_clients(struct driver *driver, const char *conninfo)
{
    const char *sql = driver->events_per_call > 1 ? "SELECT report_many($1)" : "SELECT report($1)";
    for (size_t i = 0; i < driver->client_count; i++) {
        driver->clients[i] = connect_to(conninfo);
        check(driver->clients[i], PQprepare(driver->clients[i], "report", sql, 1, NULL),
              PGRES_COMMAND_OK);
    }
}

static void drive(struct driver *driver, char **arguments)
{
    const uint64_t device_count = strtoull(arguments[2], NULL, 10);
    const uint64_t call_count = strtoull(arguments[3], NULL, 10) / driver->events_per_call;
    PGconn *admin = connect_to(arguments[0]);
    execute_file(admin, arguments[1]);
    prepare_fleet(admin, device_count);
    connect_clients(driver, arguments[0]);
    driver->load = (struct workload){WORK_CHANGING, device_count, .random = 88172645463325252u};
    int64_t start_ns = clock_monotonic_ns();
    run(driver, call_count);
    int64_t took_ns = clock_monotonic_ns() - start_ns;
    printf("{\"acked_per_s\":%.0f,\"results\":%" PRIu64 "}\n",
           (double)(call_count * driver->events_per_call) * 1e9 / (double)took_ns,
           count_results(admin));
    for (size_t i = 0; i < driver->client_count; i++)
        PQfinish(driver->clients[i]);
    PQfinish(admin);
    buf_fini(&driver->argument);
}

int main(int argc, char **argv)
{
    static struct driver driver;
    driver.client_count = argc == 7 ? strtoull(argv[5], NULL, 10) : 0;
    driver.events_per_call = argc == 7 ? strtoull(argv[6], NULL, 10) : 0;
    if (driver.client_count < 1 || driver.client_count > CLIENTS_MAX ||
        driver.events_per_call < 1) {
        fprintf(stderr,
                "usage: postgres CONNINFO SETUP.sql DEVICES EVENTS CLIENTS EVENTS_PER_CALL\n"
                "CLIENTS: 1..%d\n",
                CLIENTS_MAX);
        return 2;
    }
    drive(&driver, argv + 1);
    return 0;
}
