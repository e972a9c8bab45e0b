/* set - put members into the message's metadata and data.
 *
 * All patterns see the message as it came. In the data, an unquoted true, false, null or number is a
 * value of that type, one $[path] alone keeps the type of what stands there, and anything else is a
 * string. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

struct assignment {
    struct fwsync_text key;
    const struct fwsync_pattern *pattern; /* NULL: the value below */
    struct fwsync_value value;
};

struct set {
    struct assignment *metadata;
    size_t metadata_count;
    struct assignment *data;
    size_t data_count;
};

/* --- reading the settings --------------------------------------------------------------------------- */

static size_t digits(const char *at)
{
    return strspn(at, "0123456789");
}

/* Is it a number as JSON writes one (RFC 8259 section 6)? *whole: without point and exponent. */
static bool is_number(const char *at, bool *whole)
{
    at += *at == '-';
    size_t count = digits(at);
    if (count == 0 || (count > 1 && *at == '0'))
        return false;
    at += count;
    *whole = *at == '\0';
    if (*at == '.') {
        count = digits(++at);
        at += count;
        if (count == 0)
            return false;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+';
        count = digits(at);
        at += count;
        if (count == 0)
            return false;
    }
    return *at == '\0';
}

static bool read_integer(const char *digits, struct fwsync_value *value)
{
    enum { EXACT_BITS = 53 }; /* of a double, which is what JSON's readers have */
    errno = 0;
    long long number = strtoll(digits, NULL, 10);
    *value = (struct fwsync_value){.kind = FWSYNC_INTEGER, .integer = number};
    return errno == 0 && number >= -(1LL << EXACT_BITS) && number <= 1LL << EXACT_BITS;
}

static bool read_double(const char *digits, struct fwsync_value *value)
{
    *value = (struct fwsync_value){.kind = FWSYNC_DOUBLE, .number = strtod(digits, NULL)};
    return isfinite(value->number);
}

static void read_number(struct fwsync_config *config, const char *digits, bool whole, struct fwsync_value *value)
{
    if (!(whole ? read_integer(digits, value) : read_double(digits, value)))
        fwsync_config_problem(config, "data", "the number %.40s is too large to hold exactly; put it "
                                              "in quotes to have it as a string",
                              digits);
}

/* True when the member is a value of a type of its own, and not a text. */
static bool read_typed(struct fwsync_config *config, const struct fwsync_member *member,
                       struct fwsync_value *value)
{
    bool whole;
    if (member->quoted)
        return false;
    if (fwsync_text_is(member->text, "null"))
        *value = (struct fwsync_value){.kind = FWSYNC_NULL};
    else if (fwsync_text_is(member->text, "true") || fwsync_text_is(member->text, "false"))
        *value = (struct fwsync_value){.kind = FWSYNC_BOOLEAN, .boolean = member->text.len == 4};
    else if (is_number(member->text.bytes, &whole))
        read_number(config, member->text.bytes, whole, value);
    else
        return false;
    return true;
}

static struct assignment *read_members(struct fwsync_config *config, const char *setting, bool typed,
                                       size_t *count)
{
    const struct fwsync_member *members;
    size_t member_count = 0;
    *count = 0;
    if (!fwsync_config_mapping(config, setting, FWSYNC_OPTIONAL, &members, &member_count))
        return NULL;
    struct assignment *list = fwsync_config_alloc(config, (member_count + 1) * sizeof *list);
    for (size_t i = 0; i < member_count; i++) {
        list[i].key = members[i].key;
        if (!typed || !read_typed(config, &members[i], &list[i].value))
            list[i].pattern = members[i].pattern;
    }
    *count = member_count;
    return list;
}

static void *create(struct fwsync_config *config)
{
    struct set *self = fwsync_config_alloc(config, sizeof *self);
    self->metadata = read_members(config, "metadata", false, &self->metadata_count);
    self->data = read_members(config, "data", true, &self->data_count);
    if (!fwsync_config_has(config, "metadata") && !fwsync_config_has(config, "data"))
        fwsync_config_problem(config, NULL, "there is nothing to set; expected 'metadata' or 'data'");
    return self;
}

/* --- running ---------------------------------------------------------------------------------------- */

static bool expand(struct fwsync_message *message, const struct assignment *list, size_t count,
                   struct fwsync_value *values)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].pattern == NULL)
            values[i] = list[i].value;
        else if (!fwsync_pattern_value(message, list[i].pattern, &values[i], NULL))
            return false;
    }
    return true;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct set *self = node;
    size_t count = self->metadata_count + self->data_count;
    struct fwsync_value *values = fwsync_alloc(message, count * sizeof *values);
    struct fwsync_value *data = values + self->metadata_count;
    if (!expand(message, self->metadata, self->metadata_count, values) ||
        !expand(message, self->data, self->data_count, data))
        return FWSYNC_FAILURE;
    for (size_t i = 0; i < self->metadata_count; i++)
        if (!fwsync_metadata_put(message, self->metadata[i].key,
                                 fwsync_value_text(message, &values[i])))
            return FWSYNC_FAILURE;
    for (size_t i = 0; i < self->data_count; i++)
        if (!fwsync_data_put(message, self->data[i].key, &data[i]))
            return FWSYNC_FAILURE;
    return SUCCESS;
}

const struct fwsync_node_type node_set = {
    .abi = FWSYNC_ABI,
    .name = "set",
    .help = "put members into the metadata and the data",
    .relations = relations,
    .create = create,
    .run = run,
};
