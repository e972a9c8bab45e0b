"""Every connection takes a file descriptor. The daemon takes as many as it may have, and when they are all taken it
answers that it is busy, instead of stopping."""
import os
import socket

from harness import Daemon, main, test, wait_until

LIMIT = 128


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def connect_until_none_is_left(daemon):
    host, port = daemon.query_endpoint[len("tcp://"):].rsplit(":", 1)
    sockets = [socket.create_connection((host, int(port))) for _ in range(LIMIT - descriptors(daemon))]
    wait_until(lambda: descriptors(daemon) == LIMIT, what="all descriptors are taken")
    return sockets


@test
def the_soft_limit_is_raised_to_the_hard_one():
    with Daemon(wrapper=["prlimit", f"--nofile=64:{LIMIT}"]) as daemon:
        with open(f"/proc/{daemon.pid}/limits") as file:
            line = next(line for line in file if line.startswith("Max open files"))
        assert line.split()[3:5] == [str(LIMIT)] * 2, line


@test
def without_descriptors_a_question_is_answered_with_busy():
    history = {"op": "history", "device": "a"}
    with Daemon("--checkpoint-ms", "10", wrapper=["prlimit", f"--nofile={LIMIT}"]) as daemon:
        events = [{"device": "a", "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": "v1"}}]
        assert daemon.send_events(events)["ok"]
        wait_until(lambda: daemon.query({"op": "stats"})["state"]["checkpoints"] > 0)
        sockets = connect_until_none_is_left(daemon)
        reply = daemon.query(history)
        assert reply["code"] == "busy" and "Too many open files" in reply["error"], reply
        assert daemon.send_events(events)["ok"]
        for each in sockets:
            each.close()
        wait_until(lambda: daemon.query(history)["ok"])
        assert daemon.query(history)["changes"]


main()
