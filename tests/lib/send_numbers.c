/* send_numbers EVENTS COUNT DEVICES - for tests: sends COUNT numbered reports, round and round the devices,
 * and prints a line with what is settled whenever that has grown by a hundredth. In the end one with the counts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/client/fwsync.h"

static int fail(struct fwsync_client *client, enum fwsync_code code)
{
    fprintf(stderr, "%s: %s\n", fwsync_strerror(code), fwsync_last_error(client));
    fwsync_close(client);
    return 1;
}

static void print_settled(const struct fwsync_client *client, uint64_t count)
{
    static uint64_t printed;
    uint64_t settled = fwsync_settled(client);
    if (settled < printed + count / 100)
        return;
    printf("settled %" PRIu64 "\n", settled);
    fflush(stdout);
    printed = settled;
}

static enum fwsync_code send_one(struct fwsync_client *client, uint64_t number, uint64_t devices)
{
    char device[32], value[32];
    snprintf(device, sizeof device, "d%" PRIu64, number % devices);
    snprintf(value, sizeof value, "%" PRIu64, number);
    const struct fwsync_item item = {"counter", NULL, value};
    const struct fwsync_event event = {
        .device = device, .type = "POST_ATTRIBUTES_REQUEST", .items = &item, .item_count = 1};
    return fwsync_send_event(client, &event, -1);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uint64_t count = strtoull(argv[2], NULL, 10), devices = strtoull(argv[3], NULL, 10);
    struct fwsync_options options = {.events = argv[1], .window_events = count / 50 + 1};
    struct fwsync_client *client;
    enum fwsync_code code = fwsync_open(&options, &client);
    for (uint64_t number = 1; code == FWSYNC_OK && number <= count; number++) {
        code = send_one(client, number, devices);
        if (code == FWSYNC_OK)
            print_settled(client, count);
    }
    if (code == FWSYNC_OK)
        code = fwsync_flush(client, -1);
    if (code != FWSYNC_OK)
        return fail(client, code);
    struct fwsync_counts counts;
    fwsync_counts(client, &counts);
    printf("{\"accepted\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"resends\":%" PRIu64
           ",\"settled\":%" PRIu64 "}\n",
           counts.accepted, counts.duplicates, counts.rejected, counts.resends, fwsync_settled(client));
    fwsync_close(client);
    return 0;
}
