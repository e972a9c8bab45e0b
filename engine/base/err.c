#include "engine/base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/text.h"

static const char *const code_names[] = {
    [ERR_NONE] = "ok",
    [ERR_BAD_JSON] = "bad-json",
    [ERR_BAD_EVENT] = "bad-event",
    [ERR_BAD_QUERY] = "bad-query",
    [ERR_TOO_LARGE] = "too-large",
    [ERR_LIMIT] = "limit",
    [ERR_NOT_FOUND] = "not-found",
    [ERR_GONE] = "gone",
    [ERR_BUSY] = "busy",
    [ERR_FULL] = "full",
    [ERR_STORE] = "store",
    [ERR_DAMAGED] = "damaged",
    [ERR_IN_USE] = "in-use",
    [ERR_CONFIG] = "config",
    [ERR_RULE] = "rule",
    [ERR_IO] = "io",
    [ERR_TIMEOUT] = "timeout",
};
_Static_assert(sizeof code_names / sizeof code_names[0] == ERR_CODE_COUNT, "name every code");

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    assert(code > ERR_NONE && code < ERR_CODE_COUNT);
    if (err == NULL)
        return false;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    text_to_line(err->text);
    return false;
}

bool err_context(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return false;
    char inner[ERR_TEXT_BYTES];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, "%s", inner);
    text_to_line(err->text);
    return false;
}

const char *err_code_name(enum err_code code)
{
    assert(code < ERR_CODE_COUNT);
    return code_names[code];
}
