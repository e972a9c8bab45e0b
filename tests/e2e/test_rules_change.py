"""Rules change: an operator applies others and rolls back, the settings change theirs, and the newest word counts,
also over restarts."""
import contextlib
import json
import os
import signal
import tempfile

import zmq

from harness import ROOT, Daemon, fwsync, main, receive, test, wait_until
from tool import done

MARK = """chain: root
first: mark
nodes:
  mark:
    type: set
    data: {mark: %s}
    to: {Success: save}
  save: {type: save-attributes, scope: SERVER_SCOPE, keys: [mark]}
"""


def files(mark):
    return {"root.yaml": MARK % mark}


@contextlib.contextmanager
def folder(mark):
    """A folder of rules, and a function that writes others into it."""
    with tempfile.TemporaryDirectory() as path:
        def write(mark):
            with open(os.path.join(path, "root.yaml"), "w", encoding="utf-8") as file:
                file.write(MARK % mark)
        write(mark)
        yield path, write


def event(device="a"):
    return {"device": device, "type": "T"}


def mark(daemon):
    """What the rules do that run now."""
    assert daemon.send_events(event())["ok"]
    return daemon.query({"op": "device", "device": "a"})["server"].get("mark")


def apply(daemon, name):
    reply = daemon.query({"op": "rules-apply", "files": files(name)})
    assert reply["ok"], reply
    return reply


def activations(daemon):
    return [(row["version"], row["by"]) for row in daemon.query({"op": "rules"})["activations"]]


@test
def applied_rules_run_from_their_event_on():
    with Daemon() as daemon:
        dealer = daemon.socket(zmq.DEALER, daemon.events)
        dealer.sndhwm = 0
        sent = 3000
        for number in range(sent):
            if number in (1000, 2000):
                apply(daemon, "one" if number == 1000 else "two")
            dealer.send_multipart([b"", json.dumps(event(f"d{number}")).encode()])
        seqs = [json.loads(receive(dealer)[1])["first"] for _ in range(sent)]
        assert seqs == sorted(set(seqs)), "answers come in the order of the events"
        rows = daemon.query({"op": "rules"})["activations"]
        two, one = rows[0]["activated"], rows[1]["activated"]
        assert not {one, two} & set(seqs) and 1 < one < two, "a change of rules is an event of its own"
        marks = {}
        cursor = {}
        while cursor is not None:
            page = daemon.query({"op": "devices", "limit": 1000, **cursor})
            marks.update({row["device"]: row["server"].get("mark") for row in page["devices"]})
            cursor = {"cursor": page["cursor"]} if "cursor" in page else None
        for number, seq in enumerate(seqs):
            assert marks[f"d{number}"] == (None if seq < one else "one" if seq < two else "two"), (number, seq, rows)


@test
def an_answer_says_what_is_active_then():
    with Daemon() as daemon:
        shipped = daemon.query({"op": "rules"})
        first = apply(daemon, "one")
        assert first["changed"] and first["activated"] == first["seq"] == 2, first
        now = daemon.query({"op": "rules"})
        assert (now["version"], now["activated"]) == (first["version"], 2) and now["version"] != shipped["version"]
        assert mark(daemon) == "one"
        again = apply(daemon, "one")
        assert (again["changed"], again["activated"], again["version"]) == (False, 2, first["version"]), again
        assert daemon.query({"op": "ping"})["seq"] == 3, "and nothing is journaled"
        back = daemon.query({"op": "rules-rollback"})
        assert (back["version"], back["activated"], back["changed"]) == (shipped["version"], 4, True), back
        assert activations(daemon) == [(shipped["version"], "operator"), (first["version"], "operator"),
                                       (shipped["version"], "shipped")]
        assert daemon.query({"op": "rules-rollback"})["version"] == first["version"], "undone"
        apply(daemon, "two")
        assert daemon.query({"op": "rules-rollback", "version": shipped["version"]})["version"] == shipped["version"]


