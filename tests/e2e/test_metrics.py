"""`metrics` and `stats`: the text is by Prometheus's rules, read here by a parser that forgives nothing; the
conservation law holds in it, and both tell the same."""
import json
import re
import tempfile
import threading

import zmq

from harness import PARTITIONS, Daemon, main, test, wait_until

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:{{(.*)}})? ([-+]?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|Inf)|NaN)")


class Family:
    def __init__(self, name, help):
        self.name, self.help, self.type, self.samples = name, help, None, {}


def read_labels(text):
    labels, at = [], 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, text
        assert match[1] not in dict(labels), f"label twice: {text}"
        labels.append((match[1], re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), match[2])))
        at = match.end()
    return tuple(sorted(labels))


def read_exposition(text):
    """{family's name: Family}, by https://prometheus.io/docs/instrumenting/exposition_formats/."""
    assert text.endswith("\n"), "the last line ends with a line feed"
    families, family = {}, None
    for line in text.split("\n")[:-1]:
        head = re.fullmatch(rf"# HELP ({NAME}) (.+)", line)
        if head:
            assert head[1] not in families, f"two families: {line}"
            assert "\\" not in head[2]
            family = families[head[1]] = Family(head[1], head[2])
            continue
        head = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line)
        if head:
            assert family.name == head[1] and family.type is None and not family.samples, line
            family.type = head[2]
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"no sample: {line!r}"
        endings = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        assert sample[1] in [family.name + ending for ending in endings], f"in another family: {line}"
        key = (sample[1], read_labels(sample[2] or ""))
        assert key not in family.samples, f"a series twice: {line}"
        family.samples[key] = float(sample[3])
    for family in families.values():
        check_family(family)
    return families


def check_family(family):
    assert family.type, family.name
    assert family.name.startswith("fwsync_"), family.name
    assert (family.type == "counter") == family.name.endswith("_total"), family.name
    assert not re.search(r"_(ms|millis|milliseconds|us|kib|mib|percent)(_|$)", family.name), "base units"
    if family.type == "counter":
        assert all(value >= 0 for value in family.samples.values())
    if family.type == "histogram":
        name = family.name
        buckets = [(dict(labels)["le"], value) for (sample, labels), value in family.samples.items()
                   if sample == name + "_bucket"]
        bounds = [float(bound.replace("+Inf", "inf")) for bound, _ in buckets]
        counts = [count for _, count in buckets]
        assert buckets[-1][0] == "+Inf" and bounds == sorted(set(bounds)), bounds
        assert counts == sorted(counts), counts
        assert counts[-1] == family.samples[name + "_count", ()]
        assert (family.samples[name + "_sum", ()] > 0) == (counts[-1] > 0)


def scrape(daemon):
    reply = daemon.query({"op": "metrics"})
    assert set(reply) == {"ok", "seq", "text"}, set(reply)
    return read_exposition(reply["text"])


def value(families, name, **labels):
    return families["fwsync_" + name].samples["fwsync_" + name, tuple(sorted(labels.items()))]


def check_law(families):
    def events(which):
        return value(families, f"events_{which}_total")
    assert events("in") == events("accepted") + events("duplicate") + events("rejected")
    assert events("accepted") == \
        events("applied") + events("dead_lettered") + value(families, "events_pending")


def report(device, version, **more):
    return dict({"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": version}}, **more)


