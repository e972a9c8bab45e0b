"""libfwsync with the real daemon: programs in C (tests/lib) that use it, and how it is installed."""
import collections
import contextlib
import json
import os
import random
import re
import selectors
import shutil
import subprocess
import tempfile
import threading

import zmq

from harness import BUILD, DEADLINE_S, PARTITIONS, ROOT, SAN, Daemon, Skip, fixed_doors, fwsync, main, test, wait_until
from tool import StandIn

COMPILERS = {"c": "clang", "c++": "clang++"} if "/clang" in BUILD else {"c": "gcc", "c++": "g++"}


@contextlib.contextmanager
def started(name, *args):
    """A program of tests/lib with pipes."""
    child = subprocess.Popen([os.path.join(BUILD, "tests", "lib", name), *map(str, args)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


# --- sending

@test
def a_sender_survives_kills_and_every_event_is_there_once():
    count, devices, kills = (20000 if SAN else 100000), 100, 6
    with fixed_doors() as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        with started("send_numbers", daemon.events, count, devices) as child:
            killed, outcome = 0, None
            for line in child.stdout:
                if line.startswith("{"):
                    outcome = json.loads(line)
                elif killed < kills and int(line.split()[1]) >= count * (killed + 1) // (kills + 1):
                    daemon.kill()
                    daemon.restart()
                    killed += 1
            assert child.wait(DEADLINE_S) == 0 and killed == kills, (child.returncode, killed)
        assert outcome["accepted"] + outcome["duplicates"] == count and outcome["rejected"] == 0, outcome
        assert outcome["settled"] == count and outcome["resends"] > 0, outcome
        assert daemon.query({"op": "ping"})["seq"] == before + count
        for device in range(devices):
            last = count - (count - device) % devices
            state = daemon.query({"op": "device", "device": f"d{device}"})
            assert state["client"] == {"counter": last}, (device, last, state["client"])


# --- following

class LossyProxy:
    """Between the results door and a follower: drops messages, and stalls while told to."""

    def __init__(self, folder, results, loss, seed):
        self.endpoint = f"ipc://{folder}/lossy"
        self.loss, self.random, self.dropped = loss, random.Random(seed), collections.Counter()
        self.flowing, self.ended = threading.Event(), threading.Event()
        self.flowing.set()
        self.context = zmq.Context()
        self.back, self.front = self.context.socket(zmq.XSUB), self.context.socket(zmq.XPUB)
        self.back.connect(results)
        self.front.bind(self.endpoint)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            while self.front.poll(0):
                self.back.send(self.front.recv())  # what is subscribed to there, is here
            if not self.flowing.wait(0.05) or not self.back.poll(50):
                continue
            message = self.back.recv_multipart()
            if self.random.random() < self.loss:
                self.dropped[message[0]] += 1
            else:
                self.front.send_multipart(message)

    def close(self):
        self.ended.set()
        self.thread.join()
        self.context.destroy(linger=0)


def snapshot_of(daemon):
    """Every attribute as (device, scope, key, value in JSON)."""
    rows, cursor = set(), {}
    while True:
        page = daemon.query({"op": "snapshot", "limit": 7, **cursor})
        assert page["ok"], page
        for device in page["devices"]:
            for scope in ("client", "shared", "server"):
                for key, value in device[scope].items():
                    rows.add((device["device"], f"{scope.upper()}_SCOPE", key, json.dumps(value)))
        if "cursor" not in page:
            return rows
        cursor = {"cursor": page["cursor"]}


def some_events(random, count):
    return [{"device": f"d{random.randrange(40)}", "type": "POST_ATTRIBUTES_REQUEST",
             "data": {random.choice("abc"): random.randrange(100), "currentFwVer": f"v{random.randrange(3)}"}}
            if random.random() < 0.8 else
            {"device": f"d{random.randrange(40)}", "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
             "data": {"lastTargetFwVer": f"v{random.randrange(3)}"}} for _ in range(count)]


def table_at(child, seq):
    """What the follower has once it has come to the event."""
    child.stdin.write(f"{seq}\n")
    child.stdin.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        assert selector.select(DEADLINE_S * 2), f"the follower doesn't come to event {seq}"
    told = json.loads(child.stdout.readline())
    return told, {(device, scope, key, json.dumps(value)) for device, scope, key, value in told["attributes"]}


@test
def a_follower_is_equal_after_losses_stalls_and_restarts():
    chance = random.Random(7)
    with fixed_doors() as daemon, tempfile.TemporaryDirectory(prefix="fwsync-proxy-") as folder:
        daemon.send_events(some_events(chance, 500))
        proxy = LossyProxy(folder, daemon.results, 0.1, 8)
        with started("follow_table", daemon.query_endpoint, proxy.endpoint) as child:
            for trouble in ["loss", "stall", "kill", "stall and stop", "kill", "loss"]:
                if "stall" in trouble:
                    proxy.flowing.clear()
                for _ in range(100):
                    assert daemon.send_events(some_events(chance, 20))["rejected"] == 0
                if "kill" in trouble:
                    daemon.kill()
                    daemon.restart()
                if "stop" in trouble:
                    daemon.stop()
                    daemon.restart()
                proxy.flowing.set()
                told, table = table_at(child, daemon.query({"op": "ping"})["seq"])
                assert table == snapshot_of(daemon), trouble
            assert told["snapshots"] == 1 and told["changes"] > 1000, told
            assert proxy.dropped[b"batch/attributes"] >= 5, proxy.dropped  # how many came is the machine's to say
        proxy.close()


def versions(lines):
    """The versions in what `watch --json` printed: of attributes, or of verdicts."""
    results = [json.loads(line) for line in lines]
    return [result["value"] if "key" in result else result["data"]["currentFwVer"] for result in results
            if result.get("key", "currentFwVer") == "currentFwVer"]


def in_order(names):
    """With several partitions only the results of one device have an order."""
    return names if PARTITIONS == "1" else sorted(names, key=lambda name: int(name[1:]) % 3)


@test
def watch_misses_nothing_over_kills():
    count = 60
    for what, expected in [("attributes", range(count)), ("sync", range(count)),
                           ("attributes/d1", range(1, count, 3))]:
        with fixed_doors() as daemon:
            watch = subprocess.Popen(
                [os.path.join(BUILD, "fwsync"), "--results", daemon.results, "--query", daemon.query_endpoint,
                 "watch", what, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
            try:
                assert watch.stderr.readline().startswith("watching ")
                for number in range(count):
                    daemon.send_events({"device": f"d{number % 3}", "type": "POST_ATTRIBUTES_REQUEST",
                                        "data": {"currentFwVer": f"v{number}"}})
                    if number % 20 == 15:
                        daemon.kill()
                        daemon.restart()
                lines = []
                while len(versions(lines)) < len(expected):
                    line = watch.stdout.readline()
                    assert line, watch.stderr.read()
                    lines.append(line)
                assert in_order(versions(lines)) == in_order([f"v{number}" for number in expected]), versions(lines)
            finally:
                watch.kill()
                watch.communicate()


@test
def watch_outlives_a_daemon_that_went_while_nobody_read_it():
    """The pipe it prints into is full, then its queue, so ZeroMQ has stopped to read when the daemon goes."""
    with fixed_doors() as daemon:
        watch = subprocess.Popen(
            [os.path.join(BUILD, "fwsync"), "--results", daemon.results, "--query", daemon.query_endpoint,
             "watch", "attributes", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        try:
            assert watch.stderr.readline().startswith("watching ")
            for first in range(0, 1500, 30):  # each a message: a batch has 32 KiB
                notes = [f"{number} {'x' * 30000}" for number in range(first, first + 30)]
                daemon.send_events([{"device": "d", "type": "POST_ATTRIBUTES_REQUEST", "data": {"note": note}}
                                    for note in notes])
            daemon.kill()
            daemon.restart()
            beats = daemon.subscribe("heartbeat")
            for _ in range(4):  # one a second
                beats.next()
            seen = []
            while seen[-1:] != [1499]:
                line = watch.stdout.readline()
                assert line, (watch.wait(DEADLINE_S), watch.stderr.read())
                result = json.loads(line)
                seen += [int(result["value"].split()[0])] if result["key"] == "note" else []
            assert seen == list(range(1500)), seen
        finally:
            watch.kill()
            watch.communicate()


# --- a peer that isn't fwsyncd

LISTS = ["devices", "results", "changes", "deadletters", "values", "errors", "facts", "chains"]
REFUSALS = [{}, {"ok": False}, {"ok": None}, {"ok": 2}, {"ok": False, "code": 1, "error": [None]},
            {"ok": False, "code": "strange"}, {"ok": False, "errors": [None, 1, {}]}]
NO_ANSWERS = [[None], [1], [[]], 1, "x", True]
NO_LISTS = [{"ok": True}] + [{"ok": True, "seq": 1, "at": 1, "after": 1, **dict.fromkeys(LISTS, value)}
                             for value in [None, 1, "x", {}, [None], [1, "x"], [{}, None]]]
NO_DEVICES = [{"ok": True, "seq": 1, "at": 1, "after": 1, "n": [1], "cursor": None, "more": [],
               **dict.fromkeys(LISTS, [item])}
              for item in [{}, [], [None], {"device": None, "client": [1], "server": {"fwSyncState": None}},
                           {"device": "d", "class": "attributes", "n": 1, "seq": 1, "value": None, "error": 1}]]
LISTING = ["list", "export", "deadletters", "history d"]
ASKING = LISTING + ["get d", "explain d", "count", "count type", "stats", "metrics", "ping", "backup d", "send d a=1"]


@test
def the_tool_takes_no_nonsense_for_an_answer():
    for answer in REFUSALS + NO_ANSWERS + NO_LISTS + NO_DEVICES:
        with StandIn(lambda number, body, answer=answer: [answer]) as door:
            for command in ASKING + ["send -", "import -"]:
                code, _, err = fwsync(*command.split(), input='{"device":"d","type":"x"}\n',
                                      env={"FWSYNC_EVENTS": door.endpoint, "FWSYNC_QUERY": door.endpoint})
                what = (answer, command, code, err)
                assert code >= 0 and (code == 0 or err) and not err.endswith(": \n"), what
                if answer in REFUSALS + NO_ANSWERS or command.endswith("-"):
                    assert code > 0, what
                elif answer in NO_LISTS and command in LISTING:
                    assert code == 1, what


class StrangeResults:
    """A results door that publishes these messages to whoever subscribes to heartbeats."""

    def __init__(self, messages):
        self.context, self.messages = zmq.Context(), messages
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.linger = 0
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # also of a subscription that another one has
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ended.is_set():
            if self.socket.poll(50) and self.socket.recv() == b"\x01heartbeat":
                for topic, payload in self.messages:
                    self.socket.send_multipart([topic.encode(), payload.encode()])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.context.destroy(linger=0)


def strange_messages():
    for payload in ["", "{}", "[null]", "[1]", "null", '{"n":[1]}', '{"seq":1,"n":{"attributes":null}}',
                    '{"n":1,"ts":1,"members":[null]}\n[1]', '{"n":1,"members":["seq"]}\n[null]\n1\n\n[[1]]',
                    '{"n":1,"seq":1,"device":null}']:
        for topic in ["heartbeat", "attributes/d", "batch/attributes", "batch/", "/", ""]:
            yield topic, payload
    for seq in [3, 9]:
        yield "heartbeat", json.dumps({"seq": seq, "n": {"attributes": seq}})


@test
def the_library_takes_no_nonsense_for_an_answer():
    with StrangeResults(list(strange_messages())) as results:
        for answer in REFUSALS + NO_ANSWERS + NO_LISTS + NO_DEVICES:
            with StandIn(lambda number, body, answer=answer: [answer]) as door:
                for command in [["tests/lib/follow_table", door.endpoint, results.endpoint],
                                ["fwsync", "--query", door.endpoint, "--results", results.endpoint, "watch",
                                 "attributes"]]:
                    door.bodies.clear()
                    child = subprocess.Popen([os.path.join(BUILD, command[0]), *command[1:]],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    try:
                        # It says that this is no query door, or asks again.
                        wait_until(lambda: child.poll() is not None or len(door.bodies) > 2, what=(answer, command))
                        assert child.returncode in (None, 1, 2), (answer, command, child.returncode)
                        assert (answer not in NO_ANSWERS + NO_LISTS) or child.wait(DEADLINE_S) > 0, answer
                    finally:
                        child.kill()
                        child.communicate()


# --- installing

PROGRAM = r"""
#include <fwsync.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct fwsync_options options = fwsync_options();
    options.events = argv[argc - 2];
    options.query = argv[argc - 1];
    struct fwsync_client *client;
    const char *answer;
    if (fwsync_open(&options, &client) != FWSYNC_OK)
        return 1;
    if (fwsync_send(client, "{\"device\":\"d\",\"type\":\"x\"}", FWSYNC_STRING_END, -1) != FWSYNC_OK ||
        fwsync_flush(client, 20000) != FWSYNC_OK ||
        fwsync_query(client, "{\"op\":\"device\",\"device\":\"d\"}", &answer) != FWSYNC_OK) {
        fprintf(stderr, "%s\n", fwsync_last_error(client));
        return 1;
    }
    puts(answer);
    fwsync_close(client);
    return 0;
}
"""


def output(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S * 3, check=False, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def build(language, source, program, words):
    output(COMPILERS[language], "-x", language, source, "-x", "none", "-Wall", "-Wextra", "-Werror", "-pedantic",
           "-o", program, *words)


@test
def an_installed_library_is_found_linked_and_run():
    if SAN:
        raise Skip("what is installed has no sanitizers")
    with tempfile.TemporaryDirectory(prefix="fwsync-install-") as folder, Daemon() as daemon:
        root, library = f"{folder}/root", f"{folder}/root/usr/lib"
        # -o all: what is built is installed, and not built anew with other flags while tests run it
        make = ["make", "-s", "-o", "all", "-C", ROOT, f"CC={COMPILERS['c']}", f"DESTDIR={root}", "PREFIX=/usr"]
        output(*make, "install")
        assert os.readlink(f"{library}/libfwsync.so") == "libfwsync.so.0"
        env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=root, PKG_CONFIG_PATH=f"{library}/pkgconfig",
                   LD_LIBRARY_PATH=library)
        output("pkg-config", "--exists", "libfwsync", "fwsync", env=env)
        for language, zeroed in [("c", "{0}"), ("c++", "fwsync_options()")]:
            source = f"{folder}/program"
            with open(source, "w", encoding="utf-8") as file:
                file.write(PROGRAM.replace("fwsync_options()", zeroed))
            for static in [False, True]:
                words = output("pkg-config", "--cflags", "--libs", *["--static"][:static], "libfwsync", env=env)
                if static:
                    words = words.replace("-lfwsync", "-l:libfwsync.a")
                program = f"{folder}/{language}-{static}"
                build(language, source, program, words.split())
                assert ("libfwsync.so.0" in output("readelf", "-d", program)) != static
                answer = output(program, daemon.events, daemon.query_endpoint, env=env)
                assert json.loads(answer)["device"] == "d", answer
        output(*make, "uninstall")
        assert [names for _, _, names in os.walk(root) if names] == []


@test
def make_install_tells_the_linker_unless_it_makes_a_package():
    with tempfile.TemporaryDirectory(prefix="fwsync-install-") as folder:
        os.mkdir(f"{folder}/bin")
        with open(f"{folder}/bin/ldconfig", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho told >>{folder}/told\n")
        os.chmod(f"{folder}/bin/ldconfig", 0o755)
        make = ["make", "-s", "-o", "all", "-C", ROOT, f"SAN={SAN}", f"CC={COMPILERS['c']}"]
        env = dict(os.environ, PATH=f"{folder}/bin:{os.environ['PATH']}")
        for words, told in [([f"DESTDIR={folder}/root"], 0), ([f"PREFIX={folder}/local"], os.geteuid() == 0)]:
            for goal in ["install", "uninstall"]:
                output(*make, *words, goal, env=env)
                assert os.path.exists(f"{folder}/told") == told, (words, goal)
                if told:
                    os.remove(f"{folder}/told")


def header_text():
    with open(os.path.join(ROOT, "engine", "client", "fwsync.h"), encoding="utf-8") as file:
        return file.read()


@test
def each_function_has_a_manual_page():
    functions = set(re.findall(r"^FWSYNC_API [^(]*?\b(fwsync_\w+)\(", header_text(), re.M))
    with open(os.path.join(ROOT, "docs", "man", "libfwsync.3"), encoding="utf-8") as file:
        page = file.read()
    named = set(re.findall(r"^\.Nm (fwsync_\w+)", page, re.M))
    assert len(functions) > 15 and named == functions, named ^ functions
    assert set(re.findall(r"^\.Fn (fwsync_\w+) \"?", page.split(".Sh DESCRIPTION")[0], re.M)) == functions
    with tempfile.TemporaryDirectory(prefix="fwsync-install-") as folder:
        output("make", "-s", "-o", "all", "-C", ROOT, f"SAN={SAN}", f"CC={COMPILERS['c']}", f"DESTDIR={folder}",
               "PREFIX=/usr", "install")
        man = f"{folder}/usr/share/man"
        assert {name.removesuffix(".3") for name in os.listdir(f"{man}/man3")} == functions | {"libfwsync"}
        if shutil.which("man"):
            for name in ["fwsync_send", "fwsync_follow"]:
                assert "LIBFWSYNC(3)" in output("man", "-M", man, name)


@test
def the_library_shows_only_what_its_header_declares():
    header = header_text()
    for library, options in [("libfwsync.so.0", ["-D"]), ("libfwsync.a", ["-g"])]:
        lines = output("nm", "--defined-only", *options, os.path.join(BUILD, library)).splitlines()
        names = [line.split()[2] for line in lines if len(line.split()) == 3]
        strange = [name for name in names if not name.startswith("fwsync_") and "san" not in name]
        assert names and (SAN or not strange), strange
        for name in names:
            assert not name.startswith("fwsync_") or f"{name}(" in header, name


@test
def both_public_headers_go_together():
    for language, standard in [("c", "c11"), ("c++", "c++11")]:
        text = '#include "plugins/fwsync_plugin.h"\n#include "engine/client/fwsync.h"\n'
        output(COMPILERS[language], "-fsyntax-only", "-x", language, f"-std={standard}", "-Wall", "-Wextra",
               "-Werror", "-pedantic", f"-I{ROOT}", "-", input=text)


main()
