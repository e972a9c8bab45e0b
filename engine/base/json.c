#include "engine/base/json.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "engine/base/buf.h"
#include "engine/base/limits.h"

/* --- cJSON's memory: the scratch arena of the parse under way on this thread ----------------------- */

static _Thread_local struct arena *cjson_arena;

static void *cjson_allocate(size_t bytes)
{
    return arena_alloc(cjson_arena, bytes);
}

static void cjson_deallocate(void *memory)
{
    (void)memory;
}

static void cjson_install_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = cjson_allocate, .free_fn = cjson_deallocate};
    cJSON_InitHooks(&hooks);
}

/* --- the scan: what cJSON would let pass ------------------------------------------------------------ */

struct scan {
    const char *start;
    const char *at;
    const char *end;
    unsigned depth_max;
    bool dotted; /* some number is written with a decimal point */
    struct err *err;
};

static bool scan_fail(const struct scan *scan, const char *what)
{
    return err_set(scan->err, ERR_BAD_JSON, "%s at byte %zu", what, (size_t)(scan->at - scan->start));
}

/* `at` stands on the backslash. cJSON refuses an unknown letter, but reads \u with wrong digits as NUL. */
static bool scan_escape(struct scan *scan)
{
    enum { UNICODE_BYTES = 6 }; /* \u12ab */
    if (scan->end - scan->at < 2 || scan->at[1] != 'u') {
        scan->at += 2;
        return true;
    }
    bool hex = scan->end - scan->at >= UNICODE_BYTES;
    for (int i = 2; hex && i < UNICODE_BYTES; i++)
        hex = isxdigit((unsigned char)scan->at[i]) != 0;
    if (!hex)
        return scan_fail(scan, "\\u without four hexadecimal digits");
    if (memcmp(scan->at + 2, "0000", 4) == 0)
        return scan_fail(scan, "\\u0000 in a string, which is not taken,");
    scan->at += UNICODE_BYTES;
    return true;
}

/* `at` stands behind the opening quote; leaves it behind the closing one. */
static bool scan_string(struct scan *scan)
{
    while (scan->at < scan->end) {
        scan->at += text_plain_length(scan->at, (size_t)(scan->end - scan->at));
        if (scan->at == scan->end)
            break;
        unsigned char byte = (unsigned char)*scan->at;
        if (byte == '"') {
            scan->at++;
            return true;
        }
        if (byte < 0x20)
            return scan_fail(scan, "a raw control character in a string (write it as an escape)");
        if (byte == '\\') {
            if (!scan_escape(scan))
                return false;
            continue;
        }
        size_t length = text_utf8_length(scan->at, (size_t)(scan->end - scan->at));
        if (length == 0)
            return scan_fail(scan, "bytes that are not UTF-8");
        scan->at += length;
    }
    scan->at = scan->end;
    return scan_fail(scan, "a string without its closing quote");
}

static size_t scan_digits(struct scan *scan)
{
    const char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return (size_t)(scan->at - from);
}

static bool integer_is_exact(const char *digits, size_t count)
{
    enum { DIGITS_MAX = 16 };
    if (count > DIGITS_MAX)
        return false;
    int64_t magnitude = 0;
    for (size_t i = 0; i < count; i++)
        magnitude = magnitude * 10 + (digits[i] - '0');
    return magnitude <= JSON_INTEGER_MAX;
}

/* RFC 8259 section 6, and the bounds of what a double can hold. */
static bool scan_number(struct scan *scan)
{
    const char *start = scan->at;
    if (*scan->at == '-')
        scan->at++;
    const char *digits = scan->at;
    size_t digit_count = scan_digits(scan);
    if (digit_count == 0 || (digit_count > 1 && digits[0] == '0'))
        return scan_fail(scan, "a number that JSON doesn't allow");
    bool whole = true;
    if (scan->at < scan->end && *scan->at == '.') {
        whole = false;
        scan->dotted = true;
        scan->at++;
        if (scan_digits(scan) == 0)
            return scan_fail(scan, "a number that JSON doesn't allow");
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        whole = false;
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
            scan->at++;
        if (scan_digits(scan) == 0)
            return scan_fail(scan, "a number that JSON doesn't allow");
    }
    enum { NUMBER_BYTES_MAX = 60 }; /* cJSON reads 63 */
    if (scan->at - start > NUMBER_BYTES_MAX)
        return scan_fail(scan, "a number of more than 60 characters");
    if (whole && !integer_is_exact(digits, digit_count))
        return scan_fail(scan, "an integer beyond 2^53, which JSON readers can't hold exactly (send it "
                               "as a string),");
    return true;
}

