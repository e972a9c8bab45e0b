"""Time and crashes: whatever was killed when, the journal alone gives the verdicts that are there.

Devices with deadlines of a millisecond report at random, and the daemon is killed while they pass. FWSYNC_SEED
repeats what is sent; how the ticks fall among it is another matter each time."""
import os
import random
import shutil
import tempfile
import time

from harness import ROOT, SAN, Daemon, main, test, wait_until

SEED = int(os.environ.get("FWSYNC_SEED", time.time_ns() % 2**32))
CYCLES = 4 if SAN else 8
DEVICES = [f"d{i}" for i in range(200)]
STAGES = ["QUEUED", "DOWNLOADING", "UPDATING", "UPDATED", "FAILED", "BORED"]
DEADLINES = "type: firmware-verdict\n    deadlines: {pending: 1ms, downloading: 1ms, updating: 1ms}"


def write_rules(folder):
    """The shipped chains, in a hurry."""
    for name in ("root.yaml", "firmware-synced.yaml"):
        with open(os.path.join(ROOT, "rules", "chains", name)) as file:
            text = file.read()
        with open(os.path.join(folder, name), "w") as file:
            file.write(text.replace("type: firmware-verdict", DEADLINES))


def random_event(rng):
    device, kind = rng.choice(DEVICES), rng.random()
    if kind < 0.3:
        return {"device": device, "type": "POST_ATTRIBUTES_REQUEST",
                "data": {"currentFwVer": rng.choice(["v1", "v2", "v2", "v3"])}}
    if kind < 0.5:
        return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                "data": {"lastTargetFwVer": rng.choice(["v1", "v2", "v2", "v3"])}}
    return {"device": device, "type": "POST_TELEMETRY_REQUEST",
            "data": {"fw_state": rng.choice(STAGES), "fw_error": rng.choice(["", "no space"])}}


def everything(daemon):
    """All devices with all their fields, and the numbers of the results. A tick that found nothing is a seq."""
    devices = [daemon.query({"op": "device", "device": name}) for name in DEVICES]
    for answer in devices:
        assert answer.pop("ok") and answer.pop("seq") > 0, answer
    return devices, daemon.query({"op": "stats"})["results"]


def is_quiet(daemon):
    """Has every deadline of a millisecond passed?"""
    reasons = [answer["server"].get("fwSyncReason", "") for answer in everything(daemon)[0]]
    return not any(reason.endswith(("not begun", "DOWNLOADING", "UPDATING")) for reason in reasons)


def told_anew(device):
    """Whatever it was in, it is pending afterwards, and its deadline passes."""
    return [{"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": "v1"}},
            {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE", "data": {"lastTargetFwVer": "v2"}}]


@test
def the_journal_alone_gives_the_same_verdicts():
    print(f"# FWSYNC_SEED={SEED}", flush=True)
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        rules, copy = os.path.join(folder, "rules"), os.path.join(folder, "copy")
        os.mkdir(rules)
        write_rules(rules)
        with Daemon("--rules", rules, "--checkpoint-ms", rng.choice([10, 200, 60000])) as daemon:
            for cycle in range(CYCLES):
                for _ in range(rng.randint(1, 10)):
                    assert daemon.send_events([random_event(rng) for _ in range(100)])["ok"]
                some = rng.randint(0, 1)  # at once, or when deadlines have passed
                assert daemon.send_events(told_anew("d0"))["ok"]  # among few events there may be no deadline
                wait_until(lambda: daemon.query({"op": "stats"})["journal"]["ticks"] >= some)
                daemon.kill()
                daemon.restart()
            daemon.send_events([{"device": name, "type": "SEEN"} for name in DEVICES])
            wait_until(lambda: is_quiet(daemon))
            before = everything(daemon)
            daemon.stop()
            shutil.copytree(daemon.data, copy, ignore=shutil.ignore_patterns("state*"))
            states = {answer["server"].get("fwSyncState") for answer in before[0]}
            assert {"stuck", "synced", "failed"} <= states, states
        with Daemon("--rules", rules, data=copy) as again:
            assert everything(again) == before
            assert again.query({"op": "stats"})["events"]["replayed"] > 100 * CYCLES


main()
