#!/usr/bin/python3
"""Plays a device that updates its firmware over the air, as ThingsBoard's ESP32 sample does: it says what it
runs, asks what it should run, "downloads" what is new, and restarts with it.
    esp32.py DEVICE VERSION [--fault fails|hangs|rolls-back] [--pace SECONDS]
Give it a target, and look at the verdict:
    fwsync send DEVICE --shared targetFwVer=v1.2 targetFwUrl=http://host/v1.2 --server lastTargetFwVer=v1.2
    fwsync get DEVICE --watch"""
import argparse
import os
import time

import zmq

parser = argparse.ArgumentParser(description="Plays a device that updates its firmware over the air.")
parser.add_argument("device")
parser.add_argument("version", help="what it runs at first")
parser.add_argument("--fault", choices=["fails", "hangs", "rolls-back"], help="what goes wrong in updates")
parser.add_argument("--pace", type=float, default=1, metavar="SECONDS", help="how long a stage takes (1)")
args = parser.parse_args()
STAGES = [{"fw_state": stage} for stage in ("DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING")]


def connect(kind, door, port):
    socket = zmq.Context.instance().socket(kind)
    socket.linger, socket.rcvtimeo = 0, 10000
    socket.connect(os.environ.get(f"FWSYNC_{door}", f"tcp://127.0.0.1:{port}"))
    return socket


def report(data):
    print(*(f"{key}={value}" for key, value in data.items()), flush=True)
    kind = "POST_ATTRIBUTES_REQUEST" if "currentFwVer" in data else "POST_TELEMETRY_REQUEST"
    events.send_json({"device": args.device, "deviceType": "ESP32_OTA", "type": kind, "data": data})
    assert events.recv_json()["ok"]


def update(running, target):
    """What it reports during an update, the last report being its end."""
    restarted, failed = {"currentFwVer": target}, {"fw_state": "FAILED", "fw_error": "wrong checksum"}
    return {None: STAGES + [restarted], "fails": STAGES[:1] + [failed], "hangs": STAGES[:1],
            "rolls-back": STAGES + [restarted, {"currentFwVer": running}]}[args.fault]


events, query = connect(zmq.REQ, "EVENTS", 7601), connect(zmq.REQ, "QUERY", 7602)
pushes = connect(zmq.SUB, "RESULTS", 7603)
pushes.subscribe(f"attributes/{args.device}")
version, tried = args.version, None
report({"currentFwVer": version})
while True:
    query.send_json({"op": "device", "device": args.device})
    shared = query.recv_json()["shared"]
    wanted = shared.get("targetFwVer"), shared.get("targetFwUrl")
    if all(wanted) and wanted[0] != version and wanted != tried:  # what failed isn't tried again
        for data in update(version, wanted[0]):
            report(data)
            time.sleep(args.pace)
        tried, version = wanted, data.get("currentFwVer", version)
    if pushes.poll(5000):  # some attribute changed: ask
        pushes.recv_multipart()