static bool scan_json(struct scan *scan)
{
    unsigned depth = 0;
    while (scan->at < scan->end) {
        char byte = *scan->at;
        if (byte == '"') {
            scan->at++;
            if (!scan_string(scan))
                return false;
        } else if (byte == '-' || (byte >= '0' && byte <= '9')) {
            if (!scan_number(scan))
                return false;
        } else {
            if (byte == '{' || byte == '[') {
                if (++depth > scan->depth_max)
                    return err_set(scan->err, ERR_LIMIT, "nested deeper than %u levels",
                                   scan->depth_max);
            } else if (byte == '}' || byte == ']') {
                depth -= depth > 0;
            } else if ((unsigned char)byte >= 0x7F ||
                       (byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r')) {
                return scan_fail(scan, "a byte that JSON doesn't allow here");
            }
            scan->at++;
        }
    }
    return true;
}

/* --- from cJSON's tree to values -------------------------------------------------------------------- */

/* cJSON's valueint is free for us: in a text with decimal points it says which numbers have one. */
enum { WRITTEN_PLAIN, WRITTEN_DOTTED };

/* Walks tree and text side by side; `at` is the text cursor, outside of strings. */
static const char *mark_numbers(cJSON *node, const char *at, const char *end)
{
    if (cJSON_IsNumber(node)) {
        struct scan scan = {.end = end};
        while (*at != '-' && (*at < '0' || *at > '9')) {
            scan.at = at + 1;
            if (*at == '"')
                scan_string(&scan);
            at = scan.at;
        }
        scan.at = scan.start = at;
        scan_number(&scan);
        node->valueint = scan.dotted ? WRITTEN_DOTTED : WRITTEN_PLAIN;
        return scan.at;
    }
    for (cJSON *child = node->child; child != NULL; child = child->next)
        at = mark_numbers(child, at, end);
    return at;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp((*(cJSON *const *)left)->string, (*(cJSON *const *)right)->string);
}

/* A repeated key of the object, or NULL. */
static const char *duplicate_key(const cJSON *object, struct arena *scratch)
{
    enum { PAIRWISE_MAX = 16 };
    size_t count = 0;
    for (const cJSON *one = object->child; one != NULL; one = one->next, count++) {
        if (count >= PAIRWISE_MAX)
            continue;
        for (const cJSON *other = object->child; other != one; other = other->next)
            if (strcmp(one->string, other->string) == 0)
                return one->string;
    }
    if (count <= PAIRWISE_MAX)
        return NULL;
    const cJSON **sorted = arena_alloc(scratch, count * sizeof *sorted);
    size_t i = 0;
    for (const cJSON *one = object->child; one != NULL; one = one->next)
        sorted[i++] = one;
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (i = 1; i < count; i++)
        if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
            return sorted[i]->string;
    return NULL;
}

static bool check_tree(const cJSON *node, struct arena *scratch, struct err *err)
{
    if (cJSON_IsNumber(node) && !isfinite(node->valuedouble))
        return err_set(err, ERR_BAD_JSON, "a number too large to hold");
    if (cJSON_IsObject(node)) {
        const char *twice = duplicate_key(node, scratch);
        if (twice != NULL)
            return err_set(err, ERR_BAD_JSON, "the key \"%.64s\" stands twice in one object", twice);
    }
    for (const cJSON *child = node->child; child != NULL; child = child->next)
        if (!check_tree(child, scratch, err))
            return false;
    return true;
}

struct tree {
    cJSON *root;
    bool dotted;
};

static bool parse_tree(struct text text, unsigned depth_max, struct arena *scratch,
                       struct tree *tree, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, cjson_install_hooks);

    struct scan scan = {
        .start = text.bytes,
        .at = text.bytes,
        .end = text.bytes + text.len,
        .depth_max = depth_max,
        .err = err,
    };
    if (!scan_json(&scan))
        return false;
    cjson_arena = scratch;
    const char *stop = NULL;
    cJSON *root = text.len == 0 ? NULL : cJSON_ParseWithLengthOpts(text.bytes, text.len, &stop, 0);
    cjson_arena = NULL;
    scan.at = stop == NULL ? text.bytes : stop;
    if (root == NULL)
        return text.len == 0 ? err_set(err, ERR_BAD_JSON, "empty, where JSON was expected")
                             : scan_fail(&scan, "not JSON: something unexpected");
    for (; scan.at < scan.end; scan.at++)
        if (strchr(" \t\r\n", *scan.at) == NULL)
            return scan_fail(&scan, "something behind the JSON's end");
    if (scan.dotted)
        mark_numbers(root, text.bytes, scan.end);
    if (!check_tree(root, scratch, err))
        return false;
    *tree = (struct tree){root, scan.dotted};
    return true;
}