@test
def wrong_rules_change_nothing_and_all_is_told():
    wrong = {"root.yaml": (MARK % "x").replace("type: set\n", "type: sett\n"), "b.yaml": "chain: b\nfirst: a\n"}
    with Daemon() as daemon:
        before = daemon.query({"op": "rules"})
        for op in ("rules-check", "rules-apply"):
            reply = daemon.query({"op": op, "files": wrong})
            assert not reply["ok"] and reply["code"] == "config", reply
            assert reply["error"].startswith(f"these rules have {len(reply['problems'])} problems: b.yaml:"), reply
            assert any(line.startswith("root.yaml:5:11: ") and "'set'" in line for line in reply["problems"]), reply
        for bad in ({}, {"files": "root.yaml"}, {"files": []}, {"files": None}):
            reply = daemon.query({"op": "rules-apply", **bad})
            assert reply["code"] == "bad-query" and "files: expected an object" in reply["error"], reply
        for bad in ({}, {"root.yaml": 1}, {"root.txt": ""}, {"../root.yaml": MARK % "x"}, {"root.yaml": ""}):
            assert daemon.query({"op": "rules-apply", "files": bad})["code"] == "config", bad
        reply = daemon.query({"op": "rules-apply", "files": {**files("x"), "big.yaml": "# " + "x" * (1 << 20)}})
        assert reply["code"] == "too-large", reply
        for version, said in (("e4", "no rules of version 'e4'"), ("", "no rules of version ''"),
                              ("x" * 3000, "no rules of version 'xxx")):
            reply = daemon.query({"op": "rules-rollback", "version": version})
            assert reply["code"] == "not-found" and said in reply["error"], reply
        reply = daemon.query({"op": "rules-rollback"})
        assert reply["code"] == "not-found" and "no other rules were ever active" in reply["error"], reply
        assert daemon.query({"op": "rules-rollback", "version": 1})["code"] == "bad-query"
        after = daemon.query({"op": "rules"})
        assert after["activations"] == before["activations"] and after["seq"] == 1, after
        right = daemon.query({"op": "rules-check", "files": files("one")})
        assert right["chains"] == [{"chain": "root", "nodes": 2}] and right["classes"] == [], right
        assert apply(daemon, "one")["version"] == right["version"]


@test
def what_an_operator_applied_outlives_restarts_and_hangups():
    with folder("one") as (rules, _), Daemon("--rules", rules) as daemon:
        applied = apply(daemon, "two")["version"]
        for end in (daemon.stop, daemon.kill):
            end()
            daemon.restart()
            assert mark(daemon) == "two"
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: daemon.stderr.count("rules-kept") == 3, what="the log says so, as at both starts")
        assert f"rules-kept version={applied} by=operator settings=" in daemon.stderr
        assert mark(daemon) == "two" and len(activations(daemon)) == 2


@test
def rules_that_the_settings_change_are_the_newest_word():
    with folder("one") as (rules, write), Daemon("--rules", rules) as daemon:
        apply(daemon, "two")
        write("three")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: activations(daemon)[0][1] == "settings")
        assert mark(daemon) == "three"
        apply(daemon, "two")
        write("two")  # the same that runs already: from now on, what the settings want
        daemon.stop()
        daemon.restart()
        assert mark(daemon) == "two" and activations(daemon)[0][1] == "settings"
        daemon.query({"op": "rules-rollback"})
        assert mark(daemon) == "three", "the rules before, not those that an operator had, which are the same"
        daemon.query({"op": "rules-rollback"})
        write("three")
        daemon.stop()
        daemon.restart()
        assert mark(daemon) == "three", "the settings went back, and that is a change"
        daemon.query({"op": "rules-rollback"})
        daemon.args = []
        daemon.stop()
        daemon.restart()
        assert daemon.query({"op": "rules"})["chains"][0]["chain"] == "firmware-synced", "without --rules, the shipped"
        assert activations(daemon)[0][1] == "shipped"
        daemon.args = ["--rules", os.path.join(ROOT, "rules", "chains")]
        daemon.stop()
        daemon.restart()
        assert activations(daemon)[0][1] == "settings", "the same rules, but from now on a folder of one's own"


@test
def a_replay_comes_to_the_same_rules():
    with folder("one") as (rules, write), Daemon("--rules", rules, "--checkpoint-ms", 60000) as daemon:
        for step in (lambda: apply(daemon, "two"), lambda: write("three"), lambda: daemon.signal(signal.SIGHUP),
                     lambda: wait_until(lambda: len(activations(daemon)) == 3), lambda: apply(daemon, "two"),
                     lambda: daemon.query({"op": "rules-rollback"})):
            step()
            daemon.send_events(event())
        before, done_by = daemon.query({"op": "rules"}), activations(daemon)
        daemon.kill()
        daemon.restart()
        assert "replayed events=" in daemon.stderr
        assert daemon.query({"op": "rules"})["activations"] == before["activations"]
        assert [by for _, by in done_by] == ["operator", "operator", "settings", "operator", "settings"]
        assert mark(daemon) == "three"


