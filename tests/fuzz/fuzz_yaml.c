/* fuzz_yaml.c - any bytes into yaml_parse: no crash, a bounded tree, every node with its place. */
#include "engine/base/yaml.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t check_tree(const struct yaml_node *node, int depth)
{
    assert(node->place.line > 0 && node->place.column > 0);
    if (node->kind == YAML_SCALAR) {
        assert(node->first == NULL && node->scalar.bytes[node->scalar.len] == '\0');
        assert(text_valid_utf8(node->scalar));
        return 1;
    }
    assert(depth <= YAML_DEPTH_MAX); /* lists and mappings in one another */
    size_t children = 0, all = 1;
    for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
        assert(node->kind != YAML_MAPPING || yaml_member(node, child->key.bytes) == child);
        all += check_tree(child, depth + 1);
        children++;
    }
    assert(children == node->count);
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct problems problems;
    arena_init(&arena, 4096);
    problems_init(&problems);
    struct text text = {(const char *)data, size};
    const struct yaml_node *root = yaml_parse("fuzz.yaml", text, &arena, &problems);
    if (root != NULL)
        assert(problems.count == 0 && check_tree(root, 1) <= YAML_NODE_COUNT_MAX);
    for (const struct problem *problem = problems.first; problem != NULL; problem = problem->next)
        assert(strncmp(problem->line, "fuzz.yaml:", strlen("fuzz.yaml:")) == 0);
    problems_fini(&problems);
    arena_fini(&arena);
    return 0;
}
