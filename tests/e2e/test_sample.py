"""The sample that started this project (ThingsBoard's "Check is ESP32 firmware synced"), as users meet it:
a device reports currentFwVer, an operator writes lastTargetFwVer, and fwStateIsSynced tells whether they
are the same text. Rules: the sample's facts; ours on top: only fwStateIsSynced is saved."""
import itertools
import json

from harness import SAMPLE_RULES, Daemon, main, test

NAME, KIND = "ESP32", "ESP32_OTA"


def report(value, device=NAME):
    return {"device": device, "deviceType": KIND, "type": "POST_ATTRIBUTES_REQUEST",
            "data": {"currentFwVer": value}}


def write(scope, device=NAME, **data):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": scope, "data": data}


def target(value, device=NAME):
    return write("SERVER_SCOPE", device, lastTargetFwVer=value)


def synced(daemon, device=NAME):
    return daemon.query({"op": "device", "device": device})["server"]["fwStateIsSynced"]


# Pairs are JSON as it is written, because 1.0 and 1 are different there.
PAIRS = [  # what runs, what should run, are they the same?
    ('"v1.1"', '"v1.1"', True),
    ('"v1.1"', '"v1.2"', False),
    ('"v1.1"', '"V1.1"', False),            # case counts
    ('"v1.1"', '"v1.1 "', False),           # nothing is trimmed
    ('"1.20"', '"1.2"', False),             # a text stays a text
    ('"1.20"', '"1.20"', True),
    ('1', '"1"', True),                     # compared as texts
    ('"1"', '1', True),
    ('1', '1', True),
    ('1.0', '"1"', False),
    ('1.0', '1', False),
    ('1.0', '"1.0"', True),
    ('1.5', '"1.5"', True),
    ('-3', '"-3"', True),
    ('true', '"true"', True),
    ('""', '""', False),                    # empty: nothing runs
    ('""', '"v1"', False),
    ('"v1"', '""', False),
    ('"прошивка-1"', '"прошивка-1"', True),
    ('"\\u0076\\u0031"', '"v1"', True),     # an escape is the same text
    ('"a\\nb"', '"a\\nb"', True),
    ('"' + "v" * 60000 + '"', '"' + "v" * 60000 + '"', True),
    ('"' + "v" * 60000 + '"', '"' + "v" * 59999 + 'w"', False),
    ('"$[currentFwVer]"', '"$[currentFwVer]"', True),
    ('"${ss_lastTargetFwVer}"', '"v1"', False),  # a value isn't expanded again
    ('"${ss_lastTargetFwVer}"', '"${ss_lastTargetFwVer}"', True),
]


@test
def test_equal_texts_are_synced_in_either_order():
    with Daemon(*SAMPLE_RULES) as daemon:
        lines, expected = [], {}
        for number, (runs, wanted, same) in enumerate(PAIRS):
            for order in ("report first", "target first"):
                device = f"{number} {order}"
                one = json.dumps(report(None, device)).replace("null", runs)
                other = json.dumps(target(None, device)).replace("null", wanted)
                lines += [one, other] if order == "report first" else [other, one]
                expected[device] = same
        for line in lines:
            assert daemon.send_events(line)["accepted"] == 1, line
        for device, same in expected.items():
            assert synced(daemon, device) is same, (device, PAIRS[int(device.split()[0])])


@test
def test_a_missing_value_is_not_synced():
    with Daemon(*SAMPLE_RULES) as daemon:
        daemon.send_events([
            report("v1", "only a report"), target("v1", "only a target"),
            {"device": "neither", "type": "POST_ATTRIBUTES_REQUEST", "data": {"colour": "red"}},
            write("SHARED_SCOPE", "only shared", targetFwVer="v1", targetFwUrl="http://x/1.bin"),
            {"device": "null report", "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": None}},
            write("SERVER_SCOPE", "only a url", lastTargetFwUrl="http://x/1.bin")])
        for device in ("only a report", "only a target", "neither", "only shared", "null report",
                       "only a url"):
            assert synced(daemon, device) is False, device
        # the shared target isn't what the chain compares with
        daemon.send_events(report("v1", "only shared"))
        assert synced(daemon, "only shared") is False


