"""The figures of `make bench-peers`: the same work done by fwsync, Redis, PostgreSQL, and a bare loop.

    make bench-peers BENCH="[--rounds N] [--devices N,...] [--events N] [--systems NAME,...] [--quick]"

One event is a device's report of its version, as JSON: parsed, saved, compared with the device's target,
the verdict saved, a change of it published; acknowledged when it is on disk. The fleet is there before the
clock starts, and the load generator runs beside the server. In each round every system has its turn, on
an empty folder of the same disk, with no other server running.

Environment: FWSYNC_BUILD (build folder)."""
import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import run  # what `make bench` runs: tables, the machine, and how our own bench is started

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(run.BUILD, "tests", "bench")
POSTGRES = "/usr/lib/postgresql/15/bin"
START_S = STOP_S = 30

SIZES, QUICK_SIZES, QUICK_DIVISOR = (10_000, 1_000_000), (1_000, 20_000), 40

# Nothing but the log of what is appended: no snapshots, no rewriting. No io-threads: on two cores they
# take the one that the load generator needs, and Redis got half as much done with them. It writes a
# subscriber 64 KiB a turn, less than these pipelines publish in one, so the subscriber's queue has no bound:
# with the usual one it would be disconnected.
REDIS_SETTINGS = ["--client-output-buffer-limit", "pubsub 0 0 0",
                  "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always",
                  "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"]

# Room in memory for all of it, and no checkpoint within a run. Autovacuum, fsync, full_page_writes and
# synchronous_commit are left as they are: on. Compressing the log, a commit_delay and other ways to
# sync brought nothing here.
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": 100,
    "shared_buffers": "1GB", "wal_level": "minimal", "max_wal_senders": 0, "wal_buffers": "64MB",
    "max_wal_size": "16GB", "min_wal_size": "1GB", "checkpoint_timeout": "30min",
}


# --- servers ---------------------------------------------------------------------------------------------


def command(words, user=None):
    """`words`, to be run as `user`; it dies with us, however we die."""
    change = ["--reuid", user, "--regid", user, "--init-groups"] if user else []
    return ["setpriv", "--pdeathsig", "KILL", *change, "--", *words]


