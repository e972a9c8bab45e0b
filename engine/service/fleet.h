/* fleet.h - what all partitions say together, for answers about the fleet.
 *
 * A list that needs no order goes through the partitions in turn, page by page (ask.h has the cursors for that). Here is
 * what has to be put together. Results are in the query's arena. */
#ifndef SERVICE_FLEET_H
#define SERVICE_FLEET_H

#include "engine/service/ask.h"

uint64_t fleet_device_count(const struct query_context *context);

/* fleet_value_devices - how many devices have the value that is asked for. */
bool fleet_value_devices(struct ask *ask, const struct asked_index *index, uint64_t *count);

/* fleet_devices - a page of a list of devices; as state_devices. By name it is of all partitions; else each page is of
 * one, whose number stands in front of the cursor. */
bool fleet_devices(struct ask *ask, const struct device_filter *filter, struct text cursor, size_t limit,
                   struct text **names, size_t *name_count, struct text *next);
/* fleet_state - where a device is. */
struct state *fleet_state(const struct query_context *context, struct text name);

/* fleet_values - the values of an index with their counts, or the types; as state_index_values. */
bool fleet_values(struct ask *ask, const struct asked_index *index, struct text cursor, size_t limit,
                  struct value_count **values, size_t *value_count, struct text *next);

/* fleet_each_class - visit all classes of results, with how many there have been; as publisher_each_class. */
void fleet_each_class(const struct query_context *context,
                      void (*visit)(void *context, struct text name, uint64_t number), void *visit_context);

/* fleet_letters - a page of dead letters, newest first; as state_dead_letters, but the cursor is that of the question,
 * and the next one, if there are more, is a member to be added to the answer. */
struct fleet_letters {
    struct text *items;
    size_t count;
    uint64_t before[PARTITION_COUNT_MAX]; /* the next page's */
    bool more;
};
bool fleet_letters(struct ask *ask, size_t limit, struct fleet_letters *letters);
void fleet_letters_cursor(struct ask *ask, const struct fleet_letters *letters);

#endif
