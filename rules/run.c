/* run.c - a message's way through the chains.
 *
 * A loop, not a recursion: along a single link the message just moves on; where a relation leads to
 * several nodes, the first is taken and the others wait in a list, each to get its own copy of the
 * message as it left the node. So the depth of a chain costs nothing, and branches run in the order
 * written, each to its end before the next. */
#include "rules/message.h"

#include <assert.h>
#include <stdio.h>

#include "engine/base/limits.h"

/* The rest of a fan-out. */
struct pending {
    struct pending *next;
    struct fwsync_message *message; /* as it left the node; copied for each but the last branch */
    const struct targets *targets;
    size_t position; /* of the next target to run */
};

static const struct targets nowhere = {NULL, 0};

static struct fwsync_message *message_copy(struct fwsync_message *message)
{
    message->metadata.capacity = 0; /* from here on shared: the first to change it copies it */
    message->data.capacity = 0;
    struct fwsync_message *copy = arena_alloc(message->run->input->arena, sizeof *copy);
    *copy = *message;
    return copy;
}

void run_dead_letter(struct run *run, const struct node *node, const char *error)
{
    const struct sink *sink = run->input->sink;
    run->dead_letter_count++;
    sink->dead_letter(sink->context, node == NULL ? TEXT("") : node->chain->name,
                      node == NULL ? TEXT("") : node->name, error);
}

/* The node failed: on through `Failure` with the reason in the metadata, or out as a dead letter. */
static const struct targets *run_failure(struct run *run, struct fwsync_message *message,
                                         const struct node *node)
{
    const char *error = message->error == NULL ? "the node failed without a reason" : message->error;
    if (node->targets[0].count > 0) {
        struct value reason = value_string(text_of(error));
        if (members_put(&message->metadata, TEXT("error"), &reason, run->input->arena))
            return &node->targets[0];
    }
    run_dead_letter(run, node, error);
    return &nowhere;
}

static struct fields fields_copy(const struct fields *fields, struct arena *arena)
{
    struct fields copy = {arena_alloc(arena, (fields->count + 1) * sizeof *copy.items), fields->count};
    if (fields->count > 0)
        memcpy(copy.items, fields->items, fields->count * sizeof *copy.items);
    return copy;
}

/* The node's type, while somebody watches. */
static int run_watched(const struct run *run, struct fwsync_message *message, const struct tracer *tracer)
{
    const struct node *node = message->node;
    struct arena *arena = run->input->arena;
    bool wanted = tracer->wants_passages;
    struct message_passage passage;
    if (wanted) {
        passage.data_before = fields_copy(&message->data.fields, arena);
        passage.metadata_before = fields_copy(&message->metadata.fields, arena);
    }
    int relation = node->type->run(node->memory, message);
    if (run->store_failed)
        return relation;
    passage.data = message->data.fields;
    passage.metadata = message->metadata.fields;
    tracer->passed(tracer->context, node->chain->name, node->name, node->type->name,
                   relation == FWSYNC_FAILURE         ? "Failure"
                   : node->type->relations[0] == NULL ? ""
                                                      : node->type->relations[relation],
                   wanted ? &passage : NULL);
    return relation;
}

static const struct targets *run_node(struct run *run, struct fwsync_message *message,
                                      const struct node *node)
{
    message->node = node;
    message->error = NULL;
    message->call = NULL;
    const struct tracer *tracer = run->input->tracer;
    int relation = tracer == NULL ? node->type->run(node->memory, message) : run_watched(run, message, tracer);
    if (run->store_failed)
        return &nowhere;
    if (relation == FWSYNC_FAILURE)
        return run_failure(run, message, node);
    assert(relation >= 0 && (relation < node->relation_count || node->relation_count == 0));
    if (message->call != NULL)
        return &message->call->entry;
    return node->relation_count == 0 ? &nowhere : &node->targets[1 + relation];
}

static void run_wait(struct run *run, struct fwsync_message *message, const struct targets *targets)
{
    struct pending *pending = arena_alloc(run->input->arena, sizeof *pending);
    *pending = (struct pending){run->pending, message_copy(message), targets, 1};
    run->pending = pending;
}

/* The next branch that waits, or NULL. */
static const struct node *run_resume(struct run *run, struct fwsync_message **message)
{
    struct pending *pending = run->pending;
    if (pending == NULL)
        return NULL;
    const struct node *node = pending->targets->nodes[pending->position++];
    if (pending->position == pending->targets->count) {
        run->pending = pending->next;
        *message = pending->message;
    } else {
        *message = message_copy(pending->message);
    }
    return node;
}

void run_message(struct run *run, struct fwsync_message *message, const struct node *first)
{
    const struct node *node = first;
    while (node != NULL) {
        if (run->visit_count++ == NODE_VISITS_MAX) {
            char error[96];
            snprintf(error, sizeof error, "the event has passed %d nodes; what is left isn't run",
                     NODE_VISITS_MAX);
            run_dead_letter(run, node, error);
            return;
        }
        const struct targets *targets = run_node(run, message, node);
        if (run->store_failed)
            return;
        if (targets->count > 1)
            run_wait(run, message, targets);
        node = targets->count > 0 ? targets->nodes[0] : run_resume(run, &message);
    }
}
