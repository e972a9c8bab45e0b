#include "tests/bench/workload.h"

#include <stdio.h>

enum { VERSIONS = 8, TARGET_VERSION = 3 };

static const char *const names[] = {
    [WORK_TARGETS] = "targets",     [WORK_REPORTS] = "reports",   [WORK_CHANGING] = "changing",
    [WORK_UNCHANGED] = "unchanged", [WORK_CAMPAIGN] = "campaign", [WORK_TELEMETRY] = "telemetry",
};

bool workload_named(const char *name, enum load_kind *work)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *work = (enum load_kind)i;
            return true;
        }
    return false;
}

static uint64_t next_random(uint64_t *state) /* xorshift64*, Vigna 2016 */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* Counting by this step, modulo `count`, meets each number below it once: they share no factor. */
static uint64_t scatter_step(uint64_t count)
{
    uint64_t step = count / 2 + count / 8 + 1;
    for (;; step++) {
        uint64_t a = step, b = count;
        while (b != 0) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return step;
    }
}

struct report workload_next(struct workload *load)
{
    uint64_t random = next_random(&load->random), i = load->count++;
    struct report report = {.device = (random >> 8) % load->device_count};
    unsigned version = 0;
    switch (load->work) {
    case WORK_TARGETS:
        report.device = i % load->device_count;
        version = TARGET_VERSION;
        break;
    case WORK_REPORTS:
        report.device = i % load->device_count;
        version = (unsigned)(report.device % VERSIONS);
        break;
    case WORK_CHANGING:
        version = (unsigned)(random & 0xff) % VERSIONS;
        break;
    case WORK_UNCHANGED:
        version = (unsigned)(report.device % VERSIONS);
        break;
    case WORK_CAMPAIGN:
        if (load->step == 0)
            load->step = scatter_step(load->device_count);
        report.device = i % load->device_count * load->step % load->device_count;
        version = (unsigned)((report.device + 1 + i / load->device_count) % VERSIONS);
        break;
    case WORK_TELEMETRY:
        version = (unsigned)(random & 0xff) % 100;
        break;
    }
    char digits[] = "ESP32-00000000";
    uint64_t rest = report.device;
    for (size_t at = sizeof digits - 2; rest > 0; at--, rest /= 10)
        digits[at] = (char)('0' + rest % 10);
    memcpy(report.name, digits, sizeof digits);
    if (load->work == WORK_TELEMETRY)
        memcpy(report.value, (char[]){'2', '0', '.', (char)('0' + version / 10),
                                      (char)('1' + version % 9), '\0'}, 6);
    else
        memcpy(report.value, (char[]){'v', '1', '.', (char)('0' + version), '\0'}, 5);
    return report;
}

void workload_event(struct workload *load, struct buf *out)
{
    struct report report = workload_next(load);
    buf_append(out, TEXT("{\"device\":\""));
    buf_append(out, (struct text){report.name, sizeof "ESP32-00000000" - 1});
    switch (load->work) {
    case WORK_TARGETS:
        buf_append(out, TEXT("\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"SERVER_SCOPE\","
                             "\"data\":{\"lastTargetFwVer\":\""));
        break;
    case WORK_TELEMETRY:
        buf_append(out, TEXT("\",\"deviceType\":\"ESP32_OTA\",\"type\":\"POST_TELEMETRY_REQUEST\","
                             "\"data\":{\"temperature\":"));
        break;
    default:
        buf_append(out, TEXT("\",\"deviceType\":\"ESP32_OTA\",\"type\":\"POST_ATTRIBUTES_REQUEST\","
                             "\"data\":{\"currentFwVer\":\""));
        break;
    }
    buf_append(out, text_of(report.value));
    buf_append(out, load->work == WORK_TELEMETRY ? TEXT("}}\n") : TEXT("\"}}\n"));
}
