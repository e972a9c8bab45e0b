"""The programs of docs/examples, each with a real daemon."""
import contextlib
import glob
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from harness import BUILD, DEADLINE_S, ROOT, SAN, Daemon, Skip, fixed_doors, fwsync, main, test, wait_until

EXAMPLES = os.path.join(ROOT, "docs", "examples")
NODE_MODULES = os.path.join(ROOT, "build", "node", "node_modules")  # make node-packages


def environment(daemon):
    return dict(os.environ, FWSYNC_EVENTS=daemon.events, FWSYNC_QUERY=daemon.query_endpoint,
                FWSYNC_RESULTS=daemon.results, FWSYNC=os.path.join(BUILD, "fwsync"), NODE_PATH=NODE_MODULES)


def path(name):
    return os.path.join(EXAMPLES, name)


def run(daemon, *command, input=""):
    """(exit code, standard output, standard error) of an example."""
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=DEADLINE_S * 2,
                          env=environment(daemon))
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def started(daemon, *command, **pipes):
    """An example in the background, its standard output as lines."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(daemon), **pipes)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@contextlib.contextmanager
def compiled(name):
    """An example in C, linked as with pkg-config."""
    with tempfile.TemporaryDirectory(prefix="fwsync-example-") as folder:
        libraries = subprocess.check_output(["pkg-config", "--libs", "libzmq", "libcjson"], text=True).split()
        subprocess.run(["clang" if "/clang" in BUILD else "gcc", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                        *[f"-fsanitize={SAN}"][:bool(SAN)], f"-I{ROOT}/engine/client", "-o", f"{folder}/{name}",
                        path(f"{name}.c"), f"{BUILD}/libfwsync.a", *libraries, "-lm", "-pthread"], check=True)
        yield f"{folder}/{name}"


def lines_until(child, wanted):
    """The lines that it prints, up to one that is `wanted`."""
    lines = []
    timer = threading.Timer(DEADLINE_S, child.kill)  # which ends its output
    timer.start()
    try:
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] == wanted:
                return lines
    finally:
        timer.cancel()
    raise AssertionError(f"it ended without {wanted!r}; its last lines: {lines[-3:]}")


def report(device, version, kind="T"):
    return {"device": device, "deviceType": kind, "type": "POST_ATTRIBUTES_REQUEST",
            "data": {"currentFwVer": version}}


def target(device, version):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
            "data": {"lastTargetFwVer": version}}


def server(daemon, device):
    return daemon.query({"op": "device", "device": device}).get("server", {})


# --- all of them

@test
def each_example_is_short_and_named_in_the_readme():
    with open(path("README.md"), encoding="utf-8") as file:
        readme = file.read()
    names = [os.path.basename(name) for name in glob.glob(path("*.*"))]
    for name in names:
        assert name == "README.md" or name.startswith("package") or f"[`{name}`]({name})" in readme, name
        with open(path(name), encoding="utf-8") as file:
            assert name == "README.md" or len(file.readlines()) < 60, f"{name} has 60 lines or more"
    assert len(names) > 7, names


# --- C

def version_lines(count):
    return [f"d{number % 10} v{number}\n" for number in range(count)]


@test
def the_producer_survives_kills_and_sends_each_report_once():
    lines = version_lines(9000)
    with compiled("producer") as producer, fixed_doors() as daemon:
        before = taken = daemon.query({"op": "ping"})["seq"]
        with started(daemon, producer, "line-1", stdin=subprocess.PIPE) as child:
            for third in range(3):
                child.stdin.writelines(lines[third * 3000:(third + 1) * 3000])
                child.stdin.flush()
                wait_until(lambda: daemon.query({"op": "ping"})["seq"] > taken)
                daemon.kill()
                daemon.restart()
                taken = daemon.query({"op": "ping"})["seq"]
            child.stdin.close()
            accepted, repeated = (int(word) for word in child.stdout.read().replace(",", "").split()[1:5:3])
            assert child.wait() == 0 and accepted + repeated == 9000, (accepted, repeated)
        assert daemon.query({"op": "ping"})["seq"] == before + 9000
        for device in range(10):
            state = daemon.query({"op": "device", "device": f"d{device}"})
            assert state["client"] == {"currentFwVer": f"v{8990 + device}"}, state
        again = run(daemon, producer, "line-1", input="".join(lines + ["d0 v9000\n", "\n"]))
        assert again[:2] == (0, "accepted 1, sent before 9000, rejected 1\n"), again
        assert again[2].startswith("line 9002: bad-event: "), again


@test
def the_follower_tells_all_devices_and_what_changes_over_a_restart():
    with compiled("follower") as follower, fixed_doors() as daemon:
        daemon.send_events([report("a", "v1"), target("a", "v2")])
        with started(daemon, follower) as child:
            seen = lines_until(child, 'a fwSyncState="pending"')
            assert seen[0].startswith("as of event ") and 'a currentFwVer="v1"' in seen, seen
            daemon.send_events(report("b", "v7"))
            lines_until(child, 'b fwSyncReason="no target version is set"')
            daemon.kill()
            daemon.restart()
            daemon.send_events(report("a", "v2"))
            seen = lines_until(child, 'a fwSyncReason="runs v2, as it should"')
            assert seen[0] == 'a currentFwVer="v2"', seen


# --- Python

@test
def reports_are_applied_once_though_they_are_sent_again():
    lines = version_lines(300)
    command = [sys.executable, path("report.py"), "gateway-7"]
    with fixed_doors() as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        daemon.signal(signal.SIGSTOP)
        with started(daemon, *command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            child.stdin.writelines(lines)
            child.stdin.close()
            assert "trying again" in child.stderr.readline()
            daemon.signal(signal.SIGCONT)
            out = child.stdout.read()
            assert out in ("accepted 300, sent before 0, rejected 0\n",
                           "accepted 0, sent before 300, rejected 0\n"), out
        assert daemon.query({"op": "ping"})["seq"] == before + 300
        again = run(daemon, *command, input="".join(lines + ["d5 v300 T\n", f"{'d' * 256} v1\n"]))
        assert again[:2] == (0, "accepted 1, sent before 300, rejected 1\n"), again
        assert again[2].startswith("line 302: device"), again
        state = daemon.query({"op": "device", "device": "d5"})
        assert state["client"] == {"currentFwVer": "v300"} and state["deviceType"] == "T", state
        half = run(daemon, *command, input="d5 v301\nd6\n")
        assert half == (1, "", "line 2: expected DEVICE VERSION [DEVICETYPE]; nothing was sent\n"), half
        code, _, err = run(daemon, *command[:-1])
        assert code == 2 and err.startswith("usage: "), err


@test
def what_is_not_in_sync_is_listed_with_the_reason():
    with Daemon() as daemon:
        command = [sys.executable, path("unsynced.py")]
        daemon.send_events([report("good", "v2"), target("good", "v2")])
        assert run(daemon, *command) == (0, "", "0 not in sync\n")
        many = [f"d{number:04}" for number in range(1500)]  # more than a page
        daemon.send_events([event for name in many for event in (report(name, "v1"), target(name, "v2"))])
        daemon.send_events(report("other", "v1", "OTHER"))
        code, out, err = run(daemon, *command, "T")
        expected = [f"{name}\tpending\truns v1, should run v2; the update has not begun" for name in many]
        assert (code, err, sorted(out.splitlines())) == (1, "1500 not in sync\n", expected), (code, err, out[:200])
        assert "other\tno-target\tno target version is set\n" in run(daemon, *command)[1]
        head = run(daemon, "sh", "-c", f"{shlex.join(command)} | head -n 1")
        assert head[1].count("\n") == 1 and head[2] in ("", "1501 not in sync\n"), head


# --- Node.js

def node_example(name):
    """The command that runs it."""
    node = shutil.which("node")
    if node and os.path.exists(NODE_MODULES):
        return [node, path(name)]
    why = "no node in PATH" if not node else f"no npm package zeromq in {NODE_MODULES}: make node-packages"
    assert not os.environ.get("CI"), why
    raise Skip(why)


def verdicts(daemon, after):
    """What a follower has to have printed, asked for in the plain way."""
    lines, more = [], True
    while more:
        page = daemon.query({"op": "changes", "class": "sync", "after": after})
        lines += [f"{result['device']}: {result['data']['fwSyncState']}, {result['data']['fwSyncReason']}"
                  for result in page["results"]]
        after, more = page["after"], page["more"]
    return lines


def position(folder):
    with open(f"{folder}/position", encoding="utf-8") as file:
        return sum(partition["n"] for partition in json.load(file).values())


@test
def the_node_follower_misses_nothing_over_restarts_and_when_it_was_too_slow():
    command = node_example("follow.js")
    count = 5000 if SAN else 20000
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the position is written for each line
    with tempfile.TemporaryDirectory(prefix="fwsync-example-", dir=memory) as folder, fixed_doors() as daemon:
        command.append(f"{folder}/position")
        with started(daemon, *command) as child:
            wait_until(lambda: os.path.exists(f"{folder}/position"), what="a first heartbeat")
            after = daemon.query({"op": "ping"})["seq"]
            daemon.send_events(report("a", "v1"))
            seen = lines_until(child, "a: no-target, no target version is set")
            child.send_signal(signal.SIGSTOP)  # more than the queues hold
            for start in range(0, count, 1000):
                daemon.send_events([report(f"d{number}", "v1") for number in range(start, start + 1000)])
            child.send_signal(signal.SIGCONT)
            seen += lines_until(child, f"d{count - 1}: no-target, no target version is set")
            daemon.kill()
            daemon.restart()
            daemon.send_events([report("b", "v2"), target("b", "v2")])
            seen += lines_until(child, "b: synced, runs v2, as it should")
            wait_until(lambda: position(folder) == len(seen), what="the position is kept")
        daemon.send_events([report("a", "v3"), target("a", "v3"), report("b", "v1")])  # while it is away
        with started(daemon, *command) as child:
            seen += lines_until(child, "b: rolled-back, ran v2, reports v1 again")
        expected = verdicts(daemon, after)
        differ = [pair for pair in itertools.zip_longest(seen, expected) if pair[0] != pair[1]]
        assert not differ, (len(seen), len(expected), differ[:3])


# --- the device and the campaign

def rules_with_short_deadlines(folder):
    shutil.copytree(os.path.join(ROOT, "rules", "chains"), folder)
    name = os.path.join(folder, "firmware-synced.yaml")
    with open(name, encoding="utf-8") as file:
        text = file.read()
    with open(name, "w", encoding="utf-8") as file:
        file.write(text.replace("    type: firmware-verdict ", "    deadlines: {downloading: 100ms}\n"
                                                               "    type: firmware-verdict "))


@contextlib.contextmanager
def devices(daemon, faults):
    """The sample's device, once for each fault (None: none); its name is the fault's."""
    with contextlib.ExitStack() as stack:
        for fault in faults:
            words = ["--fault", fault] if fault else []
            child = stack.enter_context(started(daemon, sys.executable, path("esp32.py"), fault or "good", "v1",
                                                "--pace", "0", *words))
            lines_until(child, "currentFwVer=v1")  # which it is about to send
        for fault in faults:
            wait_until(lambda: daemon.query({"op": "device", "device": fault or "good"})["ok"], what="they are there")
        yield


@test
def the_played_device_comes_to_each_verdict():
    states = {None: "synced", "fails": "failed", "hangs": "stuck", "rolls-back": "rolled-back"}
    with tempfile.TemporaryDirectory(prefix="fwsync-example-") as folder:
        rules_with_short_deadlines(f"{folder}/rules")
        with Daemon("--rules", f"{folder}/rules") as daemon, devices(daemon, states):
            for fault, state in states.items():
                name = fault or "good"
                assert server(daemon, name)["fwSyncState"] == "no-target"
                code, _, err = fwsync("send", name, "--shared", "targetFwVer=v2", "targetFwUrl=http://host/v2",
                                      "--server", "lastTargetFwVer=v2", daemon=daemon)
                assert code == 0, err
                wait_until(lambda: server(daemon, name)["fwSyncState"] == state, what=f"{name} is {state}")
            assert server(daemon, "fails")["fwSyncReason"].endswith("wrong checksum"), server(daemon, "fails")
            assert daemon.query({"op": "device", "device": "hangs"})["telemetry"]["fw_state"] == "DOWNLOADING"


@test
def a_campaign_waits_for_those_on_the_way_and_says_who_is_behind():
    command = [path("campaign.sh"), "ESP32_OTA"]
    with Daemon() as daemon:
        with devices(daemon, [None]):
            done = run(daemon, *command, "v2", "http://host/v2")
            assert done[0] == 0 and done[1].endswith("all devices of type ESP32_OTA run v2\n"), done
        with devices(daemon, [None, "fails"]):
            code, out, _ = run(daemon, *command, "v3", 'http://host/"v3"\\')
            assert code == 1 and "good" not in out, out
            assert "fails\tfailed\t" in out, out
            assert server(daemon, "good")["lastTargetFwUrl"] == 'http://host/"v3"\\', server(daemon, "good")
        # nobody is there any more; and who has asked for tables doesn't get devices made of their headlines
        code, out, _ = run(daemon, "env", "FWSYNC_TABLE=1", *command, "v4", "http://host/v4", "0")
        assert code == 1 and out.count("\tpending\t") == 2, out
        assert daemon.query({"op": "count"})["devices"] == 2


@test
def a_campaign_counts_a_device_once_that_changes_its_state_meanwhile():
    with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        tool = f"{folder}/fwsync"
        with open(tool, "w", encoding="utf-8") as file:
            file.write(f"""#!/bin/sh
