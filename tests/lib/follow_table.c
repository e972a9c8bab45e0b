/* follow_table QUERY RESULTS - for tests: keeps a table of all attributes by following. Each line of standard
 * input is the number of an event: once the follower has come there, the table is printed, in one line, as
 * {"snapshots":N,"changes":N,"attributes":[["DEVICE","SCOPE","KEY",VALUE],...]}. */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/client/fwsync.h"

enum { ROW_COUNT_MAX = 20000, NAME_BYTES = 64, VALUE_BYTES = 256, PARTITION_COUNT = 16 };

struct row {
    char device[NAME_BYTES], scope[NAME_BYTES], key[NAME_BYTES], value[VALUE_BYTES];
};

struct table {
    struct row rows[ROW_COUNT_MAX];
    size_t count;
    uint64_t snapshots, changes;
    uint64_t last_n[PARTITION_COUNT];
};

static struct row *find(struct table *table, const char *device, const struct fwsync_attribute *attribute)
{
    for (size_t i = 0; i < table->count; i++) {
        struct row *row = &table->rows[i];
        if (strcmp(row->key, attribute->key) == 0 && strcmp(row->device, device) == 0 &&
            strcmp(row->scope, attribute->scope) == 0)
            return row;
    }
    return NULL;
}

static void put(struct table *table, const char *device, const struct fwsync_attribute *attribute)
{
    struct row *row = find(table, device, attribute);
    if (attribute->value == NULL) {
        if (row != NULL)
            *row = table->rows[--table->count];
        return;
    }
    if (row == NULL && table->count == ROW_COUNT_MAX)
        abort();
    if (row == NULL)
        row = &table->rows[table->count++];
    snprintf(row->device, NAME_BYTES, "%s", device);
    snprintf(row->scope, NAME_BYTES, "%s", attribute->scope);
    snprintf(row->key, NAME_BYTES, "%s", attribute->key);
    snprintf(row->value, VALUE_BYTES, "%s", attribute->value);
}

static int on_begin(void *context, uint64_t seq)
{
    struct table *table = context;
    (void)seq;
    table->count = 0;
    memset(table->last_n, 0, sizeof table->last_n);
    table->snapshots++;
    return 0;
}

static int on_device(void *context, const struct fwsync_device *device)
{
    for (size_t i = 0; i < device->attribute_count; i++)
        put(context, device->device, &device->attributes[i]);
    return 0;
}

static int on_change(void *context, const struct fwsync_change *change)
{
    struct table *table = context;
    uint64_t *last_n = &table->last_n[change->partition];
    if (*last_n != 0 && change->n != *last_n + 1) {
        fprintf(stderr, "change %" PRIu64 " behind %" PRIu64 "\n", change->n, *last_n);
        abort();
    }
    *last_n = change->n;
    table->changes++;
    put(table, change->device, &change->attribute);
    return 0;
}

static void print_table(const struct table *table)
{
    printf("{\"snapshots\":%" PRIu64 ",\"changes\":%" PRIu64 ",\"attributes\":[", table->snapshots,
           table->changes);
    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        printf("%s[\"%s\",\"%s\",\"%s\",%s]", i > 0 ? "," : "", row->device, row->scope, row->key, row->value);
    }
    puts("]}");
    fflush(stdout);
}

/* The number on the next line of standard input; false at its end. */
static bool next_goal(uint64_t *goal)
{
    char line[32];
    size_t len = 0;
    while (len < sizeof line - 1 && read(STDIN_FILENO, &line[len], 1) == 1)
        if (line[len++] == '\n') {
            line[len] = '\0';
            *goal = strtoull(line, NULL, 10);
            return true;
        }
    return false;
}

static bool is_there(const struct fwsync_follower *follower, uint64_t goal)
{
    return goal > 0 && fwsync_follower_state(follower) == FWSYNC_FOLLOWER_LIVE &&
           fwsync_follower_seq(follower) >= goal;
}

/* As an event loop does it: wait for both descriptors, and do what one of them asks for. */
static int follow(struct fwsync_follower *follower, const struct table *table)
{
    uint64_t goal = 0;
    for (;;) {
        struct pollfd items[] = {{.fd = fwsync_follower_fd(follower), .events = POLLIN},
                                 {.fd = goal > 0 ? -1 : STDIN_FILENO, .events = POLLIN}};
        poll(items, 2, -1);
        if (items[1].revents != 0 && !next_goal(&goal))
            return 0;
        if (fwsync_follower_process(follower, 0) != FWSYNC_OK) {
            fprintf(stderr, "%s\n", fwsync_follower_error(follower));
            return 1;
        }
        if (is_there(follower, goal)) {
            print_table(table);
            goal = 0;
        }
    }
}

int main(int argc, char **argv)
{
    static struct table table; /* large */
    if (argc != 3)
        return 2;
    const struct fwsync_options options = {.query = argv[1], .results = argv[2], .timeout_ms = 1000};
    const struct fwsync_follow what = {
        .on_snapshot_begin = on_begin, .on_device = on_device, .on_change = on_change, .context = &table};
    struct fwsync_follower *follower;
    if (fwsync_follow(&options, &what, &follower) != FWSYNC_OK) {
        fprintf(stderr, "%s\n", fwsync_last_error(NULL));
        return 1;
    }
    int status = follow(follower, &table);
    fwsync_follower_close(follower);
    return status;
}
