"""The figures of `make bench`: the real daemon through its real doors, with fsync on.

    make bench BENCH="[--only NAME,...] [--rounds N] [--quick] [--big]"

Every run of the program `bench` is a row. The rounds are interleaved, each starting with fresh fleets, and
a figure is the median of its rounds, so that a noisy minute doesn't fall on one row alone. Timing fails
nothing; a wrong answer ends it all with exit code 1.

Environment: FWSYNC_BUILD (build folder)."""
import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("FWSYNC_BUILD", "build"))
DAEMON = os.path.join(BUILD, "fwsyncd")
BENCH = os.path.join(BUILD, "tests", "bench", "bench")
BARE_DOOR = os.path.join(BUILD, "tests", "bench", "bare_door")

RULES = os.path.join(ROOT, "tests", "bench", "rules")  # the sample's chain: what all figures are about

OFFERED_PER_S = 50_000  # of the latency rows
ASKED_PER_S = 500  # questions beside them
# Of runs with nobody who follows and with somebody, in one daemon. Two runs after each other differ by several percent
# by themselves, and slow spells of the machine last for seconds: so many pairs, of runs that aren't long. (Shorter ones
# differ more: 60,000 events each, and the quartiles are twice as far apart.)
FOLLOWING_PAIRS, FOLLOWING_EVENTS = 11, 150_000
PARTITIONS = (1, 2, 4, 8)
CORES = 16  # of the machine that a model is about
SYNC_COUNT, SYNC_BYTES = 300, 4096

# A fleet goes through these in this order: the first two need devices that still report what they
# reported when they were set up; readings make every device's record larger, and so do the shipped rules.
RUNS = {
    "unchanged": dict(work="unchanged", events=1_500_000, batch=100, window=64),
    "campaign": dict(work="campaign", events=1_000_000, batch=100, window=64),
    "changing": dict(work="changing", events=1_500_000, batch=100, window=64),
    "followed by attributes": dict(work="changing", events=FOLLOWING_EVENTS, batch=100, window=64,
                                   subscribe="batch/attributes", pairs=FOLLOWING_PAIRS),
    "followed by sync": dict(work="changing", events=FOLLOWING_EVENTS, batch=100, window=64,
                             subscribe="batch/sync", pairs=FOLLOWING_PAIRS),
    "sync, a message each": dict(work="changing", events=FOLLOWING_EVENTS, batch=100, window=64,
                                 subscribe="sync/", pairs=FOLLOWING_PAIRS),
    "one by one": dict(work="changing", events=400_000, batch=1, window=1000),
    "offered": dict(work="changing", events=3 * OFFERED_PER_S, batch=1, window=10_000, clients=100,
                    rate=OFFERED_PER_S),
    "asked, 100 clients": dict(work="changing", events=5 * OFFERED_PER_S, batch=1, window=10_000, clients=100,
                               rate=OFFERED_PER_S, ask="device", ask_rate=ASKED_PER_S),
    "asked, batches": dict(work="changing", events=5 * OFFERED_PER_S, batch=100, window=64, rate=OFFERED_PER_S,
                           ask="device", ask_rate=ASKED_PER_S),
    "single": dict(work="changing", events=2_000, batch=1, window=1),
    "device": dict(events=0, ask="device", asks=20_000),  # the daemon at rest, one question after the other
    "page": dict(events=0, ask="page", asks=1_000),
    "count": dict(events=0, ask="count", asks=20_000),
    "telemetry": dict(work="telemetry", events=1_000_000, batch=100, window=64),
    "shipped": dict(work="changing", events=1_000_000, batch=100, window=64, rules=""),
}
THREADS = ["applier", "door", "committer", "zeromq", "rest"]  # of the daemon; the rest is mostly checkpoints
BESIDE_EVENTS = ["asked, 100 clients", "asked, batches"]
FOLLOWED = ["followed by attributes", "followed by sync", "sync, a message each"]


