#include "engine/tool/line_reader.h"

#include <errno.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

void line_reader_init(struct line_reader *reader, int fd, size_t line_bytes_max)
{
    *reader = (struct line_reader){.fd = fd, .line_bytes_max = line_bytes_max};
}

void line_reader_fini(struct line_reader *reader)
{
    buf_fini(&reader->buf);
}

static void drop_handed_out(struct line_reader *reader)
{
    if (reader->at == 0)
        return;
    reader->buf.len -= reader->at;
    memmove(reader->buf.bytes, reader->buf.bytes + reader->at, reader->buf.len);
    reader->at = 0;
}

void line_reader_fill(struct line_reader *reader)
{
    if (reader->ended)
        return;
    drop_handed_out(reader);
    char *room = buf_room(&reader->buf, READ_BYTES);
    ssize_t count = read(reader->fd, room, READ_BYTES);
    if (count > 0) {
        reader->buf.len += (size_t)count;
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
        reader->ended = true;
        reader->error = count == 0 ? 0 : errno;
    }
}

/* The bytes up to the next line's end; false if the line isn't complete. */
static bool cut_line(struct line_reader *reader, struct text *line)
{
    if (reader->at == reader->buf.len)
        return false;
    struct text rest = {reader->buf.bytes + reader->at, reader->buf.len - reader->at};
    const char *end = memchr(rest.bytes, '\n', rest.len);
    if (end == NULL && !reader->ended)
        return false;
    *line = (struct text){rest.bytes, end == NULL ? rest.len : (size_t)(end - rest.bytes)};
    reader->at += line->len + (end != NULL);
    if (line->len > 0 && line->bytes[line->len - 1] == '\r')
        line->len--;
    return true;
}

enum line_kind line_reader_next(struct line_reader *reader, struct text *line)
{
    while (cut_line(reader, line)) {
        if (reader->skipping) {
            reader->skipping = false; /* this was its rest */
            continue;
        }
        reader->line++;
        if (line->len <= reader->line_bytes_max)
            return LINE_WHOLE;
        *line = TEXT("");
        return LINE_TOO_LONG;
    }
    if (reader->buf.len - reader->at <= reader->line_bytes_max && !reader->skipping)
        return LINE_NONE;
    bool first = !reader->skipping;
    *line = TEXT("");
    reader->skipping = true;
    reader->at = reader->buf.len;
    reader->line += first;
    return first ? LINE_TOO_LONG : LINE_NONE;
}
