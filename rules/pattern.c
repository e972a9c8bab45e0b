#include "rules/pattern.h"

#include "plugins/fwsync_plugin.h"

/* Does a placeholder start here? Its closing bracket, or 0. */
static char closing_bracket(struct text source, size_t at)
{
    if (at + 1 >= source.len || source.bytes[at] != '$')
        return 0;
    return source.bytes[at + 1] == '{' ? '}' : source.bytes[at + 1] == '[' ? ']' : 0;
}

static size_t find_placeholder(struct text source, size_t from)
{
    while (from < source.len && closing_bracket(source, from) == 0)
        from++;
    return from;
}

static bool check_path(struct text path)
{
    bool step_empty = true;
    for (size_t i = 0; i < path.len; i++) {
        if (path.bytes[i] == '.' && step_empty)
            return false;
        step_empty = path.bytes[i] == '.';
    }
    return !step_empty;
}

static bool check_key(const struct part *part, struct err *err)
{
    struct text key = part->text;
    if (key.len == 0)
        return err_set(err, ERR_CONFIG, "'" TEXT_FMT "' names no key", TEXT_ARG(part->written));
    if (key.bytes[0] == ' ' || key.bytes[key.len - 1] == ' ')
        return err_set(err, ERR_CONFIG, "'" TEXT_FMT "' has a space beside its key",
                       TEXT_ARG(part->written));
    if (find_placeholder(key, 0) < key.len)
        return err_set(err, ERR_CONFIG, "'" TEXT_FMT "' has a placeholder inside a placeholder",
                       TEXT_ARG(part->written));
    if (part->kind == PART_DATA && !check_path(key))
        return err_set(err, ERR_CONFIG, "'" TEXT_FMT "' has an empty step in its path",
                       TEXT_ARG(part->written));
    return true;
}

/* The placeholder that starts at `at`. */
static bool read_placeholder(struct text source, size_t at, struct part *part, struct err *err)
{
    char close = closing_bracket(source, at);
    const char *key = source.bytes + at + 2;
    const char *end = memchr(key, close, source.len - at - 2);
    if (end == NULL)
        return err_set(err, ERR_CONFIG, "'%.2s' without its '%c'", source.bytes + at, close);
    bool metadata = close == '}';
    part->kind = metadata ? PART_METADATA : PART_DATA;
    part->text = (struct text){key, (size_t)(end - key)};
    part->written = (struct text){source.bytes + at, (size_t)(end - key) + 3};
    part->dotted = memchr(key, '.', part->text.len) != NULL;
    if (!check_key(part, err))
        return false;
    if (text_is(part->text, "*"))
        part->kind = metadata ? PART_ALL_METADATA : PART_ALL_DATA;
    return true;
}

bool pattern_compile(struct text source, struct arena *arena, struct fwsync_pattern *pattern,
                     struct err *err)
{
    size_t count_max = 0; /* each placeholder, and the literals around it */
    for (size_t at = 0; (at = find_placeholder(source, at)) < source.len; at++)
        count_max++;
    struct part *parts = arena_zero(arena, (2 * count_max + 1) * sizeof *parts);
    size_t count = 0;
    for (size_t at = 0; at < source.len;) {
        size_t next = find_placeholder(source, at);
        if (next > at)
            parts[count++] = (struct part){
                .kind = PART_LITERAL,
                .text = {source.bytes + at, next - at},
            };
        at = next;
        if (at < source.len) {
            if (!read_placeholder(source, at, &parts[count], err))
                return false;
            at += parts[count++].written.len;
        }
    }
    *pattern = (struct fwsync_pattern){source, parts, count};
    return true;
}

bool fwsync_pattern_constant(const struct fwsync_pattern *pattern, struct fwsync_text *text)
{
    for (size_t i = 0; i < pattern->count; i++)
        if (pattern->parts[i].kind != PART_LITERAL)
            return false;
    *text = (struct fwsync_text){pattern->source.bytes, pattern->source.len};
    return true;
}
