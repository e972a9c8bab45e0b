"""Passing time: deadlines of the rules, through the real daemon. A deadline here is a millisecond, and a test
waits for what it leads to."""
import json
import os
import tempfile

from harness import PARTITIONS, Daemon, main, test, wait_until

RULES = """chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post attributes: save, Attributes Updated: verdict, Post telemetry: verdict, Deadline Passed: %s}
  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: verdict}}
  verdict: {type: firmware-verdict, deadlines: {pending: %s, downloading: 1ms}, to: {Success: tell}}
  tell: {type: publish, class: sync}
  late: {type: save-telemetry, to: {Success: verdict}}
"""
STUCK = "runs v1, should run v2; the update has not begun for more than 1 ms"


class Rules:
    """A folder with the rules above; `late` is where a passed deadline goes."""

    def __init__(self, late="verdict", pending="1ms"):
        self.folder = tempfile.TemporaryDirectory(prefix="fwsync-rules-")
        self.write(late, pending)

    def write(self, late="verdict", pending="1ms"):
        rules = RULES % (late, pending)
        if late != "late":
            rules = "".join(line for line in rules.splitlines(True) if "late:" not in line)
        with open(os.path.join(self.folder.name, "root.yaml"), "w") as file:
            file.write(rules)

    def __str__(self):
        return self.folder.name


def told(device):
    """A device that runs v1 is told to run v2."""
    return [{"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": "v1"}},
            {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
             "data": {"lastTargetFwVer": "v2"}}]


def device(daemon, name):
    return daemon.query({"op": "device", "device": name})


def state(daemon, name):
    return device(daemon, name)["server"]["fwSyncState"]


def ticks(daemon):
    return daemon.query({"op": "stats"})["journal"]["ticks"]


@test
def a_deadline_that_passes_is_a_message():
    rules = Rules()
    with Daemon("--rules", rules) as daemon:
        subscription = daemon.subscribe("sync/")
        assert daemon.send_events(told("a"))["accepted"] == 2
        results = [subscription.next() for _ in range(3)]
        assert [(topic, payload["data"]["fwSyncState"]) for topic, payload in results] == [
            ("sync/a", "no-target"), ("sync/a", "pending"), ("sync/a", "stuck")], results
        late = results[2][1]
        assert late["type"] == "DEADLINE_PASSED" and late["seq"] == 4, late
        assert late["data"] == {"fwStateIsSynced": False, "fwSyncState": "stuck", "fwSyncReason": STUCK}
        answer = device(daemon, "a")
        assert answer["seq"] == 4 and answer["server"]["fwSyncReason"] == STUCK
        assert answer["lastSeen"] <= results[1][1]["ts"] <= late["ts"], "the device itself wasn't heard"
        stats = daemon.query({"op": "stats"})
        assert stats["journal"]["ticks"] == 1 and stats["journal"]["last"] == 4
        assert stats["events"]["accepted"] == stats["events"]["applied"] == 2, "a tick is no event"


@test
def nothing_is_written_when_nothing_is_due():
    rules = Rules(pending="1h")
    with Daemon("--rules", rules) as daemon:
        assert daemon.send_events(told("a"))["ok"]
        heartbeats = daemon.subscribe("heartbeat")
        seqs = {heartbeats.next()[1]["seq"] for _ in range(3)}
        assert seqs == {3} and state(daemon, "a") == "pending"
        assert ticks(daemon) == 0


@test
def any_number_of_deadlines_pass_at_once():
    rules = Rules()
    with Daemon("--rules", rules) as daemon:
        for first in range(0, 3000, 500):
            lines = [event for i in range(first, first + 500) for event in told(f"d{i}")]
            assert daemon.send_events(lines)["accepted"] == 1000
        count = {"op": "count", "index": "server.fwSyncState", "value": "stuck"}
        wait_until(lambda: daemon.query(count)["count"] == 3000, what="all are stuck")
        assert ticks(daemon) >= 6 / int(PARTITIONS), "500 devices a tick, in each partition"
        assert state(daemon, "d2999") == "stuck"


@test
def a_deadline_passes_while_the_daemon_is_down():
    rules = Rules()
    with Daemon("--rules", rules) as daemon:
        daemon.send_events(told("a"))
        daemon.kill()
        daemon.restart()
        wait_until(lambda: state(daemon, "a") == "stuck")


@test
def a_crash_changes_no_verdict():
    """Nothing is in a checkpoint, so all is replayed, ticks too: same attributes, same results, same numbers."""
    rules = Rules()
    with Daemon("--rules", rules, "--checkpoint-ms", 60000) as daemon:
        for first in range(3):
            daemon.send_events([event for i in range(50) for event in told(f"d{i}")])
            wait_until(lambda: all(state(daemon, f"d{i}") == "stuck" for i in range(50)))
            daemon.send_events([{"device": f"d{i}", "type": "POST_TELEMETRY_REQUEST",
                                 "data": {"fw_state": "DOWNLOADING"}} for i in range(first, 50, 2)])
            wait_until(lambda: all(state(daemon, f"d{i}") == "stuck" for i in range(50)))
        before = [device(daemon, f"d{i}") for i in range(50)]
        stats = daemon.query({"op": "stats"})
        daemon.kill()
        daemon.restart()
        after = daemon.query({"op": "stats"})
        assert after["events"]["replayed"] == stats["events"]["accepted"] > 300
        assert after["results"] == stats["results"] and after["journal"]["last"] == stats["journal"]["last"]
        assert [device(daemon, f"d{i}") for i in range(50)] == before
        assert {answer["server"]["fwSyncState"] for answer in before} == {"stuck"}


@test
def a_clean_stop_keeps_the_deadlines():
    rules = Rules(pending="1h")
    with Daemon("--rules", rules) as daemon:
        daemon.send_events(told("a"))
        daemon.stop()
        rules.write(pending="1ms")
        daemon.restart()
        assert state(daemon, "a") == "pending", "what is set stays set"
        daemon.send_events(told("a")[1:])
        wait_until(lambda: state(daemon, "a") == "stuck")


@test
def a_dead_letter_tells_that_it_was_time():
    rules = Rules(late="late")
    with Daemon("--rules", rules) as daemon:
        subscription = daemon.subscribe("deadletter/")
        daemon.send_events(told("a"))
        topic, letter = subscription.next()
        assert topic == "deadletter/a" and letter["node"] == "late", letter
        assert letter["event"] == {"device": "a", "type": "DEADLINE_PASSED"}
        kept = daemon.query({"op": "deadletters"})["deadletters"]
        assert [entry["event"] for entry in kept] == [letter["event"]], kept
        events = daemon.query({"op": "stats"})["events"]
        assert events["accepted"] == events["applied"] == 2 and events["deadLettered"] == 0


@test
def nobody_else_says_that_a_deadline_passed():
    with Daemon() as daemon:
        reply = daemon.send_events({"device": "a", "type": "DEADLINE_PASSED", "data": {}})
        assert reply["ok"] is False and reply["errors"][0]["code"] == "bad-event", json.dumps(reply)


main()
