"""What the daemon tells of the past, through pyzmq: history, device and count at a time, changes, snapshot.

Times are those of the events' receipts, which the answers bring; expected states are kept here, event by
event, from what was sent and what a subscriber saw."""
import os
import random
import re
import tempfile

from harness import Daemon, main, test

RULES = {
    "root.yaml": """
chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post attributes: save, Attributes Updated: tell, Post telemetry: fail, Other: always}
  save:
    type: save-attributes
    scope: CLIENT_SCOPE
    to: {Success: [mark, always]}
  mark:
    type: set
    data: {copy: '$[v]'}
    to: {Success: save-mark}
  save-mark:
    type: save-attributes
    scope: SERVER_SCOPE
    keys: [copy]
    to: {Success: tell}
  tell: {type: publish, class: told}
  always: {type: publish, class: always, on: always}
  fail: {type: fetch-attributes, server: [nowhere], require: true}
"""}


def report(device, **data):
    return {"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": data}


def write(device, **data):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SHARED_SCOPE", "data": data}


class Rules:
    """A folder with RULES, or others."""

    def __init__(self, files=None):
        self.folder = tempfile.TemporaryDirectory(prefix="fwsync-rules-")
        for name, text in (files or RULES).items():
            with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
                file.write(text)

    def __enter__(self):
        return self.folder.name

    def __exit__(self, *error):
        self.folder.cleanup()


def pages(daemon, query, key=None):
    """Every page of a question, and the items of all, which are in the member `key`."""
    items, answers = [], []
    while True:
        answer = daemon.query(query)
        assert answer["ok"], answer
        answers.append(answer)
        items += answer[key] if key else []
        if "cursor" not in answer:
            return answers, items
        query = dict(query, cursor=answer["cursor"])


def send(daemon, *events):
    reply = daemon.send_events(list(events))
    assert reply["ok"], reply
    return reply["last"]


def state_of(daemon):
    """{device: its type and its attributes}."""
    return {d["device"]: (d["deviceType"], d["client"], d["shared"], d["server"])
            for d in pages(daemon, {"op": "devices", "limit": 1000}, "devices")[1]}


def changes(daemon, after, **more):
    """All results after an event, page by page."""
    found = []
    while True:
        answer = daemon.query(dict({"op": "changes", "after": after}, **more))
        assert answer["ok"], answer
        assert answer["after"] >= after
        found += answer["results"]
        after = answer["after"]
        if not answer["more"]:
            return found, after


def seen(subscription, count):
    """What a subscriber got, in the form of `changes`."""
    results = []
    while len(results) < count:
        topic, payload = subscription.next()
        results.append(dict(payload, **{"class": topic.split("/")[0]}))
    return results


# --- one device

@test
def test_history_is_every_change_newest_first():
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        first = send(daemon, report("a", v="1", w=True))
        second = send(daemon, dict(report("a", v="2"), deviceType="pump"))
        send(daemon, report("a", v="2"))  # nothing new
        third = send(daemon, write("a", target="3"))
        answers, found = pages(daemon, {"op": "history", "device": "a"}, "changes")
        assert answers[-1]["complete"] is True
        rows = [(c["seq"], c["type"], c.get("scope"), c["key"], c.get("old"), c.get("new")) for c in found]
        post = "POST_ATTRIBUTES_REQUEST"
        assert rows == [
            (third, "ATTRIBUTES_UPDATED", "SHARED_SCOPE", "target", None, "3"),
            (second, post, "SERVER_SCOPE", "copy", "1", "2"),
            (second, post, "CLIENT_SCOPE", "v", "1", "2"),
            (second, post, None, "deviceType", "default", "pump"),
            (first, post, "SERVER_SCOPE", "copy", None, "1"),
            (first, post, "CLIENT_SCOPE", "w", None, True),
            (first, post, "CLIENT_SCOPE", "v", None, "1"),
            (first, post, None, "deviceType", None, "default"),
        ], rows
        assert all(a["ts"] >= b["ts"] for a, b in zip(found, found[1:]))
        answers, small = pages(daemon, {"op": "history", "device": "a", "limit": 1}, "changes")
        assert small == found and len(answers) == 3  # an event's changes stay together
        assert daemon.query({"op": "history", "device": "b"})["code"] == "not-found"
        send(daemon, report("c", v="1"))
        for cursor in (answers[0]["cursor"], "8:1", "99999999:1", "1:1", "x"):
            wrong = daemon.query({"op": "history", "device": "c", "cursor": cursor})
            assert wrong["code"] == "bad-query" and wrong["error"].startswith("cursor: "), (cursor, wrong)


