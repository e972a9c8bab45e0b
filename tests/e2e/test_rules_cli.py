"""`fwsync rules test`: tests of rules, run without a daemon."""
import contextlib
import json
import os
import re
import shutil
import tempfile
from types import SimpleNamespace

from harness import ROOT, fwsync, main, test
from tool import NOWHERE, Terminal, done

CHAINS = os.path.join(ROOT, "rules", "chains")
SHIPPED = os.path.join(CHAINS, "tests")
REPORT = "  - send: {type: POST_ATTRIBUTES_REQUEST, data: {currentFwVer: v1.1}}\n"
TARGET = "  - send: {type: ATTRIBUTES_UPDATED, scope: SERVER_SCOPE, data: {lastTargetFwVer: v1.2}}\n"


@contextlib.contextmanager
def rules(**files):
    """A copy of the shipped rules with these tests, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fwsync-rules-") as folder:
        copy = os.path.join(folder, "r")
        shutil.copytree(CHAINS, copy, ignore=shutil.ignore_patterns("tests"))
        os.mkdir(os.path.join(copy, "tests"))
        for name, text in files.items():
            with open(os.path.join(copy, "tests", name + ".yaml"), "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        yield copy


def run(*words, **more):
    return fwsync("rules", "test", *words, env=NOWHERE, **more)


# --- the shipped tests

@test
def the_shipped_rules_pass_their_tests():
    out = done(run(CHAINS))
    lines = out.splitlines()
    assert all(line.startswith("ok   ") for line in lines[:-1]) and len(lines) > 10, out
    assert lines[-1] == f"{len(lines) - 1} passed, 0 failed", out


@test
def the_shipped_tests_see_every_state_of_the_verdict():
    with open(os.path.join(ROOT, "docs", "rules.md"), encoding="utf-8") as file:
        table = re.search(r"\| state \| when \|\n(.*?)\n\n", file.read(), re.S)[1]
    states = re.findall(r"^\| `([a-z-]+)` \|", table, re.M)
    with open(os.path.join(SHIPPED, "verdict.yaml"), encoding="utf-8") as file:
        tests = file.read()
    assert len(states) == 10, states
    for state in states:
        assert f"server.fwSyncState: {state}" in tests, state


@test
def a_change_of_the_shipped_rules_is_noticed():
    with rules() as folder:
        shutil.copytree(SHIPPED, os.path.join(folder, "tests"), dirs_exist_ok=True)
        path = os.path.join(folder, "firmware-synced.yaml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("type: firmware-verdict", "deadlines: {pending: 2d}\n    type: firmware-verdict"))
        code, out, err = run(folder)
        failed = re.findall(r"^FAIL (.*)$", out, re.M)
        assert (code, failed) == (1, ["verdict.yaml: stuck, a device that was told and stays silent"]), (out, err)


# --- passing and failing

@test
def every_test_has_a_line_and_a_failure_says_why():
    with rules(update=f"good:\n{REPORT}bad:\n{REPORT}  - expect: {{server.fwSyncState: synced}}\n"
                      f"also bad:\n{TARGET}  - wait: 1d\n  - publishes: [sync]\n",
               other=f"other:\n{TARGET}  - publishes: [sync: {{fwSyncState: never-reported}}]\n") as folder:
        code, out, err = run(folder)
        update = f"{folder}/tests/update.yaml"
        assert (code, err) == (1, ""), (code, err)
        assert out == f"""\
ok   other.yaml: other
ok   update.yaml: good
FAIL update.yaml: bad
     {update}:5:34: bad: server.fwSyncState: expected "synced", found "no-target"
     2026-01-01T00:00:00.000Z POST_ATTRIBUTES_REQUEST of device
       left root/what-came (message-type-switch) by Post attributes
       saved client.currentFwVer = "v1.1"
       left root/save-report (save-attributes) by Success
       left root/firmware-synced (rule-chain)
       saved server.fwStateIsSynced = false
       saved server.fwSyncState = "no-target"
       saved server.fwSyncReason = "no target version is set"
       left firmware-synced/verdict (firmware-verdict) by Success
       published sync {{"currentFwVer":"v1.1","fwStateIsSynced":false,"fwSyncState":"no-target",\
"fwSyncReason":"no target version is set"}}
       left firmware-synced/tell (publish) by Success
FAIL update.yaml: also bad
     {update}:9:17: also bad: publishes: expected sync, found nothing
     2026-01-01T00:00:00.000Z ATTRIBUTES_UPDATED of device
       saved server.lastTargetFwVer = "v1.2"
       left root/what-came (message-type-switch) by Attributes Updated
       left root/firmware-synced (rule-chain)
       saved server.fwStateIsSynced = false
       saved server.fwSyncState = "never-reported"
       saved server.fwSyncReason = "has never reported a version, should run v1.2"
       left firmware-synced/verdict (firmware-verdict) by Success
       published sync {{"lastTargetFwVer":"v1.2","fwStateIsSynced":false,"fwSyncState":"never-reported",\
"fwSyncReason":"has never reported a version, should run v1.2"}}
       left firmware-synced/tell (publish) by Success
     2026-01-02T00:00:00.000Z now
