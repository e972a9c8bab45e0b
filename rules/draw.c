#include "rules/draw.h"

#include <assert.h>

#include "rules/chain.h"

/* --- the graph -------------------------------------------------------------------------------------- */

/* The chains to draw, in the order in which they are met. */
struct agenda {
    const struct ruleset *ruleset;
    size_t chains[CHAIN_COUNT_MAX]; /* positions in the rule set */
    size_t count;
    bool met[CHAIN_COUNT_MAX];
};

static void meet_chain(struct agenda *agenda, size_t index)
{
    assert(index < agenda->ruleset->chain_count);
    if (!agenda->met[index])
        agenda->chains[agenda->count++] = index;
    agenda->met[index] = true;
}

/* Those that the node hands messages to. */
static void meet_chains(struct agenda *agenda, const struct node *node)
{
    for (const struct call *call = node->calls; call != NULL; call = call->next)
        meet_chain(agenda, (size_t)call->chain_index);
}

static void agenda_init(struct agenda *agenda, const struct ruleset *ruleset)
{
    size_t root = 0;
    *agenda = (struct agenda){.ruleset = ruleset};
    while (ruleset->chains[root] != ruleset->root)
        root++;
    meet_chain(agenda, root);
}

static const struct node *first_node(const struct chain *chain)
{
    return chain->entry.nodes[0];
}

/* All links from one node to another are a branch. Of those from `link` on, the first to a node that isn't in `seen`,
 * which it is afterwards; NULL when there is none. */
static const struct link *next_branch(const struct link *link, bool seen[NODE_COUNT_MAX])
{
    while (link != NULL && seen[link->to->index])
        link = link->next;
    if (link != NULL)
        seen[link->to->index] = true;
    return link;
}

/* The next link of the same branch. */
static const struct link *next_relation(const struct link *link)
{
    const struct node *to = link->to;
    do
        link = link->next;
    while (link != NULL && link->to != to);
    return link;
}

static bool forks(const struct node *node)
{
    for (const struct link *link = node->links; link != NULL; link = link->next)
        if (link->to != node->links->to)
            return true;
    return false;
}

static const char *relation_name(const struct node *node, const struct link *link)
{
    return link->relation == FWSYNC_FAILURE ? "Failure" : node->type->relations[link->relation];
}

/* --- text ------------------------------------------------------------------------------------------- */

/* What is nested deeper is hard to read; and a line is never wider than this many margins and its names. */
enum { DEPTH_MAX = 12 };

/* A line that is wider pushes only its own type to the right. */
enum { TYPE_COLUMN_MAX = 72 };

enum mark { MARK_NEW, MARK_LATER, MARK_DRAWN };

struct strokes {
    const char *branch, *last;  /* in front of a branch's first line */
    const char *beside, *below; /* and of what follows there */
    const char *next, *to;
};
static const struct strokes boxes = {"├─ ", "└─ ", "│  ", "   ", "↓ ", " → "};
static const struct strokes ascii = {"|- ", "`- ", "|  ", "   ", "v ", " -> "};

/* A line of the chain that is being drawn; types are put behind when the widths of all are known. */
struct line {
    const struct line *next;
    size_t end;              /* its left part is the chain's text from the line before up to here */
    size_t width;            /* columns */
    const struct node *node; /* whose type comes behind; NULL: it only names one */
};

struct drawing {
    const struct draw_look *look;
    const struct strokes *strokes;
    struct agenda agenda;
    struct buf *out;
    /* Of the chain that is being drawn. */
    struct arena arena;
    struct buf text;
    size_t width; /* of the line so far */
    const struct line *lines, **last_line;
    struct buf margin; /* what stands in front of a line */
    size_t depth;
    unsigned char marks[NODE_COUNT_MAX];
    const struct node *later[NODE_COUNT_MAX];
    size_t later_count;
};

static void put(struct drawing *drawing, struct text text)
{
    buf_append(&drawing->text, text);
    drawing->width += drawing->look->width(text);
}

static void put_styled(struct drawing *drawing, const char *style, struct text text)
{
    buf_append(&drawing->text, text_of(style));
    put(drawing, text);
    buf_append(&drawing->text, text_of(drawing->look->plain));
}

