"""What an event did at each node, told long after it was applied."""
import json
import os
import random
import tempfile

from harness import Daemon, fwsync, main, test, wait_until
from tool import done

RULES = """chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post attributes: [save, rename], Attributes Updated: look, Post telemetry: telemetry, Deadline Passed: other}
  save: {type: save-attributes, scope: CLIENT_SCOPE}
  rename: {type: rename-keys, keys: {v: version}, to: {Success: mark}}
  mark: {type: set, data: {mark: one}, metadata: {by: "${deviceName}"}, to: {Success: drop}}
  drop: {type: delete-keys, from: data, keys: [other], to: {Success: keep}}
  keep: {type: save-attributes, scope: SERVER_SCOPE, keys: [version, mark], to: {Success: tell}}
  tell: {type: publish, class: seen, data: [version]}
  look: {type: fetch-attributes, server: [asked], to: {Success: forget}}
  forget: {type: delete-attributes, scope: SERVER_SCOPE, keys: [mark], to: {Success: fail}}
  fail: {type: check-fields, data: [asked], to: {True: wrong}}
  wrong: {type: set, data: {"a.b": "${nothing}"}, to: {Success: wronger}}
  wronger: {type: fetch-attributes, server: [not-there], require: true}
  telemetry: {type: save-telemetry}
  other: {type: log}
"""


class Rules:
    def __init__(self, text=RULES):
        self.folder = tempfile.TemporaryDirectory(prefix="fwsync-rules-")
        with open(os.path.join(self.folder.name, "root.yaml"), "w", encoding="utf-8") as file:
            file.write(text)

    def __str__(self):
        return self.folder.name


def report(device="a", **data):
    return {"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": data}


def write(device="a", scope="SERVER_SCOPE", **data):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": scope, "data": data}


def send(daemon, *events):
    reply = daemon.send_events(list(events))
    assert reply["ok"], reply
    return reply["last"]


def trace(daemon, device="a", event=None):
    reply = daemon.query({"op": "trace", "device": device, **({} if event is None else {"event": event})})
    assert reply["ok"], reply
    return reply["trace"]


def way(found):
    return [(step["node"], step.get("relation")) for step in found["path"]]


def changes(found):
    """As `history` says them, in the order in which they happened."""
    steps = [found.get("saved", []), *(step.get("changes", []) for step in found["path"])]
    return [change for step in steps for change in step if change["scope"] != "LATEST_TELEMETRY"]


@test
def each_node_tells_what_it_did():
    with Daemon("--rules", Rules()) as daemon:
        seq = send(daemon, report(v="1", other="x"))
        send(daemon, report(v="2", other="y"), report("b", v="3"))
        found = trace(daemon, event=seq)
        assert found["seq"] == seq and found["type"] == "POST_ATTRIBUTES_REQUEST" and found["event"] == report(v="1", other="x")
        assert found["rules"] == daemon.query({"op": "rules"})["version"] and "saved" not in found
        assert way(found) == [("what-came", "Post attributes"), ("save", "Success"), ("rename", "Success"),
                              ("mark", "Success"), ("drop", "Success"), ("keep", "Success"), ("tell", "Success")]
        assert found["metadata"] == {"deviceName": "a", "deviceType": "default", "ts": str(found["received"])}
        steps = {step["node"]: step for step in found["path"]}
        plain = {"chain", "node", "type", "relation"}
        assert set(steps["what-came"]) == plain and set(steps["tell"]) == {*plain, "published"}
        assert steps["tell"]["published"] == "seen"
        assert set(steps["save"]) == set(steps["keep"]) == {*plain, "changes"}
        assert set(steps["rename"]) == set(steps["mark"]) == set(steps["drop"]) == {*plain, "message"}
        assert steps["save"]["changes"] == [{"scope": "CLIENT_SCOPE", "key": "v", "new": "1"},
                                            {"scope": "CLIENT_SCOPE", "key": "other", "new": "x"}]
        assert steps["rename"]["message"] == [{"in": "data", "key": "version", "new": "1"},
                                              {"in": "data", "key": "v", "old": "1"}]
        assert steps["mark"]["message"] == [{"in": "data", "key": "mark", "new": "one"},
                                            {"in": "metadata", "key": "by", "new": "a"}]
        assert steps["drop"]["message"] == [{"in": "data", "key": "other", "old": "x"}]
        assert steps["keep"]["changes"] == [{"scope": "SERVER_SCOPE", "key": "version", "new": "1"},
                                            {"scope": "SERVER_SCOPE", "key": "mark", "new": "one"}]
        assert [result["class"] for result in found["results"]] == ["attributes"] * 4 + ["seen"]
        assert found["results"][-1]["data"] == {"version": "1"} and found["results"][-1]["n"] == 1
        newest = trace(daemon)
        assert newest["results"][-1]["n"] == 2
        assert newest["seq"] == seq + 1 and newest["path"][1]["changes"][0] == {
            "scope": "CLIENT_SCOPE", "key": "v", "old": "1", "new": "2"}