def postgres_user():
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    return "postgres" if os.geteuid() == 0 else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(words, log, is_ready, stop_signal, user=None):
    """A server that is ready, and gone afterwards. Its session is its own: Ctrl-C is for us."""
    with open(log, "wb") as output:
        child = subprocess.Popen(command(words, user), stdout=output, stderr=output, cwd="/",
                                 stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while not is_ready():
            if child.poll() is not None or time.monotonic() > deadline:
                with open(log, encoding="utf-8", errors="replace") as text:
                    sys.exit(f"{words[0]} did not start\n{text.read()}")
            time.sleep(0.02)
        yield
    finally:
        child.send_signal(stop_signal)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def drive(words, environment=None):
    """Runs a load generator to its end; the events a second that were acknowledged."""
    done = subprocess.run(words, stdout=subprocess.PIPE, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"failed: {os.path.basename(words[0])}")
    row = json.loads(done.stdout)
    if row["results"] == 0:
        sys.exit(f"{os.path.basename(words[0])}: no change was published")
    return row["acked_per_s"]


# --- systems: each measures one run in an empty folder ---------------------------------------------------


def fwsync(folder, devices, events, partitions=1):
    row = run.load(os.path.join(folder, "data"), work="changing", devices=devices, events=events,
                   batch=100, window=64, subscribe="batch/sync", setting=f"--partitions={partitions}")
    return row["applied_per_s"]  # acknowledged and applied: what the others' answers mean


def fwsync_2(folder, devices, events):
    return fwsync(folder, devices, events, partitions=2)


def redis(folder, devices, events, reports_per_call=1):
    port = free_port()

    def is_ready():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False

    words = ["redis-server", "--port", str(port), "--dir", folder, *REDIS_SETTINGS]
    with server(words, os.path.join(folder, "log"), is_ready, signal.SIGKILL):
        return drive([os.path.join(PROGRAMS, "peers", "redis"), str(port),
                      os.path.join(HERE, "peers", "redis.lua"), str(devices), str(events),
                      str(reports_per_call)])


def redis_batched(folder, devices, events):
    return redis(folder, devices, events, reports_per_call=50)


def make_cluster(folder, password):
    """A new database cluster below `folder`, which its user can enter."""
    user, data = postgres_user(), os.path.join(folder, "cluster")
    if user:
        shutil.chown(folder, user, user)
    with tempfile.NamedTemporaryFile("w", dir=folder) as file:
        file.write(password)
        file.flush()
        if user:
            shutil.chown(file.name, user)
        subprocess.run(command([f"{POSTGRES}/initdb", "-D", data, "-U", "bench", "-A", "scram-sha-256",
                                "--pwfile", file.name, "-E", "UTF8", "--locale", "C", "--no-sync"], user),
                       stdout=subprocess.DEVNULL, cwd="/", check=True)
    return data


def postgres(folder, devices, events, function="report", clients=64, events_per_call=1):
    port, password = free_port(), secrets.token_hex(16)
    data = make_cluster(folder, password)
    settings = [word for name, value in POSTGRES_SETTINGS.items() for word in ("-c", f"{name}={value}")]

    def is_ready():
        return subprocess.run([f"{POSTGRES}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)],
                              check=False).returncode == 0

    # Stopped at once: nobody wants its last checkpoint.
    with server([f"{POSTGRES}/postgres", "-D", data, "-p", str(port), *settings],
                os.path.join(folder, "log"), is_ready, signal.SIGQUIT, postgres_user()):
        return drive([os.path.join(PROGRAMS, "peers", "postgres"),
                      f"host=127.0.0.1 port={port} user=bench dbname=postgres",
                      os.path.join(HERE, "peers", "postgres.sql"), function, str(devices), str(events),
                      str(clients), str(events_per_call)],
                     dict(os.environ, PGPASSWORD=password))


def postgres_batched(folder, devices, events):
    """16 clients: with 64 the transactions wait for each other's rows and for the two cores."""
    return postgres(folder, devices, events, "report_many", clients=16, events_per_call=100)


def postgres_loop(folder, devices, events):
    return postgres(folder, devices, events, "report_loop", events_per_call=100)


def bare(folder, devices, events):
    return drive([os.path.join(PROGRAMS, "bare_loop"), os.path.join(folder, "data"), str(devices),
                  str(events)])


# By name: how it is measured, with how many events, and what it is.
SYSTEMS = {
    "fwsync": (fwsync, 3_000_000, "100 events a request, 64 requests under way; acknowledged and applied"),
    "fwsync-2": (fwsync_2, 3_000_000, "the same with two partitions"),
    "redis": (redis, 1_500_000, "a Lua function, a call for each event, 50 connections, 100 calls under way "
                                "on each; appendfsync always"),
    "redis-batched": (redis_batched, 2_000_000, "the same with 50 events a call, whose keys a cluster would "
                                                "not take"),
    "postgres": (postgres, 200_000, "a PL/pgSQL function, 64 clients, a transaction for each event; its "
                                    "change goes to an outbox, which a subscriber empties"),
    "postgres-loop": (postgres_loop, 500_000, "64 clients, 100 events a transaction, in a loop; their "
                                              "changes are one row of the outbox"),
    "postgres-batched": (postgres_batched, 1_000_000, "16 clients, 100 events a transaction, one "
                                                      "statement; the outbox as with the loop"),
    "bare": (bare, 5_000_000, "one thread on LMDB and cJSON: no rules, no doors, no load generator"),
}

OURS = ("fwsync", "fwsync-2")

# What our figure should be, in multiples of theirs: by system, for the small and the large fleet, the
# target and the aim.
TARGETS = {
    "redis": ((2.5, 4), (2, 3)),
    "redis-batched": ((None, None), (None, None)),
    "postgres": ((None, None), (None, None)),
    "postgres-loop": ((10, 30), (10, 30)),
    "postgres-batched": ((10, 30), (10, 30)),
    "bare": ((0.5, 0.8), (0.5, 0.8)),
}


# --- measuring -------------------------------------------------------------------------------------------


def disk_folder():
    """A new folder for all of it, on a disk, that PostgreSQL's user can reach too."""
    for place in (run.BUILD, "/var/tmp"):
        reached = subprocess.run(command(["test", "-x", place], postgres_user()), check=False)
        if reached.returncode == 0 and run.file_system(place) not in ("tmpfs", "ramfs"):
            folder = tempfile.TemporaryDirectory(prefix="bench-peers.", dir=place,
                                                 ignore_cleanup_errors=True)
            os.chmod(folder.name, 0o711)
            return folder
    sys.exit(f"neither {run.BUILD} nor /var/tmp is on a disk and open to PostgreSQL's user")


def measure_one(folder, name, devices, events):
    place = os.path.join(folder, "run")
    os.mkdir(place)
    os.sync()  # what the one before left to be written is not for this one's fsync to wait for
    try:
        return SYSTEMS[name][0](place, devices, events)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(folder, args):
    """By (devices, system): the figure of each round."""
    figures = {}
    for index in range(args.rounds):
        for devices in args.devices:
            for name in args.systems:
                run.note(f"round {index + 1} of {args.rounds}, {devices:,} devices, {name}")
                events = args.events or SYSTEMS[name][1] // (QUICK_DIVISOR if args.quick else 1)
                figures.setdefault((devices, name), []).append(
                    measure_one(folder, name, devices, events))
    run.note("")
    return figures


# --- showing ---------------------------------------------------------------------------------------------


def first_line(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0]


def print_versions():
    redis_words = dict(word.split("=", 1) for word in first_line("redis-server", "--version").split()
                       if "=" in word)
    print(", ".join([
        first_line(run.DAEMON, "--version"), f"Redis {redis_words['v']}",
        f"PostgreSQL {first_line(f'{POSTGRES}/postgres', '--version').split()[2]}",
        f"LMDB {first_line('pkg-config', '--modversion', 'lmdb')}",
        f"cJSON {first_line('pkg-config', '--modversion', 'libcjson')}"]))


def print_figures(figures, args):
    print("\nevents each second")
    run.table(["devices", "system"] + [f"round {i + 1}" for i in range(args.rounds)] + ["median"],
              [[f"{devices:,}", name] + [f"{rate:,.0f}" for rate in [*rates, statistics.median(rates)]]
               for (devices, name), rates in figures.items()], left=2)
    for name in args.systems:
        print(f"  {name}: {SYSTEMS[name][2]}")


def ratios(figures, args):
    """Rows for run.print_targets: our medians against each of theirs."""
    rows = []
    for name, devices in ((name, devices) for name in args.systems if name in TARGETS for devices in args.devices):
        for own in (own for own in OURS if own in args.systems):
            ours, theirs = (statistics.median(figures[devices, which]) for which in (own, name))
            # What is larger than the small fleet has the target of the large one.
            bound, aim = (None, None) if args.quick else TARGETS[name][devices > SIZES[0]]
            rows.append((f"{own} against {name}, {devices:,} devices", ours / theirs, ">= ", bound, aim, "{:.2f} x"))
    return rows


def numbers(text):
    return [int(word) for word in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(prog='make bench-peers BENCH="..."',
                                     description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, help="how often each system is measured (3)")
    parser.add_argument("--devices", type=numbers, metavar="N,...", help="the sizes of the fleet")
    parser.add_argument("--events", type=int, help="in a run, for each system")
    parser.add_argument("--systems", metavar="NAME,...", type=lambda text: text.split(","),
                        default=list(SYSTEMS), help=f"of: {', '.join(SYSTEMS)}")
    parser.add_argument("--quick", action="store_true",
                        help="small fleets, once, in some seconds: shows that it works")
    args = parser.parse_args()
    if set(args.systems) - set(SYSTEMS):
        parser.error(f"--systems takes {', '.join(SYSTEMS)}")
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.devices = args.devices or (QUICK_SIZES if args.quick else SIZES)
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    run.print_machine(args.rounds)
    print_versions()
    try:
        with disk_folder() as folder:
            figures = measure(folder, args)
    except KeyboardInterrupt:
        sys.exit("stopped")
    print_figures(figures, args)
    run.print_targets(ratios(figures, args))


if __name__ == "__main__":
    main()