def send_mixed(daemon, count):
    """Of everything that can happen to a line; returns how many of each."""
    for i in range(count):
        lines = [report(f"d{i % 50}", f"v{i}", source="s", n=i + 1),
                 {"device": f"d{i % 50}", "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                  "data": {"lastTargetFwVer": f"v{i}"}},
                 {"device": "dead", "type": "POST_TELEMETRY_REQUEST", "data": {}}]
        text = "\n".join(json.dumps(line) for line in lines) + "\nno event\n" + json.dumps(lines[0])
        reply = daemon.send_events(text)
        assert (reply["accepted"], reply["duplicates"], reply["rejected"]) == (3, 1, 1), reply
    return {"in": 5 * count, "accepted": 3 * count, "duplicate": count, "rejected": count,
            "applied": 2 * count, "dead_lettered": count}


@test
def test_a_fresh_daemon_has_all_families():
    with Daemon() as daemon:
        families = scrape(daemon)
        assert len(families) > 40
        assert value(families, "devices") == 0
        check_law(families)


@test
def test_the_conservation_law_holds_after_a_mixed_load():
    with Daemon() as daemon:
        before = scrape(daemon)
        expected = send_mixed(daemon, 40)
        families = scrape(daemon)
        check_law(families)
        for name, count in expected.items():
            assert value(families, f"events_{name}_total") == count, name
        assert value(families, "events_pending") == value(families, "journal_lag_events") == 0
        assert value(families, "devices") == 41
        assert value(families, "dead_letters") == 40
        assert value(families, "results_total", **{"class": "deadletter"}) == 40
        assert value(families, "journal_last_seq") == 1 + expected["accepted"]
        for name, times in (("ack_seconds", 40), ("apply_seconds", 40 * int(PARTITIONS))):
            assert families["fwsync_" + name].samples[f"fwsync_{name}_count", ()] == times, name
        for family in before.values():
            for key, was in family.samples.items():
                if family.type == "counter":
                    assert families[family.name].samples[key] >= was, key
        for name in ("requests_total", "queries_total", "journal_commits_total", "uptime_seconds"):
            assert value(families, name) > value(before, name), name


@test
def test_the_law_holds_in_every_scrape_while_events_flow():
    with Daemon() as daemon:
        stop = threading.Event()

        def produce():
            socket = daemon.context.socket(zmq.REQ)
            socket.linger = 0
            socket.connect(daemon.events)
            for i in range(10 ** 9):
                if stop.is_set():
                    break
                socket.send_string("\n".join(json.dumps(report(f"d{k}", f"v{i}")) for k in range(200)))
                socket.recv()
            socket.close()

        producer = threading.Thread(target=produce)
        producer.start()
        try:
            last, seen = -1, 0

            def enough():
                nonlocal last, seen
                families = scrape(daemon)
                check_law(families)
                accepted = value(families, "events_accepted_total")
                assert accepted >= last
                seen += accepted > last
                last = accepted
                return seen >= 20
            wait_until(enough, what="20 scrapes with new events")
        finally:
            stop.set()
            producer.join()


@test
def test_stats_and_metrics_tell_the_same():
    with Daemon() as daemon:
        send_mixed(daemon, 20)

        def saved():
            stats = daemon.query({"op": "stats"})
            return stats if stats["state"]["checkpoint"] == stats["journal"]["last"] else None
        stats = wait_until(saved, what="everything is in a checkpoint")
        families = scrape(daemon)
        assert stats["state"]["checkpointAgeMs"] == value(families, "checkpoint_age_seconds") == 0
        assert stats["state"]["fileBytes"] >= stats["state"]["bytes"] > 0
        for group, member, name in (
                ("events", "accepted", "events_accepted_total"), ("events", "deadLettered", "events_dead_lettered_total"),
                ("journal", "lag", "journal_lag_events"), ("journal", "bytes", "journal_bytes"),
                ("state", "devices", "devices"), ("state", "fileBytes", "state_file_bytes"),
                ("state", "mapBytes", "state_map_bytes"),
                ("state", "checkpoints", "checkpoints_total"), ("traffic", "requests", "requests_total")):
            assert stats[group][member] == value(families, name), name
        assert stats["state"]["checkpointMs"] / 1000 == value(families, "checkpoint_duration_seconds")
        for name, n in stats["results"].items():
            assert value(families, "results_total", **{"class": name}) == n
        latency = stats["latency"]["ack"]
        assert latency["count"] == 20 and 0 < latency["p50Ms"] <= latency["p99Ms"], latency


@test
def test_what_is_not_in_a_checkpoint_has_an_age():
    with Daemon("--checkpoint-ms", 60000) as daemon:
        daemon.send_events(report("d", "v1"))
        before = daemon.query({"op": "stats"})
        later = wait_until(lambda: (lambda stats: stats if stats["state"]["checkpointAgeMs"] >
                                    before["state"]["checkpointAgeMs"] else None)(daemon.query({"op": "stats"})))
        assert later["state"]["checkpointAgeMs"] <= later["uptimeMs"] + 1000, later


@test
def test_verdicts_are_counted_by_value():
    with Daemon() as daemon:
        def write(device, verdict):
            return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                    "data": {"fwStateIsSynced": verdict}}
        index = {"op": "count", "index": "server.fwStateIsSynced"}
        daemon.send_events([report(f"d{i}", "v1") for i in range(5)] +
                           [{"device": f"d{i}", "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                             "data": {"lastTargetFwVer": f"v{1 + i % 2}"}} for i in range(5)])
        families = scrape(daemon)
        counted = {str(row["value"]).lower(): row["count"] for row in daemon.query(index)["values"]}
        assert counted == {"true": 3, "false": 2}, counted
        for text, count in counted.items():
            assert value(families, "verdict_devices", attribute="fwStateIsSynced", value=text) == count
        stats = daemon.query({"op": "stats"})
        assert stats["verdicts"]["fwStateIsSynced"] == daemon.query(index)["values"]
        for name, counts in {"client.currentFwVer": {"v1": 5}, "server.lastTargetFwVer": {"v1": 3, "v2": 2},
                             "server.fwStateIsSynced": {"true": 3, "false": 2}}.items():
            found = {dict(labels)["value"]: count for (_, labels), count
                     in families["fwsync_index_devices"].samples.items() if dict(labels)["index"] == name}
            assert found == counts, (name, found)
        daemon.send_events([report(f"e{i}", f"v1.{i}") for i in range(99)])  # with v1 they are a hundred
        assert value(scrape(daemon), "index_devices", index="client.currentFwVer", value="v1.98") == 1
        daemon.send_events(report("e", "v1.99"))  # too many for a series each
        named = {dict(labels)["index"] for _, labels in scrape(daemon)["fwsync_index_devices"].samples}
        assert "server.lastTargetFwVer" in named and "client.currentFwVer" not in named, named


@test
def test_any_value_fits_a_label_and_many_are_bounded():
    chain = ("chain: root\nfirst: save\nnodes:\n  save:\n    type: save-attributes\n"
             "    scope: SERVER_SCOPE\n    keys: [fwStateIsSynced]\n")
    with tempfile.TemporaryDirectory() as rules:
        with open(f"{rules}/root.yaml", "w", encoding="ascii") as file:
            file.write(chain)
        with Daemon("--rules", rules) as daemon:
            values = [True, "true", 'quote " back \\ line \n end', "", "ü", 1, 1.5, {"a": [1]}]
            daemon.send_events([{"device": f"d{i}", "type": "X", "data": {"fwStateIsSynced": value}}
                                for i, value in enumerate(values)])
            families = scrape(daemon)
            found = {dict(labels)["value"]: count for (_, labels), count
                     in families["fwsync_verdict_devices"].samples.items()}
            assert found["true"] == 2, found
            assert sum(found.values()) == len(values), found
            assert found['quote " back \\ line \n end'] == 1 and found["ü"] == 1, found
            daemon.send_events([{"device": f"e{i}", "type": "X", "data": {"fwStateIsSynced": f"value {i}"}}
                                for i in range(200)])
            assert len(scrape(daemon)["fwsync_verdict_devices"].samples) <= 32


main()
