"""Measures how soon rows are visible after they were acknowledged, while a job runs."""

import time

import feed
from cluster import Cluster
from feed import Tick
from program import Table
from wait import until

FLUSH_AGE_SECONDS = 2
# A seal, a write, a registration, and the start of a query, all of a debug build on a busy machine.
GRACE_SECONDS = 6


def measure(cluster: Cluster, table: Table, topic: str, visible) -> tuple[list[Tick], list[float]]:
    """Sends ticks in three parts to a job that reads the topic; `visible` counts the rows that a reader finds. What was
    sent, and the seconds from each part's acknowledgement until all of it was found."""
    daemon = table.start("daemon", topic, "--flush-age", f"{FLUSH_AGE_SECONDS}s")
    until("the daemon has the partitions", lambda: cluster.assigned(table.group) == [4], 30, [daemon])
    ticks = feed.ticks(120, symbols=40)
    latencies = []
    for sent in range(0, len(ticks), 40):
        cluster.send(topic, (tick.record() for tick in ticks[sent:sent + 40]))
        begin = time.monotonic()
        until("the rows are visible", lambda: visible() == sent + 40, 30, [daemon])
        latencies.append(time.monotonic() - begin)
    daemon.stop()
    return ticks, latencies


def said(latencies: list[float]) -> str:
    return ("rows are visible " + ", ".join(f"{s:.1f} s" for s in latencies)
            + f" after they were acknowledged (flush age {FLUSH_AGE_SECONDS} s)")
