"""SIGKILL and stops under load, with several partitions: each acknowledged event is in, once, and a result never says
something else under the same class, partition and number.

Each event is one of a row: event n sets version n of device n modulo DEVICES, and makes one `attributes` result. So the
results tell exactly which events are in, and how often."""
import collections
import json
import os
import random
import threading

import zmq

from harness import Daemon, main, receive, test, wait_until
from partitions import SAVE, Producer, Rules, all_changes, check_numbers, names_of, pages, partition_of, report

SEED = int(os.environ.get("FWSYNC_SEED") or random.SystemRandom().randrange(1 << 32))
COUNT, DEVICES = 4, 300


def event(n):
    return report(f"d{n % DEVICES}", v=n)


class Listener(threading.Thread):
    """All `attributes` that are published: {(partition, n): (seq, device, value)}."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.found, self.over, self.doubled = {}, threading.Event(), []
        self.socket = daemon.context.socket(zmq.SUB)
        self.socket.linger, self.socket.rcvhwm = 0, 0
        self.socket.connect(daemon.results)
        self.socket.subscribe(b"attributes/")
        self.socket.subscribe(b"heartbeat")
        receive(self.socket, what="a first heartbeat")

    def run(self):
        while self.socket.poll(20) or not self.over.is_set():
            if not self.socket.poll(0):
                continue
            topic, payload = self.socket.recv_multipart()
            if topic == b"heartbeat":
                continue
            result = json.loads(payload)
            key = result["partition"], result["n"]
            if key in self.found:
                self.doubled.append(result)
            self.found[key] = content(result)
        self.socket.close()

    def finish(self):
        self.over.set()
        self.join()
        assert not self.doubled, self.doubled
        return self.found


def content(result):
    return result["seq"], result["device"], result["value"]


def check(daemon, least):
    """The events in it are those from 1 to some number, each once; returns that number, and all results."""
    seq = daemon.query({"op": "ping"})["seq"]
    last = seq - 1  # event 1 are the rules
    assert last >= least, "an acknowledged event is gone"
    results = all_changes(daemon)
    assert [content(result) for result in results] == [(n + 1, f"d{n % DEVICES}", n) for n in range(1, last + 1)]
    check_numbers(results, COUNT)
    found = {device["device"]: device["client"]["v"]
             for device in pages(daemon, {"op": "devices"}, "devices", limit=1000)}
    assert found == {f"d{n % DEVICES}": n for n in range(max(1, last - DEVICES + 1), last + 1)}
    count = daemon.query({"op": "count", "index": "client.v", "limit": 1000})
    assert count["devices"] == len(count["values"]) == len(found)
    return last, {(result["partition"], result["n"]): content(result) for result in results}


@test
def a_kill_loses_nothing_and_changes_no_number():
    print(f"# FWSYNC_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    heard, acknowledged, last = {}, 0, 0
    with Rules(SAVE) as rules, Daemon("--partitions", COUNT, "--rules", rules) as daemon:
        started = daemon.args
        for _ in range(6):
            listener = Listener(daemon)
            listener.start()
            producer = Producer(daemon, event, batch=chance.choice([1, 7, 40]), window=6, first=acknowledged + 1)
            producer.start()
            goal = acknowledged + chance.randrange(50, 1500)
            wait_until(lambda: producer.is_at(goal), what="events flow")
            daemon.kill()
            producer.finish(abandon=True)
            acknowledged = producer.n
            for key, said in listener.finish().items():
                assert heard.setdefault(key, said) == said, (key, heard[key], said)
            daemon.args = started + ["--indexes", "client.v", "--checkpoint-ms", str(chance.choice([10, 100, 60000]))]
            daemon.restart()
            last, results = check(daemon, acknowledged)
            wrong = [(key, said, results.get(key)) for key, said in heard.items() if results.get(key) != said]
            assert not wrong, wrong[:5]
        assert len(heard) > last // 2 > 100, "too little to prove anything"


@test
def a_kill_while_it_recovers_changes_nothing():
    with Rules(SAVE) as rules, Daemon("--partitions", COUNT, "--rules", rules, "--indexes", "client.v",
                                      "--checkpoint-ms", 60000) as daemon:
        with Producer(daemon, event, batch=500) as producer:
            wait_until(lambda: producer.is_at(20000), what="events flow")
        daemon.kill()
        daemon.args += ["--checkpoint-ms", "10"]
        states = [os.path.join(daemon.data, name, "history") for name in ("state", "state-1", "state-2", "state-3")]
        sizes = lambda: [sum(os.path.getsize(os.path.join(state, name)) for name in os.listdir(state))  # noqa: E731
                         for state in states]
        for part in range(COUNT):
            before = sizes()
            daemon.launch()
            wait_until(lambda: sizes()[part] != before[part] or daemon.child.poll() is not None,
                       what="it writes, or is done")
            daemon.kill()
        daemon.restart()
        last, _ = check(daemon, producer.n)
        assert last == producer.n


@test
def a_stop_under_load_keeps_everything_and_leaves_nothing_to_replay():
    acknowledged = 0
    with Rules(SAVE) as rules, Daemon("--partitions", COUNT, "--rules", rules, "--indexes", "client.v") as daemon:
        for _ in range(5):
            producer = Producer(daemon, event, batch=20, first=acknowledged + 1)
            producer.start()
            wait_until(lambda: producer.is_at(acknowledged + 500), what="events flow")
            askers = [daemon.socket(zmq.DEALER, daemon.query_endpoint) for _ in range(3)]
            for number in range(60):
                question = [{"op": "count"}, {"op": "device", "device": "d1"}, {"op": "stats"}][number % 3]
                askers[number % 3].send_multipart([b"", json.dumps(question).encode()])
            daemon.stop()
            producer.finish(abandon=True)
            acknowledged = producer.n
            daemon.restart()
            assert daemon.query({"op": "stats"})["events"]["replayed"] == 0
            last, _ = check(daemon, acknowledged)
            assert last >= acknowledged


@test
def a_stop_comes_behind_all_that_was_asked():
    """The lead passes questions on to the others: what it passes on must not come behind their stop."""
    questions = [json.dumps(question).encode() for question in [
        {"op": "count"}, {"op": "device", "device": names_of(1, COUNT, 1)[0]}, {"op": "stats"},
        {"op": "explain", "device": names_of(3, COUNT, 1)[0]}]]
    with Rules(SAVE) as rules, Daemon("--partitions", COUNT, "--rules", rules, "--indexes", "client.v") as daemon:
        for round_number in range(12):
            producer = Producer(daemon, event, batch=5, first=1 if round_number == 0 else producer.n + 1)
            producer.start()
            wait_until(lambda: producer.is_at(producer.next // 2 + 20), what="events flow")
            asker = daemon.context.socket(zmq.DEALER)
            asker.linger = 0
            asker.connect(daemon.query_endpoint)
            for number in range(400):
                asker.send_multipart([b"", questions[number % len(questions)]])
            asker.poll()  # they are being answered
            daemon.stop()
            producer.finish(abandon=True)
            daemon.restart()
        check(daemon, producer.n)


@test
def a_partition_that_fell_behind_catches_up():
    """One partition's checkpoints are of other events than the others': it alone is given events, then killed."""
    with Rules(SAVE) as rules, Daemon("--partitions", COUNT, "--rules", rules, "--indexes", "client.v",
                                      "--checkpoint-ms", 10) as daemon:
        names = names_of(3, COUNT, 50)
        written = collections.Counter()
        for round_number in range(4):
            for i in range(200):
                name = names[i % 50] if round_number % 2 else f"d{i}"
                written[name] += 1
                daemon.send_events(report(name, v=f"{name}.{written[name]}"))
            daemon.kill()
            daemon.restart()
            found = {device["device"]: device["client"]["v"]
                     for device in pages(daemon, {"op": "devices"}, "devices", limit=1000)}
            assert found == {name: f"{name}.{count}" for name, count in written.items()}
            results = all_changes(daemon)
            check_numbers(results, COUNT)
            assert [result["seq"] for result in results] == list(range(2, 2 + sum(written.values())))
        assert {partition_of(name, COUNT) for name in written} == set(range(COUNT))


main()
