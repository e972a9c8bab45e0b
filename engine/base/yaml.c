#include "engine/base/yaml.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <yaml.h>

#include "engine/base/limits.h"

/* One parse under way. The tree is built with a stack of open containers, so that the depth of the input
 * is a count and never our call stack. */
struct reader {
    yaml_parser_t parser;
    const char *file;
    struct text text;
    struct arena *arena;
    struct problems *problems;
    struct open_node {
        struct yaml_node *node;
        struct yaml_node **last; /* where the next child is linked in */
        bool has_key;            /* mapping: a key was read, its value comes next */
        struct text key;
        struct place key_place;
    } open[YAML_DEPTH_MAX];
    size_t depth;
    size_t node_count;
    struct yaml_node *root;
    bool document_seen;
    bool duplicates_seen; /* reading goes on, to find the other ones too */
};

static struct place place_of(const struct reader *reader, yaml_mark_t mark)
{
    return (struct place){reader->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* libyaml gives a bare byte offset for text that it cannot decode. */
static struct place place_of_offset(const struct reader *reader, size_t offset)
{
    struct place place = {reader->file, 1, 1};
    for (size_t i = 0; i < offset && i < reader->text.len; i++) {
        if (reader->text.bytes[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)reader->text.bytes[i] & 0xC0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

/* The marked line up to the mark, whose column counts characters, and the first byte there. */
static struct text line_to(struct text text, yaml_mark_t mark)
{
    size_t start = 0;
    for (size_t line = 0; line < mark.line && start < text.len; start++)
        line += text.bytes[start] == '\n';
    size_t i = start;
    for (size_t column = 0; column < mark.column && i < text.len; column++)
        for (i++; i < text.len && ((unsigned char)text.bytes[i] & 0xC0) == 0x80;)
            i++;
    return (struct text){text.bytes + start, i - start + (i < text.len)};
}

/* What somebody who meets libyaml's message most likely did. */
static const char *likely_cause(struct text line)
{
    if (line.len > 0 && line.bytes[line.len - 1] == '\t')
        return "; indent with spaces, not with tabs";
    for (size_t i = 1; i < line.len; i++)
        if (line.bytes[i - 1] == '$' && (line.bytes[i] == '{' || line.bytes[i] == '['))
            return "; put ${...} and $[...] in quotes inside { }";
    return "";
}

static void report_parser(struct reader *reader)
{
    yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem == NULL ? "something unexpected" : parser->problem;
    if (parser->error == YAML_READER_ERROR) {
        problem_add(reader->problems, place_of_offset(reader, parser->problem_offset),
                    "not valid YAML: %s", problem);
        return;
    }
    problem_add(reader->problems, place_of(reader, parser->problem_mark), "not valid YAML: %s%s%s%s",
                problem, parser->context == NULL ? "" : " ",
                parser->context == NULL ? "" : parser->context,
                likely_cause(line_to(reader->text, parser->problem_mark)));
}

/* --- building the tree ------------------------------------------------------------------------------ */

static bool refuse(struct reader *reader, yaml_mark_t mark, const char *what)
{
    problem_add(reader->problems, place_of(reader, mark), "%s", what);
    return false;
}

static bool check_plain(struct reader *reader, yaml_mark_t mark, const yaml_char_t *anchor,
                        const yaml_char_t *tag)
{
    if (anchor != NULL)
        return refuse(reader, mark, "anchors (&name) aren't taken here; write the value out");
    if (tag != NULL)
        return refuse(reader, mark, "tags (!name) aren't taken here; put a string in quotes");
    return true;
}

/* Link `node` into the container that is open, or make it the root. */
static void attach(struct reader *reader, struct yaml_node *node)
{
    if (reader->depth == 0) {
        reader->root = node;
        return;
    }
    struct open_node *parent = &reader->open[reader->depth - 1];
    node->key = parent->key;
    node->key_place = parent->key_place;
    *parent->last = node;
    parent->last = &node->next;
    parent->node->count++;
    parent->has_key = false;
    parent->key = (struct text){NULL, 0};
}

static struct yaml_node *node_new(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark)
{
    if (++reader->node_count > YAML_NODE_COUNT_MAX) {
        problem_add(reader->problems, place_of(reader, mark), "more than %d YAML nodes in one file",
                    YAML_NODE_COUNT_MAX);
        return NULL;
    }
    struct yaml_node *node = arena_zero(reader->arena, sizeof *node);
    node->kind = kind;
    node->place = place_of(reader, mark);
    return node;
}

static bool key_expected(const struct reader *reader)
{
    if (reader->depth == 0)
        return false;
    const struct open_node *parent = &reader->open[reader->depth - 1];
    return parent->node->kind == YAML_MAPPING && !parent->has_key;
}

static bool read_scalar(struct reader *reader, const yaml_event_t *event)
{
    yaml_mark_t mark = event->start_mark;
    if (!check_plain(reader, mark, event->data.scalar.anchor, event->data.scalar.tag))
        return false;
    struct text raw = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (!text_valid_utf8(raw))
        return refuse(reader, mark, "a NUL character in a text, which isn't taken");
    struct text text = arena_copy(reader->arena, raw);
    if (key_expected(reader)) {
        struct open_node *parent = &reader->open[reader->depth - 1];
        parent->has_key = true;
        parent->key = text;
        parent->key_place = place_of(reader, mark);
        return true;
    }
    struct yaml_node *node = node_new(reader, YAML_SCALAR, mark);
    if (node == NULL)
        return false;
    node->scalar = text;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    attach(reader, node);
    return true;
}

static bool open_container(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark,
                           const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (!check_plain(reader, mark, anchor, tag))
        return false;
    if (key_expected(reader))
        return refuse(reader, mark,
                      "a list or a mapping can't be a key; a text with { } or [ ] in it needs quotes");
    if (reader->depth == YAML_DEPTH_MAX) {
        problem_add(reader->problems, place_of(reader, mark), "nested deeper than %d levels",
                    YAML_DEPTH_MAX);
        return false;
    }
    struct yaml_node *node = node_new(reader, kind, mark);
    if (node == NULL)
        return false;
    attach(reader, node);
    reader->open[reader->depth++] = (struct open_node){.node = node, .last = &node->first};
    return true;
}

/* Every repeated key of a finished mapping; a hash table, because libyaml lets 100,000 members in. */
static void check_duplicates(struct reader *reader, const struct yaml_node *mapping)
{
    size_t slots = 16;
    while (slots < mapping->count * 2)
        slots *= 2;
    const struct yaml_node **table = arena_zero(reader->arena, slots * sizeof *table);
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next) {
        size_t slot = text_fnv1a32(member->key) & (slots - 1);
        while (table[slot] != NULL && !text_equal(table[slot]->key, member->key))
            slot = (slot + 1) & (slots - 1);
        if (table[slot] == NULL) {
            table[slot] = member;
            continue;
        }
        reader->duplicates_seen = true;
        problem_add(reader->problems, member->key_place,
                    "the key '%s' stands twice; the first is in line %u", member->key.bytes,
                    table[slot]->key_place.line);
    }
}

static bool close_container(struct reader *reader)
{
    assert(reader->depth > 0);
    struct yaml_node *node = reader->open[--reader->depth].node;
    if (node->kind == YAML_MAPPING)
        check_duplicates(reader, node);
    return true;
}

static bool open_document(struct reader *reader, const yaml_event_t *event)
{
    if (reader->document_seen)
        return refuse(reader, event->start_mark, "a second document; one file holds one");
    reader->document_seen = true;
    if (event->data.document_start.tag_directives.start !=
        event->data.document_start.tag_directives.end)
        return refuse(reader, event->start_mark, "a %TAG directive, which isn't taken");
    return true;
}

static bool read_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    case YAML_DOCUMENT_START_EVENT:
        return open_document(reader, event);
    case YAML_ALIAS_EVENT:
        return refuse(reader, event->start_mark,
                      "aliases (*name) aren't taken here; put a text that starts with * in quotes");
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_container(reader, YAML_SEQUENCE, event->start_mark,
                              event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_container(reader, YAML_MAPPING, event->start_mark,
                              event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_container(reader);
    }
    abort();
}

static bool read_stream(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event)) {
            report_parser(reader);
            return false;
        }
        bool last = event.type == YAML_STREAM_END_EVENT;
        bool taken = read_event(reader, &event);
        yaml_event_delete(&event);
        if (!taken || last)
            return taken;
    }
}

struct yaml_node *yaml_parse(const char *file, struct text text, struct arena *arena,
                             struct problems *problems)
{
    if (text.len > REQUEST_BYTES_MAX) {
        problem_add(problems, (struct place){file, 1, 1}, "the file has %zu bytes; at most %d are read",
                    text.len, REQUEST_BYTES_MAX);
        return NULL;
    }
    if (text_starts(text, TEXT("\xEF\xBB\xBF"))) /* a byte order mark */
        text = (struct text){text.bytes + 3, text.len - 3};
    struct reader reader = {.file = file, .text = text, .arena = arena, .problems = problems};
    if (!yaml_parser_initialize(&reader.parser))
        abort(); /* only for lack of memory */
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.bytes, text.len);
    bool done = read_stream(&reader);
    yaml_parser_delete(&reader.parser);
    if (!done || reader.duplicates_seen || reader.root == NULL)
        return NULL;
    bool empty = reader.root->kind == YAML_SCALAR && reader.root->scalar.len == 0;
    return empty && !reader.root->quoted ? NULL : reader.root;
}

