"""Writes the sample fleet: docs/demo/make_fleet.py >docs/demo/fleet.ndjson

300 devices of two types, with the attributes of ThingsBoard's ESP32 sample. Most run what they should;
some are behind, and of these some say how far their update is, or why it failed; some went back to an older
version, some never reported, some have no target. The same output every time."""
import json
import random

random.seed(32)
updates = random.Random(33)
STARTED = 1732147200000


def event(device, kind, **more):
    print(json.dumps({"device": device, "deviceType": kind, **more}, separators=(",", ":")))


def write(device, kind, scope, data):
    event(device, kind, type="ATTRIBUTES_UPDATED", scope=scope, data=data)


def set_target(device, kind, number, version):
    url = f"http://firmware.example/{kind.lower()}/{version}.bin"
    write(device, kind, "SHARED_SCOPE", {"targetFwVer": version, "targetFwUrl": url})
    write(device, kind, "SERVER_SCOPE", {"lastTargetFwVer": version, "lastTargetFwUrl": url,
                                         "lastOtaStartedOn": STARTED + number * 1000})


def tell_how_far(name, kind):
    """What one that is behind says of its update, if anything."""
    state = updates.choices([None, "DOWNLOADING", "UPDATING", "FAILED"], [6, 2, 1, 2])[0]
    if state:
        error = {"fw_error": updates.choice(["no space left", "checksum mismatch"])} if state == "FAILED" else {}
        event(name, kind, type="POST_TELEMETRY_REQUEST", data={"fw_state": state, **error})


def device(number, name, kind, target):
    fate = random.choices(["synced", "behind", "silent", "no target"], [62, 24, 8, 6])[0]
    version = target if fate == "synced" else random.choice(["v1.0", "v1.1"])
    if fate != "no target":
        set_target(name, kind, number, target)
    if fate != "silent":
        event(name, kind, type="POST_ATTRIBUTES_REQUEST", data={"currentFwVer": version})
    if fate == "behind" and version != target:
        tell_how_far(name, kind)
    if fate == "synced" and updates.random() < 0.03:
        event(name, kind, type="POST_ATTRIBUTES_REQUEST", data={"currentFwVer": "v1.0"})


for number in range(1, 241):
    device(number, f"ESP32-{number:04}", "ESP32_OTA", "v1.2")
for number in range(1, 61):
    device(number, f"CAM-{number:04}", "ESP32_CAM", random.choice(["v1.1", "v1.2"]))