@test
def test_a_device_goes_out_of_sync_and_back():
    story = [(report("v1"), False), (target("v1"), True), (target("v2"), False), (report("v1"), False),
             (report("v2"), True), (report("v2"), True), (report("v1"), False), (target("v1"), True),
             (report(""), False), (report("v1"), True)]
    with Daemon(*SAMPLE_RULES) as daemon:
        subscription = daemon.subscribe("sync/")
        values = {"currentFwVer": None, "lastTargetFwVer": None, "fwStateIsSynced": None}
        published = []
        for event, same in story:
            seq = daemon.send_events(event)["first"]
            assert synced(daemon) is same, event
            before = dict(values)
            values.update(event["data"], fwStateIsSynced=same)
            if values != before:  # it speaks when something that it saw saved has changed
                published.append((seq, same))
            for value in (True, False):
                count = daemon.query({"op": "count", "index": "server.fwStateIsSynced", "value": value})
                assert count["count"] == (value is same)
        daemon.send_events(report("v1", "end"))
        seen = []
        topic, payload = subscription.next()
        while topic != "sync/end":
            seen.append((payload["seq"], payload["data"]["fwStateIsSynced"]))
            assert topic == "sync/" + NAME and payload["deviceType"] == KIND
            topic, payload = subscription.next()
        assert seen == published, (seen, published)
        assert len(published) == 8, "all but the two unchanged reports"


@test
def test_only_the_answer_is_saved_in_the_server_scope():
    """Other than ThingsBoard's node, which saves the whole message, into the scope that the operator used."""
    with Daemon(*SAMPLE_RULES) as daemon:
        daemon.send_events([
            dict(report("v1"), data={"currentFwVer": "v1", "colour": "red"}),
            write("SHARED_SCOPE", targetFwVer="v2", targetFwUrl="http://x/2.bin"),
            write("SERVER_SCOPE", lastTargetFwVer="v2", lastTargetFwUrl="http://x/2.bin",
                  lastOtaStartedOn=1732147200000)])
        device = daemon.query({"op": "device", "device": NAME})
        assert device["client"] == {"currentFwVer": "v1", "colour": "red"}
        assert device["shared"] == {"targetFwVer": "v2", "targetFwUrl": "http://x/2.bin"}
        assert device["server"] == {"lastTargetFwVer": "v2", "lastTargetFwUrl": "http://x/2.bin",
                                    "lastOtaStartedOn": 1732147200000, "fwStateIsSynced": False}
        # a producer can't choose another scope through the metadata
        daemon.send_events(dict(report("v2"), metadata={"scope": "SHARED_SCOPE"}))
        device = daemon.query({"op": "device", "device": NAME})
        assert device["client"]["currentFwVer"] == "v2" and device["server"]["fwStateIsSynced"] is True
        assert set(device["shared"]) == {"targetFwVer", "targetFwUrl"}


@test
def test_the_widgets_two_writes_work_in_one_request_and_in_any_order():
    shared = write("SHARED_SCOPE", targetFwVer="v2", targetFwUrl="http://x/2.bin")
    server = write("SERVER_SCOPE", lastTargetFwVer="v2", lastTargetFwUrl="http://x/2.bin",
                   lastOtaStartedOn=1732147200000)
    with Daemon(*SAMPLE_RULES) as daemon:
        for order in itertools.permutations([shared, server, report("v2")]):
            device = " ".join(event.get("scope", "report") for event in order)
            reply = daemon.send_events([dict(event, device=device) for event in order])
            assert reply["accepted"] == 3, reply
            state = daemon.query({"op": "device", "device": device})
            assert state["server"] == dict(server["data"], fwStateIsSynced=True), state
            assert state["shared"] == shared["data"] and state["client"] == {"currentFwVer": "v2"}


@test
def test_a_published_answer_carries_what_was_compared():
    with Daemon(*SAMPLE_RULES) as daemon:
        subscription = daemon.subscribe("sync/")
        daemon.send_events([report("v1"), target("v1")])
        _, first = subscription.next()
        _, second = subscription.next()
        assert first["type"] == "POST_ATTRIBUTES_REQUEST" and second["type"] == "ATTRIBUTES_UPDATED"
        assert first["data"] == {"currentFwVer": "v1", "fwStateIsSynced": False}
        assert second["data"] == {"lastTargetFwVer": "v1", "fwStateIsSynced": True}
        assert first["metadata"] == second["metadata"] == {}
        assert (first["n"], second["n"]) == (1, 2)


@test
def test_telemetry_is_kept_and_does_not_touch_the_answer():
    with Daemon(*SAMPLE_RULES) as daemon:
        telemetry = {"device": NAME, "type": "POST_TELEMETRY_REQUEST", "data": {"counter": 0}}
        daemon.send_events([report("v1"), target("v1"), telemetry])
        daemon.send_events(dict(telemetry, data={"counter": 1}))
        device = daemon.query({"op": "device", "device": NAME})
        assert device["telemetry"] == {"counter": 1} and device["server"]["fwStateIsSynced"] is True
        assert daemon.query({"op": "deadletters"})["count"] == 0


main()
