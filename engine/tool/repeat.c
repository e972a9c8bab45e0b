#include "engine/tool/repeat.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/when.h"

enum { INTERVAL_MS = 1000 };

/* What one run printed. */
struct frame {
    char *out;
    char *err;
    int exit_code;
};

static void frame_fini(struct frame *frame)
{
    free(frame->out);
    free(frame->err);
}

static FILE *open_memory(char **text, size_t *bytes)
{
    FILE *file = open_memstream(text, bytes);
    if (file == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return file;
}

/* glibc's standard streams are variables: whatever prints, prints into memory meanwhile. */
static struct frame take_frame(const struct setup *setup,
                               int (*once)(const struct setup *setup, void *context), void *context)
{
    struct frame frame = {.out = NULL};
    size_t out_bytes, err_bytes;
    FILE *out = stdout, *err = stderr;
    stdout = open_memory(&frame.out, &out_bytes);
    stderr = open_memory(&frame.err, &err_bytes);
    frame.exit_code = once(setup, context);
    fclose(stdout);
    fclose(stderr);
    stdout = out;
    stderr = err;
    return frame;
}

/* The last good output, and what came of asking again. */
struct repeated {
    struct frame frame;
    int64_t answered_ms; /* when it came */
    char *trouble;       /* NULL, or what is wrong since then, for standard error */
    bool changed;        /* the output did, or trouble began */
    bool recovered;      /* trouble ended */
};

static void repeated_fini(struct repeated *repeated)
{
    frame_fini(&repeated->frame);
    free(repeated->trouble);
}

static void take_trouble(struct repeated *repeated, const char *why)
{
    char when[WHEN_BYTES];
    struct buf text = {.bytes = NULL};
    when_clock(repeated->answered_ms, when);
    buf_printf(&text, "%sno answer since %s, trying again\n", why, when);
    repeated->changed = repeated->trouble == NULL;
    repeated->recovered = false;
    free(repeated->trouble);
    repeated->trouble = strndup(text.bytes, text.len);
    buf_fini(&text);
}

/* With --json an error stands in the output; what it would say is left out then. */
static void take_again(struct repeated *repeated, struct frame frame)
{
    struct frame *last = &repeated->frame;
    if (frame.exit_code != EXIT_DONE) {
        take_trouble(repeated, frame.err);
        frame_fini(&frame);
        return;
    }
    repeated->changed = strcmp(frame.out, last->out) != 0 || strcmp(frame.err, last->err) != 0;
    repeated->recovered = repeated->trouble != NULL;
    repeated->answered_ms = clock_wall_ms();
    free(repeated->trouble);
    repeated->trouble = NULL;
    frame_fini(last);
    *last = frame;
}

/* --- on a terminal --- */

/* The alternate screen, without a cursor, and lines that are cut at its edge. */
static void enter_screen(void)
{
    fputs("\033[?1049h\033[?25l\033[?7l", stdout);
}

static void leave_screen(void)
{
    fputs("\033[?7h\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

static void draw_lines(const char *text, int *rows_left)
{
    while (*text != '\0' && *rows_left > 0) {
        size_t len = strcspn(text, "\n");
        printf("\r\n%.*s\033[K", (int)len, text);
        text += len + (text[len] == '\n');
        --*rows_left;
    }
}

/* Over the frame before, without clearing it first, which would flicker. */
static void draw(const struct setup *setup, const struct repeated *repeated)
{
    char now[WHEN_BYTES];
    int rows_left = setup->screen.rows - 1;
    when_clock(clock_wall_ms(), now);
    printf("\033[H%s%s, each second; Ctrl-C ends%s\033[K", screen_style(&setup->screen, STYLE_DIM), now,
           screen_plain(&setup->screen, STYLE_DIM));
    if (repeated->trouble != NULL)
        draw_lines(repeated->trouble, &rows_left);
    draw_lines(repeated->frame.out, &rows_left);
    draw_lines(repeated->frame.err, &rows_left);
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* --- in a pipe --- */

static void print_changed(const struct repeated *repeated)
{
    if (repeated->recovered)
        fputs("answered again\n", stderr);
    if (!repeated->changed)
        return;
    if (repeated->trouble != NULL) {
        fputs(repeated->trouble, stderr);
        return;
    }
    fputs(repeated->frame.out, stdout);
    fflush(stdout);
    fputs(repeated->frame.err, stderr);
}

/* --- both --- */

static void sleep_a_while(void)
{
    struct pollfd item = {.fd = interrupt_fd(), .events = POLLIN};
    poll(&item, 1, INTERVAL_MS);
}

static int repeat_until_interrupted(const struct setup *setup, struct repeated *repeated,
                                    int (*once)(const struct setup *setup, void *context),
                                    void *context)
{
    struct setup now = *setup;
    for (;;) {
        if (now.screen.draws)
            draw(&now, repeated);
        else
            print_changed(repeated);
        sleep_a_while();
        if (interrupted() || ferror(stdout))
            break;
        now.screen = screen_detect(STDOUT_FILENO); /* its size may be another one */
        struct frame frame = take_frame(&now, once, context);
        if (interrupted()) { /* that is no trouble */
            frame_fini(&frame);
            break;
        }
        take_again(repeated, frame);
    }
    return interrupted() ? EXIT_INTERRUPTED : EXIT_ERROR;
}

int repeat(const struct setup *setup, int (*once)(const struct setup *setup, void *context),
           void *context)
{
    if (!setup->watch)
        return once(setup, context);
    struct repeated repeated = {
        .answered_ms = clock_wall_ms(),
        .changed = true,
        .frame = take_frame(setup, once, context),
    };
    int exit_code = repeated.frame.exit_code;
    if (exit_code == EXIT_DONE) {
        if (setup->screen.draws)
            enter_screen();
        exit_code = repeat_until_interrupted(setup, &repeated, once, context);
        if (setup->screen.draws)
            leave_screen();
    } else {
        print_changed(&repeated);
    }
    repeated_fini(&repeated);
    return exit_code;
}
