"""Rules change for all partitions at one event, whatever each of them has to do then."""
import json
import os
import signal
import threading

import zmq

from harness import Daemon, main, receive, test, wait_until
from partitions import Producer, Rules, names_of, pages, partition_of, report

COUNT = 3


def marking(mark):
    """Rules that save which they are."""
    return {"root.yaml": """chain: root
first: mark
nodes:
  mark:
    type: set
    data: {mark: %s}
    to: {Success: save}
  save: {type: save-attributes, scope: SERVER_SCOPE, keys: [mark]}
""" % mark}


def apply(daemon, mark):
    reply = daemon.query({"op": "rules-apply", "files": marking(mark)})
    assert reply["ok"] and reply["changed"], reply
    return reply


def activations(daemon):
    """(activated, version) of all that are or were active, oldest first."""
    rows = daemon.query({"op": "rules", "limit": 1000})["activations"]
    return [(row["activated"], row["version"]) for row in reversed(rows)]


def marks(daemon):
    return {device["device"]: device["server"].get("mark")
            for device in pages(daemon, {"op": "devices"}, "devices", limit=1000)}


def check_marks(found, seqs, changes):
    """Each device has the mark of the rules that were active at its event, and each partition had devices at each of
    them; changes  (seq, mark) of all, in order."""
    assert set(found) == {f"d{n}" for n in seqs}, "all devices"
    judged = set()
    for n, seq in seqs.items():
        number = max(i for i, (activated, _) in enumerate(changes) if activated < seq)
        assert found[f"d{n}"] == changes[number][1], (n, seq, found[f"d{n}"], changes)
        judged.add((number, partition_of(f"d{n}", COUNT)))
    assert len(judged) == len(changes) * COUNT, "too little to prove anything"


def change_under_load(*args):
    with Rules(marking("first")) as rules, Daemon("--partitions", COUNT, "--rules", rules, *args) as daemon:
        changes = [(1, "first")]
        with Producer(daemon, lambda n: {"device": f"d{n}", "type": "T"}, batch=5) as producer:
            def flow():
                start = producer.n
                wait_until(lambda: producer.is_at(start + 60), what="events flow")
            for number in range(5):
                flow()
                changes.append((apply(daemon, f"m{number}")["activated"], f"m{number}"))
                flow()
                back = daemon.query({"op": "rules-rollback"})
                assert back["ok"] and back["activated"] == back["seq"], back
                changes.append((back["activated"], changes[-2][1]))
                flow()
                rules.write(marking(f"folder{number}"))
                daemon.signal(signal.SIGHUP)
                wait_until(lambda: len(activations(daemon)) > len(changes), what="the folder's rules are active")
                changes.append((activations(daemon)[-1][0], f"folder{number}"))
            flow()
        assert [seq for seq, _ in activations(daemon)] == [seq for seq, _ in changes]
        rows = activations(daemon)
        check_marks(marks(daemon), producer.seqs, changes)
        daemon.kill()
        daemon.restart()
        assert activations(daemon) == rows, "a replay comes to the same"
        check_marks(marks(daemon), producer.seqs, changes)
        for partition in range(COUNT):
            name = names_of(partition, COUNT, 1, "new")[0]
            daemon.send_events({"device": name, "type": "T"})
            assert daemon.query({"op": "device", "device": name})["server"] == {"mark": "folder4"}


@test
def rules_change_at_one_event_in_all_partitions():
    change_under_load("--checkpoint-ms", 60000)


@test
def likewise_where_checkpoints_come_between():
    change_under_load("--checkpoint-ms", 10)


@test
def another_change_on_its_way_is_told():
    with Daemon("--partitions", COUNT) as daemon:
        socket = daemon.socket(zmq.DEALER, daemon.query_endpoint)
        for number in range(8):
            socket.send_multipart([b"%d" % number, b"", json.dumps(
                {"op": "rules-apply", "files": marking(f"m{number}")}).encode()])
        replies = {}
        for _ in range(8):
            number, _, body = receive(socket)
            replies[int(number)] = json.loads(body)
        taken = [(reply["activated"], reply["version"]) for reply in replies.values() if reply["ok"]]
        refused = [reply for reply in replies.values() if not reply["ok"]]
        assert {reply["code"] for reply in refused} <= {"busy"} and taken, replies
        assert sorted(taken) == activations(daemon)[1:]
        daemon.send_events([{"device": f"d{i}", "type": "T"} for i in range(20)])
        last = [f"m{number}" for number, reply in replies.items() if reply["ok"] and
                (reply["activated"], reply["version"]) == max(taken)]
        assert set(marks(daemon).values()) == set(last)


