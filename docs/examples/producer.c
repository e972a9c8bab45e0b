/* producer - sends what devices report, each report exactly once, whatever happens to fwsyncd meanwhile.
 *     cc -o producer producer.c $(pkg-config --cflags --libs libfwsync)
 *     ./producer SOURCE <REPORTS        one report a line: DEVICE VERSION
 * Line 17 is event 17 of SOURCE: send the same file again, with new lines at its end, and what was taken before
 * counts as a duplicate. The input may be a pipe that never ends. */
#include <fwsync.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static void rejected(void *context, uint64_t n, const char *event, size_t len, const char *code, const char *error)
{
    (void)context, (void)event, (void)len;
    fprintf(stderr, "line %" PRIu64 ": %s: %s\n", n, code, error);
}

static enum fwsync_code send_line(struct fwsync_client *client, const char *line)
{
    char device[256] = "", version[256] = "";
    sscanf(line, "%255s %255s", device, version);
    const struct fwsync_item item = {.key = "currentFwVer", .string = version};
    const struct fwsync_event event = {
        .device = device, .type = "POST_ATTRIBUTES_REQUEST", .items = &item, .item_count = 1};
    return fwsync_send_event(client, &event, -1); /* waits only while the window is full */
}

static int input_is_idle(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) == 0;
}

int main(int argc, char **argv)
{
    const struct fwsync_options options = {.events = getenv("FWSYNC_EVENTS"), .first_n = 1,
                                           .source = argc > 1 ? argv[1] : "producer",
                                           .on_rejected = rejected};
    struct fwsync_client *client = NULL;
    enum fwsync_code code = fwsync_open(&options, &client);
    char line[1024];
    while (code == FWSYNC_OK && fgets(line, sizeof line, stdin) != NULL) {
        code = send_line(client, line);
        if (code == FWSYNC_OK && input_is_idle()) /* all on disk before we wait for more */
            code = fwsync_flush(client, -1);
    }
    if (code == FWSYNC_OK)
        code = fwsync_flush(client, -1);
    if (code != FWSYNC_OK) {
        fprintf(stderr, "producer: %s\n", fwsync_last_error(client));
        return 1;
    }
    struct fwsync_counts counts;
    fwsync_counts(client, &counts);
    printf("accepted %" PRIu64 ", sent before %" PRIu64 ", rejected %" PRIu64 "\n", counts.accepted,
           counts.duplicates, counts.rejected);
    fwsync_close(client);
    return 0;
}
