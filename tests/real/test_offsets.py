"""Proves that the table's own chains, not the group's offsets, keep rows from being written twice or lost: offsets
that are deleted or moved back make no row double, and records that are gone from the log are an error, not a gap.
"""

import signal

import pytest
from confluent_kafka import TopicPartition

import feed
import readers
from program import SHORT_SESSION
from wait import until

PARTITIONS = 2


@pytest.fixture
def ingested(cluster, ticks_table):
    """A topic of 2,000 ticks that are all in the table; and the ticks."""
    topic = cluster.topic("offsets", PARTITIONS)
    ticks = feed.ticks(2_000, symbols=40)
    cluster.send(topic, (tick.record() for tick in ticks))
    assert ticks_table.ingest_to_end(topic, "--flush-rows", "100")["rows"] == len(ticks)
    return topic, ticks


def forget(cluster, group, topic):
    cluster.forget_group(group)


def move_to_zero(cluster, group, topic):
    cluster.commit(group, [TopicPartition(topic, p, 0) for p in range(PARTITIONS)])


@pytest.mark.parametrize("lose", [forget, move_to_zero])
def test_a_replay_writes_no_row_twice(cluster, ticks_table, ingested, lose):
    topic, ticks = ingested
    files = ticks_table.files()
    lose(cluster, ticks_table.group, topic)

    again = ticks_table.ingest_to_end(topic, "--flush-rows", "100")

    assert again["records"] > 0, "nothing was replayed"
    assert again["files"] == 0 and ticks_table.files() == files
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)
    assert readers.by_duckdb(ticks_table) == feed.summaries(ticks)
    assert cluster.all_is_committed(ticks_table.group, topic)


def test_commits_that_never_came_double_no_row(cluster, ticks_table, ingested):
    """The group's offsets are the table's own, and behind it."""
    topic, ticks = ingested
    both = ticks + [t._replace(seq=t.seq + 1_000_000) for t in ticks]
    (ticks_table.program.folder / "ticklake.toml").write_text('[ingest]\ncommit_interval = "1h"\n')
    daemon = ticks_table.start("daemon", topic, "--flush-age", "1s", *SHORT_SESSION)
    cluster.send(topic, (tick.record() for tick in both[len(ticks):]))
    until("all rows are visible", lambda: readers.by_ticklake(ticks_table) == feed.summaries(both), 60, [daemon])
    daemon.kill()
    files = ticks_table.files()
    assert sum(tp.offset for tp in cluster.committed(ticks_table.group, topic).values()) == len(ticks)

    again = ticks_table.ingest_to_end(topic)

    assert again["records"] == len(ticks) and again["files"] == 0 and ticks_table.files() == files
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(both)


def test_a_replay_goes_on_with_what_is_new(cluster, ticks_table, ingested):
    topic, ticks = ingested
    both = feed.ticks(2_000, symbols=40) + [t._replace(seq=t.seq + 1_000_000) for t in feed.ticks(1_000, symbols=60)]
    assert both[:2_000] == ticks
    cluster.send(topic, (tick.record() for tick in both[2_000:]))
    cluster.forget_group(ticks_table.group)

    # Other limits cut other files: the rows are the same all the same.
    again = ticks_table.ingest_to_end(topic, "--flush-rows", "70")

    assert again["records"] == 3_000
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(both)


def test_records_that_are_gone_are_an_error_or_a_gap(cluster, ticks_table):
    topic = cluster.topic("retention")
    ticks = feed.ticks(1_500, symbols=40)
    cluster.send(topic, (tick.record() for tick in ticks[:1_000]))
    assert ticks_table.ingest_to_end(topic)["rows"] == 1_000
    cluster.send(topic, (tick.record() for tick in ticks[1_000:]))
    cluster.drop_records_below(topic, 0, 1_200)

    error = ticks_table.program.last_error(*ticks_table.ingest(topic, "--until-end"))

    # The source, where it was to go on, and where the log begins.
    for named in f"source: {topic}-0", "1000..1200":
        assert named in error
    assert "--lost-records skip" in error
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks[:1_000])
    assert cluster.committed(ticks_table.group, topic)[0].offset == 1_000

    ticks_table.ingest_to_end(topic, "--lost-records", "skip")

    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(ticks[:1_000] + ticks[1_200:])
    assert cluster.all_is_committed(ticks_table.group, topic)
    verified = ticks_table.verify("--records", "--group", ticks_table.group)
    assert verified["problems"] == []
    assert [(gap["from"], gap["to"], gap["why"]) for gap in verified["gaps"]] == [(1_000, 1_200, "retention")]


@pytest.mark.parametrize("group", ["the same group", "another group"])
def test_a_topic_made_anew_is_refused_until_a_new_epoch_begins(cluster, ticks_table, ingested, group):
    """Its offsets mean other records. Nothing is written before that is seen: its symbols are new to the table, so no
    chain stands in the way, and it holds more records than were committed."""
    topic, ticks = ingested
    cluster.make_anew(topic, PARTITIONS)
    more = [tick._replace(symbol=f"N{tick.symbol}") for tick in feed.ticks(3_000, symbols=40)]
    cluster.send(topic, (tick.record() for tick in more))
    files = ticks_table.files()
    if group == "another group":
        ticks_table.group += "-2"

    error = ticks_table.program.last_error(*ticks_table.ingest(topic, "--until-end"))

    assert "--source-epoch" in error and topic in error
    assert ticks_table.files() == files
    ticks_table.ingest_to_end(topic, "--source-epoch", "1")
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(ticks + more)


def test_damaged_records_are_an_error(broker, cluster, ticks_table):
    """librdkafka would pass over a batch whose checksum is wrong, and go on behind it."""
    topic = cluster.topic("damaged")
    ticks = feed.ticks(300, symbols=40)
    sizes = []
    for part in ticks[:100], ticks[100:200], ticks[200:]:
        cluster.send(topic, (tick.record() for tick in part))
        sizes.append(broker.segment(topic, 0).stat().st_size)
    with broker.segment(topic, 0).open("r+b") as log:
        log.seek(sizes[1] - 1)
        last = log.read(1)
        log.seek(sizes[1] - 1)
        log.write(bytes([last[0] ^ 0xFF]))

    error = ticks_table.program.last_error(*ticks_table.ingest(topic, "--until-end"))

    assert topic in error and "cannot be read" in error
    committed = cluster.committed(ticks_table.group, topic)
    assert not committed or committed[0].offset <= 100


@pytest.mark.parametrize("still", [True, False], ids=["while it stands still", "before its eyes"])
def test_a_topic_made_anew_under_a_daemon_ends_it(cluster, ticks_table, ingested, still):
    """It goes on at an offset that means another record, and the broker says nothing of it; unless it looks while the
    new topic is shorter."""
    topic, _ = ingested
    daemon = ticks_table.start("daemon", topic, "--flush-age", "1h", *SHORT_SESSION)
    until("the daemon has the partitions", lambda: cluster.assigned(ticks_table.group) == [PARTITIONS], 30, [daemon])
    committed = {p: tp.offset for p, tp in cluster.committed(ticks_table.group, topic).items()}
    if still:
        daemon.signal(signal.SIGSTOP)
    cluster.make_anew(topic, PARTITIONS)
    cluster.send(topic, (tick.record() for tick in feed.ticks(6_000, symbols=40)))
    daemon.signal(signal.SIGCONT)

    assert daemon.wait(60) == 1

    assert "--source-epoch" in daemon.log.read_text().splitlines()[-1]
    now = cluster.committed(ticks_table.group, topic)
    assert all(tp.offset <= committed[p] for p, tp in now.items())
