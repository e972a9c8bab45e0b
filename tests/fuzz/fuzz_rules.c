/* fuzz_rules.c - any bytes as rules: no crash, and either a rule set or at least one problem.
 *
 * Bytes that start with '{' are a bundle as the journal keeps it; anything else is the text of one file,
 * so that the reader of chains is reached without getting JSON's escapes right. */
#include "rules/ruleset.h"

#include <assert.h>

#include "engine/base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ruleset(const struct ruleset *ruleset)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *again = ruleset_load_bundle(ruleset_bundle(ruleset), &problems);
    assert(again != NULL && problems.count == 0);
    assert(text_equal(ruleset_version(ruleset), ruleset_version(again)));
    assert(ruleset_chain_count(ruleset) == ruleset_chain_count(again));
    ruleset_destroy(again);
    problems_fini(&problems);
}

static void check_bundle(struct text bundle)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_bundle(bundle, &problems);
    assert((ruleset == NULL) == (problems.count > 0));
    if (ruleset != NULL)
        check_ruleset(ruleset);
    ruleset_destroy(ruleset);
    problems_fini(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size};
    if (size > 0 && data[0] == '{') {
        check_bundle(text);
    } else if (text_valid_utf8(text)) {
        struct buf buf = {.arena = NULL};
        buf_byte(&buf, '{');
        json_key(&buf, "root.yaml");
        json_string(&buf, text);
        buf_byte(&buf, '}');
        check_bundle(buf_text(&buf));
        buf_fini(&buf);
    }
    return 0;
}