class Scale:
    """The sizes of the fleets, and by what the numbers of events are divided."""

    def __init__(self, quick):
        self.small, self.middle, self.large, self.huge = \
            (1_000, 5_000, 20_000, 50_000) if quick else (10_000, 100_000, 1_000_000, 10_000_000)
        self.divisor = 40 if quick else 1
        self.idle_s = 1 if quick else 6

    def events(self, name):
        return RUNS[name]["events"] // self.divisor


# --- the daemon and the load -----------------------------------------------------------------------------


class Daemon:
    """A daemon without load, for its start and its rest."""

    def __init__(self, folder):
        self.log = tempfile.TemporaryFile()
        self.child = subprocess.Popen(
            [DAEMON, "--data", folder, "--events", "tcp://127.0.0.1:*", "--query", "tcp://127.0.0.1:*",
             "--results", "tcp://127.0.0.1:*", "--rules", RULES], stdout=subprocess.PIPE, stderr=self.log)

    def __enter__(self):
        if not self.child.stdout.readline().startswith(b"ready "):
            self.__exit__(None, None, None)
            sys.exit(f"the daemon did not start\n{self.logged()}")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.child.terminate()
        else:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def cpu_s(self):
        """Of all threads, to the nanosecond: /proc/PID/stat counts in hundredths of a second."""
        tasks = f"/proc/{self.child.pid}/task"
        total = 0
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9


def load(folder, program=DAEMON, **options):
    """One run of the program `bench`; what it measured, as a dict, or None when there were no events."""
    words = [f"{key.replace('_', '-')}={value}" for key, value in {"rules": RULES, **options}.items()]
    done = subprocess.run([BENCH, program, folder, "format=json", *words], stdout=subprocess.PIPE,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"failed: bench {' '.join(words)}")
    return json.loads(done.stdout) if done.stdout else None


def sync_ms(folder):
    """The median time of one fdatasync after 4 KiB, within a file that is there already."""
    path, block, times = os.path.join(folder, "sync"), bytes(SYNC_BYTES), []
    with open(path, "wb", buffering=0) as file:
        file.write(block * SYNC_COUNT)
        os.fsync(file.fileno())
        for i in range(SYNC_COUNT):
            start = time.perf_counter()
            os.pwrite(file.fileno(), block, i * SYNC_BYTES)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    os.unlink(path)
    return statistics.median(times) * 1e3


# --- measuring -------------------------------------------------------------------------------------------


class Figures:
    """What was measured, by (devices, run): a list of dicts, one a round."""

    def __init__(self):
        self.rows = {}

    def add(self, devices, name, row):
        self.rows.setdefault((devices, name), []).append(row)

    def has(self, devices, name):
        return (devices, name) in self.rows

    def median(self, devices, name, key):
        return statistics.median(row[key] for row in self.rows[devices, name])

    def quartiles(self, devices, name, key):
        """Of lists of figures, those of all rounds together."""
        return statistics.quantiles((figure for row in self.rows[devices, name] for figure in row[key]), n=4,
                                    method="inclusive")

    def median_ratio(self, devices, name, base, key):
        """Of two runs of one round each, which are close in time: the machine's slow spells spoil fewer of these."""
        pairs = zip(self.rows[devices, name], self.rows[devices, base])
        return statistics.median(row[key] / base_row[key] for row, base_row in pairs)


def measure_fleet(folder, devices, names, scale, seed, figures):
    """One round of one fleet: sets it up, and runs what is in `names`."""
    data = os.path.join(folder, "fleet")
    load(data, devices=devices, events=0)
    os.sync()  # else the first run would share the disk with what setting up has left
    for name in RUNS:
        if name not in names:
            continue
        seed += 1
        options = dict(RUNS[name], devices=devices, events=scale.events(name), prepare="no", seed=seed)
        sync = sync_ms(folder) if name == "single" else None
        row = load(data, **options)
        if row["events"]:
            row["wall_us_per_event"] = 1e6 / row["applied_per_s"]
        if sync:
            bare = load(os.path.join(folder, "bare"), BARE_DOOR, **dict(options, devices=1))
            row.update(sync_ms=sync, against_sync=row["p50_ms"] / sync, against_bare=row["p50_ms"] / bare["p50_ms"])
        figures.add(devices, name, row)
    shutil.rmtree(data)