@test
def an_operators_write_is_told_before_the_first_node():
    with Daemon("--rules", Rules()) as daemon:
        send(daemon, report(v="1"))
        seq = send(daemon, write(asked=True))
        found = trace(daemon)
        assert found["seq"] == seq and found["saved"] == [{"scope": "SERVER_SCOPE", "key": "asked", "new": True}]
        steps = {step["node"]: step for step in found["path"]}
        assert "changes" not in steps["what-came"] and found["metadata"]["scope"] == "SERVER_SCOPE"
        assert steps["look"]["message"] == [{"in": "metadata", "key": "ss_asked", "new": "true"}]
        assert steps["forget"]["changes"] == [{"scope": "SERVER_SCOPE", "key": "mark", "old": "one"}]
        assert way(found)[-1] == ("wronger", "Failure")
        letter = found["results"][-1]
        assert (letter["class"], letter["chain"], letter["node"]) == ("deadletter", "root", "wronger"), letter


@test
def traces_together_are_the_history():
    """Random events; what the traces say changed is what the history says, also over a restart and other rules."""
    chance = random.Random(11)
    with Daemon("--checkpoint-ms", 50) as daemon:
        for turn in range(3):
            for _ in range(120):
                device = chance.choice("abc")
                version = f"v1.{chance.randrange(3)}"
                send(daemon, chance.choice([
                    report(device, currentFwVer=version), report(device, current=1, x=chance.randrange(2)),
                    write(device, lastTargetFwVer=version), write(device, "SHARED_SCOPE", targetFwVer=version),
                    {"device": device, "type": "POST_TELEMETRY_REQUEST",
                     "data": {"fw_state": chance.choice(["DOWNLOADING", "UPDATING", "UPDATED", "FAILED"])}}]))
            if turn == 0:
                daemon.kill()
                daemon.restart()
            elif turn == 1:
                assert daemon.query({"op": "rules-apply", "files": {"root.yaml": RULES}})["ok"]
        last = daemon.query({"op": "ping"})["seq"]
        for device in "abc":
            history = daemon.query({"op": "history", "device": device, "limit": 1000})
            assert history["complete"]
            wanted = {}
            for row in reversed(history["changes"]):
                if row["key"] != "deviceType":
                    wanted.setdefault(row["seq"], []).append(
                        {name: row[name] for name in ("scope", "key", "old", "new") if name in row})
            found, others = {}, 0
            for seq in range(1, last + 1):
                reply = daemon.query({"op": "trace", "device": device, "event": seq})
                if reply["ok"] and changes(reply["trace"]):
                    found[seq] = changes(reply["trace"])
                others += not reply["ok"]
                assert reply["ok"] or reply["code"] == "not-found", reply
            assert found == wanted and len(wanted) > 50 and others > 200


@test
def passing_time_is_traced_for_whom_it_came():
    rules = Rules("chain: root\nfirst: verdict\nnodes:\n"
                  "  verdict: {type: firmware-verdict, deadlines: {pending: 1ms}, to: {Success: save}}\n"
                  "  save: {type: save-attributes, scope: CLIENT_SCOPE, keys: [currentFwVer]}\n")
    with Daemon("--rules", rules) as daemon:
        send(daemon, report(currentFwVer="v1"), report(currentFwVer="v1"), report("b", currentFwVer="v1"),
             write(lastTargetFwVer="v2"))
        wait_until(lambda: trace(daemon)["type"] == "DEADLINE_PASSED")
        found = trace(daemon)
        assert [change["new"] for change in found["path"][0]["changes"]][0] == "stuck", found
        reply = daemon.query({"op": "trace", "device": "b", "event": found["seq"]})
        assert reply["code"] == "not-found" and 'is passing time, and did nothing to "b"' in reply["error"], reply


@test
def what_cannot_be_traced_is_said():
    with Daemon("--rules", Rules(), "--history-keep-hours", 1) as daemon:
        assert daemon.query({"op": "trace", "device": "a"})["code"] == "not-found"
        send(daemon, report(v="1"), report("b", v="1"))
        for event, code, said in ((0, "bad-query", "the first one is 1"), (1, "not-found", "record 1 is a change of rules"),
                                  (3, "not-found", 'event 3 is of the device "b"'), (99, "not-found", "no event 99 yet"),
                                  ("x", "bad-query", "event: expected the number of an event"), (-1, "bad-query", "event")):
            reply = daemon.query({"op": "trace", "device": "a", "event": event})
            assert reply["code"] == code and said in reply["error"], (event, reply)
        assert daemon.query({"op": "trace"})["code"] == "bad-query"
        assert daemon.query({"op": "trace", "device": "a", "seq": 2})["code"] == "bad-query"


