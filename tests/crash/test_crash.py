"""SIGKILL at random moments under load: everything acknowledged is applied exactly once.

Some producers, each with its own source and devices, send ahead and resend what was not answered. The
daemon is killed, sometimes while it recovers, and started again, with other checkpoint settings each
time. After each start, when the producers have come to rest, the whole state is compared with a model:
a dictionary that applies every producer's events in the order of n, once.

FWSYNC_SEED=N repeats a run's choices (the kernel's timing stays its own), FWSYNC_CYCLES=N sets how many."""
import collections
import glob
import json
import os
import random
import selectors
import subprocess
import time

import zmq

from harness import BUILD, DEADLINE_S, SAN, Daemon, main, test, wait_until

SEED = int(os.environ.get("FWSYNC_SEED") or random.SystemRandom().randrange(1 << 32))
CYCLES = int(os.environ.get("FWSYNC_CYCLES") or 50)
PRODUCERS, DEVICES_EACH = 4, 80
VERSIONS = ["v1", "v2", "v3", "", "1.20", "1.2", 1, "1", 1.5, True]


# --- the model

def as_text(value):
    """How the sample's comparison sees a value."""
    return value if isinstance(value, str) else json.dumps(value)


class Model:
    """What every device should be, by the sample's rules, too simple to be wrong."""

    def __init__(self):
        self.devices = {}
        self.dead_letters = self.events = 0

    def apply(self, event):
        self.events += 1
        name, kind, data = event["device"], event["type"], event["data"]
        device = self.devices.setdefault(
            name, {"deviceType": "default", "client": {}, "shared": {}, "server": {}, "telemetry": {}})
        device["deviceType"] = event.get("deviceType", device["deviceType"])
        if kind == "POST_TELEMETRY_REQUEST":
            device["telemetry"].update(data)
            self.dead_letters += not data
            return
        scope = {"POST_ATTRIBUTES_REQUEST": "client"}.get(kind) or event["scope"][:-6].lower()
        device[scope].update(data)
        runs, wanted = device["client"].get("currentFwVer"), device["server"].get("lastTargetFwVer")
        device["server"]["fwStateIsSynced"] = (
            runs is not None and runs != "" and wanted is not None and as_text(runs) == as_text(wanted))


def typed(value):
    """1, 1.0, True and "1" are different values."""
    return json.dumps(value)


def all_devices(daemon, limits, **query):
    """Through all pages of a list: its devices, each once, by name."""
    found, cursor = {}, {}
    while cursor is not None:
        page = daemon.query({"op": "devices", "limit": limits(), **query, **cursor})
        for device in page["devices"]:
            assert device["device"] not in found, "a device stands in two pages"
            found[device["device"]] = device
        cursor = {"cursor": page["cursor"]} if page.get("cursor") else None
    return found


def compare(daemon, model, rng, limits=(7, 100, 1000)):
    """Everything that the daemon says about its devices is what the model says."""
    found = all_devices(daemon, lambda: rng.choice(limits))
    assert set(found) == set(model.devices), set(found) ^ set(model.devices)
    for name, expected in model.devices.items():
        server = found[name]["server"]
        state, reason = server.pop("fwSyncState", None), server.pop("fwSyncReason", None)
        assert (state == "synced") == (server.get("fwStateIsSynced") is True), found[name]
        assert (state is None) == (reason is None) == ("fwStateIsSynced" not in server), found[name]
        for part in ("deviceType", "client", "shared", "server"):
            assert typed_members(found[name][part]) == typed_members(expected[part]), (
                name, part, found[name], expected)
    for name in rng.sample(sorted(model.devices), min(20, len(model.devices))):
        assert daemon.query({"op": "device", "device": name})["telemetry"] == model.devices[name]["telemetry"]
    compare_indexes(daemon, model)
    assert daemon.query({"op": "deadletters", "limit": 1})["count"] == model.dead_letters
    assert daemon.query({"op": "count"})["devices"] == len(model.devices)


def typed_members(members):
    return {key: typed(value) for key, value in members.items()} if isinstance(members, dict) else members


def compare_indexes(daemon, model):
    for scope, key in (("client", "currentFwVer"), ("server", "lastTargetFwVer"), ("server", "fwStateIsSynced")):
        by_value = collections.defaultdict(set)
        for name, device in model.devices.items():
            if key in device[scope]:
                by_value[typed(device[scope][key])].add(name)
        index = f"{scope}.{key}"
        counts = daemon.query({"op": "count", "index": index, "limit": 1000})["values"]
        assert {typed(v["value"]): v["count"] for v in counts} == {v: len(n) for v, n in by_value.items()}, index
        for value, names in by_value.items():
            found = set(all_devices(daemon, lambda: 1000, index=index, value=json.loads(value)))
            assert found == names, (index, value, found ^ names)