@test
def test_a_device_is_shown_as_it_was():
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        states, times = [], []
        for i in range(30):
            send(daemon, report("a", v=str(i)) if i % 3 else write("a", t=i))
            now = daemon.query({"op": "device", "device": "a"})
            states.append({scope: now[scope] for scope in ("client", "shared", "server")})
            times.append(daemon.query({"op": "history", "device": "a", "limit": 1})["changes"][0]["ts"])
        daemon.stop()
        daemon.restart()
        for i, time in enumerate(times):
            if i + 1 < len(times) and times[i + 1] == time:
                continue  # several in one millisecond: the last of them counts
            then = daemon.query({"op": "device", "device": "a", "at": time})
            assert {scope: then[scope] for scope in states[i]} == states[i], (i, then)
            assert then["at"] == time and "telemetry" not in then
        assert daemon.query({"op": "device", "device": "a", "at": times[0] - 1})["code"] == "not-found"
        wrong = daemon.query({"op": "device", "device": "a", "at": "yesterday"})
        assert wrong["code"] == "bad-query" and "milliseconds" in wrong["error"]


# --- the fleet

def count_at(daemon, time, **more):
    """(devices, {value: how many}): all pages added up."""
    counts, devices = {}, 0
    for answer in pages(daemon, dict({"op": "count", "at": time}, **more))[0]:
        devices += answer["devices"]
        for item in answer.get("values", []):
            counts[item["value"]] = counts.get(item["value"], 0) + item["count"]
    return devices, {value: count for value, count in counts.items() if count}


@test
def test_counts_of_a_time_are_exact():
    chance = random.Random(5)
    with Rules() as rules, Daemon("--rules", rules, "--indexes", "client.v,server.copy") as daemon:
        versions, types, past = {}, {}, []
        for _ in range(300):
            device, version = f"d{chance.randrange(40)}", f"v{chance.randrange(4)}"
            kind = chance.choice(["pump", "valve", None])
            event = report(device, v=version)
            send(daemon, dict(event, deviceType=kind) if kind else event)
            versions[device] = version
            types[device] = kind or types.get(device, "default")
            time = daemon.query({"op": "history", "device": device, "limit": 1})["changes"]
            if time:
                past.append((time[0]["ts"], dict(versions), dict(types)))
        times = [time for time, _, _ in past]
        for i in chance.sample(range(len(past)), 25):
            time, versions, types = past[i]
            if times.count(time) > 1 or (i + 1 < len(past) and past[i + 1][0] <= time):
                continue
            def counted(values):
                return {value: list(values.values()).count(value) for value in set(values.values())}
            assert count_at(daemon, time, index="client.v") == (len(versions), counted(versions)), i
            assert count_at(daemon, time, index="server.copy") == (len(versions), counted(versions)), i
            assert count_at(daemon, time, index="type") == (len(types), counted(types)), i
            one = count_at(daemon, time, index="client.v", value="v1")[1]
            assert one.get("v1", 0) == list(versions.values()).count("v1") and set(one) <= {"v1"}
            assert count_at(daemon, time)[0] == len(versions)
        assert count_at(daemon, times[0] - 1000, index="type") == (0, {})


