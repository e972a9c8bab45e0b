#include "engine/service/subscriptions.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "engine/service/results.h"

enum { PREFIX_COUNT_MAX = 256 };

static const struct text batch = {RESULTS_BATCH_PREFIX, sizeof RESULTS_BATCH_PREFIX - 1};

/* Prefixes with the same part before '/' are one entry: they want the same classes. */
struct prefix {
    char bytes[CLASS_NAME_BYTES_MAX];
    size_t len;
    bool whole; /* a '/' followed: exactly this class */
    unsigned count;
};

struct class_name {
    char bytes[CLASS_NAME_BYTES_MAX];
    size_t len;
};

/* What is listened to in one form. */
struct wishes {
    struct prefix prefixes[PREFIX_COUNT_MAX];
    size_t prefix_count;
    bool everything; /* more kinds of prefixes than we tell apart: write all results out */
    atomic_uint_fast64_t wanted; /* bit per class slot */
    atomic_bool any;             /* for the classes beyond */
};

struct subscriptions {
    pthread_mutex_t mutex; /* of everything but `wanted` and `any` */
    struct class_name classes[CLASS_COUNT_MAX];
    unsigned class_count;
    struct wishes single;
    struct wishes batched;
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

static void update_wanted(struct subscriptions *subscriptions, struct wishes *wishes)
{
    uint64_t wanted = 0;
    for (unsigned slot = 0; slot < subscriptions->class_count; slot++) {
        bool any = wishes->everything;
        for (size_t i = 0; i < wishes->prefix_count && !any; i++)
            any = prefix_wants(&wishes->prefixes[i], &subscriptions->classes[slot]);
        wanted |= (uint64_t)any << slot;
    }
    atomic_store(&wishes->wanted, wanted);
    atomic_store(&wishes->any, wishes->everything || wishes->prefix_count > 0);
}

static void change_prefix(struct wishes *wishes, struct text name, bool whole, bool on)
{
    size_t i = 0;
    for (; i < wishes->prefix_count; i++) {
        struct prefix *prefix = &wishes->prefixes[i];
        if (prefix->whole == whole && text_equal(name, (struct text){prefix->bytes, prefix->len}))
            break;
    }
    struct prefix *prefix = &wishes->prefixes[i];
    if (i < wishes->prefix_count) {
        prefix->count += on ? 1u : -1u;
        if (prefix->count == 0)
            *prefix = wishes->prefixes[--wishes->prefix_count];
    } else if (on && i == PREFIX_COUNT_MAX) {
        wishes->everything = true;
    } else if (on) {
        *prefix = (struct prefix){.len = name.len, .whole = whole, .count = 1};
        memcpy(prefix->bytes, name.bytes, name.len);
        wishes->prefix_count++;
    }
}

void subscriptions_change(struct subscriptions *subscriptions, struct text prefix, bool on)
{
    bool batched = text_starts(prefix, batch);
    struct wishes *wishes = batched ? &subscriptions->batched : &subscriptions->single;
    if (batched)
        prefix = (struct text){prefix.bytes + batch.len, prefix.len - batch.len};
    const char *slash = memchr(prefix.bytes, '/', prefix.len);
    struct text name = {prefix.bytes, slash == NULL ? prefix.len : (size_t)(slash - prefix.bytes)};
    if (name.len > CLASS_NAME_BYTES_MAX || (batched && slash != NULL))
        return; /* longer than any class, or any topic of batches: nothing matches */
    pthread_mutex_lock(&subscriptions->mutex);
    change_prefix(wishes, name, slash != NULL, on);
    update_wanted(subscriptions, wishes);
    pthread_mutex_unlock(&subscriptions->mutex);
}

unsigned subscriptions_class(struct subscriptions *subscriptions, struct text class_name)
{
    assert(class_name.len > 0 && class_name.len <= CLASS_NAME_BYTES_MAX);
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
        update_wanted(subscriptions, &subscriptions->single);
        update_wanted(subscriptions, &subscriptions->batched);
    }
    pthread_mutex_unlock(&subscriptions->mutex);
    return slot;
}

static bool has_slot(const struct wishes *wishes, unsigned slot)
{
    if (slot == CLASS_COUNT_MAX)
        return atomic_load_explicit(&wishes->any, memory_order_relaxed);
    return (atomic_load_explicit(&wishes->wanted, memory_order_relaxed) >> slot & 1) != 0;
}

unsigned subscriptions_wanted(const struct subscriptions *subscriptions, unsigned slot)
{
    return (has_slot(&subscriptions->single, slot) ? WANTED_SINGLE : 0u) |
           (has_slot(&subscriptions->batched, slot) ? WANTED_BATCHED : 0u);
}