def measure_recovery(folder, devices, events, rounds, figures):
    """Replaying a journal that the state knows nothing of.

    No setting keeps the checkpoints of a large fleet away, so the state is put back to what it was before
    the events, which is what a crash without a checkpoint would have left."""
    data, before = os.path.join(folder, "recovery"), os.path.join(folder, "before")
    state = os.path.join(data, "state")
    load(data, devices=devices, events=0)
    shutil.copytree(state, before)
    load(data, devices=devices, events=events, prepare="no")
    for _ in range(rounds):
        shutil.rmtree(state)
        shutil.copytree(before, state)
        os.sync()  # the copy's pages are not for the daemon's fsync to write
        with Daemon(data) as daemon:
            found = re.search(r"replayed events=(\d+) ms=(\d+)", daemon.logged())
        if not found or int(found[1]) != events:
            sys.exit(f"recovery: {events} events to replay\n{daemon.logged()}")
        figures.add(devices, "recovery", {"replayed_per_s": events * 1e3 / max(1, int(found[2]))})
    shutil.rmtree(data)
    shutil.rmtree(before)


def measure_partitions(folder, devices, events, seed, figures):
    """One round of fleets that differ in nothing but the number of partitions."""
    for count in PARTITIONS:
        data = os.path.join(folder, "partitions")
        setting = f"--partitions={count}"
        load(data, devices=devices, events=0, setting=setting)
        os.sync()
        figures.add(devices, partitioned(count), load(data, devices=devices, events=events, prepare="no", seed=seed,
                                                      work="changing", batch=100, window=64, setting=setting))
        shutil.rmtree(data)


def partitioned(count):
    return f"{count} partition{'s' if count > 1 else ''}"


def measure_idle(folder, devices, seconds, figures):
    data = os.path.join(folder, "idle")
    load(data, devices=devices, events=0)
    with Daemon(data) as daemon:
        time.sleep(1)  # what a start takes is no rest
        start, used = time.monotonic(), daemon.cpu_s()
        time.sleep(seconds)
        used, elapsed = daemon.cpu_s() - used, time.monotonic() - start
    figures.add(devices, "idle", {"percent": 100 * used / elapsed})
    shutil.rmtree(data)


# --- what there is to measure ----------------------------------------------------------------------------


def sections(scale, big):
    """By the name of a section: the runs that it takes of each fleet."""
    small, large = scale.small, scale.large
    fleets = [small, scale.middle, large] + ([scale.huge] if big else [])
    work = ["changing", "unchanged", "campaign", "telemetry", "shipped"]
    questions = BESIDE_EVENTS + ["device", "page", "count"]
    return {
        "throughput": {small: ["changing", "one by one"], large: ["changing", "one by one"]},
        "work": {small: work, large: work},
        "questions": {small: questions, large: questions},
        "following": {small: FOLLOWED, large: FOLLOWED},
        "latency": {small: ["offered"], large: ["offered"]},
        "single": {small: ["single"]},
        "partitions": {},
        "recovery": {},
        "memory": {large: ["changing"]},
        "growth": {devices: ["changing"] for devices in fleets},
        "idle": {},
    }