static struct value number_value(const cJSON *node, bool dotted)
{
    double number = node->valuedouble;
    bool whole = fabs(number) <= (double)JSON_INTEGER_MAX && number == floor(number);
    if (whole && !(dotted && node->valueint == WRITTEN_DOTTED) && !(number == 0 && signbit(number)))
        return (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)number};
    return (struct value){.kind = VALUE_DOUBLE, .number = number};
}

static void write_node(struct buf *buf, const cJSON *node, bool dotted)
{
    if (cJSON_IsNumber(node)) {
        struct value value = number_value(node, dotted);
        json_value(buf, &value);
    } else if (cJSON_IsString(node)) {
        json_string(buf, text_of(node->valuestring));
    } else if (cJSON_IsObject(node) || cJSON_IsArray(node)) {
        bool object = cJSON_IsObject(node);
        buf_byte(buf, object ? '{' : '[');
        for (const cJSON *child = node->child; child != NULL; child = child->next) {
            if (object)
                json_key(buf, child->string);
            else
                json_comma(buf);
            write_node(buf, child, dotted);
        }
        buf_byte(buf, object ? '}' : ']');
    } else {
        buf_append(buf, cJSON_IsNull(node)   ? TEXT("null")
                        : cJSON_IsTrue(node) ? TEXT("true")
                                             : TEXT("false"));
    }
}

static struct value node_value(const cJSON *node, bool dotted, struct arena *arena)
{
    if (cJSON_IsString(node))
        return value_string(arena_copy(arena, text_of(node->valuestring)));
    if (cJSON_IsNumber(node))
        return number_value(node, dotted);
    if (cJSON_IsBool(node))
        return value_boolean(cJSON_IsTrue(node));
    if (cJSON_IsNull(node))
        return (struct value){.kind = VALUE_NULL};
    struct buf buf = {.arena = arena};
    write_node(&buf, node, dotted);
    return (struct value){.kind = VALUE_JSON, .text = buf_text(&buf)};
}

static size_t child_count(const cJSON *node)
{
    size_t count = 0;
    for (const cJSON *child = node->child; child != NULL; child = child->next)
        count++;
    return count;
}

static struct fields object_fields(const cJSON *object, bool dotted, struct arena *arena)
{
    struct fields fields = {arena_alloc(arena, (child_count(object) + 1) * sizeof *fields.items), 0};
    for (const cJSON *child = object->child; child != NULL; child = child->next)
        fields.items[fields.count++] = (struct field){
            arena_copy(arena, text_of(child->string)),
            node_value(child, dotted, arena),
        };
    return fields;
}

