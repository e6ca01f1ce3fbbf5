"""Proves that members that join, leave, crash or stand still while records arrive lose nothing and double nothing,
under the classic protocol of groups (cooperative-sticky) and under KIP-848's.
"""

import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer

import chains
import feed
import readers
from server import tail
from wait import until

PARTITIONS = 4
LIMITS = ["--flush-rows", "200", "--flush-age", "1s"]
PROTOCOLS = {
    "classic": ["-X", "group.protocol=classic", "-X", "partition.assignment.strategy=cooperative-sticky",
                "-X", "session.timeout.ms=6000"],
    "consumer": ["-X", "group.protocol=consumer"],
}


@pytest.fixture(params=PROTOCOLS)
def group(request, cluster, ticks_table):
    return Group(cluster, ticks_table, cluster.topic("rebalance", PARTITIONS), PROTOCOLS[request.param])


class Group:
    """A consumer group, and a producer that sends to its topic all the while."""

    def __init__(self, cluster, table, topic, protocol):
        self.cluster, self.table, self.topic = cluster, table, topic
        self._protocol = protocol
        self.sent = []
        self._enough = threading.Event()

    def start(self, name):
        return self.table.start(name, self.topic, *LIMITS, *self._protocol)

    def share(self, partitions, *members):
        until(f"the members have {partitions} partitions",
              lambda: self.cluster.assigned(self.table.group) == partitions, 45, members)

    @contextmanager
    def producing(self):
        with ThreadPoolExecutor(1) as thread:
            producer = thread.submit(self.cluster.send, self.topic, self._stream(), rate=2_000)
            try:
                yield
            finally:
                self._enough.set()
            producer.result()

    def _stream(self):
        for tick in feed.ticks(200_000, symbols=60):
            if self._enough.is_set():
                return
            self.sent.append(tick)
            yield tick.record()
        raise AssertionError("the members came and went too slowly: no tick is left to send")

    def must_be_complete(self, *members):
        """Waits until all is committed, stops the members, and compares what they wrote with what was sent."""
        until("all that was sent is committed",
              lambda: self.cluster.all_is_committed(self.table.group, self.topic), 60, members)
        for member in members:
            member.stop()
        for read in readers.READERS.values():
            assert read(self.table) == feed.summaries(self.sent)
        chains.must_tile(self.table)


def test_members_join_and_leave(group):
    with group.producing():
        one = group.start("one")
        group.share([4], one)
        two = group.start("two")
        group.share([2, 2], one, two)
        one.stop()
        group.share([4], two)
        three = group.start("three")
        group.share([2, 2], two, three)
        two.kill()
        group.share([4], three)
    group.must_be_complete(three)


def test_a_member_that_stood_still_is_harmless(group):
    """Its partitions are another's when it goes on, with rows in its buffers, and it knows nothing of it."""
    with group.producing():
        one, two = group.start("one"), group.start("two")
        group.share([2, 2], one, two)
        until("files are written", group.table.files, 30, [one, two])
        # As in a long pause of its machine.
        one.signal(signal.SIGSTOP)
        group.share([4], two)
        files = len(group.table.files())
        until("the other goes on", lambda: len(group.table.files()) > files + 100, 30, [two])
        one.signal(signal.SIGCONT)
        group.share([2, 2], one, two)
    group.must_be_complete(one, two)


def test_members_that_are_stopped_in_a_rebalance_end_well(cluster, ticks_table):
    """As in a deployment that starts the new before it stops the old: while a member waits for the others to join again,
    the broker keeps its last commit back, and answers that the generation is over in which it was asked."""
    heard = ["-X", "heartbeat.interval.ms=500", "-X", "debug=cgrp", "--log-level", "info,librdkafka=trace"]
    group = Group(cluster, ticks_table, cluster.topic("rebalance", PARTITIONS), [*PROTOCOLS["classic"], *heard])
    with group.producing():
        old = [group.start("one"), group.start("two")]
        still = group.start("still")
        group.share([1, 1, 2], *old, still)
        # The others wait for it until its session is over.
        still.signal(signal.SIGSTOP)
        new = group.start("new")
        for member in old:
            until(f"{member.name} joins again", lambda: last_state(member) == "wait-join", 30, old)
        for member in old:
            member.signal(signal.SIGTERM)
        for member in old:
            assert member.wait() == 0, tail(member.log)
        still.kill()
        group.share([4], new)
    group.must_be_complete(new)


def last_state(member) -> str:
    """Of its membership, by librdkafka's own log."""
    return re.findall(r"changed join state [\w-]+ -> ([\w-]+)", member.log.read_text())[-1]


def test_a_drain_that_is_cut_off_in_a_rebalance_ends_in_time(cluster, cloud_table, s3):
    """Its source waits for the rows of what is taken away, and commits nothing meanwhile."""
    (cloud_table.program.folder / "ticklake.toml").write_text('[ingest]\ndrain_deadline = "5s"\n')
    topic = cluster.topic("cut", 2)
    options = [*PROTOCOLS["classic"], "-X", "heartbeat.interval.ms=500", "--flush-age", "500ms"]
    daemon = cloud_table.start("daemon", topic, *options)
    ticks = feed.ticks(1_000, symbols=40)
    cluster.send(topic, (tick.record() for tick in ticks[:20]))
    until("the first rows are committed", lambda: cluster.all_is_committed(cloud_table.group, topic), 60, [daemon])
    other = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": cloud_table.group,
                      "partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 6000})
    try:
        with s3.standing_still():
            cluster.send(topic, (tick.record() for tick in ticks[20:]))
            # They are on their way to S3, or wait for those that are.
            time.sleep(2)
            other.subscribe([topic])
            until("the other asks for its share", lambda: other.poll(0.1) or len(
                cluster.assigned(cloud_table.group)) == 2, 30, [daemon])
            daemon.signal(signal.SIGTERM)
            begin = time.monotonic()
            until("a source is taken away", lambda: other.poll(0.1) or "revoked" in daemon.log.read_text(), 4, [daemon])
            code = daemon.wait(20)
            seconds = time.monotonic() - begin
    finally:
        other.close()
    assert code == 1 and "the drain deadline came before" in daemon.log.read_text().splitlines()[-1]
    assert seconds < 8