def measure(folder, wanted, args, scale):
    figures, needed = Figures(), {}
    for name, fleets in sections(scale, args.big).items():
        for devices, names in fleets.items() if name in wanted else ():
            needed.setdefault(devices, set()).update(names)
    for index in range(args.rounds):
        for devices in sorted(needed):
            if devices == scale.huge and index > 0:
                continue  # minutes, and GiB
            note(f"round {index + 1} of {args.rounds}, {devices:,} devices")
            measure_fleet(folder, devices, needed[devices], scale, 100 * index, figures)
    for index in range(args.rounds if "partitions" in wanted else 0):
        for devices in (scale.small, scale.large):
            note(f"partitions, round {index + 1} of {args.rounds}, {devices:,} devices")
            measure_partitions(folder, devices, 1_500_000 // scale.divisor, index, figures)
    if "recovery" in wanted:
        for devices in (scale.small, scale.large):
            note(f"recovery, {devices:,} devices")
            measure_recovery(folder, devices, 1_000_000 // scale.divisor, args.rounds, figures)
    if "idle" in wanted:
        note("idle")
        measure_idle(folder, scale.small, scale.idle_s, figures)
    return figures


# --- showing ---------------------------------------------------------------------------------------------


def note(text):
    """Where it is, for who waits at a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def table(head, rows, left=1):
    """Columns to the right, but for the first `left`."""
    cells = [head] + rows
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))))


def file_system(path):
    """The type of the file system that holds `path`."""
    best = ("", "?")
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        for mount in mounts:
            _, where, kind = mount.split()[:3]
            if os.path.commonpath([where, path]) == where and len(where) >= len(best[0]):
                best = (where, kind)
    return best[1]


def print_machine(rounds):
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    print(f"machine: {os.cpu_count()} cores, {model[1] if model else platform.machine()}, "
          f"{platform.system()} {platform.release()}, {file_system(BUILD)}")
    print("fsync on, a checkpoint each second, the load generator beside the daemon, "
          f"medians of {rounds}", flush=True)


# How the columns of the table of runs are called, and how they are written.
COLUMNS = [
    ("acked/s", "acked_per_s", ",.0f"), ("applied/s", "applied_per_s", ",.0f"),
    ("p50 ms", "p50_ms", ".2f"), ("p99 ms", "p99_ms", ".2f"), ("p99.9 ms", "p999_ms", ".2f"),
    ("cpu us/event", "daemon_cpu_us_per_event", ".2f"), ("generator's", "own_cpu_us_per_event", ".2f"),
    ("rest MiB", "rest_anon_mib", ".1f"), ("peak MiB", "anon_mib", ".1f"),
    ("file MiB", "file_mib", ".0f"), ("busy", "busy", ".0f"),
]


def print_runs(figures):
    fleets = sorted({devices for devices, _ in figures.rows})
    rows = [[f"{devices:,}", name] + [format(figures.median(devices, name, key), form)
                                      for _, key, form in COLUMNS]
            for devices in fleets for name in RUNS if figures.has(devices, name) and RUNS[name]["events"]]
    if rows:
        print("\nruns: latencies are from a request to its answer, MiB are anonymous memory of the daemon")
        table(["devices", "run"] + [title for title, _, _ in COLUMNS], rows, left=2)
        print("  unchanged, campaign, changing, telemetry: 100 events a request, 64 requests under way\n"
              "  shipped: changing, with the shipped rules instead of the sample's: a verdict with its reason\n"
              f"  followed, a message each: of {FOLLOWING_PAIRS} pairs of runs, with nobody who follows and with\n"
              "  somebody, the one with the middle ratio of processor times; below, median and quartiles of the\n"
              "  pairs of all rounds\n"
              "  one by one: 1 event a request, 1,000 under way;  single: 1 under way\n"
              f"  offered: {OFFERED_PER_S:,} events/s by the clock, 1 a request, from 100 clients")


def print_threads(figures):
    runs = [(devices, name) for devices, name in sorted(figures.rows) if name in ("changing", "unchanged", *FOLLOWED)]
    rows = []
    for devices, name in runs:
        us = {whose: [figures.median(devices, name, f"{whose}_{thread}_us") for thread in THREADS]
              for whose in ("daemon", "alone")}
        if name in FOLLOWED:
            rows.append([f"{devices:,}", "nobody follows"] + [f"{value:.2f}" for value in us["alone"]])
        rows.append([f"{devices:,}", name] + [f"{value:.2f}" for value in us["daemon"]])
    if rows:
        print("\nprocessor time of an event, by the daemon's threads, in us")
        table(["devices", "run"] + THREADS, rows, left=2)


def modelled(us, partitions):
    """Events each second on CORES cores, if each thread has what it wants of them: the slowest is the limit."""
    threads = [us["door"], us["committer"], us["zeromq"], us["applier"] / partitions, sum(us.values()) / CORES]
    return 1e6 / max(max(threads), 1e-3)


def print_partitions(figures):
    rows = []
    for devices, count in sorted({(devices, count) for devices, name in figures.rows for count in PARTITIONS
                                  if name == partitioned(count)}):
        name = partitioned(count)
        us = {thread: figures.median(devices, name, f"daemon_{thread}_us") for thread in THREADS}
        rows.append([f"{devices:,}", str(count), f"{figures.median(devices, name, 'applied_per_s'):,.0f}"] +
                    [f"{us[thread]:.2f}" for thread in THREADS] + [f"{modelled(us, count):,.0f}"])
    if rows:
        print("\npartitions: events each second here; processor time of an event, all partitions together, in us;\n"
              f"and a model: events each second on {CORES} cores, of which each thread has one when it wants it")
        table(["devices", "partitions", "applied/s"] + THREADS + [f"{CORES} cores"], rows, left=1)


def print_questions(figures):
    fleets = sorted({devices for devices, _ in figures.rows})
    rows = [[f"{devices:,}", name, RUNS[name]["ask"]] +
            [format(figures.median(devices, name, key), form)
             for key, form in (("asked", ",.0f"), ("ask_p50_ms", ".3f"), ("ask_p99_ms", ".3f"), ("ask_max_ms", ".2f"))]
            for devices in fleets for name in RUNS if figures.has(devices, name) and "ask" in RUNS[name]]
    if rows:
        print("\nquestions")
        table(["devices", "run", "question", "asked", "p50 ms", "p99 ms", "most ms"], rows, left=3)
        print(f"  asked: {ASKED_PER_S} questions/s by the clock, while {OFFERED_PER_S:,} events/s flow in,\n"
              "  from 100 clients with 1 a request, or from one with 100 a request; else one after the other, at rest")


def growth(figures, scale):
    """How much more an event takes in a larger fleet; only the largest has a target."""
    for devices in (scale.middle, scale.large, scale.huge):
        for what, key in (("processor", "daemon_cpu_us_per_event"), ("elapsed", "wall_us_per_event")):
            if figures.has(devices, "changing"):
                yield (f"growth: {what} time of an event, {devices:,} against {scale.small:,} devices",
                       figures.median(devices, "changing", key) /
                       figures.median(scale.small, "changing", key),
                       "<= ", *((4, 2) if devices == scale.huge else (None, None)), "{:.2f} x")


def targets(wanted, figures, scale):
    """(what, figure, sign of the target, target, aim, how to write them, quartiles if there are), line by line."""
    small, large = scale.small, scale.large
    rows = []
    if "work" in wanted:
        rows += [(f"work: unchanged against changing, {devices:,} devices",
                  figures.median_ratio(devices, "unchanged", "changing", "applied_per_s"), ">= ", 1.5, 3, "{:.2f} x")
                 for devices in (small, large)]
    if "questions" in wanted:
        rows += [(f"questions: p99 of a device, {name}, {devices:,} devices",
                  figures.median(devices, name, "ask_p99_ms"), "<= ", 5, None, "{:.2f} ms")
                 for devices in (small, large) for name in BESIDE_EVENTS]
        rows += [(f"questions: p99 of a page of 1,000, {devices:,} devices",
                  figures.median(devices, "page", "ask_p99_ms"), "<= ", 20, None, "{:.2f} ms")
                 for devices in (small, large)]
        rows.append((f"questions: p50 of counts, {large:,} against {small:,} devices",
                     figures.median(large, "count", "ask_p50_ms") /
                     figures.median(small, "count", "ask_p50_ms"), "<= ", 1.2, None, "{:.2f} x"))
    if "following" in wanted:
        for devices in (small, large):
            for name in FOLLOWED:
                low, middle, high = figures.quartiles(devices, name, "following")
                rows.append((f"following: processor time of an event more, {name}, {devices:,} devices",
                             middle, "<= ", 10, None, "{:.1f} %", (low, high)))
    if "latency" in wanted:
        rows += [(f"latency: p99 at {OFFERED_PER_S:,} offered, {devices:,} devices",
                  figures.median(devices, "offered", "p99_ms"), "<= ", 5, 2, "{:.2f} ms")
                 for devices in (small, large)]
    if "single" in wanted:
        sync = figures.median(small, "single", "sync_ms")
        rows.append((f"single: p50 of an ack against an fdatasync of {sync:.3f} ms",
                     figures.median(small, "single", "against_sync"), "<= ", 2, 1.3, "{:.2f} x"))
        rows.append(("single: the same against a bare door, which only syncs and answers",
                     figures.median(small, "single", "against_bare"), "", None, None, "{:.2f} x"))
    if "recovery" in wanted:
        rows += [(f"recovery: events replayed each second, {devices:,} devices",
                  figures.median(devices, "recovery", "replayed_per_s"), ">= ", 400e3, 1e6, "{:,.0f}")
                 for devices in (small, large)]
    if "memory" in wanted:
        rows.append((f"memory: anonymous, peak, {large:,} devices",
                     figures.median(large, "changing", "anon_mib"), "<= ", 100, 50, "{:.1f} MiB"))
    if "growth" in wanted:
        rows += growth(figures, scale)
    if "idle" in wanted:
        rows.append((f"idle: processor time, {small:,} devices",
                     figures.median(small, "idle", "percent"), "<= ", 0.1, None, "{:.3f} %"))
    return rows


def print_targets(rows):
    def written(form, value, sign=""):
        return "" if value is None else sign + form.format(value)
    if rows:
        print("\ntargets")
        table(["", "figure", "quartiles", "target", "aim"],
              [[what, written(form, figure), " to ".join(written(form, value) for pair in quartiles for value in pair),
                written(form, bound, sign), written(form, aim)]
               for what, figure, sign, bound, aim, form, *quartiles in rows])


def arguments():
    names = list(sections(Scale(False), False))
    parser = argparse.ArgumentParser(prog='make bench BENCH="..."', description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NAME,...", help=f"of: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help="how often each row is measured (3)")
    parser.add_argument("--quick", action="store_true",
                        help="small fleets, once, in some seconds: shows that it works")
    parser.add_argument("--big", action="store_true",
                        help="growth up to 10,000,000 devices too: minutes, and some GiB of disk")
    args = parser.parse_args()
    wanted = set(args.only.split(",")) if args.only else set(names)
    if wanted - set(names):
        parser.error(f"--only takes {', '.join(names)}")
    args.rounds = args.rounds or (1 if args.quick else 3)
    return args, wanted


def main():
    args, wanted = arguments()
    scale = Scale(args.quick)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    print_machine(args.rounds)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-data.", dir=BUILD,
                                         ignore_cleanup_errors=True) as folder:
            figures = measure(folder, wanted, args, scale)
    except KeyboardInterrupt:
        sys.exit("stopped")
    note("")
    print_runs(figures)
    print_threads(figures)
    print_partitions(figures)
    print_questions(figures)
    print_targets(targets(wanted, figures, scale))


if __name__ == "__main__":
    main()
