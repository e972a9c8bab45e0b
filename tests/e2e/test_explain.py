"""`explain`: the verdict, what it rests on, the way through the rules, and what would help. Through pyzmq."""
import os
import re
import tempfile

from harness import Daemon, fwsync, main, test, wait_until

FIRMWARE = """
chain: firmware-synced
first: verdict
nodes:
  verdict:
    type: firmware-verdict
    deadlines: {pending: %s, downloading: 1ms}
    to: {Success: tell}
  tell: {type: publish, class: sync}
"""
ROOT = """
chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post attributes: save, Post telemetry: keep, Attributes Updated: firmware, Deadline Passed: firmware}
  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: firmware}}
  keep: {type: save-telemetry, to: {Success: firmware}}
  firmware: {type: rule-chain, chain: firmware-synced}
"""
SAMPLE = """
chain: root
first: look
nodes:
  look:
    type: fetch-attributes
    client: [currentFwVer, site]
    server: [lastTargetFwVer]
    to: {Success: compare}
  compare:
    type: compare
    left: $[currentFwVer]
    right: ${ss_lastTargetFwVer}
    result: fwStateIsSynced
    to: {Success: save}
  save: {type: save-attributes, scope: SERVER_SCOPE, keys: [fwStateIsSynced]}
"""


def folder(**files):
    made = tempfile.TemporaryDirectory(prefix="fwsync-rules-")
    for name, text in files.items():
        with open(os.path.join(made.name, name + ".yaml"), "w", encoding="utf-8") as file:
            file.write(text)
    return made


def report(device, version, **more):
    return dict({"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": version}}, **more)


def stage(device, **data):
    return {"device": device, "type": "POST_TELEMETRY_REQUEST", "data": data}


def target(device, version, scope="SERVER_SCOPE", key="lastTargetFwVer", **more):
    return dict({"device": device, "type": "ATTRIBUTES_UPDATED", "scope": scope, "data": {key: version}}, **more)


def send(daemon, *events):
    reply = daemon.send_events(list(events))
    assert reply["ok"], reply
    return reply["last"]


def explain(daemon, device="a"):
    answer = daemon.query({"op": "explain", "device": device})
    assert answer["ok"], answer
    return answer


def explain_stuck(daemon, device="a"):
    def stuck():
        answer = explain(daemon, device)
        return answer if answer["verdict"]["state"] == "stuck" else None
    return wait_until(stuck)


def told(daemon, device="a", person=False):
    """What the tool prints: lines for a program, or what a person sees."""
    code, out, err = fwsync("explain", device, daemon=daemon, env={"FWSYNC_TABLE": "1"} if person else None)
    assert code == 0 and err == "", (code, out, err)
    return out if person else out.splitlines()


def facts(answer):
    return {(fact["scope"], fact["key"]): fact for fact in answer["facts"]}


def nodes(answer):
    return [(step["chain"], step["node"], step.get("relation")) for step in answer["decided"]["path"]]


@test
def test_a_verdict_comes_with_facts_their_writers_the_way_and_a_remedy():
    with Daemon() as daemon:
        first = send(daemon, report("a", "v1.1", source="gateway-7", n=41))
        second = send(daemon, target("a", "v1.2", source="operator", n=1))
        answer = explain(daemon)
        assert answer["verdict"]["synced"] is False and answer["verdict"]["state"] == "pending"
        assert "v1.1" in answer["verdict"]["reason"] and "v1.2" in answer["verdict"]["reason"]
        found = facts(answer)
        running = found["CLIENT_SCOPE", "currentFwVer"]
        assert (running["value"], running["seq"], running["by"], running["source"], running["n"]) == \
            ("v1.1", first, "device", "gateway-7", 41)
        wanted = found["SERVER_SCOPE", "lastTargetFwVer"]
        assert (wanted["value"], wanted["seq"], wanted["by"], wanted["source"]) == \
            ("v1.2", second, "operator", "operator")
        assert wanted["received"] == wanted["ts"] == answer["decided"]["received"]
        assert answer["decided"]["seq"] == second
        assert answer["decided"]["event"] == target("a", "v1.2", source="operator", n=1)
        assert nodes(answer) == [
            ("root", "what-came", "Attributes Updated"), ("root", "firmware-synced", None),
            ("firmware-synced", "verdict", "Success"), ("firmware-synced", "tell", "Success")]
        assert answer["decided"]["rules"] == daemon.query({"op": "rules"})["version"]
        assert "v1.2" in answer["remedy"] and "never told" in answer["remedy"]
        send(daemon, target("a", "v1.2", "SHARED_SCOPE", "targetFwVer"))
        assert "told" not in explain(daemon)["remedy"]


