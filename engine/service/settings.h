/* settings.h - what can be set, in one table: name, form, default, unit, range, meaning.
 *
 * A setting is one row in settings.c: from it come the key in fwsync.yaml, the option of the same name
 * (`checkpoint-ms: 500` is `--checkpoint-ms 500`), the default, the check, and what `--check` prints.
 * An option beats the file, the file beats the default. */
#ifndef SERVICE_SETTINGS_H
#define SERVICE_SETTINGS_H

#include "engine/base/err.h"
#include "engine/base/limits.h"
#include "engine/base/problems.h"
#include "store/state.h"

struct settings {
    const char *data;
    const char *rules; /* "": the shipped chains */
    const char *events;
    const char *query;
    const char *results;
    struct index_key indexes[INDEX_COUNT_MAX];
    size_t index_count;
    int64_t partitions;
    int64_t checkpoint_ms;
    int64_t checkpoint_mib;
    int64_t in_flight_events;
    int64_t in_flight_kib;
    int64_t busy_after_ms;
    int64_t journal_keep_hours;
    int64_t journal_keep_mib;
    int64_t history_keep_hours;
    int64_t history_keep_mib;
    int64_t state_map_gib;
    int64_t dead_letters;
    int64_t results_queue;
    int64_t log_level; /* enum log_level */
    struct arena arena; /* of the texts above */
};

/* settings_init - the defaults. settings_fini frees. */
void settings_init(struct settings *settings);
void settings_fini(struct settings *settings);

/* settings_read_file - take the file's values; every wrong one is a problem with its place. */
bool settings_read_file(struct settings *settings, const char *file, struct problems *problems);

/* settings_set - take one value as the option NAME gives it; a list is written with commas. */
bool settings_set(struct settings *settings, const char *name, const char *value, struct err *err);

/* settings_print - all of them as a commented fwsync.yaml, with the values as they are now. */
void settings_print(const struct settings *settings);

/* settings_advise - log what will not work with these settings, if anything: one line. */
void settings_advise(const struct settings *settings);

/* settings_name, settings_help - by position, for the options; NULL behind the last. */
const char *settings_name(size_t position);
const char *settings_help(size_t position);

#endif
