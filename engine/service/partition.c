#include "engine/service/partition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/log.h"
#include "engine/base/thread.h"
#include "engine/service/activation.h"
#include "engine/service/applier.h"
#include "engine/service/committer.h"
#include "engine/service/publisher.h"

enum { PATH_BYTES = 4096 };

static bool below(char path[PATH_BYTES], const char *folder, const char *name, struct err *err)
{
    int len = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return (len > 0 && len < PATH_BYTES) ||
           err_set(err, ERR_CONFIG, "data: the path is too long: %s", folder);
}

/* What nobody took: changes of rules, and a tick, which is the partition's. */
static void drop_rest(struct queue *queue)
{
    for (struct work *work = queue_take(queue, 0), *next; work != NULL; work = next) {
        next = work->next;
        if (work->kind == WORK_RULES)
            rules_change_destroy((struct rules_change *)work);
    }
}

static void close_stores(struct partition *partition)
{
    applier_finish(partition->applier);
    drop_rest(partition->apply_queue);
    drop_rest(partition->commit_queue);
    journal_close(partition->journal);
    queue_destroy(partition->apply_queue);
    queue_destroy(partition->commit_queue);
    results_destroy_all(queue_take(partition->results_home, 0));
    queue_destroy(partition->results_home);
    sem_destroy(&partition->may_trim);
}

bool partition_open(struct partition *partition, struct ruleset *ruleset, struct err *err)
{
    const struct settings *settings = partition->settings;
    char journal_dir[PATH_BYTES], state_dir[PATH_BYTES];
    partition->commit_queue = queue_create();
    partition->apply_queue = queue_create();
    partition->results_home = queue_create();
    sem_init(&partition->may_trim, 0, 1);
    partition_change_rules(partition, ruleset);
    uint64_t segment_bytes = journal_segment_bytes((uint64_t)settings->journal_keep_mib << 20);
    if (!below(journal_dir, settings->data, "journal", err) || !below(state_dir, settings->data, "state", err) ||
        !journal_open(journal_dir, segment_bytes, &partition->journal, err) ||
        !applier_start(partition, state_dir, &partition->applier, err)) {
        close_stores(partition);
        return false;
    }
    if (journal_torn_bytes(partition->journal) > 0)
        log_line(LOG_WARN, "journal-end-dropped", "bytes=%" PRIu64 " seq=%" PRIu64,
                 journal_torn_bytes(partition->journal), journal_last_seq(partition->journal));
    atomic_store(&partition->journal_seq, journal_last_seq(partition->journal));
    thread_start(&partition->committer_thread, "committer", committer_run, partition);
    return true;
}

void partition_stop_begin(struct partition *partition)
{
    struct work *stop = calloc(1, sizeof *stop);
    if (stop == NULL)
        abort();
    stop->kind = WORK_STOP;
    queue_push(partition->commit_queue, stop);
}

void partition_close(struct partition *partition)
{
    pthread_join(partition->committer_thread, NULL);
    close_stores(partition);
}

void partition_change_rules(struct partition *partition, struct ruleset *ruleset)
{
    bool shipped = partition->settings->rules[0] == '\0';
    struct rules_change *change = rules_change_create(ruleset, shipped ? RULESET_BY_PROGRAM : RULESET_BY_SETTINGS);
    queue_push(partition->apply_queue, &change->work);
}

void partition_fail(struct partition *partition, const struct err *err)
{
    struct failure *failure = calloc(1, sizeof *failure);
    if (failure == NULL)
        abort();
    failure->work.kind = WORK_FAILED;
    failure->err = *err;
    queue_push(partition->door_queue, &failure->work);
}