@test
def test_it_works_after_the_fact():
    with Daemon() as daemon:
        send(daemon, target("a", "v1.2"), report("a", "v1.2"))
        before = explain(daemon)
        assert before["verdict"]["state"] == "synced" and before["remedy"].startswith("nothing")
        send(daemon, report("b", "v1"), report("a", "v1.2"))  # a's verdict stays as it was
        again = explain(daemon)
        assert again["decided"] == before["decided"] and again["facts"] == before["facts"]
        daemon.kill()
        daemon.restart()
        assert dict(explain(daemon), seq=0) == dict(again, seq=0)
        assert daemon.query({"op": "explain", "device": "x"})["code"] == "not-found"


@test
def test_a_device_without_a_verdict_says_what_is_needed():
    with Daemon() as daemon:
        send(daemon, {"device": "a", "type": "POST_TELEMETRY_REQUEST", "data": {"counter": 1}})
        answer = explain(daemon)
        assert answer["verdict"] == {} and "decided" not in answer and answer["facts"] == []
        assert "lastTargetFwVer" in answer["remedy"]
        lines = told(daemon)
        assert [line.split("\t")[0] for line in lines] == ["verdict", "remedy"], lines


@test
def test_the_remedy_fits_the_state_and_the_stage():
    with folder(root=ROOT, firmware=FIRMWARE % "1ms") as rules, Daemon("--rules", rules) as daemon:
        send(daemon, target("a", "v1.2", "SHARED_SCOPE", "targetFwVer"), report("a", "v1.1"))
        assert "lastTargetFwVer, which is what is compared" in explain(daemon)["remedy"]
        send(daemon, report("b", "v1.2"), target("b", "1.2"))
        assert "the same version, written differently" in explain(daemon, "b")["remedy"]
        send(daemon, report("c", "v1.1"), target("c", "v1.2"), stage("c", fw_state="DOWNLOADING"))
        answer = explain_stuck(daemon, "c")
        assert "DOWNLOADING" in answer["verdict"]["reason"], answer
        assert "reaches the firmware server" in answer["remedy"] and "never told" not in answer["remedy"]
        send(daemon, report("d", "v1.1"), target("d", "v1.2"))
        assert "never told" in explain_stuck(daemon, "d")["remedy"]


@test
def test_passing_time_is_explained_too():
    with folder(root=ROOT, firmware=FIRMWARE % "1ms") as rules, Daemon("--rules", rules) as daemon:
        send(daemon, report("a", "v1.1"), target("a", "v1.2"))
        answer = explain_stuck(daemon)
        assert answer["decided"]["type"] == "DEADLINE_PASSED"
        assert nodes(answer)[0] == ("root", "what-came", "Deadline Passed")
        assert facts(answer)["CLIENT_SCOPE", "currentFwVer"]["by"] == "device"
        daemon.stop()
        daemon.restart()
        assert nodes(explain(daemon)) == nodes(answer)


@test
def test_rules_of_that_time_explain_what_they_decided():
    with folder(root=SAMPLE) as sample, folder(root=ROOT, firmware=FIRMWARE % "1ms") as newer:
        with Daemon("--rules", sample) as daemon:
            send(daemon, {"device": "a", "type": "ATTRIBUTES_UPDATED", "scope": "CLIENT_SCOPE",
                          "data": {"site": "north"}}, target("a", "v1.2"))
            last = send(daemon, report("a", "v1.2"))
            answer = explain(daemon)
            assert nodes(answer) == [("root", "look", "Success"), ("root", "compare", "Success"),
                                     ("root", "save", "Success")]
            assert answer["decided"]["seq"] == last and answer["verdict"]["synced"] is True
            # what the rules asked for is a fact, whatever it is
            assert facts(answer)["CLIENT_SCOPE", "site"]["value"] == "north"
            daemon.stop()
            daemon.args = ["--rules", newer]
            daemon.restart()
            assert nodes(explain(daemon)) == nodes(answer)
            assert explain(daemon)["decided"]["rules"] == answer["decided"]["rules"] != \
                daemon.query({"op": "rules"})["version"]
            send(daemon, target("a", "v1.3"))
            assert nodes(explain(daemon))[-1][:2] == ("firmware-synced", "tell")


