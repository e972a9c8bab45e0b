"""The power goes, and not only the process: nothing acknowledged is lost, and all is applied exactly once.

A daemon works on a folder, and tests/fault/lostpower.so notes all that it asks of the disk there. Some producers, each
with its own source and devices, send their requests, one at a time, and note for each answer how far the notes had
come. Then, for many moments, a folder is made as the disk may have it when the power goes at that moment
(lost_disk.py), and a daemon is started on it. It has to know every event that was acknowledged by then, may know those
that were under way, and when these are sent again, it has to be like a daemon that was never disturbed, which gets the
same events: its devices, their history, the counts, the dead letters, and how many results there were. What was
acknowledged is sent again with other content, which must change nothing.

The last folder is what the next daemon works on, so the power goes while one recovers from a power cut, too. And each
is killed once at its work and started again, so some of what the second one finds isn't on disk.

POWER_CUTS=N makes so many cuts in the second test, two or three a second; for more than some hundred the runner needs
FWSYNC_TIMEOUT=seconds, too. POWER_SEED=N repeats its choices, though the threads' timing stays its own. What fails says
which seed it was, and leaves the folder behind: `fwsyncd --data` on a copy of that is the failure."""
import json
import os
import random
import shutil
import signal
import tempfile

import zmq

from harness import BUILD, DEADLINE_S, SAN, Daemon, Skip, main, receive, test, wait_until
from lost_disk import Recording

LIBRARY = os.path.abspath(os.path.join(BUILD, "tests", "fault", "lostpower.so"))
SEED = int(os.environ.get("POWER_SEED") or random.SystemRandom().randrange(1 << 32))
CUTS = int(os.environ.get("POWER_CUTS") or 9)
CUTS_AT_ONCE = 24
ROUNDS = 3
RESULTS_OF = 20  # so many events are looked at now and then
PRODUCERS, DEVICES_EACH = 3, 60
LARGE_BYTES = 50_000
# A phase of each producer: so many requests, of so many events at most, large or small ones. Between two phases there
# is mostly a checkpoint. ALL makes a layer, and so does each MANY then, until a FEW takes all into the database.
FEW, ALL, MANY = [(1, 2, False)], [(8, 8, True)], [(6, 12, False), (1, 8, True), (6, 12, False)]
PHASES = [MANY, ALL, MANY, MANY, MANY, FEW, ALL, MANY, FEW]
INDEXES = ("server.fwStateIsSynced", "server.fwSyncState", "client.currentFwVer", "server.lastTargetFwVer", "type")


# --- what is sent

def make_event(rng, source, n, large):
    device = n % DEVICES_EACH if large else rng.randrange(DEVICES_EACH)
    event = {"device": f"{source}/{device}", "source": source, "n": n}
    choice = 0.9 if large else rng.random()
    if choice < 0.45:
        event.update(type="POST_ATTRIBUTES_REQUEST", data={"currentFwVer": rng.choice(["v1", "v2", "v3"])})
    elif choice < 0.8:
        target = rng.choice(["v1", "v2"])
        event.update(type="ATTRIBUTES_UPDATED", scope="SERVER_SCOPE", data={"lastTargetFwVer": target})
    elif choice < 0.95:
        note = str(n) + "x" * (LARGE_BYTES if large else 10)
        event.update(type="ATTRIBUTES_UPDATED", scope="SHARED_SCOPE", data={"note": note})
    else:
        event.update(type="POST_TELEMETRY_REQUEST", data={"counter": n} if choice < 0.98 else {})
    if rng.random() < 0.05:
        event["deviceType"] = rng.choice(["ESP32_OTA", "ESP32_S3"])
    return event


class Producer:
    """Its requests, a list of events each, of all rounds; `until[phase]` are those up to the end of that phase."""

    def __init__(self, number, rng):
        self.source, self.requests, self.until = f"producer-{number}", [], []
        self.n = 0
        for phase in PHASES * ROUNDS:
            for count, events_max, is_large in phase:
                self.add(rng, count, events_max, is_large)
            self.until.append(len(self.requests))
        self.answers = []  # of each request that was answered: the notes that were done then
        self.socket = None

    def add(self, rng, request_count, events_max, is_large):
        for _ in range(request_count):
            count = events_max if is_large else rng.randint(1, events_max)
            self.requests.append([make_event(rng, self.source, self.n + i, is_large) for i in range(1, count + 1)])
            self.n += count

    def answered_by(self, cut):
        """How many of its requests were when so many notes were done."""
        return sum(notes <= cut for notes in self.answers)

    def send_next(self):
        events = self.requests[len(self.answers)]
        self.socket.send_multipart([b"", lines(events)])

    def take_answer(self, log):
        """`log`: where the notes go. Until they are read, what is known is how long they are."""
        reply = json.loads(receive(self.socket)[-1])
        size = os.stat(log).st_size
        wanted = len(self.requests[len(self.answers)])
        assert reply["ok"] and reply["accepted"] + reply["duplicates"] == wanted, reply
        self.answers.append(size)


