#include "engine/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048, QUOTE_BYTES = 512, QUOTE_INPUT_MAX = 400, QUOTE_SLOTS = 4 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Atomic enum log_level log_level = LOG_INFO;

void log_set_level(enum log_level level)
{
    log_level = level;
}

static size_t stamp(char *line, size_t bytes)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(line, bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    return len + (size_t)snprintf(line + len, bytes - len, ".%03ldZ", now.tv_nsec / 1000000);
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    if (level > log_level)
        return;
    char line[LINE_BYTES];
    size_t room = sizeof line - 1; /* for the newline */
    size_t len = stamp(line, room);
    len += (size_t)snprintf(line + len, room - len, " %s %s", level_names[level], event);
    if (format[0] != '\0') {
        line[len++] = ' ';
        va_list args;
        va_start(args, format);
        int more = vsnprintf(line + len, room - len, format, args);
        va_end(args);
        len = more < 0 ? len : (size_t)more < room - len ? len + (size_t)more : room - 1;
    }
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* a log that can't be written has nowhere to say so */
}

const char *log_quote(const char *text)
{
    static _Thread_local char slots[QUOTE_SLOTS][QUOTE_BYTES];
    static _Thread_local unsigned next;
    char *slot = slots[next++ % QUOTE_SLOTS];
    size_t out = 0;
    slot[out++] = '"';
    for (size_t i = 0; i < QUOTE_INPUT_MAX && out < QUOTE_BYTES - 3 && text[i] != '\0'; i++) {
        if (text[i] == '"' || text[i] == '\\')
            slot[out++] = '\\';
        slot[out++] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    }
    slot[out++] = '"';
    slot[out] = '\0';
    return slot;
}