static void end_line(struct drawing *drawing, const struct node *node)
{
    struct line *line = arena_alloc(&drawing->arena, sizeof *line);
    *line = (struct line){NULL, drawing->text.len, drawing->width, node};
    *drawing->last_line = line;
    drawing->last_line = &line->next;
    drawing->width = 0;
}

/* "True, False → ", after what shows where that branch of the node is. */
static void draw_relations(struct drawing *drawing, const char *stroke, const struct node *node,
                           const struct link *branch)
{
    put(drawing, buf_text(&drawing->margin));
    put(drawing, text_of(stroke));
    for (const struct link *link = branch; link != NULL; link = next_relation(link)) {
        if (link != branch)
            put(drawing, TEXT(", "));
        if (link->relation == FWSYNC_FAILURE)
            put_styled(drawing, drawing->look->bad, TEXT("Failure"));
        else
            put(drawing, text_of(relation_name(node, link)));
    }
    put(drawing, text_of(drawing->strokes->to));
}

/* The rest of the line is the node. Is what follows it to be drawn below? */
static bool draw_node(struct drawing *drawing, const struct node *node)
{
    unsigned char *mark = &drawing->marks[node->index];
    bool later = *mark != MARK_DRAWN && drawing->depth == DEPTH_MAX && forks(node);
    put(drawing, drawing->look->clean(node->name, &drawing->arena));
    if (*mark == MARK_DRAWN || later) {
        put_styled(drawing, drawing->look->dim, later ? TEXT(" (below)") : TEXT(" (above)"));
        end_line(drawing, NULL);
        if (*mark == MARK_NEW) {
            drawing->later[drawing->later_count++] = node;
            *mark = MARK_LATER;
        }
        return false;
    }
    *mark = MARK_DRAWN;
    meet_chains(&drawing->agenda, node);
    end_line(drawing, node);
    return true;
}

static void draw_what_follows(struct drawing *drawing, const struct node *node);

static void draw_branch(struct drawing *drawing, const struct node *node, const struct link *branch, bool is_last)
{
    const struct strokes *strokes = drawing->strokes;
    size_t margin_len = drawing->margin.len;
    assert(drawing->depth < DEPTH_MAX);
    draw_relations(drawing, is_last ? strokes->last : strokes->branch, node, branch);
    buf_append(&drawing->margin, text_of(is_last ? strokes->below : strokes->beside));
    drawing->depth++;
    if (draw_node(drawing, branch->to))
        draw_what_follows(drawing, branch->to);
    drawing->depth--;
    drawing->margin.len = margin_len;
}

/* A recursion of at most DEPTH_MAX. */
static void draw_what_follows(struct drawing *drawing, const struct node *node)
{
    for (; node->links != NULL && !forks(node); node = node->links->to) {
        draw_relations(drawing, drawing->strokes->next, node, node->links);
        if (!draw_node(drawing, node->links->to))
            return;
    }
    bool seen[NODE_COUNT_MAX] = {false};
    const struct link *next;
    for (const struct link *branch = next_branch(node->links, seen); branch != NULL; branch = next) {
        next = next_branch(branch->next, seen);
        draw_branch(drawing, node, branch, next == NULL);
    }
}

/* At the chain's left. */
static void draw_tree(struct drawing *drawing, const struct node *node)
{
    put(drawing, buf_text(&drawing->margin));
    if (draw_node(drawing, node))
        draw_what_follows(drawing, node);
}

static void print_type(struct drawing *drawing, const struct node *node)
{
    buf_printf(drawing->out, "%s%s", drawing->look->dim, node->type->name);
    for (const struct call *call = node->calls; call != NULL; call = call->next) {
        struct text name = drawing->agenda.ruleset->chains[call->chain_index]->name;
        buf_append(drawing->out, text_of(call == node->calls ? drawing->strokes->to : ", "));
        buf_append(drawing->out, drawing->look->clean(name, &drawing->arena));
    }
    buf_append(drawing->out, text_of(drawing->look->plain));
}