@test
def test_what_is_no_longer_kept_is_said_and_the_rest_is_there():
    with Daemon("--journal-keep-mib", 1, "--checkpoint-ms", 10) as daemon:
        send(daemon, report("a", "v1.1"), target("a", "v1.2"))

        def trimmed():
            send(daemon, *[report("b", f"{i}" + "x" * 1000) for i in range(500)])
            answer = explain(daemon)
            return answer if "missing" in answer["decided"] else None
        before = explain(daemon)
        answer = wait_until(trimmed, what="the first events are trimmed")
        assert answer["verdict"] == before["verdict"] and "path" not in answer["decided"]
        running, was = facts(answer)["CLIENT_SCOPE", "currentFwVer"], facts(before)["CLIENT_SCOPE", "currentFwVer"]
        assert "by" not in running and "received" not in running
        assert all(running[member] == was[member] for member in ("value", "ts", "seq")), running
        assert answer["decided"]["seq"] == 3 and answer["decided"]["ts"] == before["decided"]["received"]
        assert "v1.2" in answer["remedy"] and "later" not in answer
        text = told(daemon, person=True)
        assert "never " not in text.split("Remedy")[0] and "(, " not in text, text
        assert re.search(r"^Decided by event 3 \(.+\), which can't be run again: event 3 is no longer in the journal",
                         text, re.M), text
        cells = [line.split("\t") for line in told(daemon) if line.startswith("fact")]
        assert [line[7] for line in cells] == ["2", "3"] and all(line[4].startswith("20") for line in cells), cells
        # what came later shows how the rules judge it, when it changed something
        send(daemon, report("a", "v1.1"))
        assert "later" not in explain(daemon)
        last = send(daemon, report("a", "v1.1", data={"currentFwVer": "v1.1", "site": "north"}))
        answer = explain(daemon)
        assert answer["decided"]["seq"] == 3 and answer["later"]["seq"] == last
        assert answer["later"]["event"]["data"]["site"] == "north"
        assert [step["node"] for step in answer["later"]["path"]][-1] == "tell"
        assert f"The newest that can be run again is event {last} (POST_ATTRIBUTES_REQUEST, " in told(daemon, person=True)
        assert any(line.startswith(f"later\t{last}\tPOST_ATTRIBUTES_REQUEST\t20") for line in told(daemon))


BY_TELEMETRY = """
chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post telemetry: save, Post attributes: keep, Other: early}
  save: {type: save-telemetry}
  keep: {type: save-attributes, scope: CLIENT_SCOPE}
  early: {type: fetch-attributes, client: [early], to: {Success: look}}
  look: {type: fetch-attributes, telemetry: [x], to: {Success: judge}}
  judge: {type: set, data: {fwStateIsSynced: true}, to: {Success: write}}
  write: {type: save-attributes, scope: SERVER_SCOPE, keys: [fwStateIsSynced]}
"""


@test
def test_a_decision_that_cannot_be_run_again_leaves_nothing_in_the_later_one():
    with folder(root=BY_TELEMETRY) as rules, Daemon("--rules", rules) as daemon:
        send(daemon, report("a", "v1", data={"early": 1}), stage("a", x=1))
        decided = send(daemon, {"device": "a", "type": "LOOK"})
        assert nodes(explain(daemon))[-1] == ("root", "write", "Success")
        send(daemon, stage("a", x=2))
        last = send(daemon, report("a", "v2"))
        answer = explain(daemon)
        assert answer["decided"]["seq"] == decided and "telemetry" in answer["decided"]["missing"], answer
        assert "path" not in answer["decided"] and answer["later"]["seq"] == last
        assert [step["node"] for step in answer["later"]["path"]] == ["what-came", "keep"], answer["later"]
        assert ("CLIENT_SCOPE", "early") not in facts(answer)


@test
def test_an_update_rests_on_what_the_device_said_of_it():
    with folder(root=ROOT, firmware=FIRMWARE % "1d") as rules, Daemon("--rules", rules) as daemon:
        send(daemon, report("a", "v1.1"), target("a", "v1.2"), stage("a", fw_error="an old one"))
        assert ("LATEST_TELEMETRY", "fw_error") not in facts(explain(daemon))
        first = send(daemon, dict(stage("a", fw_state="QUEUED"), source="gateway-7", n=1))
        answer = explain(daemon)
        said = facts(answer)["LATEST_TELEMETRY", "fw_state"]
        assert (said["value"], said["seq"], said["by"], said["source"]) == ("QUEUED", first, "device", "gateway-7")
        assert answer["verdict"]["state"] == "updating"
        assert answer["verdict"]["stageSince"] == answer["verdict"]["since"] == said["ts"] == said["received"]
        assert any(line.startswith("fact\ttelemetry\tfw_state\tQUEUED\t20") for line in told(daemon)), told(daemon)
        begun = send(daemon, dict(stage("a", fw_state="DOWNLOADING"), ts=1700000000000))
        answer = explain_stuck(daemon)
        assert answer["verdict"]["stageSince"] == 1700000000000 < answer["verdict"]["since"]
        assert answer["decided"]["seq"] > begun
        text = told(daemon, person=True)
        assert re.search("is not in sync: stuck, since .*; the stage began 2023-11-1", text), text
        send(daemon, stage("a", fw_state="FAILED", fw_error="no room"))
        found = facts(explain(daemon))
        assert found["LATEST_TELEMETRY", "fw_error"]["value"] == "no room"
        assert 'It said: {"fw_state":"FAILED","fw_error":"no room"}\n' in told(daemon, person=True)


main()
