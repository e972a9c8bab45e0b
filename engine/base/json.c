#include "engine/base/json.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "engine/base/buf.h"
#include "engine/base/json_plain.h"
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

/* A string or a number of the text. cJSON's tree has the same ones in the same order, decoded. */
struct token {
    struct text text; /* a string's without the quotes */
    bool special;     /* a string with escapes, a number with a decimal point */
};

struct scan {
    const char *start;
    const char *at;
    const char *end;
    unsigned depth_max;
    struct arena *arena; /* for the tokens */
    struct token *tokens;
    size_t token_count;
    size_t token_capacity;
    struct err *err;
};

static bool scan_fail(const struct scan *scan, const char *what)
{
    return err_set(scan->err, ERR_BAD_JSON, "%s at byte %zu", what, (size_t)(scan->at - scan->start));
}

static void add_token(struct scan *scan, const char *start, const char *end, bool special)
{
    enum { TOKENS_FIRST = 32 };
    if (scan->token_count == scan->token_capacity) {
        size_t capacity = scan->token_capacity == 0 ? TOKENS_FIRST : scan->token_capacity * 2;
        struct token *tokens = arena_alloc(scan->arena, capacity * sizeof *tokens);
        if (scan->token_count > 0)
            memcpy(tokens, scan->tokens, scan->token_count * sizeof *tokens);
        scan->tokens = tokens;
        scan->token_capacity = capacity;
    }
    scan->tokens[scan->token_count++] = (struct token){{start, (size_t)(end - start)}, special};
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
    const char *start = scan->at;
    bool escaped = false;
    while (scan->at < scan->end) {
        scan->at += text_plain_length(scan->at, (size_t)(scan->end - scan->at));
        if (scan->at == scan->end)
            break;
        unsigned char byte = (unsigned char)*scan->at;
        if (byte == '"') {
            add_token(scan, start, scan->at++, escaped);
            return true;
        }
        if (byte < 0x20)
            return scan_fail(scan, "a raw control character in a string (write it as an escape)");
        if (byte == '\\') {
            escaped = true;
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
    bool whole = true, dotted = false;
    if (scan->at < scan->end && *scan->at == '.') {
        whole = false;
        dotted = true;
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
    add_token(scan, start, scan->at, dotted);
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

static int kind_of(const cJSON *node)
{
    return node->type & 0xFF;
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
            if (*one->string == *other->string && strcmp(one->string, other->string) == 0)
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
    if (kind_of(node) == cJSON_Number && !isfinite(node->valuedouble))
        return err_set(err, ERR_BAD_JSON, "a number too large to hold");
    if (kind_of(node) == cJSON_Object) {
        const char *twice = duplicate_key(node, scratch);
        if (twice != NULL)
            return err_set(err, ERR_BAD_JSON, "the key \"%.64s\" stands twice in one object", twice);
    }
    for (const cJSON *child = node->child; child != NULL; child = child->next)
        if (!check_tree(child, scratch, err))
            return false;
    return true;
}

/* The tree, and the tokens beside it: whoever walks the one in order takes the others. */
struct tree {
    const cJSON *root;
    const struct token *next;
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
        .arena = scratch,
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
    if (!check_tree(root, scratch, err))
        return false;
    *tree = (struct tree){root, scan.tokens};
    return true;
}

/* Where what leaves is kept. */
struct keep {
    struct arena *arena;
    bool borrow; /* strings without escapes stay in the text */
};

/* The next token, which is this string; lives as long as the text and the scratch arena. */
static struct text next_string(struct tree *tree, const char *decoded)
{
    const struct token *token = tree->next++;
    return token->special ? text_of(decoded) : token->text;
}

/* Likewise, in the arena, or where `borrow` is set and it can be in the text. */
static struct text keep_string(struct tree *tree, const char *decoded, const struct keep *keep)
{
    bool borrow = keep->borrow && !tree->next->special;
    struct text text = next_string(tree, decoded);
    return borrow ? text : arena_copy(keep->arena, text);
}

static void next_number(struct tree *tree, const cJSON *node, struct value *value)
{
    bool dotted = tree->next++->special;
    double number = node->valuedouble;
    bool whole = fabs(number) <= (double)JSON_INTEGER_MAX && number == floor(number);
    if (whole && !dotted && !(number == 0 && signbit(number)))
        *value = (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)number};
    else
        *value = (struct value){.kind = VALUE_DOUBLE, .number = number};
}

static void write_node(struct buf *buf, const cJSON *node, struct tree *tree)
{
    switch (kind_of(node)) {
    case cJSON_Number: {
        struct value value;
        next_number(tree, node, &value);
        json_value(buf, &value);
        return;
    }
    case cJSON_String:
        json_string(buf, next_string(tree, node->valuestring));
        return;
    case cJSON_Object:
        buf_byte(buf, '{');
        for (const cJSON *child = node->child; child != NULL; child = child->next) {
            json_key_text(buf, next_string(tree, child->string));
            write_node(buf, child, tree);
        }
        buf_byte(buf, '}');
        return;
    case cJSON_Array:
        buf_byte(buf, '[');
        for (const cJSON *child = node->child; child != NULL; child = child->next) {
            json_comma(buf);
            write_node(buf, child, tree);
        }
        buf_byte(buf, ']');
        return;
    case cJSON_True:
        buf_append(buf, TEXT("true"));
        return;
    case cJSON_False:
        buf_append(buf, TEXT("false"));
        return;
    case cJSON_NULL:
        buf_append(buf, TEXT("null"));
        return;
    }
    abort();
}

/* Values are written where they stay: to copy what was written just before is slow (the processor cannot
 * forward two small stores to one large load). */
static void next_value(struct tree *tree, const cJSON *node, const struct keep *keep,
                       struct value *value)
{
    switch (kind_of(node)) {
    case cJSON_String:
        value->kind = VALUE_STRING;
        value->text = keep_string(tree, node->valuestring, keep);
        return;
    case cJSON_Number:
        next_number(tree, node, value);
        return;
    case cJSON_True:
    case cJSON_False:
        *value = value_boolean(kind_of(node) == cJSON_True);
        return;
    case cJSON_NULL:
        *value = (struct value){.kind = VALUE_NULL, .text = {NULL, 0}};
        return;
    }
    struct buf buf = {.arena = keep->arena};
    write_node(&buf, node, tree);
    *value = (struct value){.kind = VALUE_JSON, .text = buf_text(&buf)};
}

static size_t child_count(const cJSON *node)
{
    size_t count = 0;
    for (const cJSON *child = node->child; child != NULL; child = child->next)
        count++;
    return count;
}

static struct field *field_array(const cJSON *object, struct arena *arena)
{
    size_t count = child_count(object);
    return arena_alloc(arena, (count > 0 ? count : 1) * sizeof(struct field));
}

static void next_field(struct tree *tree, const cJSON *child, const struct keep *keep,
                       struct field *field)
{
    field->key = keep_string(tree, child->string, keep);
    next_value(tree, child, keep, &field->value);
}

static struct fields next_fields(struct tree *tree, const cJSON *object, const struct keep *keep)
{
    struct fields fields = {field_array(object, keep->arena), 0};
    for (const cJSON *child = object->child; child != NULL; child = child->next)
        next_field(tree, child, keep, &fields.items[fields.count++]);
    return fields;
}

static bool parse_object_tree(struct text text, unsigned depth_max, struct arena *scratch,
                              struct tree *tree, struct err *err)
{
    if (!parse_tree(text, depth_max, scratch, tree, err))
        return false;
    if (kind_of(tree->root) != cJSON_Object)
        return err_set(err, ERR_BAD_JSON, "expected a JSON object: {...}");
    return true;
}

bool json_parse_object(struct text text, struct arena *scratch, struct arena *arena,
                       struct fields *fields, struct err *err)
{
    struct tree tree;
    if (!parse_object_tree(text, JSON_DEPTH_MAX, scratch, &tree, err))
        return false;
    *fields = next_fields(&tree, tree.root, &(struct keep){arena, false});
    return true;
}

/* Position of the object's key in `names`, or the count. */
static size_t name_position(const cJSON *child, const char *const *names, size_t name_count)
{
    size_t i = kind_of(child) == cJSON_Object ? 0 : name_count;
    while (i < name_count && strcmp(child->string, names[i]) != 0)
        i++;
    return i;
}

bool json_parse_object_expanding(struct text text, unsigned depth_max, const char *const *names,
                                 size_t name_count, struct arena *scratch, struct arena *arena,
                                 struct fields *fields, struct fields *expanded, struct err *err)
{
    assert(depth_max >= 2 && depth_max <= JSON_DEPTH_MAX);
    if (json_plain_object(text, names, name_count, scratch, arena, fields, expanded))
        return true;
    struct tree tree;
    if (!parse_object_tree(text, depth_max, scratch, &tree, err))
        return false;
    for (size_t i = 0; i < name_count; i++)
        expanded[i] = (struct fields){NULL, 0};
    struct keep keep = {arena, true};
    struct fields top = {field_array(tree.root, scratch), 0};
    for (const cJSON *child = tree.root->child; child != NULL; child = child->next) {
        size_t position = name_position(child, names, name_count);
        if (position == name_count) {
            next_field(&tree, child, &keep, &top.items[top.count++]);
        } else {
            tree.next++; /* the key */
            expanded[position] = next_fields(&tree, child, &keep);
        }
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
    next_value(&tree, tree.root, &(struct keep){arena, false}, value);
    return true;
}

bool json_parse_array(struct text text, struct arena *scratch, struct arena *arena,
                      struct value **values, size_t *value_count, struct err *err)
{
    struct tree tree;
    if (!parse_tree(text, JSON_DEPTH_MAX, scratch, &tree, err))
        return false;
    if (kind_of(tree.root) != cJSON_Array)
        return err_set(err, ERR_BAD_JSON, "expected a JSON array: [...]");
    struct value *items = arena_alloc(arena, (child_count(tree.root) + 1) * sizeof *items);
    size_t count = 0;
    for (const cJSON *child = tree.root->child; child != NULL; child = child->next)
        next_value(&tree, child, &(struct keep){arena, false}, &items[count++]);
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