2 passed, 2 failed
""", out


@test
def a_dead_letter_that_no_step_expects_fails():
    nothing = "  - send: {type: POST_TELEMETRY_REQUEST, data: {}}\n"
    with rules(t=f"a:\n{nothing}b:\n{nothing}  - dead-letters: [root/save-telemetry]\n") as folder:
        code, out, _ = run(folder)
        assert code == 1 and "t.yaml:2:5: a: a dead letter that no step expects, of root/save-telemetry: " in out, out
        assert "\nok   t.yaml: b\n1 passed, 1 failed\n" in out, out


@test
def json_is_an_object_a_line():
    with rules(t=f"good:\n{REPORT}bad:\n{REPORT}  - publishes: []\n") as folder:
        code, out, _ = run(folder, "--json")
        good, bad, summary = [json.loads(line) for line in out.splitlines()]
        assert code == 1 and good == {"ok": True, "file": "t.yaml", "test": "good"}, out
        assert bad.pop("happened")[2] == '  saved client.currentFwVer = "v1.1"'
        assert bad == {"ok": False, "file": "t.yaml", "test": "bad",
                       "error": f"{folder}/tests/t.yaml:5:5: bad: publishes: expected nothing, found sync"}, bad
        assert summary == {"ok": False, "passed": 1, "failed": 1}
        assert json.loads(done(run(folder, "--json", "--only", "good")).splitlines()[-1])["ok"]


@test
def only_some_are_run_by_name_or_file():
    with rules(one=f"red:\n{REPORT}green:\n{REPORT}", two=f"green too:\n{REPORT}") as folder:
        green = "ok   one.yaml: green\nok   two.yaml: green too\n2 passed, 0 failed\n"
        assert done(run(folder, "--only", "green")) == green
        assert done(run("--only=one.y", folder)).splitlines()[-1] == "2 passed, 0 failed"
        assert run(folder, "--only", "blue") == (
            1, "0 passed, 0 failed\n", "fwsync rules test: no test's name or file has 'blue' in it\n")


@test
def a_terminal_gets_colour_and_nothing_that_turns_it():
    nowhere = SimpleNamespace(events=NOWHERE["FWSYNC_EVENTS"], query_endpoint=NOWHERE["FWSYNC_QUERY"],
                              results=NOWHERE["FWSYNC_RESULTS"])
    with rules(t='good:\n' + REPORT + 'bad:\n  - send: {type: POST_ATTRIBUTES_REQUEST, data: {k: "\\x9b1m"}}\n'
                 '  - expect: {client.k: 1}\n') as folder, \
            Terminal("rules", "test", folder, daemon=nowhere) as terminal:
        code, text = terminal.finish()
        assert code == 1 and "\x1b[32mok  \x1b[0m t.yaml: good" in text and "\x1b[31mFAIL\x1b[0m t.yaml: bad" in text
        assert "\x9b" not in text and 'found "\\xc2\\x9b1m"' in text, repr(text)


# --- what is wrong

@test
def rules_that_are_wrong_are_told_as_by_a_check():
    with rules(t=f"a:\n{REPORT}") as folder:
        with open(os.path.join(folder, "root.yaml"), "a", encoding="utf-8") as file:
            file.write("  more: {type: pubish}\n")
        for more in [], ["--json"]:
            checked = fwsync("rules", "check", folder, *more)
            assert checked[0] == 1 and "'publish'" in checked[1] and run(folder, *more) == checked, checked


@test
def tests_that_are_wrong_are_told_and_none_is_run():
    with rules(a="no steps: []\n", b=f"t:\n{REPORT}  - expekt: {{}}\n  - wait: 3 h\n") as folder:
        lines = [f"{folder}/tests/a.yaml:1:11: test 'no steps': expected a list of steps, such as - send: {{...}}",
                 f"{folder}/tests/b.yaml:3:5: unknown step 'expekt'; did you mean 'expect'? Expected one of: send, "
                 "wait, expect, publishes, dead-letters",
                 f"{folder}/tests/b.yaml:4:11: wait: expected a time such as 500ms, 30s, 15m, 2h or 1d, at most "
                 "3650d, got '3 h'"]
        assert run(folder) == (1, "\n".join([*lines, "3 problems", ""]), "")
        code, out, _ = run(folder, "--json")
        assert code == 1 and json.loads(out) == {"ok": False, "code": "config", "problems": lines}, out


@test
def no_tests_are_told():
    with rules() as folder:
        wanted = f"{folder}: there are no tests: expected *.yaml in {folder}/tests\n1 problem\n"
        assert run(folder) == (1, wanted, "")
        os.rmdir(os.path.join(folder, "tests"))
        assert run(folder) == (1, wanted, "")


@test
def garbage_is_told_with_its_place():
    for garbage in [b"\x00\x01\x02", b"a: \xff\n", b"%YAML 9.9\n---\n", b"a: &x [*x]\n", b"a: [[[[[[[[\n",
                    b"\xef\xbb\xbf", b"[" * 5000, b"a" * 2000000, b"a: " + b"{b: " * 40 + b"\n", b"- \t- x\n",
                    b"a:\n - send: {? [x] : 1}\n",
                    "\u2028: 1\n".encode(), b"'a\\0b': []\n", b'"a\\0": [send: {type: x}]\n']:
        with rules(t=garbage) as folder:
            code, out, err = run(folder)
            assert code == 1 and err == "", (garbage[:40], code, out, err)
            wanted = rf"{re.escape(folder)}/tests/t\.yaml:\d+:\d+: .+\n(.*\n)*\d+ problems?\n$"
            assert re.match(wanted, out), (garbage[:40], out)


@test
def bad_usage_exits_with_2():
    for words, message in [([], "DIR is missing"), (["a", "b"], "too much: 'b'"), (["a", "--only"], "--only"),
                           (["a", "--olny", "x"], "did you mean --only?")]:
        code, out, err = run(*words)
        assert code == 2 and out == "" and message in err, (words, err)


main()
