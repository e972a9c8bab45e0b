/* line_reader.h - lines from a file descriptor that may stall, without waiting and without a line
 * growing beyond its bound. */
#ifndef TOOL_LINE_READER_H
#define TOOL_LINE_READER_H

#include "engine/base/buf.h"

struct line_reader {
    int fd;
    size_t line_bytes_max;
    struct buf buf;
    size_t at;         /* bytes before it were handed out */
    uint64_t line;     /* number of the line handed out last, from 1 */
    bool skipping;     /* inside a line that was too long */
    bool ended;        /* end of input, or an error */
    int error;         /* errno, 0 if none */
};

void line_reader_init(struct line_reader *reader, int fd, size_t line_bytes_max);
void line_reader_fini(struct line_reader *reader);

/* line_reader_fill - read what is there, once; call it when the descriptor is readable. */
void line_reader_fill(struct line_reader *reader);

enum line_kind { LINE_NONE, LINE_WHOLE, LINE_TOO_LONG };

/* line_reader_next - the next whole line without its end (\n or \r\n), borrowed until the next fill; the
 * last one may lack its end. One that is too long is announced once, as an empty text, and skipped. */
enum line_kind line_reader_next(struct line_reader *reader, struct text *line);

#endif