bool json_parse_object(struct text text, struct arena *scratch, struct arena *arena,
                       struct fields *fields, struct err *err)
{
    return json_parse_object_expanding(text, JSON_DEPTH_MAX, NULL, 0, scratch, arena, fields, NULL,
                                       err);
}

static size_t name_position(const char *name, const char *const *names, size_t name_count)
{
    size_t i = 0;
    while (i < name_count && strcmp(name, names[i]) != 0)
        i++;
    return i;
}

bool json_parse_object_expanding(struct text text, unsigned depth_max, const char *const *names,
                                 size_t name_count, struct arena *scratch, struct arena *arena,
                                 struct fields *fields, struct fields *expanded, struct err *err)
{
    assert(depth_max <= JSON_DEPTH_MAX);
    struct tree tree;
    if (!parse_tree(text, depth_max, scratch, &tree, err))
        return false;
    if (!cJSON_IsObject(tree.root))
        return err_set(err, ERR_BAD_JSON, "expected a JSON object: {...}");
    for (size_t i = 0; i < name_count; i++)
        expanded[i] = (struct fields){NULL, 0};
    struct fields top = {arena_alloc(arena, (child_count(tree.root) + 1) * sizeof *top.items), 0};
    for (const cJSON *child = tree.root->child; child != NULL; child = child->next) {
        size_t position =
            cJSON_IsObject(child) ? name_position(child->string, names, name_count) : name_count;
        if (position < name_count)
            expanded[position] = object_fields(child, tree.dotted, arena);
        else
            top.items[top.count++] = (struct field){
                arena_copy(arena, text_of(child->string)),
                node_value(child, tree.dotted, arena),
            };
    }
    *fields = top;
    return true;
}

bool json_parse_value(struct text text, struct arena *scratch, struct arena *arena,
                      struct value *value, struct err *err)
{
    struct tree tree;
    if (!parse_tree(text, JSON_DEPTH_MAX, scratch, &tree, err))
        return false;
    *value = node_value(tree.root, tree.dotted, arena);
    return true;
}

bool json_parse_array(struct text text, struct arena *scratch, struct arena *arena,
                      struct value **values, size_t *value_count, struct err *err)
{
    struct tree tree;
    if (!parse_tree(text, JSON_DEPTH_MAX, scratch, &tree, err))
        return false;
    if (!cJSON_IsArray(tree.root))
        return err_set(err, ERR_BAD_JSON, "expected a JSON array: [...]");
    struct value *items = arena_alloc(arena, (child_count(tree.root) + 1) * sizeof *items);
    size_t count = 0;
    for (const cJSON *child = tree.root->child; child != NULL; child = child->next)
        items[count++] = node_value(child, tree.dotted, arena);
    *values = items;
    *value_count = count;
    return true;
}

const struct value *fields_get(const struct fields *fields, struct text key)
{
    for (size_t i = 0; i < fields->count; i++)
        if (text_equal(fields->items[i].key, key))
            return &fields->items[i].value;
    return NULL;
}

bool json_path(const struct fields *fields, struct text path, struct arena *arena,
               struct value *value)
{
    struct fields level = *fields;
    for (;;) {
        const char *dot = memchr(path.bytes, '.', path.len);
        size_t part = dot == NULL ? path.len : (size_t)(dot - path.bytes);
        const struct value *found = fields_get(&level, (struct text){path.bytes, part});
        if (found == NULL)
            return false;
        if (dot == NULL) {
            *value = *found;
            return true;
        }
        path = (struct text){dot + 1, path.len - part - 1};
        if (found->kind != VALUE_JSON || found->text.bytes[0] != '{' ||
            !json_parse_object(found->text, arena, arena, &level, NULL))
            return false;
    }
}

const char *json_kind_name(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        return "null";
    case VALUE_BOOLEAN:
        return "true or false";
    case VALUE_INTEGER:
    case VALUE_DOUBLE:
        return "a number";
    case VALUE_STRING:
        return "a string";
    case VALUE_JSON:
        return value->text.bytes[0] == '{' ? "an object" : "an array";
    }
    abort();
}
