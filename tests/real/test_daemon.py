"""Proves how a daemon lives and ends: rows are visible within the flush age; SIGTERM and SIGINT write, register and
commit all that was read; a broker that is away is a clear error.
"""

import signal
import time

import pytest

import feed
import freshness
import readers
from program import SHORT_SESSION, Table
from server import free_ports
from wait import until


def test_rows_are_visible_within_the_flush_age(cluster, ticks_table, measured):
    topic = cluster.topic("fresh", 4)
    ticks, latencies = freshness.measure(cluster, ticks_table, topic, lambda: visible(ticks_table))
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)
    measured("freshness: " + freshness.said(latencies))
    assert max(latencies) < freshness.FLUSH_AGE_SECONDS + freshness.GRACE_SECONDS


def visible(table: Table) -> int:
    """The rows that `ticklake query` finds; none before the daemon has made the table."""
    done = table.program.run("query", "--format", "csv", f"SELECT count(*) AS n FROM {table.name}")
    return int(done.stdout.splitlines()[1]) if done.returncode == 0 else 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_writes_all_that_was_read(cluster, ticks_table, how):
    """No limit but one is near, so that the rows are in memory when the signal comes. That one tells how far it has
    read: the file of the symbol that is sent last is cut by rows, and the partition is read in order."""
    topic = cluster.topic("signal")
    held = feed.ticks(3_000, symbols=40)
    last = [tick._replace(symbol="LAST", ts=held[0].ts, seq=i) for i, tick in enumerate(held[:1_500])]
    most = max(summary.rows for summary in feed.summaries(held).values())
    assert most < len(last)
    daemon = ticks_table.start("daemon", topic, "--flush-rows", len(last), "--flush-age", "1h")
    cluster.send(topic, (tick.record() for tick in held + last))
    until("the last rows are written", ticks_table.files, 60, [daemon])
    assert len(ticks_table.files()) == 1, "rows were written that should be in memory"

    daemon.stop(how)

    assert readers.by_ticklake(ticks_table) == feed.summaries(held + last)
    assert cluster.all_is_committed(ticks_table.group, topic)
    assert ticks_table.ingest_to_end(topic)["records"] == 0


def test_a_signal_while_the_broker_stands_still_ends_in_time(broker, cluster, ticks_table):
    """The rows are made durable, the offsets cannot be; so it says, and the next run finds the rows there."""
    (ticks_table.program.folder / "ticklake.toml").write_text('[ingest]\ndrain_deadline = "4s"\n')
    topic = cluster.topic("still")
    ticks = feed.ticks(1_000, symbols=40)
    daemon = ticks_table.start("daemon", topic, "--flush-age", "1s", *SHORT_SESSION)
    cluster.send(topic, (tick.record() for tick in ticks))
    until("rows are in files", ticks_table.files, 30, [daemon])

    with broker.standing_still():
        daemon.signal(signal.SIGTERM)
        code = daemon.wait(15)

    assert code == 1 and "the last offsets were not committed" in daemon.log.read_text().splitlines()[-1]
    ticks_table.ingest_to_end(topic)
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(ticks)


def test_a_signal_at_any_moment_of_the_start_ends_well(cluster, ticks_table):
    """While it looks for the topic, joins its group, is given partitions, reads."""
    topic = cluster.topic("early", 4)
    ticks = feed.ticks(4_000, symbols=40)
    cluster.send(topic, (tick.record() for tick in ticks))
    log = ["--log-level", "debug"]
    for i in range(10):
        daemon = ticks_table.start(f"daemon-{i}", topic, "--flush-rows", "20", *log)
        # From here on it listens for signals.
        until("it has begun", lambda: daemon.log.stat().st_size > 0, 30, [daemon])
        time.sleep(i * 0.15)
        daemon.stop()
    ticks_table.ingest_to_end(topic)
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(ticks)


def test_a_broker_that_is_away_is_an_error(program, ticks_table):
    [port] = free_ports(1)
    away = program.with_brokers(f"127.0.0.1:{port}")
    daemon = away.start("daemon", *ticks_table.ingest("nowhere"))
    batch = away.start("batch", *ticks_table.ingest("nowhere", "--until-end"))
    for process in daemon, batch:
        assert process.wait(60) == 1
        assert f"127.0.0.1:{port}" in process.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("mode", [["--until-end"], []], ids=["batch", "daemon"])
def test_a_topic_that_is_not_there_is_an_error(program, ticks_table, mode):
    assert "no-such-topic" in program.last_error(*ticks_table.ingest("no-such-topic", *mode), seconds=60)
