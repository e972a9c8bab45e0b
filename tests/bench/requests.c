#include "tests/bench/requests.h"

#include <assert.h>
#include <stdlib.h>

#include "tests/bench/workload.h"

struct requests {
    struct workload load;
};

struct requests *requests_create(uint64_t device_count)
{
    struct requests *requests = calloc(1, sizeof *requests);
    assert(requests != NULL);
    requests->load = (struct workload){.device_count = device_count, .random = 88172645463325252u};
    return requests;
}

void requests_destroy(struct requests *requests)
{
    free(requests);
}

void requests_start(struct requests *requests, const char *work)
{
    bool known = workload_named(work, &requests->load.work);
    assert(known);
    requests->load.count = 0;
}

void requests_write(struct requests *requests, size_t event_count, struct buf *body)
{
    for (size_t i = 0; i < event_count; i++)
        workload_event(&requests->load, body);
}
