"""Proves that several workers of one process are what as many processes are: each row once, in chains that tile."""

import chains
import feed
import readers
from program import SHORT_SESSION
from server import tail
from wait import until

PARTITIONS = 4
WORKERS = ["--workers", "2", "--flush-rows", "200", "--flush-age", "1s", *SHORT_SESSION]


def test_workers_share_a_topic(cluster, ticks_table):
    topic = cluster.topic("workers", PARTITIONS)
    ticks = feed.ticks(20_000, symbols=60)
    cluster.send(topic, (tick.record() for tick in ticks[:10_000]))
    daemon = ticks_table.start("daemon", topic, *WORKERS)
    until("each worker has its share", lambda: cluster.assigned(ticks_table.group) == [2, 2], 45, [daemon])
    # A partition goes from one to the other and back, within the process too, as others come and go.
    other = ticks_table.start("other", topic, *WORKERS)
    until("all have a share", lambda: cluster.assigned(ticks_table.group) == [1, 1, 1, 1], 45, [daemon, other])
    cluster.send(topic, (tick.record() for tick in ticks[10_000:]))
    other.kill()
    until("it is all theirs again", lambda: cluster.assigned(ticks_table.group) == [2, 2], 45, [daemon])
    until("all that was sent is committed", lambda: cluster.all_is_committed(ticks_table.group, topic), 60, [daemon])
    daemon.stop()
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(ticks)
    chains.must_tile(ticks_table)


def test_workers_come_to_the_end_of_a_batch_together(cluster, ticks_table):
    topic = cluster.topic("workers", PARTITIONS)
    ticks = feed.ticks(20_000, symbols=60)
    cluster.send(topic, (tick.record() for tick in ticks))
    # So little memory that each holds more than its share now and then.
    counts = ticks_table.ingest_to_end(topic, *WORKERS, "--memory", "256KiB")
    assert (counts["rows"], counts["offsets_committed"]) == (len(ticks), len(ticks)), counts
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)


def test_a_worker_that_fails_ends_the_others(cluster, ticks_table):
    """The topic is one that is not there: each says so, and the process ends with it."""
    daemon = ticks_table.start("daemon", "no-such-topic", *WORKERS)
    assert daemon.wait() == 1, tail(daemon.log)
    assert "the topic is not there" in daemon.log.read_text()