@test
def each_branch_is_told_by_itself():
    """What one branch did to its copy of the message isn't undone by the next."""
    rules = Rules("chain: root\nfirst: fork\nnodes:\n"
                  "  fork: {type: log, to: {Success: [one, two]}}\n"
                  "  one: {type: set, data: {a: 1, b: 2}, metadata: {m: x}, to: {Success: end}}\n"
                  "  two: {type: set, data: {a: 3}, to: {Success: end}}\n"
                  "  end: {type: log}\n")
    with Daemon("--rules", rules) as daemon:
        found = trace(daemon, event=send(daemon, report(a=0)))
        assert [(step["node"], step.get("message")) for step in found["path"]] == [
            ("fork", None),
            ("one", [{"in": "data", "key": "a", "old": 0, "new": 1}, {"in": "data", "key": "b", "new": 2},
                     {"in": "metadata", "key": "m", "new": "x"}]),
            ("end", None),
            ("two", [{"in": "data", "key": "a", "old": 0, "new": 3}]),
            ("end", None)], found["path"]


@test
def what_depends_on_telemetry_is_gone_when_it_comes_out_otherwise():
    rules = Rules("chain: root\nfirst: what-came\nnodes:\n"
                  "  what-came: {type: message-type-switch, to: {Post telemetry: save, Post attributes: look}}\n"
                  "  save: {type: save-telemetry}\n"
                  "  look: {type: fetch-attributes, telemetry: [x], require: true, to: {Success: keep}}\n"
                  "  keep: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: tell}}\n"
                  "  tell: {type: publish, class: seen}\n")
    with Daemon("--rules", rules) as daemon:
        failed = send(daemon, report(v=1))
        assert trace(daemon, event=failed)["results"][-1]["class"] == "deadletter"
        send(daemon, {"device": "a", "type": "POST_TELEMETRY_REQUEST", "data": {"x": 1}})
        reply = daemon.query({"op": "trace", "device": "a", "event": failed})
        assert reply["code"] == "gone" and "depend on telemetry" in reply["error"], reply


@test
def what_did_not_happen_then_is_not_told():
    """The same ways, and as many results: but with the telemetry of now other values are saved, or any at all."""
    rules = Rules("chain: root\nfirst: what-came\nnodes:\n"
                  "  what-came: {type: message-type-switch, to: {Post telemetry: save, Post attributes: look}}\n"
                  "  save: {type: save-telemetry}\n"
                  "  look: {type: fetch-attributes, telemetry: [x], to: {Success: there}}\n"
                  "  there: {type: check-fields, metadata: [x], to: {True: note}}\n"
                  "  note: {type: set, data: {seen: '${x}'}, to: {Success: keep}}\n"
                  "  keep: {type: save-attributes, scope: SERVER_SCOPE, keys: [seen]}\n")
    with Daemon("--rules", rules) as daemon:
        telemetry = [{"device": "a", "type": "POST_TELEMETRY_REQUEST", "data": {"x": x}} for x in (1, 2)]
        send(daemon, report(v=1))
        nothing, _, one = [send(daemon, sent) for sent in (report(v=1), telemetry[0], report(v=1))]
        assert changes(trace(daemon, event=one)) == [{"scope": "SERVER_SCOPE", "key": "seen", "new": "1"}]
        send(daemon, telemetry[1])
        for event in (nothing, one):
            reply = daemon.query({"op": "trace", "device": "a", "event": event})
            assert reply.get("code") == "gone" and "depend on telemetry" in reply["error"], reply


@test
def a_large_message_is_shown_until_it_is_too_much():
    nodes = "".join(f"  n{i}: {{type: rename-keys, keys: {{k{i}: k{i + 1}}}, to: {{Success: n{i + 1}}}}}\n" for i in range(40))
    with Daemon("--rules", Rules(f"chain: root\nfirst: n0\nnodes:\n{nodes}  n40: {{type: log}}\n")) as daemon:
        found = trace(daemon, event=send(daemon, report(k0="x" * 60000)))
        shown = [step["node"] for step in found["path"] if "message" in step]
        assert found["cut"] is True and shown == [f"n{i}" for i in range(9)], shown  # 120,000 bytes each, until 1 MiB
        assert len(found["path"]) == 41
        assert "cut" not in trace(daemon, event=send(daemon, report(x="y")))


