"""Proves that /metrics tells what the job's own summary tells, and how the job stands while it runs."""

import json
import re
import socket
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

import feed
from wait import until

# No label's values grow with the symbols of a feed.
LABELS = {"table", "group", "version", "reason", "why", "outcome", "for", "topic", "partition", "le"}


class Figures:
    """One scrape: the sum of each metric over the samples whose labels are asked for."""

    def __init__(self, text: str):
        self.samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        for sample in self.samples:
            assert set(sample.labels) <= LABELS, sample

    def __getitem__(self, name: str) -> float:
        return self.of(name)

    def of(self, name: str, **labels) -> float:
        return sum(s.value for s in self.samples
                   if s.name == f"ticklake_{name}" and labels.items() <= s.labels.items())


def address(daemon) -> str:
    found = re.search(r"serving /metrics.*address=(\S+)", daemon.log.read_text())
    return found and found[1]


def page(daemon, path: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{until('metrics are served', lambda: address(daemon), 30, [daemon])}{path}") as answer:
        return answer.read().decode()


def scrape(daemon) -> Figures:
    return Figures(page(daemon, "/metrics"))


def test_metrics_are_what_the_summary_says(cluster, ticks_table):
    topic = cluster.topic("metrics", 2)
    ticks = feed.ticks(2_000, symbols=40, dates=1)
    broken = [("k", "{"), ("k", '{"symbol":"S","ts":1795354215123,"price":1.23456}'), ("k", "null"), ("k", "[]")]
    daemon = ticks_table.start(
        "daemon", topic, "--metrics", "127.0.0.1:0", "--flush-age", "3s", "--flush-rows", "100", "--summary", "json")
    cluster.send(topic, [*(tick.record() for tick in ticks), *broken])

    # And no file is on its way, which else is what offsets wait for.
    during = until("rows wait in buffers alone",
                   lambda: (f := scrape(daemon)).of("held_records", **{"for": "buffer"}) > 0 and f, 30, [daemon])
    assert during["open_partitions"] > 0 and during["buffered_bytes"] > 0 and during["oldest_unsealed_seconds"] > 0
    assert page(daemon, "/healthz") == "ok\n" and during["told_seconds"] < 10
    # A series is there before its first event, so that a rise from 0 is seen.
    assert {"reason": "not_a_time"} in [s.labels for s in during.samples if s.name == "ticklake_rejected_total"]

    until("all is committed", lambda: cluster.all_is_committed(ticks_table.group, topic), 60, [daemon])
    sent = len(ticks) + len(broken)
    after = until("it tells so", lambda: (f := scrape(daemon))["offsets_committed_total"] == sent and f, 30, [daemon])
    daemon.stop()
    summary = json.loads(daemon.out.read_text())
    for name in "records", "rows", "rejected", "skipped", "files", "file_bytes", "partitions_registered", "offsets_committed":
        assert after[f"{name}_total"] == summary[name], name
    assert (summary["rows"], summary["rejected"], summary["skipped"]) == (len(ticks), 2, 2)
    assert after.of("rejected_total", reason="malformed") == after.of("rejected_total", reason="digits") == 1
    assert after.of("puts_total", outcome="created") == after["puts_total"] == summary["files"]
    assert after["seals_total"] == summary["files"]
    assert after.of("seals_total", why="rows") > 0 and after.of("seals_total", why="age") > 0
    assert after["lag_records"] == after["open_partitions"] == after["files_in_flight"] == after["held_records"] == 0
    assert len([s for s in after.samples if s.name == "ticklake_lag_records"]) == 2
    assert after.of("job_info", table="market.ticks", group=ticks_table.group) == 1
    assert after["record_bytes_total"] == sum(len(k.encode()) + len(v.encode()) for k, v in
                                              [*(tick.record() for tick in ticks), *broken])


def test_metrics_say_what_holds_offsets_back(cluster, cloud_table, glue):
    topic = cluster.topic("metrics-held")
    daemon = cloud_table.start("daemon", topic, "--metrics", "127.0.0.1:0", "--flush-age", "500ms")
    ticks = feed.ticks(500, symbols=40, dates=1)
    cluster.send(topic, (tick.record() for tick in ticks[:10]))
    until("the first rows are committed", lambda: cluster.all_is_committed(cloud_table.group, topic), 60, [daemon])
    with glue.standing_still():
        cluster.send(topic, (tick.record() for tick in ticks[10:]))
        held = until("offsets are held back for the catalog",
                     lambda: (f := scrape(daemon)).of("held_records", **{"for": "catalog"}) > 400 and f, 30, [daemon])
        assert held["registration_backlog"] > 10
        assert page(daemon, "/healthz") == "ok\n"
    until("all is committed", lambda: cluster.all_is_committed(cloud_table.group, topic), 90, [daemon])
    until("nothing is held", lambda: scrape(daemon)["held_records"] == 0, 30, [daemon])
    daemon.stop()


def test_lag_grows_while_reading_pauses(cluster, cloud_table, s3):
    """The broker knows how far behind a job is whose memory is full."""
    topic = cluster.topic("metrics-lag")
    (cloud_table.program.folder / "ticklake.toml").write_text('[ingest]\ncommit_interval = "500ms"\nmemory = "256KiB"\n')
    daemon = cloud_table.start("daemon", topic, "--metrics", "127.0.0.1:0", "--flush-age", "500ms")
    ticks = feed.ticks(60_000, symbols=40, dates=1)
    cluster.send(topic, (tick.record() for tick in ticks[:100]))
    until("the first rows are committed", lambda: cluster.all_is_committed(cloud_table.group, topic), 60, [daemon])
    with s3.standing_still():
        cluster.send(topic, (tick.record() for tick in ticks[100:50_000]))
        behind = until("it is behind", lambda: (f := scrape(daemon))["lag_records"] > 20_000 and f, 30, [daemon])
        assert behind.of("held_records", **{"for": "store"}) > 0
        cluster.send(topic, (tick.record() for tick in ticks[50_000:]))
        until("it is further behind", lambda: scrape(daemon)["lag_records"] >= behind["lag_records"] + 10_000, 30, [daemon])
    until("all is committed", lambda: cluster.all_is_committed(cloud_table.group, topic), 90, [daemon])
    until("it has caught up", lambda: scrape(daemon)["lag_records"] == 0, 30, [daemon])
    daemon.stop()


def test_connections_that_say_nothing_keep_nobody_out(cluster, ticks_table):
    topic = cluster.topic("metrics-open")
    daemon = ticks_table.start("daemon", topic, "--metrics", "127.0.0.1:0")
    host, port = until("metrics are served", lambda: address(daemon), 30, [daemon]).split(":")
    half = [socket.create_connection((host, int(port)), timeout=30) for _ in range(100)]
    try:
        for connection in half:
            connection.sendall(b"GET /metr")
        assert page(daemon, "/healthz") == "ok\n"
        assert half[0].recv(1) == b"", "it is closed"
    finally:
        for connection in half:
            connection.close()
    daemon.stop()


def test_an_address_that_is_taken_is_an_error(cluster, ticks_table, glue):
    topic = cluster.topic("metrics-taken")
    taken = glue.endpoint.removeprefix("http://")
    error = ticks_table.program.last_error(*ticks_table.ingest(topic, "--metrics", taken))
    assert taken in error and "in use" in error
