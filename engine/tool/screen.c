#include "engine/tool/screen.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/json.h"

enum { COLUMNS_DEFAULT = 80, COLUMNS_MIN = 20, ROWS_DEFAULT = 24 };

static bool environment_says(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0';
}

/* By its name alone, "de_DE.UTF-8": over ssh it says what the terminal shows, even if it isn't installed here. */
static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    size_t i = 0;
    while (i < sizeof names / sizeof names[0] && !environment_says(names[i]))
        i++;
    if (i == sizeof names / sizeof names[0])
        return false;
    const char *locale = getenv(names[i]);
    return strcasestr(locale, "UTF-8") != NULL || strcasestr(locale, "UTF8") != NULL;
}

/* The width that a person asks for; 0: none. */
static int columns_wanted(void)
{
    enum { COLUMNS_MAX = 10000 };
    const char *word = getenv("COLUMNS");
    char *end;
    long columns = word == NULL || *word < '0' || *word > '9' ? 0 : strtol(word, &end, 10);
    if (columns < 1 || columns > COLUMNS_MAX || *end != '\0')
        return 0;
    return columns < COLUMNS_MIN ? COLUMNS_MIN : (int)columns;
}

static void measure(int fd, struct screen *screen)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0)
        size = (struct winsize){.ws_col = 0};
    screen->columns = size.ws_col == 0 ? COLUMNS_DEFAULT : size.ws_col;
    screen->rows = size.ws_row == 0 ? ROWS_DEFAULT : size.ws_row;
    if (screen->columns < COLUMNS_MIN)
        screen->columns = COLUMNS_MIN;
}

struct screen screen_detect(int fd)
{
    bool terminal = isatty(fd);
    const char *term = getenv("TERM");
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    struct screen screen = {
        .tables = terminal || environment_says("FWSYNC_TABLE"),
        .colour = terminal && !dumb && !environment_says("NO_COLOR"),
        .draws = terminal && !dumb,
        .utf8 = locale_is_utf8(),
    };
    if (terminal)
        measure(fd, &screen);
    if (columns_wanted() > 0)
        screen.columns = columns_wanted();
    return screen;
}

const char *screen_style(const struct screen *screen, enum screen_style style)
{
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "",          [STYLE_GOOD] = "\033[32m", [STYLE_BAD] = "\033[31m",
        [STYLE_DIM] = "\033[2m",     [STYLE_HEAD] = "\033[1m",
    };
    return screen->colour ? sequences[style] : "";
}

const char *screen_plain(const struct screen *screen, enum screen_style style)
{
    return screen->colour && style != STYLE_PLAIN ? "\033[0m" : "";
}

/* Bytes of the well-formed character at the start of `text`, 0 if there is none. */
static size_t character_bytes(struct text text)
{
    for (size_t len = 1; len <= 4 && len <= text.len; len++)
        if (text_valid_utf8((struct text){text.bytes, len}))
            return len;
    return 0;
}

/* Marks that turn the direction of writing, and so can show a name as another one: U+200E, U+200F, U+202A to
 * U+202E, U+2066 to U+2069; and the line separators among them. */
static bool turns_text(const unsigned char *bytes)
{
    return bytes[0] == 0xE2 && ((bytes[1] == 0x80 && (bytes[2] == 0x8E || bytes[2] == 0x8F ||
                                                      (bytes[2] >= 0xA8 && bytes[2] <= 0xAE))) ||
                                (bytes[1] == 0x81 && bytes[2] >= 0xA6 && bytes[2] <= 0xA9));
}

static bool is_control(struct text character)
{
    const unsigned char *bytes = (const unsigned char *)character.bytes;
    return bytes[0] < 0x20 || bytes[0] == 0x7F ||
           (bytes[0] == 0xC2 && character.len == 2 && bytes[1] < 0xA0) ||
           (character.len == 3 && turns_text(bytes));
}

static void append_visibly(struct buf *buf, struct text bytes)
{
    static const char letters[] = {['\n'] = 'n', ['\t'] = 't', ['\r'] = 'r'};
    unsigned char first = (unsigned char)bytes.bytes[0];
    if (bytes.len == 1 && first < sizeof letters && letters[first] != 0) {
        buf_printf(buf, "\\%c", letters[first]);
        return;
    }
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(buf, "\\x%02x", (unsigned char)bytes.bytes[i]);
}

