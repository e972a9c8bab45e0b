#include "engine/client/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/json.h"

enum { COLUMNS_DEFAULT = 80, COLUMNS_MIN = 20 };

static bool environment_says(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0';
}

static int terminal_columns(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
}

struct screen screen_detect(int fd)
{
    bool terminal = isatty(fd);
    const char *term = getenv("TERM");
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    return (struct screen){
        .tables = terminal || environment_says("FWSYNC_TABLE"),
        .colour = terminal && !dumb && !environment_says("NO_COLOR"),
        .columns = terminal ? terminal_columns(fd) : 0,
    };
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

static bool is_control(struct text character)
{
    unsigned char first = (unsigned char)character.bytes[0];
    return first < 0x20 || first == 0x7F ||
           (first == 0xC2 && character.len == 2 && (unsigned char)character.bytes[1] < 0xA0);
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

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

size_t screen_width(struct text text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.len; i++)
        width += starts_character(text.bytes[i]);
    return width;
}

struct text screen_cut(struct text text, size_t width, struct arena *arena)
{
    if (screen_width(text) <= width)
        return text;
    size_t kept = 0, bytes = 0;
    while (bytes < text.len && (kept < width || !starts_character(text.bytes[bytes]))) {
        if (starts_character(text.bytes[bytes]) && ++kept == width)
            break;
        bytes++;
    }
    return arena_format(arena, TEXT_FMT "\xE2\x80\xA6", (int)bytes, text.bytes);
}

/* Would this string, without its quotes, be read as something else or seen as less than it is? */
static bool needs_quotes(struct text text)
{
    if (text.len == 0 || text.bytes[0] == ' ' || text.bytes[text.len - 1] == ' ')
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
    if (value->kind == VALUE_STRING && screen->tables && needs_quotes(value->text)) {
        struct buf quoted = {.arena = arena};
        json_string(&quoted, value->text);
        return screen_clean(buf_text(&quoted), arena);
    }
    return screen_clean(value_text(value, arena), arena);
}
