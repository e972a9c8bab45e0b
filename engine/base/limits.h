/* limits.h - every bound that a user can meet, in one place. Those of events and questions are in
 * docs/protocol.md too, those of rules in docs/rules.md, that of indexes in docs/configuration.md. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    REQUEST_BYTES_MAX = 1 << 20,    /* one request's body frame; also one rule file, one answer page */
    DEVICE_BYTES_MAX = 255,         /* a device's name */
    KEY_BYTES_MAX = 255,            /* an attribute, telemetry or metadata key */
    TYPE_BYTES_MAX = 255,           /* a message type or a device type */
    SOURCE_BYTES_MAX = 255,         /* a producer's name */
    VALUE_BYTES_MAX = 65536,        /* one attribute, telemetry or metadata value */
    FIELD_COUNT_MAX = 1000,         /* members of an event's data, or of its metadata */
    DEVICE_RECORD_BYTES_MAX = 1 << 20, /* all attributes of one device, or all its latest telemetry */
    EVENT_DEPTH_MAX = 32,           /* levels of objects and arrays in an event */
    JSON_DEPTH_MAX = 64,            /* in any other JSON: an answer wraps what an event brought */
    LIST_COUNT_MAX = 1000,          /* devices, dead letters or values in one answer */
    LIST_COUNT_DEFAULT = 100,
    INDEX_COUNT_MAX = 32,           /* indexed attributes */
    CLASS_NAME_BYTES_MAX = 32,      /* a result class's name */
    CLASS_COUNT_MAX = 64,           /* result classes of a rule set */
    CLASS_LIFE_COUNT_MAX = 256,     /* those that a data folder ever had, with fwsync's own */
    PARTITION_COUNT_MAX = 16,       /* states that a fleet may be split over */
    NODE_VISITS_MAX = 1000,         /* rule nodes one event may pass */
};

/* Integers beyond this cannot be told apart in JSON's usual double: refused, "send it as a string". */
#define JSON_INTEGER_MAX INT64_C(9007199254740992)

#endif
