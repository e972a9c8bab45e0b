#include "engine/service/work.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum owner {
    OWNER_BUSY,    /* will look again by itself */
    OWNER_WAITING, /* found nothing; the next push wakes it */
    OWNER_WOKEN,   /* the descriptor is readable, or about to be */
};

struct queue {
    pthread_mutex_t mutex;
    struct work *first;
    struct work **last;
    enum owner owner;
    int fd; /* eventfd */
};

void shared_hold(struct shared *shared, unsigned count)
{
    atomic_store(&shared->holders, count);
    for (unsigned i = 0; i < count; i++)
        shared->shares[i] = (struct share){.work.kind = WORK_SHARE, .of = shared};
}

bool shared_let_go(struct shared *shared)
{
    return atomic_load(&shared->holders) == 0 || atomic_fetch_sub(&shared->holders, 1) == 1;
}

struct queue *queue_create(void)
{
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL || (queue->fd = eventfd(0, EFD_CLOEXEC)) < 0) {
        perror("queue");
        abort();
    }
    pthread_mutex_init(&queue->mutex, NULL);
    queue->last = &queue->first;
    queue->owner = OWNER_WAITING;
    return queue;
}

void queue_destroy(struct queue *queue)
{
    if (queue == NULL)
        return;
    assert(queue->first == NULL);
    close(queue->fd);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

bool queue_add(struct queue *queue, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&queue->mutex);
    *queue->last = work;
    queue->last = &work->next;
    bool wake = queue->owner == OWNER_WAITING;
    if (wake)
        queue->owner = OWNER_WOKEN;
    pthread_mutex_unlock(&queue->mutex);
    return wake;
}

void queue_wake(struct queue *queue)
{
    ssize_t written = write(queue->fd, &(uint64_t){1}, sizeof(uint64_t));
    assert(written == sizeof(uint64_t));
}

void queue_push(struct queue *queue, struct work *work)
{
    if (queue_add(queue, work))
        queue_wake(queue);
}

static struct work *take_all(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct work *first = queue->first;
    queue->first = NULL;
    queue->last = &queue->first;
    bool woken = queue->owner == OWNER_WOKEN;
    queue->owner = first == NULL ? OWNER_WAITING : OWNER_BUSY;
    pthread_mutex_unlock(&queue->mutex);
    if (woken) { /* one write for it was done, or is about to be: the read waits for it */
        uint64_t count;
        while (read(queue->fd, &count, sizeof count) < 0)
            assert(errno == EINTR);
    }
    return first;
}

struct work *queue_take(struct queue *queue, int timeout_ms)
{
    struct work *work = take_all(queue);
    while (work == NULL && timeout_ms != 0) {
        struct pollfd ready = {.fd = queue->fd, .events = POLLIN};
        if (poll(&ready, 1, timeout_ms) <= 0)
            return NULL; /* timed out; EINTR counts as that, the caller looks at its clock anyway */
        work = take_all(queue);
    }
    return work;
}

int queue_fd(const struct queue *queue)
{
    return queue->fd;
}