static void print_lines(struct drawing *drawing)
{
    size_t column = 0, at = 0;
    for (const struct line *line = drawing->lines; line != NULL; line = line->next)
        if (line->node != NULL && line->width > column && line->width <= TYPE_COLUMN_MAX)
            column = line->width;
    for (const struct line *line = drawing->lines; line != NULL; at = line->end, line = line->next) {
        buf_append(drawing->out, (struct text){drawing->text.bytes + at, line->end - at});
        if (line->node != NULL) {
            buf_printf(drawing->out, "%*s", (int)(line->width < column ? column - line->width : 0) + 2, "");
            print_type(drawing, line->node);
        }
        buf_byte(drawing->out, '\n');
    }
}

static void draw_chain(struct drawing *drawing, const struct chain *chain)
{
    const struct draw_look *look = drawing->look;
    arena_reset(&drawing->arena);
    buf_clear(&drawing->text);
    drawing->lines = NULL;
    drawing->last_line = &drawing->lines;
    drawing->later_count = 0;
    memset(drawing->marks, MARK_NEW, sizeof drawing->marks);
    draw_tree(drawing, first_node(chain));
    for (size_t i = 0; i < drawing->later_count; i++)
        if (drawing->marks[drawing->later[i]->index] == MARK_LATER)
            draw_tree(drawing, drawing->later[i]);
    buf_printf(drawing->out, "%s" TEXT_FMT "%s\n", look->head, TEXT_ARG(look->clean(chain->name, &drawing->arena)),
               look->plain);
    print_lines(drawing);
}

void ruleset_draw_text(const struct ruleset *ruleset, const struct draw_look *look, struct buf *out)
{
    enum { CHUNK_BYTES = 64 * 1024 };
    struct drawing drawing = {.look = look, .strokes = look->boxes ? &boxes : &ascii, .out = out};
    arena_init(&drawing.arena, CHUNK_BYTES);
    agenda_init(&drawing.agenda, ruleset);
    buf_append(&drawing.margin, TEXT("  "));
    for (size_t i = 0; i < drawing.agenda.count; i++) {
        if (i > 0)
            buf_byte(out, '\n');
        draw_chain(&drawing, ruleset->chains[drawing.agenda.chains[i]]);
    }
    arena_fini(&drawing.arena);
    buf_fini(&drawing.text);
    buf_fini(&drawing.margin);
}

/* --- Graphviz --------------------------------------------------------------------------------------- */

/* As a part of a quoted label, in which dot looks for backslashes and for HTML's entities. */
static void put_label(struct buf *out, struct text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.bytes[i] == '"' || text.bytes[i] == '\\')
            buf_byte(out, '\\');
        buf_byte(out, text.bytes[i]);
        if (text.bytes[i] == '&')
            buf_append(out, TEXT("amp;"));
    }
}

/* The first node of a chain is drawn bold: a message comes in there. */
static void dot_node(struct buf *out, size_t chain_index, const struct node *node)
{
    buf_printf(out, "    n%zu_%zu [label=\"", chain_index, node->index);
    put_label(out, node->name);
    buf_append(out, TEXT("\\n"));
    put_label(out, text_of(node->type->name));
    buf_printf(out, "\"%s];\n", node == first_node(node->chain) ? " style=\"rounded,bold\"" : "");
}

static void dot_edge_start(struct buf *out, size_t chain_index, const struct node *node, const struct node *to)
{
    buf_printf(out, "    n%zu_%zu -> n%zu_%zu [label=\"", chain_index, node->index, chain_index, to->index);
}

/* One edge for all relations between the two, but another for a failure. */
static void dot_branch(struct buf *out, size_t chain_index, const struct node *node, const struct link *branch)
{
    bool fails = false, begun = false;
    for (const struct link *link = branch; link != NULL; link = next_relation(link)) {
        if (link->relation == FWSYNC_FAILURE) {
            fails = true;
            continue;
        }
        if (begun)
            buf_append(out, TEXT("\\n"));
        else
            dot_edge_start(out, chain_index, node, branch->to);
        put_label(out, text_of(relation_name(node, link)));
        begun = true;
    }
    if (begun)
        buf_append(out, TEXT("\"];\n"));
    if (fails) {
        dot_edge_start(out, chain_index, node, branch->to);
        buf_append(out, TEXT("Failure\" color=red fontcolor=red];\n"));
    }
}