def lines(events):
    return "\n".join(json.dumps(event) for event in events).encode()


def send_all(producers, phase, log, look):
    """Each producer's requests up to the end of the phase, one at a time; `look` is called now and then."""
    poller = zmq.Poller()
    by_socket = {}
    for producer in producers:
        by_socket[producer.socket] = producer
        if len(producer.answers) < producer.until[phase]:
            producer.send_next()
            poller.register(producer.socket, zmq.POLLIN)
    answers = 0
    while poller.sockets:
        ready = poller.poll(DEADLINE_S * 1000)
        assert ready, f"no answer within {DEADLINE_S} s"
        for socket, _ in ready:
            producer = by_socket[socket]
            producer.take_answer(log)
            if len(producer.answers) < producer.until[phase]:
                producer.send_next()
            else:
                poller.unregister(socket)
            answers += 1
            if answers % 10 == 0:
                look()


def kill(daemon):
    """Between two notes (lostpower.c)."""
    def is_dead():
        daemon.signal(signal.SIGUSR1)
        return daemon.child.poll() is not None

    wait_until(is_dead)


# --- what a daemon knows

def is_saved(daemon):
    stats = daemon.query({"op": "stats"})
    return stats["state"]["checkpoint"] == stats["seq"]


def results_so_far(daemon):
    """(the last event, how many results of each class there were, in each partition)"""
    answer = daemon.query({"op": "snapshot", "limit": 1})
    parts = answer.get("partitions", [answer.get("n")])
    return answer["at"], {f"{i}/{name}": n for i, part in enumerate(parts) for name, n in part.items()}


def results_after(daemon, after, until):
    """Those of the events behind `after` up to `until`; None when they are no longer kept."""
    answer = daemon.query({"op": "changes", "after": after, "limit": 1000})
    assert answer["ok"] or answer["code"] == "gone", answer
    return [result for result in answer["results"] if result["seq"] <= until] if answer["ok"] else None


def times(daemon):
    """Of some devices: when each was made and last heard of, and since when its verdict is what it is."""
    return {device["device"]: (device["created"], device["lastSeen"], device.get("since", 0))
            for device in pages(daemon, "devices", {"op": "devices", "prefix": "producer-1/1", "limit": 100})}


def pages(daemon, member, query):
    cursor = {}
    while cursor is not None:
        page = daemon.query({**query, **cursor})
        assert page["ok"], page
        yield from page[member]
        cursor = {"cursor": page["cursor"]} if page.get("cursor") else None


def without(members, *names):
    return {name: value for name, value in members.items() if name not in names}


def all_it_knows(daemon, rng):
    """But for the times, and numbers of events, which depend on how the producers' requests met."""
    devices = {device["device"]: without(device, "created", "lastSeen", "since")
               for device in pages(daemon, "devices", {"op": "devices", "limit": 1000})}
    known = {"devices": devices, "at": results_so_far(daemon)}
    for index in INDEXES:
        values = list(pages(daemon, "values", {"op": "count", "index": index, "limit": 1000}))
        known[f"count {index}"] = sorted(values, key=json.dumps)
    letters = pages(daemon, "deadletters", {"op": "deadletters", "limit": 1000})
    known["dead letters"] = sorted(json.dumps(without(letter, "seq", "ts"), sort_keys=True) for letter in letters)
    for name in rng.sample(sorted(devices), min(8, len(devices))):
        known[f"telemetry {name}"] = daemon.query({"op": "device", "device": name})["telemetry"]
        history = pages(daemon, "changes", {"op": "history", "device": name, "limit": 100})
        known[f"history {name}"] = [without(change, "seq", "ts") for change in history]
    return known


def assert_alike(found, expected):
    for what in expected:
        if found[what] != expected[what]:
            short = {name: str(known[what])[:500] for name, known in (("found", found), ("expected", expected))}
            raise AssertionError(f"{what}: {short}")


# --- the test

