#!/usr/bin/python3
"""Lists the devices that don't run what they should, and why not: name, state, reason, with tabs.

    unsynced.py [DEVICETYPE]

Exit code 0 when all are in sync, 1 when not. Needs Debian's python3-zmq."""
import argparse
import json
import os
import signal
import sys

import zmq

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `unsynced.py | head` ends both
QUERY = os.environ.get("FWSYNC_QUERY", "tcp://127.0.0.1:7602")


def ask(question):
    """One question, one answer; any failure ends the program with a sentence."""
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.linger = 0
    socket.connect(QUERY)
    socket.send_json(question)
    if not socket.poll(5000):
        sys.exit(f"no answer from {QUERY} within 5 s: is fwsyncd running?")
    answer = socket.recv_json()
    socket.close()
    if not answer["ok"]:
        sys.exit(f"{question['op']}: {answer['error']}")
    return answer


def unsynced(device_type):
    """All devices whose verdict is "no", page by page."""
    question = {"op": "devices", "where": {"server.fwStateIsSynced": False}, "limit": 1000}
    if device_type:
        question["type"] = device_type
    while True:
        page = ask(question)
        yield from page["devices"]
        if "cursor" not in page:
            return
        question["cursor"] = page["cursor"]


def main(device_type):
    count = 0
    for device in unsynced(device_type):
        server = device["server"]
        print(device["device"], server.get("fwSyncState", "-"), server.get("fwSyncReason", "-"), sep="\t")
        count += 1
    print(f"{count} not in sync", file=sys.stderr)
    sys.exit(count > 0)


parser = argparse.ArgumentParser(description="Lists the devices that don't run what they should, and why not.")
parser.add_argument("device_type", nargs="?", help="only those of this type")
main(parser.parse_args().device_type)