@test
def of_many_who_ask_at_once_each_hears_what_became_of_it():
    with Daemon() as daemon:
        askers = []
        for number in range(20):
            asker = daemon.socket(zmq.DEALER, daemon.query_endpoint)
            asker.send_multipart([b"", json.dumps({"op": "rules-apply", "files": files(f"m{number}")}).encode()])
            askers.append(asker)
        replies = [json.loads(receive(asker)[1]) for asker in askers]
        taken = {reply["version"]: reply["activated"] for reply in replies if reply["ok"]}
        assert taken and {reply["code"] for reply in replies if not reply["ok"]} <= {"busy"}, replies
        rows = daemon.query({"op": "rules"})["activations"]
        assert {row["version"]: row["activated"] for row in rows if row["by"] == "operator"} == taken


@test
def a_stop_answers_who_waits_for_new_rules():
    with Daemon("--checkpoint-ms", 60000) as daemon:
        for number in range(10):
            asker = daemon.socket(zmq.DEALER, daemon.query_endpoint)
            daemon.query({"op": "ping"})
            asker.send_multipart([b"", json.dumps({"op": "rules-apply", "files": files(f"m{number}")}).encode()])
            daemon.stop()
            # it may have stopped before it read the question; what it answers is true
            reply = json.loads(receive(asker)[1]) if asker.poll(100) else {"ok": False, "code": "busy"}
            assert reply["ok"] or reply["code"] == "busy", reply
            daemon.restart()
            if reply["ok"]:
                assert daemon.query({"op": "rules"})["version"] == reply["version"]


# --- the tool

@test
def the_tool_lists_all_that_is_kept_and_says_what_comes_next():
    with Daemon() as daemon:
        for number in range(150):
            apply(daemon, f"m{number % 2}")
        assert len(done(fwsync("rules", "list", daemon=daemon)).splitlines()) == 151
        assert len(daemon.query({"op": "rules"})["activations"]) == 100
        said = done(fwsync("rules", "rollback", daemon=daemon, env={"FWSYNC_TABLE": "1"}))
        assert said.endswith("\nDevices keep their verdicts until their next event; now: fwsync rules judge\n"), said


@test
def the_tool_applies_and_rolls_back():
    with folder("one") as (rules, write), Daemon() as daemon:
        shipped = daemon.query({"op": "rules"})["version"]
        said = done(fwsync("rules", "apply", rules, daemon=daemon))
        version = daemon.query({"op": "rules"})["version"]
        assert said == f"active: version {version}, from event 2 on\n"
        assert done(fwsync("rules", "apply", rules, daemon=daemon)) == f"active already: version {version}, from event 2 on\n"
        rows = [row.split("\t") for row in done(fwsync("rules", "list", daemon=daemon)).splitlines()]
        assert [(row[0], row[1], row[3], row[4]) for row in rows] == [(version, "active", "operator", "2"),
                                                                      (shipped, "was", "shipped", "1")]
        assert done(fwsync("rules", "rollback", daemon=daemon)) == f"active: version {shipped}, from event 3 on\n"
        answer = json.loads(done(fwsync("rules", "rollback", version, "--json", daemon=daemon)))
        assert (answer["ok"], answer["version"], answer["activated"]) == (True, version, 4)
        write("{")
        code, out, err = fwsync("rules", "apply", rules, daemon=daemon)
        assert code == 1 and f"{rules}/root.yaml:7:" in out and "1 problem\n" in out, (out, err)
        code, out, err = fwsync("rules", "rollback", "e4", daemon=daemon)
        assert (code, out) == (1, "") and "no rules of version 'e4' were ever active here" in err
        assert daemon.query({"op": "rules"})["version"] == version
    code, out, err = fwsync("rules", "apply", os.path.join(ROOT, "rules", "chains"), "--timeout", "0.1",
                            "--query", "tcp://127.0.0.1:1")
    assert (code, out) == (1, "") and "127.0.0.1:1" in err, err


@test
def rules_that_check_out_can_be_applied():
    most = (1 << 20) - 1024
    with folder("one") as (rules, _), Daemon() as daemon:
        text = MARK % "one" + "# "
        around = len(json.dumps({"root.yaml": text + "\n"}, separators=(",", ":")))
        for size in (most + 1, most):
            with open(os.path.join(rules, "root.yaml"), "w", encoding="utf-8") as file:
                file.write(text + "x" * (size - around) + "\n")
            code, out, err = fwsync("rules", "apply", rules, daemon=daemon)
            if size > most:
                assert code == 1 and f"have {size} bytes as one bundle; at most {most} are taken\n" in out, (out, err)
        assert (code, err) == (0, "") and out.startswith("active: "), (code, out, err)
        assert fwsync("rules", "draw", daemon=daemon)[0] == 0


main()
