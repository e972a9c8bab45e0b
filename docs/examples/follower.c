/* follower - prints what every device runs, and every change of its firmware's verdict from then on.
 *
 *     cc -o follower follower.c $(pkg-config --cflags --libs libfwsync)
 *     ./follower
 *
 * The library does what is hard: after a slow spell, a broken connection or a restart of fwsyncd it asks for what
 * it missed, or, when that is no longer kept, begins again with all devices. */
#include <fwsync.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(const char *device, const struct fwsync_attribute *attribute)
{
    static const char *const keys[] = {"currentFwVer", "fwSyncState", "fwSyncReason"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(attribute->key, keys[i]) == 0)
            printf("%s %s=%s\n", device, keys[i], attribute->value != NULL ? attribute->value : "(deleted)");
}

static int on_snapshot_begin(void *context, uint64_t seq)
{
    (void)context;
    printf("as of event %llu:\n", (unsigned long long)seq); /* forget what you have; here it comes anew */
    return 0;
}

static int on_device(void *context, const struct fwsync_device *device)
{
    (void)context;
    for (size_t i = 0; i < device->attribute_count; i++)
        show(device->device, &device->attributes[i]);
    return 0;
}

static int on_change(void *context, const struct fwsync_change *change)
{
    (void)context;
    show(change->device, &change->attribute);
    return 0; /* anything else stops */
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct fwsync_options options = {.query = getenv("FWSYNC_QUERY"), .results = getenv("FWSYNC_RESULTS")};
    const struct fwsync_follow follow = {
        .on_snapshot_begin = on_snapshot_begin, .on_device = on_device, .on_change = on_change};
    struct fwsync_follower *follower = NULL;
    enum fwsync_code code = fwsync_follow(&options, &follow, &follower);
    while (code == FWSYNC_OK)
        code = fwsync_follower_process(follower, -1);
    fprintf(stderr, "follower: %s\n", fwsync_strerror(code));
    fwsync_follower_close(follower);
    return 1;
}