@test
def members_that_only_moved_are_not_told():
    """As many as a message may have, through as many nodes; it took seconds once."""
    last = 998
    nodes = "".join(f"  n{i}: {{type: rename-keys, keys: {{k{i}: z{i}}}, to: {{Success: n{i + 1}}}}}\n" for i in range(last))
    with Daemon("--rules", Rules(f"chain: root\nfirst: n0\nnodes:\n{nodes}  n{last}: {{type: log}}\n")) as daemon:
        found = trace(daemon, event=send(daemon, report(**{f"k{i}": i for i in range(1000)})))
        assert "cut" not in found and len(found["path"]) == last + 1
        for i, step in enumerate(found["path"][:last]):
            assert step["message"] == [{"in": "data", "key": f"z{i}", "new": i}, {"in": "data", "key": f"k{i}", "old": i}]


@test
def the_tool_shows_the_way():
    with Daemon("--rules", Rules()) as daemon:
        seq = send(daemon, report(v="1", other="x"))
        rules = daemon.query({"op": "rules"})["version"]
        send(daemon, report(v="2", other="x"))
        lines = [line.split("\t") for line in done(fwsync("rules", "trace", "a", daemon=daemon)).splitlines()]
        assert lines[0][:3] == ["event", str(seq + 1), "POST_ATTRIBUTES_REQUEST"] and lines[0][4] == rules
        assert lines[1:] == [
            ["said", '{"v":"2","other":"x"}', "-"],
            ["step", "root", "what-came", "message-type-switch", "Post attributes"],
            ["step", "root", "save", "save-attributes", "Success"],
            ["saved", "client.v", "1", "2"],
            ["step", "root", "rename", "rename-keys", "Success"],
            ["data", "version", "-", "2"],
            ["data", "v", "2", "-"],
            ["step", "root", "mark", "set", "Success"],
            ["data", "mark", "-", "one"],
            ["metadata", "by", "-", "a"],
            ["step", "root", "drop", "delete-keys", "Success"],
            ["data", "other", "x", "-"],
            ["step", "root", "keep", "save-attributes", "Success"],
            ["saved", "server.version", "1", "2"],
            ["step", "root", "tell", "publish", "Success"],
            ["published", "seen"],
            ["result", "seen", '{"version":"2"}']], lines
        text = done(fwsync("rules", "trace", "a", "--event", seq, daemon=daemon, env={"FWSYNC_TABLE": "1"}))
        assert text.startswith(f"Event {seq} (POST_ATTRIBUTES_REQUEST, ") and f") under rules {rules}\n" in text
        assert 'It said: {"v":"1","other":"x"}\n' in text and "\nPublished\n  seen {\"version\":\"1\"}\n" in text
        rows, margin = text.splitlines(), " " * 56
        assert 'root   save       save-attributes      Success          client.v: "1"' in rows, text
        assert margin + "client.other: x" in rows and margin + '$[v]: "1" -> gone' in rows, text
        assert "root   tell       publish              Success          published: seen" in rows, text
        seq = send(daemon, {**report(v="2", other="x"), "metadata": {"site": "north"}})
        lines = done(fwsync("rules", "trace", "a", "--event", seq, daemon=daemon)).splitlines()
        assert lines[1] == 'said\t{"v":"2","other":"x"}\t{"site":"north"}' and lines[-1] == "published\t-", lines
        text = done(fwsync("rules", "trace", "a", "--event", seq, daemon=daemon, env={"FWSYNC_TABLE": "1"}))
        assert 'With metadata: {"site":"north"}\n' in text and "not published: nothing was changed" in text, text
        answer = json.loads(done(fwsync("rules", "trace", "a", "--json", daemon=daemon)))
        assert answer["trace"]["seq"] == seq - 1, "the newest that changed something"
        seq = send(daemon, write(asked=1))
        lines = done(fwsync("rules", "trace", "a", daemon=daemon)).splitlines()
        assert lines[2] == "saved\tserver.asked\t-\t1" and lines[-1].startswith("result\tdeadletter\t"), lines
        code, out, err = fwsync("rules", "trace", "a", "--event", 99, daemon=daemon)
        assert (code, out) == (1, "") and "there is no event 99 yet" in err
    for args, said in ((["rules", "trace"], "DEVICE is missing"), (["rules", "trace", "a", "b"], "too much: 'b'"),
                       (["rules", "trace", "a", "--event", "0"], "'0' is not a whole number from 1")):
        code, _, err = fwsync(*args)
        assert code == 2 and said in err, err


main()