# --- a producer

class Producer:
    """Sends events ahead, in requests that overlap; knows which of its events are in for certain."""

    def __init__(self, number, rng, model, window=6, batch_max=40, note_bytes=0):
        self.source, self.rng, self.model = f"producer-{number}", rng, model
        self.window, self.batch_max = window, batch_max
        self.note = "x" * note_bytes  # makes a device large
        self.next_n = 1
        self.waiting = collections.OrderedDict()  # request id -> its events; in order of n
        self.sent_new = 0
        self.accepted = self.duplicates = self.busy = 0
        self.runs = []  # (first, last) of every acknowledgement
        self.socket = None

    def connect(self, daemon):
        """To a daemon that was just started: everything unanswered goes again, in the order of n."""
        self.socket = daemon.context.socket(zmq.DEALER)
        self.socket.linger, self.socket.sndhwm, self.socket.rcvhwm = 0, 0, 0
        self.socket.connect(daemon.events)
        for request in self.waiting:
            self.send(request)

    def event(self):
        rng = self.rng
        event = {"device": f"{self.source}/{rng.randrange(DEVICES_EACH)}", "source": self.source, "n": self.next_n}
        self.next_n += 1 if rng.random() < 0.95 else rng.randrange(1, 50)  # n rises; it may have gaps
        if rng.random() < 0.05:
            event["deviceType"] = rng.choice(["ESP32_OTA", "ESP32_S3"])
        choice = rng.random()
        if choice < 0.45:
            event.update(type="POST_ATTRIBUTES_REQUEST", data={"currentFwVer": rng.choice(VERSIONS)})
        elif choice < 0.8:
            event.update(type="ATTRIBUTES_UPDATED", scope="SERVER_SCOPE",
                         data={"lastTargetFwVer": rng.choice(VERSIONS), "lastOtaStartedOn": event["n"]})
        elif choice < 0.9:
            event.update(type="ATTRIBUTES_UPDATED", scope="SHARED_SCOPE",
                         data={"targetFwVer": f"s{event['n']}", "note": self.note})
        else:
            event.update(type="POST_TELEMETRY_REQUEST", data={"counter": event["n"]} if choice < 0.99 else {})
        return event

    def send(self, request):
        events, again = self.waiting[request]
        body = "\n".join(json.dumps(event) for event in again + events)
        self.socket.send_multipart([b"%d" % request, b"", body.encode()])

    def send_ahead(self):
        while len(self.waiting) < self.window:
            events = [self.event() for _ in range(self.rng.randint(1, self.batch_max))]
            again = []  # and some that are in already, as a nervous producer would
            if self.runs and self.rng.random() < 0.1:
                again = [dict(events[0], n=n) for n in (1, self.rng.randint(1, self.last_done))]
            self.sent_new += 1
            self.waiting[self.sent_new] = (events, again)
            self.send(self.sent_new)

    def receive(self):
        """Takes one reply. An acknowledgement makes the request's events part of the model."""
        frames = self.socket.recv_multipart()
        request, reply = int(frames[0]), json.loads(frames[-1])
        if reply.get("code") == "busy":
            self.busy += 1
            self.send(request)
            return
        assert reply["ok"], reply
        assert request == next(iter(self.waiting)), "an acknowledgement out of order"
        events, again = self.waiting.pop(request)
        assert reply["accepted"] + reply["duplicates"] == len(events) + len(again), reply
        # one request is taken whole, or not at all
        assert reply["accepted"] in (0, len(events)), (reply, len(events), len(again))
        if reply["accepted"]:
            assert reply["last"] - reply["first"] + 1 == reply["accepted"], reply
            assert not self.runs or reply["first"] > self.runs[-1][1], "seq went back"
            self.runs.append((reply["first"], reply["last"]))
        self.accepted += reply["accepted"]
        self.duplicates += reply["duplicates"]
        self.last_done = events[-1]["n"]
        for event in events:
            self.model.apply(event)

    last_done = 1


def drive(producers, until, ahead=True):
    """Lets the producers work until `until()` holds."""
    poller = zmq.Poller()
    by_socket = {producer.socket: producer for producer in producers}
    for socket in by_socket:
        poller.register(socket, zmq.POLLIN)
    end = time.monotonic() + DEADLINE_S * 4
    while not until():
        if ahead:
            for producer in producers:
                producer.send_ahead()
        for socket, _ in poller.poll(5):
            by_socket[socket].receive()
        assert time.monotonic() < end, "the producers don't come to rest"


def settle(producers):
    drive(producers, lambda: not any(producer.waiting for producer in producers), ahead=False)


# --- the tests

