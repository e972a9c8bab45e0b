"""`fwsync rules draw`: of a folder, and of the rules that run; and whether Graphviz takes it."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

from harness import DEADLINE_S, ROOT, Daemon, Skip, fwsync, main, test, wait_until
from tool import NOWHERE, StandIn, Terminal, done

UTF8 = {"LC_ALL": "C.UTF-8"}

RULES = """chain: root
first: any
nodes:
  any:
    type: compare
    left: $[a]
    right: x
    to: {True: note, False: [other, note], Failure: other}
  note: {type: log}
  other: {type: rule-chain, chain: second}
"""
SECOND = "chain: second\nfirst: a\nnodes:\n  a: {type: log}\n"
PICTURE = """root
  any                        compare
  ├─ True, False → note      log
  └─ False, Failure → other  rule-chain → second

second
  a  log
"""


@contextlib.contextmanager
def folder(**files):
    """A folder of rules: a text for each file's name without its ending."""
    with tempfile.TemporaryDirectory(prefix="fwsync-rules-") as path:
        for name, text in files.items():
            with open(os.path.join(path, name + ".yaml"), "w", encoding="utf-8") as file:
                file.write(text)
        yield path


@test
def a_folder_is_drawn_without_a_daemon():
    with folder(root=RULES, second=SECOND) as rules:
        assert done(fwsync("rules", "draw", rules, env={**NOWHERE, **UTF8})) == PICTURE
        code, out, err = fwsync("rules", "draw", rules, "more")
        assert (code, out) == (2, "") and "too much: 'more'" in err, (out, err)
        code, out, err = fwsync("rules", "draw", rules, "--dot", "--json")
        assert (code, out) == (2, "") and "exclude each other" in err, (out, err)


@test
def the_locale_decides_about_box_drawing():
    with folder(root=RULES, second=SECOND) as rules:
        for locale, utf8 in [({"LC_ALL": "de_DE.utf8"}, True), ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
                             ({"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, True),
                             ({"LC_ALL": "", "LC_CTYPE": "", "LANG": "en_GB.UTF-8"}, True),
                             ({"LC_ALL": "", "LC_CTYPE": "", "LANG": ""}, False)]:
            out = done(fwsync("rules", "draw", rules, env=locale))
            assert out.isascii() != utf8 and ("└─ False" if utf8 else "`- False") in out, (locale, out)


@test
def the_shipped_chains_have_all_their_nodes():
    rules = os.path.join(ROOT, "rules", "chains")
    nodes = [json.loads(line) for line in done(fwsync("rules", "draw", rules, "--json")).splitlines()]
    out = done(fwsync("rules", "draw", rules))
    assert f", {len(nodes)} nodes," in done(fwsync("rules", "check", rules))
    for node in nodes:
        assert f"{node['node']}  " in out and f"  {node['type']}" in out, (node, out)


@test
def what_runs_is_drawn():
    with folder(root=RULES, second=SECOND) as rules, Daemon("--rules", rules) as daemon:
        wait_until(lambda: daemon.query({"op": "rules"})["ok"], what="the first rules are active")
        assert done(fwsync("rules", "draw", daemon=daemon, env=UTF8)) == PICTURE
        assert done(fwsync("rules", "draw", "--dot", daemon=daemon)) == done(fwsync("rules", "draw", "--dot", rules))
        lines = done(fwsync("rules", "draw", "--json", daemon=daemon)).splitlines()
        assert json.loads(lines[0]) == {
            "chain": "root", "node": "any", "type": "compare", "first": True, "calls": [],
            "to": {"True": ["note"], "False": ["other", "note"], "Failure": ["other"]}}, lines
        with Terminal("rules", "draw", daemon=daemon, env=UTF8) as terminal:
            code, text = terminal.finish()
        assert code == 0 and "\x1b[1mroot\x1b[0m" in text and "False, \x1b[31mFailure\x1b[0m → other " in text, text


@test
def rules_of_a_newer_daemon_are_told_as_that():
    files = {"root.yaml": "chain: root\nfirst: a\nnodes:\n  a: {type: teleport}\n"}
    with StandIn(lambda number, _: [{"ok": True, "version": "v"}, {"ok": True, "files": files}][number - 1]) as one:
        code, out, err = fwsync("--query", one.endpoint, "rules", "draw")
        assert (code, out) == (1, "") and "by this version of fwsync: root.yaml:4:13: unknown node type" in err, err
        assert json.loads(one.bodies[1]) == {"op": "rules", "version": "v"}, one.bodies
    with StandIn(lambda *_: {"ok": True}) as one:
        code, out, err = fwsync("--query", one.endpoint, "rules", "draw", "--json")
        assert (code, err) == (1, "") and json.loads(out)["code"] == "rule", (out, err)
    code, out, err = fwsync("--timeout", "0.2", "rules", "draw", env=NOWHERE)
    assert (code, out) == (1, "") and "is fwsyncd running?" in err, (out, err)


@test
def problems_do_not_go_where_the_picture_goes():
    with folder(root=RULES) as rules:
        code, listed, _ = fwsync("rules", "check", rules)
        assert code == 1 and "'second'" in listed and "1 problem\n" in listed, listed
        for options in [], ["--dot"]:
            assert fwsync("rules", "draw", rules, *options) == (1, "", listed)
        code, out, err = fwsync("rules", "draw", rules, "--json")
        assert (code, err) == (1, "") and out == fwsync("rules", "check", rules, "--json")[1], (out, err)


@test
def dot_takes_the_graph_with_any_names():
    if shutil.which("dot") is None:
        raise Skip("there is no dot; it comes with graphviz")
    names = ['a"b', "back\\slash", "<b>&lt;</b>", "{x|y}", "ü 固件", "\\N", "ends\\", "#a", "]"]
    nodes = [f"  '{name}': {{type: log, to: {{Success: '{after}', Failure: '{after}'}}}}\n"
             for name, after in zip(names, names[1:] + ["call"])]
    nodes += "  call: {type: rule-chain, chain: '\"&\\'}\n"
    root = f"chain: root\nfirst: '{names[0]}'\nnodes:\n" + "".join(nodes)
    with folder(root=root, other="chain: '\"&\\'\nfirst: last\nnodes: {last: {type: log}}\n") as rules:
        graph = done(fwsync("rules", "draw", "--dot", rules))
    dot = subprocess.run(["dot", "-Tsvg"], input=graph, text=True, capture_output=True, timeout=DEADLINE_S)
    assert (dot.returncode, dot.stderr) == (0, ""), dot.stderr
    picture = xml.etree.ElementTree.fromstring(dot.stdout)
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    for name in [*names, "call", "last", '"&\\', "root"]:
        assert texts.count(name) == 1, (name, texts)
    assert texts.count("Failure") == texts.count("Success") == len(names), texts


main()