static void dot_chain(struct buf *out, struct agenda *agenda, size_t index)
{
    const struct chain *chain = agenda->ruleset->chains[index];
    buf_printf(out, "  subgraph cluster_%zu {\n    label=\"", index);
    put_label(out, chain->name);
    buf_append(out, TEXT("\";\n"));
    for (size_t i = 0; i < chain->node_count; i++) {
        dot_node(out, index, &chain->nodes[i]);
        meet_chains(agenda, &chain->nodes[i]);
    }
    for (size_t i = 0; i < chain->node_count; i++) {
        bool seen[NODE_COUNT_MAX] = {false};
        const struct link *branch = next_branch(chain->nodes[i].links, seen);
        for (; branch != NULL; branch = next_branch(branch->next, seen))
            dot_branch(out, index, &chain->nodes[i], branch);
    }
    buf_append(out, TEXT("  }\n"));
}

static void dot_calls(struct buf *out, const struct ruleset *ruleset, size_t index)
{
    const struct chain *chain = ruleset->chains[index];
    for (size_t i = 0; i < chain->node_count; i++)
        for (const struct call *call = chain->nodes[i].calls; call != NULL; call = call->next) {
            size_t to = (size_t)call->chain_index;
            buf_printf(out, "  n%zu_%zu -> n%zu_%zu [style=dashed];\n", index, i, to,
                       first_node(ruleset->chains[to])->index);
        }
}

void ruleset_draw_dot(const struct ruleset *ruleset, struct buf *out)
{
    struct agenda agenda;
    agenda_init(&agenda, ruleset);
    buf_append(out, TEXT("digraph rules {\n"
                         "  graph [fontname=\"sans-serif\" labeljust=l color=gray];\n"
                         "  node [fontname=\"sans-serif\" shape=box style=rounded];\n"
                         "  edge [fontname=\"sans-serif\" fontsize=10];\n"));
    for (size_t i = 0; i < agenda.count; i++)
        dot_chain(out, &agenda, agenda.chains[i]);
    for (size_t i = 0; i < agenda.count; i++)
        dot_calls(out, ruleset, agenda.chains[i]);
    buf_append(out, TEXT("}\n"));
}

/* --- JSON ------------------------------------------------------------------------------------------- */

/* The links of a relation stand one behind the other. */
static void json_links(struct buf *out, const struct node *node)
{
    const struct link *before = NULL;
    json_open(out, "to", '{');
    for (const struct link *link = node->links; link != NULL; before = link, link = link->next) {
        if (before != NULL && before->relation != link->relation)
            buf_byte(out, ']');
        if (before == NULL || before->relation != link->relation)
            json_open(out, relation_name(node, link), '[');
        json_comma(out);
        json_string(out, link->to->name);
    }
    buf_append(out, before == NULL ? TEXT("}") : TEXT("]}"));
}

static void json_node(struct buf *out, const struct ruleset *ruleset, const struct node *node)
{
    buf_byte(out, '{');
    json_member_text(out, "chain", node->chain->name);
    json_member_text(out, "node", node->name);
    json_member_text(out, "type", text_of(node->type->name));
    json_member_boolean(out, "first", node == first_node(node->chain));
    json_links(out, node);
    json_open(out, "calls", '[');
    for (const struct call *call = node->calls; call != NULL; call = call->next) {
        json_comma(out);
        json_string(out, ruleset->chains[call->chain_index]->name);
    }
    buf_append(out, TEXT("]}\n"));
}

void ruleset_draw_json(const struct ruleset *ruleset, struct buf *out)
{
    struct agenda agenda;
    agenda_init(&agenda, ruleset);
    for (size_t i = 0; i < agenda.count; i++) {
        const struct chain *chain = ruleset->chains[agenda.chains[i]];
        for (size_t j = 0; j < chain->node_count; j++) {
            json_node(out, ruleset, &chain->nodes[j]);
            meet_chains(&agenda, &chain->nodes[j]);
        }
    }
}
