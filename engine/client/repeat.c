#include "engine/client/repeat.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/client/interrupt.h"
#include "engine/client/when.h"

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
static void draw(const struct setup *setup, const struct frame *frame)
{
    char now[WHEN_BYTES];
    int rows_left = setup->screen.rows - 1;
    when_clock(clock_wall_ms(), now);
    printf("\033[H%s%s, each second; Ctrl-C ends%s\033[K", screen_style(&setup->screen, STYLE_DIM), now,
           screen_plain(&setup->screen, STYLE_DIM));
    draw_lines(frame->out, &rows_left);
    draw_lines(frame->err, &rows_left);
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* --- in a pipe --- */

static void print_changed(const struct frame *frame, const struct frame *last)
{
    if (last->out != NULL && strcmp(frame->out, last->out) == 0 && strcmp(frame->err, last->err) == 0)
        return;
    fputs(frame->out, stdout);
    fflush(stdout);
    fputs(frame->err, stderr);
}

/* --- both --- */

static void sleep_a_while(void)
{
    struct pollfd item = {.fd = interrupt_fd(), .events = POLLIN};
    poll(&item, 1, INTERVAL_MS);
}

static int repeat_until_interrupted(const struct setup *setup, struct frame *frame,
                                    int (*once)(const struct setup *setup, void *context),
                                    void *context)
{
    struct setup now = *setup;
    struct frame last = {.out = NULL};
    for (;;) {
        if (now.screen.draws)
            draw(&now, frame);
        else
            print_changed(frame, &last);
        frame_fini(&last);
        last = *frame;
        sleep_a_while();
        if (interrupted() || ferror(stdout))
            break;
        now.screen = screen_detect(STDOUT_FILENO); /* its size may be another one */
        *frame = take_frame(&now, once, context);
    }
    *frame = last;
    return interrupted() ? EXIT_INTERRUPTED : EXIT_ERROR;
}

int repeat(const struct setup *setup, int (*once)(const struct setup *setup, void *context),
           void *context)
{
    if (!setup->watch)
        return once(setup, context);
    struct frame frame = take_frame(setup, once, context);
    int exit_code = frame.exit_code;
    if (exit_code != EXIT_DONE) {
        print_changed(&frame, &(struct frame){.out = NULL});
        frame_fini(&frame);
        return exit_code;
    }
    if (setup->screen.draws)
        enter_screen();
    exit_code = repeat_until_interrupted(setup, &frame, once, context);
    if (setup->screen.draws)
        leave_screen();
    frame_fini(&frame);
    return exit_code;
}