def kill_while_starting(daemon, rng):
    """Starts it and kills it within a few milliseconds: while it opens, replays, or serves."""
    command = [os.path.join(BUILD, "fwsyncd"), "--data", daemon.data, "--events", "tcp://127.0.0.1:*",
               "--query", "tcp://127.0.0.1:*", "--results", "tcp://127.0.0.1:*"] + [str(a) for a in daemon.args]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        selector.select(rng.uniform(0.001, 0.03) * (5 if SAN else 1))
    child.kill()
    child.wait()
    child.stdout.close()


def rules_journaled(daemon):
    """The first rules are event 1, soon after the start."""
    wait_until(lambda: daemon.query({"op": "ping"})["seq"] == 1)


def random_settings(rng):
    return ["--checkpoint-ms", rng.choice([10, 20, 50, 200, 1000, 60000]),
            "--checkpoint-mib", rng.choice([1, 1, 32]),
            "--in-flight-events", rng.choice([1000, 65536]),
            "--busy-after-ms", rng.choice([0, 20])]


def large_checkpoints(rng):
    return ["--checkpoint-ms", rng.choice([100, 200]), "--checkpoint-mib", 64]


def kill_again_and_again(cycles, settings=random_settings, load_s=0.25, limits=(7, 100, 1000), **how):
    """Returns how many layers were there after each kill."""
    print(f"# FWSYNC_SEED={SEED}", flush=True)
    rng, model = random.Random(SEED), Model()
    producers = [Producer(i, random.Random(rng.random()), model, **how) for i in range(PRODUCERS)]
    kills_at_start = replays = 0
    layers = []
    with Daemon(*settings(rng)) as daemon:
        rules_journaled(daemon)
        for cycle in range(cycles + 1):
            replays += daemon.query({"op": "stats"})["events"]["replayed"] > 0
            acknowledged = max((p.runs[-1][1] for p in producers if p.runs), default=0)
            assert daemon.query({"op": "ping"})["seq"] >= acknowledged, "an acknowledged event is gone"
            for producer in producers:
                producer.connect(daemon)
            settle(producers)
            runs = sorted(run for producer in producers for run in producer.runs)
            assert all(a[1] < b[0] for a, b in zip(runs, runs[1:])), "a seq was given twice"
            # event 1 is the rules; each of ours has one number, though some acknowledgements got lost
            assert daemon.query({"op": "ping"})["seq"] == 1 + model.events, (cycle, model.events)
            compare(daemon, model, rng, limits)
            if cycle == cycles:
                break
            moment = time.monotonic() + rng.uniform(0.0, load_s)
            drive(producers, lambda: time.monotonic() >= moment)
            daemon.kill()
            layers.append(len(glob.glob(os.path.join(daemon.data, "state", "*.layer"))))
            daemon.args = [str(setting) for setting in settings(rng)]
            if cycle % 4 == 3:
                kill_while_starting(daemon, rng)
                kills_at_start += 1
            for producer in producers:
                producer.socket.close()
            daemon.restart()
        daemon.stop()
        daemon.restart()
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 0
        compare(daemon, model, rng, limits)
    print(f"# {model.events} events, {len(model.devices)} devices, {cycles} kills, {kills_at_start} more while "
          f"starting, {replays} replays, {sum(p.duplicates for p in producers)} duplicates, layers {layers}")
    assert model.events > cycles * 10 and replays > cycles // 3, "there was too little load to prove anything"
    return layers


@test
def test_everything_acknowledged_is_applied_exactly_once():
    kill_again_and_again(CYCLES)


@test
def test_likewise_where_checkpoints_make_layers():
    """As those of a large fleet do; here the devices are large instead."""
    layers = kill_again_and_again(max(CYCLES // 5, 3), large_checkpoints, load_s=1.0, limits=(7, 50), note_bytes=30_000)
    assert any(layers), layers


@test
def test_no_event_of_a_source_is_lost_when_requests_are_refused():
    """Producers far ahead of a daemon that takes 1,000 events at once: requests are refused in the middle
    of a source's row, and come again in order. A later one must not be taken before an earlier one."""
    rng, model = random.Random(SEED), Model()
    with Daemon("--in-flight-events", 1000, "--busy-after-ms", 0) as daemon:
        rules_journaled(daemon)
        producers = [Producer(i, random.Random(rng.random()), model, window=25, batch_max=60) for i in range(PRODUCERS)]
        for producer in producers:
            producer.connect(daemon)
        enough = 3 if SAN else 20
        drive(producers, lambda: all(p.busy >= enough and p.sent_new > 200 for p in producers))
        settle(producers)
        for producer in producers:
            assert producer.accepted == sum(last - first + 1 for first, last in producer.runs)
        assert sum(producer.accepted for producer in producers) == model.events
        assert daemon.query({"op": "ping"})["seq"] == 1 + model.events
        assert daemon.query({"op": "stats"})["traffic"]["busy"] == sum(p.busy for p in producers)
        compare(daemon, model, rng)


main()
