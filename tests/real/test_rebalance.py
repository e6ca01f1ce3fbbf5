"""Proves that members that join and leave while records arrive lose nothing and double nothing, under the classic
protocol of groups (cooperative-sticky) and under KIP-848's.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import feed
import readers
from wait import until

PARTITIONS = 4
LIMITS = ["--flush-rows", "200", "--flush-age", "1s"]
PROTOCOLS = {
    "classic": ["-X", "group.protocol=classic", "-X", "partition.assignment.strategy=cooperative-sticky",
                "-X", "session.timeout.ms=6000"],
    "consumer": ["-X", "group.protocol=consumer"],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_join_and_leave(cluster, ticks_table, protocol):
    topic = cluster.topic("rebalance", PARTITIONS)
    enough = threading.Event()
    sent = []

    def stream():
        """Ticks without a pause until the last member has come and gone."""
        for tick in feed.ticks(200_000, symbols=60):
            if enough.is_set():
                return
            sent.append(tick)
            yield tick.record()
        raise AssertionError("the members came and went too slowly: no tick is left to send")

    def member(name):
        return ticks_table.start(name, topic, *LIMITS, *PROTOCOLS[protocol])

    def share(partitions, *members):
        until(f"the members have {partitions} partitions",
              lambda: cluster.assigned(ticks_table.group) == partitions, 45, members)

    with ThreadPoolExecutor(1) as producing:
        producer = producing.submit(cluster.send, topic, stream(), rate=2_000)
        try:
            one = member("one")
            share([4], one)
            two = member("two")
            share([2, 2], one, two)
            one.stop()
            share([4], two)
            three = member("three")
            share([2, 2], two, three)
            two.kill()
            share([4], three)
        finally:
            enough.set()
        producer.result()
    until("all that was sent is committed", lambda: cluster.all_is_committed(ticks_table.group, topic), 60, [three])
    three.stop()

    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(sent)