/* --- reading the tree ------------------------------------------------------------------------------- */

struct yaml_node *yaml_member(const struct yaml_node *node, const char *key)
{
    if (node == NULL || node->kind != YAML_MAPPING)
        return NULL;
    for (struct yaml_node *member = node->first; member != NULL; member = member->next)
        if (text_is(member->key, key))
            return member;
    return NULL;
}

const char *yaml_kind_name(const struct yaml_node *node)
{
    switch (node->kind) {
    case YAML_SCALAR:
        return "a scalar";
    case YAML_SEQUENCE:
        return "a list";
    case YAML_MAPPING:
        return "a mapping";
    }
    abort();
}

static bool expected(const struct yaml_node *node, struct problems *problems, const char *what)
{
    if (node->kind != YAML_SCALAR)
        problem_add(problems, node->place, "expected %s, got %s", what, yaml_kind_name(node));
    else
        problem_add(problems, node->place, "expected %s, got %s'%.64s'", what,
                    node->quoted ? "the quoted text " : "", node->scalar.bytes);
    return false;
}

bool yaml_boolean(const struct yaml_node *node, bool *value, struct problems *problems)
{
    if (node->kind == YAML_SCALAR && !node->quoted) {
        if (text_is(node->scalar, "true") || text_is(node->scalar, "false")) {
            *value = node->scalar.len == 4;
            return true;
        }
    }
    return expected(node, problems, "true or false");
}

/* Decimal digits with an optional minus; false when it is anything else or doesn't fit. */
static bool parse_integer(struct text text, int64_t *value)
{
    bool negative = text.len > 0 && text.bytes[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == text.len)
        return false;
    int64_t sum = 0; /* kept negative: that side is one larger */
    for (; i < text.len; i++) {
        char digit = text.bytes[i];
        if (digit < '0' || digit > '9')
            return false;
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, digit - '0', &sum))
            return false;
    }
    if (!negative && sum == INT64_MIN)
        return false;
    *value = negative ? sum : -sum;
    return true;
}

bool yaml_integer(const struct yaml_node *node, int64_t min, int64_t max, int64_t *value,
                  struct problems *problems)
{
    int64_t integer;
    if (node->kind == YAML_SCALAR && !node->quoted && parse_integer(node->scalar, &integer) &&
        integer >= min && integer <= max) {
        *value = integer;
        return true;
    }
    char what[96];
    snprintf(what, sizeof what, "an integer from %lld to %lld", (long long)min, (long long)max);
    return expected(node, problems, what);
}
