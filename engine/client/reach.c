#include "engine/client/reach.h"

#include <stdlib.h>

#include "engine/base/clock.h"

enum { TIMEOUT_MS_DEFAULT = 5000, FAILED_MS = 1000 };

static _Thread_local struct err open_error;

/* --- errors ----------------------------------------------------------------------------------------- */

static enum fwsync_code code_of(const struct err *err)
{
    if (err->code == ERR_TIMEOUT)
        return FWSYNC_E_TIMEOUT;
    if (err->code == ERR_CONFIG)
        return FWSYNC_E_CONFIG;
    return err->code == ERR_BAD_QUERY ? FWSYNC_E_BAD_QUERY : FWSYNC_E_IO;
}

enum fwsync_code reach_fail(struct reach *reach, const struct err *err)
{
    if (err != &reach->err)
        reach->err = *err;
    return code_of(err);
}

enum fwsync_code reach_open_failed(const struct err *err)
{
    open_error = *err;
    return code_of(err);
}

const char *reach_open_error(void)
{
    return open_error.text;
}

enum fwsync_code reach_answer_code(struct text code)
{
    static const struct {
        const char *name;
        enum fwsync_code code;
    } rows[] = {
        {"not-found", FWSYNC_E_NOT_FOUND}, {"bad-query", FWSYNC_E_BAD_QUERY}, {"bad-json", FWSYNC_E_BAD_QUERY},
        {"gone", FWSYNC_E_GONE},           {"busy", FWSYNC_E_BUSY},           {"too-large", FWSYNC_E_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (text_is(code, rows[i].name))
            return rows[i].code;
    return FWSYNC_E_REFUSED;
}

/* --- opening ---------------------------------------------------------------------------------------- */

static char *copy_string(const char *given, const char *otherwise)
{
    char *copy = strdup(given == NULL ? otherwise : given);
    if (copy == NULL)
        abort();
    return copy;
}

static struct client_options client_options(const struct reach *reach)
{
    return (struct client_options){
        .events = reach->endpoints[CLIENT_EVENTS],
        .query = reach->endpoints[CLIENT_QUERY],
        .results = reach->endpoints[CLIENT_RESULTS],
        .timeout_ms = reach->timeout_ms,
        .stop_fd = -1,
    };
}

enum fwsync_code reach_open(struct reach *reach, const struct fwsync_options *options)
{
    static const struct fwsync_options defaults; /* zero */
    struct err err;
    if (options == NULL)
        options = &defaults;
    *reach = (struct reach){.timeout_ms = options->timeout_ms, .wakeup = {-1, -1, INT64_MAX}};
    if (options->timeout_ms < 0) {
        err_set(&err, ERR_CONFIG, "timeout_ms is %d: it can't be negative", options->timeout_ms);
        return reach_open_failed(&err);
    }
    if (reach->timeout_ms == 0)
        reach->timeout_ms = TIMEOUT_MS_DEFAULT;
    reach->endpoints[CLIENT_EVENTS] = copy_string(options->events, CLIENT_EVENTS_DEFAULT);
    reach->endpoints[CLIENT_QUERY] = copy_string(options->query, CLIENT_QUERY_DEFAULT);
    reach->endpoints[CLIENT_RESULTS] = copy_string(options->results, CLIENT_RESULTS_DEFAULT);
    struct client_options connection = client_options(reach);
    connection.wakeup = &reach->wakeup;
    if (!wakeup_open(&reach->wakeup, &err))
        return reach_open_failed(&err);
    reach->client = client_create(&connection);
    return FWSYNC_OK;
}

void reach_close(struct reach *reach)
{
    client_destroy(reach->client);
    wakeup_close(&reach->wakeup);
    for (enum client_door door = 0; door < CLIENT_DOOR_COUNT; door++)
        free(reach->endpoints[door]);
}

struct client *reach_asker(const struct reach *reach)
{
    struct client_options connection = client_options(reach);
    return client_create(&connection);
}

/* --- time ------------------------------------------------------------------------------------------- */

void reach_wake_at(struct reach *reach, int64_t due_ms, bool failed)
{
    int64_t earliest_ms = failed ? clock_monotonic_ms() + FAILED_MS : 0;
    wakeup_at(&reach->wakeup, due_ms > earliest_ms ? due_ms : earliest_ms);
}

int64_t reach_end_ms(int wait_ms)
{
    return wait_ms < 0 ? INT64_MAX : clock_monotonic_ms() + wait_ms;
}