class Trial:
    """Rounds of work, cuts in each, and a daemon that is never disturbed beside them."""

    def __init__(self, seed, cuts):
        self.seed, self.rng = seed, random.Random(seed)
        self.producers = [Producer(i, random.Random(self.rng.random())) for i in range(PRODUCERS)]
        self.given = [0] * PRODUCERS  # requests that the undisturbed one has
        self.cuts_left, self.acknowledged = cuts, 0
        self.layers = self.layers_gone = self.trimmed = 0
        self.folder = tempfile.mkdtemp(prefix="fwsync-power-")
        self.calm = None
        self.seen = []  # (notes that were done, the last event, counts of results, the last results, times)
        self.results = 0  # that were compared
        self.killed_at = 0  # how long the notes of this round were then

    def path(self, name):
        return os.path.join(self.folder, name)

    def settings(self):
        rng = self.rng
        return ["--checkpoint-ms", rng.choice([100, 150, 200]), "--checkpoint-mib", 64, "--journal-keep-mib", 1]

    def run(self):
        os.mkdir(self.path("start"))
        with Daemon("--checkpoint-ms", 60000, "--checkpoint-mib", 256) as self.calm:
            for number in range(ROUNDS):
                self.round(number)
        shutil.rmtree(self.folder)

    def round(self, number):
        recording = self.record(number)
        count = max(self.cuts_left // (ROUNDS - number), 1)
        self.cuts_left -= count
        answers = sorted(notes for producer in self.producers for notes in producer.answers if notes > 0)
        killed_at = recording.notes_at(self.killed_at)
        wanted = {"an answer": answers, "after a kill": [notes for notes in answers if notes >= killed_at][:PRODUCERS]}
        cuts = sorted(recording.choose_cut(self.rng, wanted) for _ in range(count))
        for cut, place in cuts:
            shutil.rmtree(self.path("image"), ignore_errors=True)
            self.cut(recording, cut, f"round {number}, {place}, {cut} of {len(recording.ends)} notes done")
        last = cuts[-1][0]  # the one that it was, for those who go on
        shutil.rmtree(self.path("start"))
        os.rename(self.path("image"), self.path("start"))
        for producer in self.producers:
            producer.answers = [0] * producer.answered_by(last)
        self.seen = [(0, *numbers) for notes, *numbers in self.seen if notes <= last][-1:]

    # --- the work

    def record(self, number):
        """A daemon at work on what the last cut left, until it is killed; in the last round, until it has stopped."""
        data, log = self.path("data"), self.path(f"log-{number}")
        shutil.copytree(self.path("start"), data)
        old_answers, old_seen = [len(producer.answers) for producer in self.producers], len(self.seen)
        with Daemon(*self.settings(), data=data, preload=LIBRARY,
                    env={"FWSYNC_POWER_DATA": data, "FWSYNC_POWER_LOG": log}) as daemon:
            self.work(daemon, range(number * len(PHASES), (number + 1) * len(PHASES)), log)
            if number == ROUNDS - 1:
                daemon.stop()
            else:
                kill(daemon)
        recording = Recording(self.path("start"), log, data)
        assert recording.is_like(data), "not all that was done to the disk is noted"
        for producer, old in zip(self.producers, old_answers):
            producer.answers[old:] = map(recording.notes_at, producer.answers[old:])
        self.seen[old_seen:] = [(recording.notes_at(size), *numbers) for size, *numbers in self.seen[old_seen:]]
        self.layers += recording.count("rename state/.layer")
        self.layers_gone += recording.count("unlink state/.layer")
        self.trimmed += recording.count("unlink journal/.log")
        shutil.rmtree(data)
        return recording

    def work(self, daemon, phases, log):
        def look():
            at, counts = results_so_far(daemon)
            results = results_after(daemon, max(at - RESULTS_OF, 0), at)
            found = times(daemon)
            self.seen.append((os.stat(log).st_size, at, counts, results, found))

        self.connect(daemon)
        killed = self.rng.choice(phases)
        for phase in phases:
            if phase == killed:
                self.kill_at_work(daemon, log)
            send_all(self.producers, phase, log, look)
            if self.rng.random() < 0.9:
                wait_until(lambda: is_saved(daemon), what="a checkpoint")

    def connect(self, daemon):
        for producer in self.producers:
            producer.socket = daemon.socket(zmq.DEALER, daemon.events)

    def kill_at_work(self, daemon, log):
        """So the next daemon finds what isn't on disk for certain, and builds on it."""
        at_sync = self.rng.random() < 0.5
        if at_sync:
            daemon.signal(signal.SIGUSR2)
        for producer in self.producers:
            producer.send_next()
        if at_sync:
            daemon.wait()
        else:
            self.producers[0].socket.poll(self.rng.choice([0, 1, 2, 1000]))
            kill(daemon)
        self.killed_at = os.stat(log).st_size
        daemon.restart()
        self.connect(daemon)

    # --- a cut

    def cut(self, recording, cut, where):
        image, work = self.path("image"), self.path("work")
        how = recording.image(cut, image, self.rng)
        shutil.copytree(image, work)
        try:
            self.check(cut, work)
        except BaseException:
            print(f"# POWER_SEED={self.seed}, {where}: {how}\n# its folder: {image}", flush=True)
            raise
        shutil.rmtree(work)

    def check(self, cut, folder):
        answered = [producer.answered_by(cut) for producer in self.producers]
        acknowledged = sum(len(request) for producer, count in zip(self.producers, answered)
                           for request in producer.requests[:count])
        self.acknowledged += acknowledged
        with Daemon(*self.settings(), data=folder) as daemon:
            at = results_so_far(daemon)[0]
            assert acknowledged == 0 or at >= 1 + acknowledged, f"{acknowledged} events acknowledged, {at} there"
            self.check_seen(cut, daemon)
            for producer, count in zip(self.producers, answered):
                self.send_again(daemon, producer, count)
            self.give_calm(answered)
            seed = self.rng.random()
            expected = all_it_knows(self.calm, random.Random(seed))
            assert_alike(all_it_knows(daemon, random.Random(seed)), expected)
            daemon.stop()
            if self.rng.random() < 0.3:
                daemon.restart()
                assert_alike(all_it_knows(daemon, random.Random(seed)), expected)

    def check_seen(self, cut, daemon):
        """What was seen before the cut has happened, and so again."""
        at, counts = results_so_far(daemon)
        for _, at_then, counts_then, results_then, times_then in [seen for seen in self.seen if seen[0] <= cut][-1:]:
            assert at >= at_then, (at, at_then)
            assert all(counts.get(name, 0) >= n for name, n in counts_then.items()), (counts, counts_then)
            results = results_after(daemon, max(at_then - RESULTS_OF, 0), at_then)
            assert results is None or results_then is None or results == results_then, "results came out otherwise"
            self.results += len(results or [])
            now = times(daemon)
            for name, (created, last_seen, since) in times_then.items():
                assert now[name][0] == created and now[name][1] >= last_seen and now[name][2] >= since, (
                    name, now[name], times_then[name])

    def send_again(self, daemon, producer, answered):
        """What was acknowledged, with other content, then the request that was under way."""
        old = [{"device": "nobody", "type": "other", "source": producer.source, "n": event["n"]}
               for request in producer.requests[:answered] for event in request]
        for start in range(0, len(old), 1000):
            part = old[start:start + 1000]
            reply = daemon.send_events(part)
            assert reply["ok"] and reply["duplicates"] == len(part), f"acknowledged, and not known: {reply}"
        for request in producer.requests[answered:answered + 1]:
            reply = daemon.send_events(request)
            assert reply["ok"] and len(request) in (reply["accepted"], reply["duplicates"]), reply

    def give_calm(self, answered):
        for i, (producer, count) in enumerate(zip(self.producers, answered)):
            for request in producer.requests[self.given[i]:count + 1]:
                assert self.calm.send_events(request)["accepted"] == len(request)
            self.given[i] = max(self.given[i], count + 1)


def try_cuts(seed, cuts):
    if "thread" in SAN:
        raise Skip("LD_PRELOAD and ThreadSanitizer don't go together")
    assert os.path.exists(LIBRARY), f"{LIBRARY} isn't built: make build-tests"
    trial = Trial(seed, cuts)
    trial.run()
    print(f"# {cuts} cuts, {trial.acknowledged / cuts:.0f} events acknowledged before one, {trial.layers} layers, "
          f"{trial.layers_gone} gone, {trial.trimmed} files of the journal gone, {trial.results} results compared",
          flush=True)
    assert trial.layers and trial.layers_gone and trial.trimmed and trial.results, "there was too little work"


@test
def test_nothing_acknowledged_is_lost_when_the_power_goes():
    try_cuts(1, 15)


@test
def test_likewise_with_other_choices_each_time():
    print(f"# POWER_SEED={SEED}", flush=True)
    for done in range(0, CUTS, CUTS_AT_ONCE):
        try_cuts(SEED + done, min(CUTS_AT_ONCE, CUTS - done))


main()