struct text screen_clean(struct text text, struct arena *arena)
{
    struct buf out = {.arena = arena};
    if (text.len == 0)
        return TEXT("");
    while (text.len > 0) {
        size_t len = character_bytes(text);
        struct text character = {text.bytes, len == 0 ? 1 : len};
        if (len == 0 || is_control(character))
            append_visibly(&out, character);
        else
            buf_append(&out, character);
        text = (struct text){text.bytes + character.len, text.len - character.len};
    }
    return buf_text(&out);
}

/* --- width --- */

/* A run of characters that don't take one column, as terminals have it (Unicode's East Asian Width and
 * combining marks, roughly: what a name or a value is likely to hold). */
struct run {
    uint32_t first, last;
    size_t width;
};

static const struct run runs[] = {
    {0x0300, 0x036F, 0},   {0x1100, 0x115F, 2},   {0x200B, 0x200F, 0},   {0x20D0, 0x20FF, 0},
    {0x2E80, 0x303E, 2},   {0x3041, 0xA4CF, 2},   {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},
    {0xFE00, 0xFE0F, 0},   {0xFE30, 0xFE6F, 2},   {0xFF00, 0xFF60, 2},   {0xFFE0, 0xFFE6, 2},
    {0x1F300, 0x1F64F, 2}, {0x1F680, 0x1F6FF, 2}, {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2},
};

/* The columns of the character at the start of a clean text, and its bytes. */
static size_t character_width(struct text text, size_t *bytes)
{
    static const unsigned char mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    *bytes = 1;
    if ((unsigned char)text.bytes[0] < 0x80)
        return 1;
    *bytes = character_bytes(text);
    assert(*bytes > 0);
    uint32_t code = (unsigned char)text.bytes[0] & mask[*bytes];
    for (size_t i = 1; i < *bytes; i++)
        code = code << 6 | ((unsigned char)text.bytes[i] & 0x3F);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        if (code >= runs[i].first && code <= runs[i].last)
            return runs[i].width;
    return 1;
}

/* The bytes of the text's first characters that take at most `width` columns, and how many they take. */
static size_t bytes_within(struct text text, size_t width, size_t *taken)
{
    size_t at = 0;
    *taken = 0;
    while (at < text.len) {
        size_t bytes;
        size_t columns = character_width((struct text){text.bytes + at, text.len - at}, &bytes);
        if (*taken + columns > width)
            break;
        *taken += columns;
        at += bytes;
    }
    return at;
}

size_t screen_width(struct text text)
{
    size_t width;
    bytes_within(text, SIZE_MAX, &width);
    return width;
}

struct text screen_cut(struct text text, size_t width, struct arena *arena)
{
    size_t taken;
    if (bytes_within(text, width, &taken) == text.len)
        return text;
    size_t bytes = bytes_within(text, width == 0 ? 0 : width - 1, &taken);
    return arena_format(arena, TEXT_FMT "\xE2\x80\xA6", (int)bytes, text.bytes);
}

/* --- values --- */

/* Would this string, without its quotes, be taken for a missing one, or for one in quotes? */
static bool seems_missing(struct text text)
{
    return text.len == 0 || text_is(text, "-") || text.bytes[0] == '"';
}

/* Would it be read as something else or seen as less than it is? */
static bool seems_another(struct text text)
{
    if (text.bytes[0] == ' ' || text.bytes[text.len - 1] == ' ')
        return true;
    struct arena arena;
    arena_init(&arena, 1024);
    struct value value;
    bool json = json_parse_value(text, &arena, &arena, &value, NULL);
    arena_fini(&arena);
    return json;
}

struct text screen_value(const struct screen *screen, const struct value *value,
                         struct arena *arena)
{
    if (value->kind == VALUE_STRING &&
        (seems_missing(value->text) || (screen->tables && seems_another(value->text)))) {
        struct buf quoted = {.arena = arena};
        json_string(&quoted, value->text);
        return screen_clean(buf_text(&quoted), arena);
    }
    return screen_clean(value_text(value, arena), arena);
}
