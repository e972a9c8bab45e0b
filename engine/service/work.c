#include "engine/service/work.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t mutex;
    struct work *first;
    struct work **last;
    int fd; /* eventfd: 1 when something was pushed on an empty queue */
};

struct queue *queue_create(void)
{
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL || (queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
        perror("queue");
        abort();
    }
    pthread_mutex_init(&queue->mutex, NULL);
    queue->last = &queue->first;
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

void queue_push(struct queue *queue, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&queue->mutex);
    bool was_empty = queue->first == NULL;
    *queue->last = work;
    queue->last = &work->next;
    pthread_mutex_unlock(&queue->mutex);
    if (was_empty) {
        ssize_t written = write(queue->fd, &(uint64_t){1}, sizeof(uint64_t));
        assert(written == sizeof(uint64_t));
    }
}

static struct work *take_all(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct work *first = queue->first;
    queue->first = NULL;
    queue->last = &queue->first;
    pthread_mutex_unlock(&queue->mutex);
    return first;
}

static void drain_fd(struct queue *queue)
{
    uint64_t count;
    ssize_t drained = read(queue->fd, &count, sizeof count);
    (void)drained; /* EAGAIN: it was drained already */
}

struct work *queue_take(struct queue *queue, int timeout_ms)
{
    struct work *work = take_all(queue);
    while (work == NULL) {
        struct pollfd ready = {.fd = queue->fd, .events = POLLIN};
        if (timeout_ms != 0 && poll(&ready, 1, timeout_ms) <= 0)
            return NULL; /* timed out; EINTR counts as that, the caller looks at its clock anyway */
        drain_fd(queue);
        work = take_all(queue);
        if (timeout_ms >= 0)
            break;
    }
    return work;
}

int queue_fd(const struct queue *queue)
{
    return queue->fd;
}
