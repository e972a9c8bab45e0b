/* log.h - one line per happening on standard error: time, level, event name, key=value pairs.
 *
 *     2026-11-21T05:13:00.123Z info checkpoint seq=503 ms=12
 *
 * Any thread; a line is one write(2). Values with spaces or quotes come quoted. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* log_set_level - lines above the level are not written. Before threads start. Default LOG_INFO. */
void log_set_level(enum log_level level);

/* log_line - `event` is a short word; format gives "key=value key=value"; quote with log_quote. */
void log_line(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* log_quote - `text` in double quotes with escapes, in one of a few buffers of this thread (valid for
 * the next three calls); cut after 400 bytes. */
const char *log_quote(const char *text);

#endif
