#!/usr/bin/python3
"""Sends what devices report to fwsyncd, each report exactly once.
    report.py SOURCE <REPORTS        one report a line: DEVICE VERSION [DEVICETYPE]
Line 17 of the file is event 17 of SOURCE, and fwsyncd takes each number of a source only once. So
whatever happens (no answer, a crash here or there, the whole file sent again with new lines at its
end), nothing is lost and nothing is applied twice. Needs Debian's python3-zmq."""
import argparse
import json
import os
import sys
import time

import zmq

EVENTS = os.environ.get("FWSYNC_EVENTS", "tcp://127.0.0.1:7601")
ANSWER_MS, BATCH = 5000, 500  # events in a request: one write to the disk for all of them


def connect():
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.linger = 0  # what wasn't sent goes away with the socket; we send it again
    socket.connect(EVENTS)
    return socket


def deliver(socket, events):
    """Sends the events until they are answered; returns the socket to go on with, and the answer."""
    body = "\n".join(json.dumps(event) for event in events).encode()
    while True:
        socket.send(body)
        if not socket.poll(ANSWER_MS):  # not known whether they arrived: the same again, on a new socket
            print(f"no answer from {EVENTS}: trying again", file=sys.stderr)
            socket.close()
            socket = connect()
            continue
        answer = json.loads(socket.recv())
        if "accepted" in answer:
            return socket, answer
        if answer["code"] != "busy":
            sys.exit(answer["error"])
        time.sleep(answer["retry_ms"] / 1000)


parser = argparse.ArgumentParser(description="Sends what devices report (DEVICE VERSION [DEVICETYPE]) to fwsyncd.")
parser.add_argument("source", help="who sends them: numbers belong to it")
source = parser.parse_args().source
socket, events, accepted, duplicates = connect(), [], 0, 0
for number, line in enumerate(sys.stdin, 1):
    words = line.split()
    if len(words) not in (2, 3):
        sys.exit(f"line {number}: expected DEVICE VERSION [DEVICETYPE]; nothing was sent")
    events.append({"device": words[0], **({"deviceType": words[2]} if words[2:] else {}), "source": source,
                   "n": number, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": words[1]}})
for start in range(0, len(events), BATCH):
    socket, answer = deliver(socket, events[start:start + BATCH])
    for error in answer.get("errors", []):
        print(f"line {start + error['line']}: {error['error']}", file=sys.stderr)
    accepted, duplicates = accepted + answer["accepted"], duplicates + answer["duplicates"]
print(f"accepted {accepted}, sent before {duplicates}, rejected {len(events) - accepted - duplicates}")
