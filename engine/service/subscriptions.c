#include "engine/service/subscriptions.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/limits.h"

enum { CLASS_BYTES_MAX = 64, PREFIX_COUNT_MAX = 256 };

/* Prefixes with the same part before '/' are one entry: they want the same classes. */
struct prefix {
    char bytes[CLASS_BYTES_MAX];
    size_t len;
    bool whole; /* a '/' followed: exactly this class */
    unsigned count;
};

struct class_name {
    char bytes[CLASS_BYTES_MAX];
    size_t len;
};

struct subscriptions {
    pthread_mutex_t mutex; /* of everything but `wanted` */
    struct class_name classes[CLASS_COUNT_MAX];
    unsigned class_count;
    struct prefix prefixes[PREFIX_COUNT_MAX];
    size_t prefix_count;
    bool everything; /* more kinds of prefixes than we tell apart: write all results out */
    atomic_uint_fast64_t wanted; /* bit per class slot */
};
_Static_assert(CLASS_COUNT_MAX <= 64, "a bit per class");

struct subscriptions *subscriptions_create(void)
{
    struct subscriptions *subscriptions = calloc(1, sizeof *subscriptions);
    if (subscriptions == NULL)
        abort();
    pthread_mutex_init(&subscriptions->mutex, NULL);
    return subscriptions;
}

void subscriptions_destroy(struct subscriptions *subscriptions)
{
    if (subscriptions == NULL)
        return;
    pthread_mutex_destroy(&subscriptions->mutex);
    free(subscriptions);
}

static bool prefix_wants(const struct prefix *prefix, const struct class_name *class_name)
{
    struct text wanted = {prefix->bytes, prefix->len};
    struct text name = {class_name->bytes, class_name->len};
    return prefix->whole ? text_equal(wanted, name) : text_starts(name, wanted);
}

static void update_wanted(struct subscriptions *subscriptions)
{
    uint64_t wanted = 0;
    for (unsigned slot = 0; slot < subscriptions->class_count; slot++) {
        bool any = subscriptions->everything;
        for (size_t i = 0; i < subscriptions->prefix_count && !any; i++)
            any = prefix_wants(&subscriptions->prefixes[i], &subscriptions->classes[slot]);
        wanted |= (uint64_t)any << slot;
    }
    atomic_store(&subscriptions->wanted, wanted);
}

static void change_prefix(struct subscriptions *subscriptions, struct text name, bool whole, bool on)
{
    size_t i = 0;
    for (; i < subscriptions->prefix_count; i++) {
        struct prefix *prefix = &subscriptions->prefixes[i];
        if (prefix->whole == whole && text_equal(name, (struct text){prefix->bytes, prefix->len}))
            break;
    }
    struct prefix *prefix = &subscriptions->prefixes[i];
    if (i < subscriptions->prefix_count) {
        prefix->count += on ? 1u : -1u;
        if (prefix->count == 0)
            *prefix = subscriptions->prefixes[--subscriptions->prefix_count];
    } else if (on && i == PREFIX_COUNT_MAX) {
        subscriptions->everything = true;
    } else if (on) {
        *prefix = (struct prefix){.len = name.len, .whole = whole, .count = 1};
        memcpy(prefix->bytes, name.bytes, name.len);
        subscriptions->prefix_count++;
    }
}

void subscriptions_change(struct subscriptions *subscriptions, struct text prefix, bool on)
{
    const char *slash = memchr(prefix.bytes, '/', prefix.len);
    struct text name = {prefix.bytes, slash == NULL ? prefix.len : (size_t)(slash - prefix.bytes)};
    if (name.len > CLASS_BYTES_MAX)
        return; /* longer than any class: nothing matches */
    pthread_mutex_lock(&subscriptions->mutex);
    change_prefix(subscriptions, name, slash != NULL, on);
    update_wanted(subscriptions);
    pthread_mutex_unlock(&subscriptions->mutex);
}

unsigned subscriptions_class(struct subscriptions *subscriptions, struct text class_name)
{
    assert(class_name.len > 0 && class_name.len <= CLASS_BYTES_MAX);
    pthread_mutex_lock(&subscriptions->mutex);
    unsigned slot = 0;
    while (slot < subscriptions->class_count &&
           !text_equal(class_name, (struct text){subscriptions->classes[slot].bytes,
                                                 subscriptions->classes[slot].len}))
        slot++;
    if (slot == subscriptions->class_count && slot < CLASS_COUNT_MAX) {
        subscriptions->class_count++;
        subscriptions->classes[slot].len = class_name.len;
        memcpy(subscriptions->classes[slot].bytes, class_name.bytes, class_name.len);
        update_wanted(subscriptions);
    }
    pthread_mutex_unlock(&subscriptions->mutex);
    return slot;
}

bool subscriptions_wanted(const struct subscriptions *subscriptions, unsigned slot)
{
    return slot == CLASS_COUNT_MAX ||
           (atomic_load_explicit(&subscriptions->wanted, memory_order_relaxed) >> slot & 1) != 0;
}