class Slow(threading.Thread):
    """Gives one partition, and that alone, more events than it can keep up with."""

    def __init__(self, daemon, partition):
        super().__init__(daemon=True)
        self.daemon_loaded, self.over, self.answers = daemon, threading.Event(), 0
        self.bodies = ["\n".join(json.dumps(report(name, v=version, w="x" * 100))
                                 for name in names_of(partition, COUNT, 1000)).encode() for version in (1, 2)]

    def run(self):
        with self.daemon_loaded.context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(self.daemon_loaded.events)
            sent = 0
            while not self.over.is_set():
                while sent < self.answers + 30:
                    socket.send_multipart([b"", self.bodies[sent % 2]])
                    sent += 1
                if socket.poll(20):
                    socket.recv_multipart()
                    self.answers += 1

    def __enter__(self):
        self.start()
        wait_until(lambda: self.answers > 10, what="events flow")
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


@test
def an_answer_names_the_rules_that_were_asked_for():
    """Also when the next ones are active already where it comes from, and one partition is still at these."""
    with Rules(marking("first")) as rules, \
            Daemon("--partitions", COUNT, "--rules", rules, "--indexes", "server.fwSyncState") as daemon:
        with Slow(daemon, 2):
            for number in range(20):
                expected = daemon.query({"op": "rules-check", "files": marking(f"m{number}")})["version"]
                rules.write(marking(f"folder{number}"))
                asker = daemon.socket(zmq.DEALER, daemon.query_endpoint)
                asker.send_multipart([b"", json.dumps(
                    {"op": "rules-apply", "files": marking(f"m{number}")}).encode()])
                daemon.signal(signal.SIGHUP)
                reply = json.loads(receive(asker)[1])
                assert reply["ok"] and reply["version"] == expected, (number, expected, reply)
                assert (reply["activated"], reply["version"]) in activations(daemon), reply


@test
def a_stop_answers_who_waits_for_new_rules():
    """Truly: what is said to be active is so after the start, and what isn't isn't."""
    look = json.dumps({"op": "device", "device": names_of(1, COUNT, 1)[0]}).encode()
    with Daemon("--partitions", COUNT, "--checkpoint-ms", 60000) as daemon:
        for number in range(8):
            before = daemon.query({"op": "rules"})["version"]
            wanted = daemon.query({"op": "rules-check", "files": marking(f"m{number}")})["version"]
            asker = daemon.socket(zmq.DEALER, daemon.query_endpoint)
            apply_this = json.dumps({"op": "rules-apply", "files": marking(f"m{number}")}).encode()
            with Slow(daemon, (0, 2)[number % 2]):  # behind is who decides about rules, or another
                asker.send_multipart([b"apply", b"", apply_this])
                asker.send_multipart([b"look", b"", look])
                answers = dict([receive(asker)[::2]])
                daemon.stop()
            while len(answers) < 2:
                answers.update([receive(asker)[::2]])
            reply = json.loads(answers[b"apply"])
            assert reply["version"] == wanted if reply["ok"] else reply["code"] == "busy", reply
            daemon.restart()
            after = daemon.query({"op": "rules"})["version"]
            assert after == (wanted if reply["ok"] else before), (reply, before, after)


@test
def new_rules_outlive_the_loss_of_a_state():
    """A partition that starts from nothing finds its rules in the journal."""
    with Daemon("--partitions", COUNT) as daemon:
        daemon.send_events([{"device": f"d{i}", "type": "T"} for i in range(20)])
        apply(daemon, "one")
        daemon.send_events([{"device": f"d{i}", "type": "T"} for i in range(10)])
        daemon.stop()
        for name in ("data.mdb", "lock.mdb"):
            os.unlink(os.path.join(daemon.data, "state-1", name))
        for name in os.listdir(os.path.join(daemon.data, "state-1", "history")):
            os.unlink(os.path.join(daemon.data, "state-1", "history", name))
        daemon.restart()
        assert marks(daemon) == {f"d{i}": "one" if i < 10 else None for i in range(20)}
        daemon.send_events([{"device": f"d{i}", "type": "T"} for i in range(20)])
        assert set(marks(daemon).values()) == {"one"}


main()
