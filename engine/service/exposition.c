#include "engine/service/exposition.h"

enum { POWER_MIN = 4 }; /* the shortest bucket that is shown: 16 us */

void exposition_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_label_value(struct buf *out, struct text value)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.bytes[i];
        if (byte == '"' || byte == '\\' || byte == '\n')
            buf_byte(out, '\\');
        buf_byte(out, byte == '\n' ? 'n' : byte);
    }
    buf_byte(out, '"');
}

void exposition_count(struct buf *out, const char *name, const struct label *labels, size_t label_count,
                      uint64_t count)
{
    buf_append(out, text_of(name));
    for (size_t i = 0; i < label_count; i++) {
        buf_printf(out, "%c%s=", i == 0 ? '{' : ',', labels[i].name);
        write_label_value(out, labels[i].value);
    }
    if (label_count > 0)
        buf_byte(out, '}');
    buf_byte(out, ' ');
    buf_unsigned(out, count);
    buf_byte(out, '\n');
}

void exposition_number(struct buf *out, const char *name, double number)
{
    buf_printf(out, "%s %.13g\n", name, number);
}

void exposition_histogram(struct buf *out, const char *name, const char *help,
                          const struct histogram_view *view)
{
    exposition_family(out, name, "histogram", help);
    for (unsigned power = POWER_MIN; power <= HISTOGRAM_POWER_MAX; power++)
        buf_printf(out, "%s_bucket{le=\"%.9g\"} %llu\n", name, (double)(1ull << power) / 1e6,
                   (unsigned long long)histogram_up_to(view, power));
    unsigned long long count = view->count;
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name, count, name,
               view->sum_s, name, count);
}
