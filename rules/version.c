/* version.c - the order of firmware versions (docs/rules.md, "How versions are ordered").
 *
 * A version is [v]NUMBER{.NUMBER}[-PRERELEASE][+BUILD]: Semantic Versioning 2.0.0, section 11, opened up
 * for what devices really send: a leading v, any count of numbers, leading zeros. Numbers are compared
 * as digits, so none is too long. What doesn't fit the form is only ever equal to the same bytes. */
#include "engine/base/text.h"
#include "plugins/fwsync_plugin.h"

struct version {
    struct text numbers;    /* "1.20.3" */
    struct text prerelease; /* "alpha.1", or empty: a release */
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_word(char byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           byte == '-';
}

/* Dot-separated parts of at least one allowed byte each, from the start of `text`; their length. */
static size_t parts_length(struct text text, bool (*allowed)(char byte))
{
    size_t length = 0;
    for (;;) {
        size_t start = length;
        while (length < text.len && allowed(text.bytes[length]))
            length++;
        if (length == start)
            return 0;
        if (length == text.len || text.bytes[length] != '.')
            return length;
        length++;
    }
}

static struct text rest(struct text text, size_t from)
{
    return (struct text){text.bytes + from, text.len - from};
}

static bool version_parse(struct text text, struct version *version)
{
    if (text.len > 0 && (text.bytes[0] == 'v' || text.bytes[0] == 'V'))
        text = rest(text, 1);
    size_t length = parts_length(text, is_digit);
    if (length == 0)
        return false;
    version->numbers = (struct text){text.bytes, length};
    version->prerelease = (struct text){text.bytes + length, 0};
    text = rest(text, length);
    if (text.len > 0 && text.bytes[0] == '-') {
        text = rest(text, 1);
        length = parts_length(text, is_word);
        if (length == 0)
            return false;
        version->prerelease = (struct text){text.bytes, length};
        text = rest(text, length);
    }
    if (text.len == 0)
        return true;
    return text.bytes[0] == '+' && text.len > 1 && parts_length(rest(text, 1), is_word) == text.len - 1;
}

/* Takes the first part off; an empty list gives an empty part. */
static struct text next_part(struct text *parts)
{
    const char *dot = parts->len == 0 ? NULL : memchr(parts->bytes, '.', parts->len);
    size_t length = dot == NULL ? parts->len : (size_t)(dot - parts->bytes);
    struct text part = {parts->bytes, length};
    *parts = rest(*parts, dot == NULL ? length : length + 1);
    return part;
}

static int compare_bytes(struct text left, struct text right)
{
    size_t common = left.len < right.len ? left.len : right.len;
    int order = common == 0 ? 0 : memcmp(left.bytes, right.bytes, common);
    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

/* Digits as a number of any size; none count as 0. */
static int compare_number(struct text left, struct text right)
{
    while (left.len > 0 && left.bytes[0] == '0')
        left = rest(left, 1);
    while (right.len > 0 && right.bytes[0] == '0')
        right = rest(right, 1);
    if (left.len != right.len)
        return left.len < right.len ? -1 : 1;
    return compare_bytes(left, right);
}

static int compare_numbers(struct text left, struct text right)
{
    while (left.len > 0 || right.len > 0) {
        struct text left_part = next_part(&left);
        int order = compare_number(left_part, next_part(&right));
        if (order != 0)
            return order;
    }
    return 0;
}

static bool all_digits(struct text part)
{
    for (size_t i = 0; i < part.len; i++)
        if (!is_digit(part.bytes[i]))
            return false;
    return true;
}

static int compare_prerelease(struct text left, struct text right)
{
    if (left.len == 0 || right.len == 0) /* a release is newer than its pre-releases */
        return (left.len == 0) - (right.len == 0);
    while (left.len > 0 && right.len > 0) {
        struct text left_part = next_part(&left), right_part = next_part(&right);
        bool left_number = all_digits(left_part), right_number = all_digits(right_part);
        int order = left_number != right_number ? (left_number ? -1 : 1)
                    : left_number               ? compare_number(left_part, right_part)
                                                : compare_bytes(left_part, right_part);
        if (order != 0)
            return order;
    }
    return (left.len > 0) - (right.len > 0);
}

enum fwsync_order fwsync_version_compare(struct fwsync_text left, struct fwsync_text right)
{
    struct text a = {left.bytes, left.len}, b = {right.bytes, right.len};
    if (a.len == 0 || b.len == 0)
        return FWSYNC_INCOMPARABLE;
    if (text_equal(a, b))
        return FWSYNC_EQUAL;
    struct version x, y;
    if (!version_parse(a, &x) || !version_parse(b, &y))
        return FWSYNC_INCOMPARABLE;
    int order = compare_numbers(x.numbers, y.numbers);
    if (order == 0)
        order = compare_prerelease(x.prerelease, y.prerelease);
    return order < 0 ? FWSYNC_OLDER : order > 0 ? FWSYNC_NEWER : FWSYNC_EQUAL;
}