@test
def test_a_count_over_many_changes_comes_in_pages():
    with Rules() as rules, Daemon("--rules", rules, "--indexes", "client.v") as daemon:
        send(daemon, report("a", v="start"))
        time = daemon.query({"op": "history", "device": "a"})["changes"][0]["ts"]
        while daemon.query({"op": "device", "device": "b", "at": time})["code"] != "not-found" or \
                not daemon.send_events(report("b", v="later"))["ok"] or \
                daemon.query({"op": "history", "device": "b"})["changes"][0]["ts"] <= time:
            send(daemon, report("b", v="again"))
        for i in range(13):
            send(daemon, *[report(f"d{j}", v=str(i)) for j in range(1000)])
        answers, _ = pages(daemon, {"op": "count", "index": "client.v", "at": time})
        assert len(answers) > 2
        assert count_at(daemon, time, index="client.v")[1].get("start") == 1
        for cursor in ("8:16", "16:8", "1:99999999999", answers[0]["cursor"].replace(":", "1:"), "x"):
            wrong = daemon.query({"op": "count", "index": "client.v", "at": time, "cursor": cursor})
            assert wrong["code"] == "bad-query" and wrong["error"].startswith("cursor: "), (cursor, wrong)


# --- followers

@test
def test_changes_are_what_a_subscriber_got():
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        send(daemon, report("old", v="0"))
        before = daemon.query({"op": "ping"})["seq"]
        subscription = daemon.subscribe("attributes/", "told/", "always/", "deadletter/")
        count = 0
        for i in range(20):
            send(daemon, report(f"d{i % 7}", v=str(i // 9)), write("d1", t=i),
                 {"device": "d2", "type": "POST_TELEMETRY_REQUEST", "data": {"x": i}},
                 {"device": "d3", "type": "MY_OWN", "data": {"y": "ü\n"}})
        everything, after = changes(daemon, before)
        got = seen(subscription, len(everything))
        assert len(everything) > 100
        assert everything == got
        assert after == daemon.query({"op": "ping"})["seq"]
        for limit in (1, 7):
            assert changes(daemon, before, limit=limit) == (everything, after)
        for name in ("attributes", "told", "always", "deadletter"):
            of_class = [result for result in everything if result["class"] == name]
            assert of_class and changes(daemon, before, **{"class": name})[0] == of_class
            numbers = [result["n"] for result in of_class]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        daemon.kill()
        daemon.restart()
        assert changes(daemon, before) == (everything, after)
        assert changes(daemon, after) == ([], after)
        wrong = daemon.query({"op": "changes", "after": after + 1})
        assert wrong["code"] == "bad-query" and str(after) in wrong["error"]
        # the same by time: of each event that came then or later, none before
        for time in sorted({result["ts"] for result in everything}):
            answer = daemon.query({"op": "changes", "since": time, "limit": 1000})
            expected = [result for result in everything if result["ts"] >= time]
            assert answer["results"] == expected and not answer["more"], (time, answer)
            assert answer["from"] < expected[0]["seq"], answer
            assert changes(daemon, answer["from"]) == (expected, after), time
        nothing = daemon.query({"op": "changes", "since": everything[-1]["ts"] + 1})
        assert (nothing["from"], nothing["results"], nothing["after"]) == (after, [], after), nothing
        for wrong in ({}, {"since": 1, "after": 1}, {"since": "1h"}, {"since": -1}):
            assert daemon.query({"op": "changes", **wrong})["code"] == "bad-query", wrong


@test
def test_a_page_of_changes_has_whole_events_also_when_one_wakes_many_devices():
    deadline = """
chain: root
first: verdict
nodes:
  verdict: {type: firmware-verdict, deadlines: {pending: 1ms}}
"""
    with Rules({"root.yaml": deadline}) as rules, Daemon("--rules", rules) as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        subscription = daemon.subscribe("attributes/")
        send(daemon, *[{"device": f"d{i}", "type": "ATTRIBUTES_UPDATED", "scope": scope, "data": {key: value}}
                       for i in range(100) for scope, key, value in
                       (("CLIENT_SCOPE", "currentFwVer", "1"), ("SERVER_SCOPE", "lastTargetFwVer", "2"))])
        got = []
        while sum(result.get("value") == "stuck" for result in got) < 100:
            got += seen(subscription, 1)
        ticks = {result["seq"] for result in got if result.get("value") == "stuck"}
        assert len(ticks) < 100  # some woke more than one
        for limit in (1, 1000):
            assert changes(daemon, before, limit=limit)[0][:len(got)] == got


TELEMETRY_RULES = """
chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post telemetry: save, Other: look}
  save: {type: save-telemetry, to: {Success: tell}}
  tell: {type: publish, class: told}
  look: {type: fetch-attributes, telemetry: [x], require: true, to: {Success: found}}
  found: {type: publish, class: found, on: always}
"""


@test
def test_results_that_telemetry_decided_are_the_same_or_said_to_be_gone():
    with Rules({"root.yaml": TELEMETRY_RULES}) as rules, Daemon("--rules", rules) as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        subscription = daemon.subscribe("told/", "found/", "deadletter/")
        for i in range(3):
            send(daemon, {"device": "a", "type": "POST_TELEMETRY_REQUEST", "data": {"x": i}},
                 {"device": "a", "type": "LOOK", "data": {}})
        got = seen(subscription, 6)
        assert [result["class"] for result in got] == ["told", "found"] * 3
        told = [result for result in got if result["class"] == "told"]
        assert changes(daemon, before, **{"class": "told"})[0] == told
        after = send(daemon, {"device": "b", "type": "LOOK", "data": {}}) - 1  # a dead letter: there is none
        assert seen(subscription, 1)[0]["class"] == "deadletter"
        assert [r["class"] for r in changes(daemon, after)[0]] == ["deadletter"]
        send(daemon, {"device": "b", "type": "POST_TELEMETRY_REQUEST", "data": {"x": 1}})
        answer = daemon.query({"op": "changes", "after": after})
        assert answer["code"] == "gone" and "telemetry" in answer["error"], answer


LOOK_RULES = """
chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post telemetry: look, Other: save}
  look: {type: fetch-attributes, telemetry: [x], to: {Success: note}}
  note: {type: set, data: {seen: '${x}'}, to: {Success: [found, save]}}
  found: {type: publish, class: found, data: [seen], on: always}
  save: {type: save-telemetry, keys: [x], to: {Success: again}}
  again: {type: fetch-attributes, telemetry: [x], to: {Success: told}}
  told: {type: publish, class: told, data: [x], metadata: [x], on: always}
"""


@test
def test_what_rules_found_in_telemetry_is_told_as_it_was_or_is_gone():
    """Random readings, some of the past: whatever `changes` says of an event is what was published then."""
    chance = random.Random(5)
    with Rules({"root.yaml": LOOK_RULES}) as rules, Daemon("--rules", rules) as daemon:
        subscription = daemon.subscribe("told/", "found/")

        def reading(device):
            event = {"device": device, "type": chance.choice(["POST_TELEMETRY_REQUEST", "X"]),
                     "data": {"x": chance.randrange(3)}}
            return {**event, "ts": chance.randrange(1, 5)} if chance.random() < 0.3 else event
        seqs = [send(daemon, reading(f"d{chance.randrange(40)}")) for _ in range(80)]
        last = send(daemon, reading("last"))
        published = {seq: [] for seq in seqs}
        for result in iter(lambda: seen(subscription, 1)[0], None):
            if result["seq"] == last:
                break
            published[result["seq"]].append(result)
        outcomes = []
        for seq, wanted in published.items():
            answer = daemon.query({"op": "changes", "after": seq - 1, "limit": 1})
            assert answer.get("code") == "gone" or answer["results"] == wanted, (seq, answer, wanted)
            outcomes.append((answer["ok"], [result["class"] for result in wanted]))
        for outcome in [(ok, classes) for ok in (True, False) for classes in (["told"], ["found", "told"])]:
            assert outcome in outcomes, (outcome, outcomes)


@test
def test_one_device_that_changes_often_is_followed_page_by_page():
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        for i in range(20):
            send(daemon, *[event for j in range(200) for event in
                           (report("a", v=f"{i}.{j}"), report("a", v=f"{i}.{j}"))])
        found, _ = changes(daemon, before, **{"class": "told"}, limit=1000)
        assert [result["data"]["copy"] for result in found] == [f"{i}.{j}" for i in range(20) for j in range(200)]
        assert [result["n"] for result in found] == list(range(1, 4001))


@test
def test_results_of_older_rules_come_again_from_those_rules():
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        subscription = daemon.subscribe("told/")
        send(daemon, report("a", v="1"))
        first = seen(subscription, 1)
        path = os.path.join(rules, "root.yaml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("copy: '$[v]'", "copy: 'new $[v]'"))
        daemon.stop()
        daemon.restart()
        subscription = daemon.subscribe("told/")
        send(daemon, report("a", v="2"))
        second = seen(subscription, 1)
        assert first[0]["data"]["copy"] == "1" and second[0]["data"]["copy"] == "new 2"
        assert changes(daemon, before, **{"class": "told"})[0] == first + second


@test
def test_a_snapshot_is_of_one_event_whatever_happens_meanwhile():
    chance = random.Random(7)
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        for i in range(100):
            send(daemon, report(f"d{i}", v="start"))
        expected = state_of(daemon)
        query, found, answers = {"op": "snapshot", "limit": 9}, [], []
        while True:
            answer = daemon.query(query)
            assert answer["ok"], answer
            answers.append(answer)
            found += answer["devices"]
            send(daemon, *[report(f"d{chance.randrange(130)}", v=str(chance.random())) for _ in range(50)])
            send(daemon, dict(write(f"d{chance.randrange(100)}", t=1), deviceType="changed"))
            if "cursor" not in answer:
                break
            query = dict(query, cursor=answer["cursor"])
        assert len(answers) > 10
        assert {answer["at"] for answer in answers} == {answers[0]["at"]}
        assert answers[0]["at"] == answers[0]["seq"]
        got = {d["device"]: (d["deviceType"], d["client"], d["shared"], d["server"]) for d in found}
        assert got == expected
        # and with what came since, it is what is there now
        results, _ = changes(daemon, answers[0]["at"], **{"class": "attributes"})
        assert results[0]["n"] == answers[0]["n"]["attributes"] + 1
        state = {name: dict(zip(("client", "shared", "server"), scopes[1:])) for name, scopes in got.items()}
        for result in results:
            scope = result["scope"].split("_")[0].lower()
            device = state.setdefault(result["device"], {"client": {}, "shared": {}, "server": {}})
            device[scope][result["key"]] = result["value"]
        assert state == {name: dict(zip(("client", "shared", "server"), scopes[1:]))
                         for name, scopes in state_of(daemon).items()}


@test
def test_what_is_no_longer_kept_is_gone():
    with Rules() as rules, Daemon("--rules", rules, "--history-keep-mib", 1, "--checkpoint-ms", 10) as daemon:
        start = send(daemon, report("a", v="start"), report("b", v="start"))
        time = daemon.query({"op": "history", "device": "a"})["changes"][0]["ts"]
        first = daemon.query({"op": "snapshot", "limit": 1})
        for i in range(1000):
            send(daemon, *[report("a", v=f"{i}.{j}" + "x" * 1000) for j in range(20)])
            answer = daemon.query({"op": "changes", "after": start})
            if not answer["ok"]:
                break
        assert answer["code"] == "gone" and "event" in answer["error"], answer
        assert re.search(r" at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", answer["error"]), answer
        for query in ({"op": "device", "device": "a", "at": time}, {"op": "count", "index": "type", "at": time},
                      {"op": "changes", "since": time}):
            assert daemon.query(query)["code"] == "gone", query
        assert daemon.query({"op": "snapshot", "limit": 1})["ok"]
        assert daemon.query({"op": "snapshot", "cursor": first["cursor"]})["code"] == "gone"
        history = pages(daemon, {"op": "history", "device": "a", "limit": 1000}, "changes")[0]
        assert history[-1]["complete"] is False


@test
def test_a_device_that_changed_too_often_since_can_still_be_listed():
    with Rules() as rules, Daemon("--rules", rules) as daemon:
        send(daemon, report("a", v="start"))
        time = daemon.query({"op": "history", "device": "a"})["changes"][0]["ts"]
        for i in range(51):
            send(daemon, *[report("a", v=f"{i}.{j}") for j in range(1000)])
        answer = daemon.query({"op": "device", "device": "a", "at": time})
        assert answer["code"] == "gone" and "50000 times" in answer["error"], answer
        assert "fwsync history DEVICE" in answer["error"], answer
        assert daemon.query({"op": "history", "device": "a", "limit": 1})["changes"][0]["new"] == "50.999"


main()
