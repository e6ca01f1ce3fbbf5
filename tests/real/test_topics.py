"""Proves that one job reads several topics into one table: each topic's partitions are chains of their own."""

import chains
import feed
import readers
from wait import until


def test_several_topics_fill_one_table(cluster, ticks_table):
    topics = [cluster.topic("first", 3), cluster.topic("second", 2), cluster.topic("empty")]
    more = [option for topic in topics[1:] for option in ("--topic", topic)]
    ticks = feed.ticks(4_000, symbols=40)
    for topic, part in zip(topics, (ticks[:2_500], ticks[2_500:])):
        cluster.send(topic, (tick.record() for tick in part))

    assert ticks_table.ingest_to_end(topics[0], *more, "--flush-rows", "100")["rows"] == len(ticks)
    assert ticks_table.ingest_to_end(topics[0], *more)["records"] == 0

    later = [tick._replace(seq=tick.seq + 1_000_000) for tick in ticks[:600]]
    daemon = ticks_table.start("daemon", topics[0], *more, "--flush-age", "1s")
    for topic, part in zip(topics, (later[:200], later[200:400], later[400:])):
        cluster.send(topic, (tick.record() for tick in part))
    until("the rows are visible", lambda: readers.by_ticklake(ticks_table) == feed.summaries(ticks + later), 60,
          [daemon])
    daemon.stop()

    for topic in topics:
        assert cluster.all_is_committed(ticks_table.group, topic)
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(ticks + later)
    chains.must_tile(ticks_table)