case $* in
send*) cat >/dev/null ;;
*--unsynced*) ;;
*--state*) [ -e {folder}/done ] || printf 'a b\\tT\\tv1\\na b\\tT\\tv2\\na c\\tT\\tv2\\n'; touch {folder}/done ;;
*) printf 'a b\\tT\\na c\\tT\\n' ;;
esac
""")
        os.chmod(tool, 0o755)
        code, out, err = run(daemon, "env", f"FWSYNC={tool}", path("campaign.sh"), "T", "v2", "http://host/v2")
        assert (code, out) == (0, "2 on the way\nall devices of type T run v2\n"), (code, out, err)


@test
def a_campaign_with_wrong_words_sends_nothing():
    command = path("campaign.sh")
    with Daemon() as daemon:
        daemon.send_events(report("a", "v1", "ESP32_OTA"))
        before = daemon.query({"op": "ping"})["seq"]
        code, out, err = run(daemon, command, "ESP32_OAT", "v2", "http://host/v2")
        assert (code, out) == (2, "") and "no device has the type ESP32_OAT" in err and "ESP32_OTA\t1" in err, err
        for words in ([], ["ESP32_OTA", "v2"], ["ESP32_OTA", "", "u"], ["ESP32_OTA", "v2", "u", "soon"], [""] * 5):
            code, out, err = run(daemon, command, *words)
            assert (code, out) == (2, "") and err.startswith("usage: campaign.sh "), (words, err)
        assert daemon.query({"op": "ping"})["seq"] == before
        daemon.stop()
        code, out, err = run(daemon, command, "ESP32_OTA", "v2", "http://host/v2")
        assert (code, out) == (1, "") and "no answer" in err, err


main()
