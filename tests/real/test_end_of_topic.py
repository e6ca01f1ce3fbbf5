"""Proves that `--until-end` ends by itself, with what was committed in the topic when it started and nothing else:
also where the last offsets are no records (markers of transactions), or are not to be read yet.
"""

import itertools

import pytest

import feed
import readers


@pytest.fixture
def transactions(cluster, request):
    """A transactional producer."""
    producer = cluster.producer(transactional_id=f"transactions-of-{request.node.name}")
    producer.init_transactions(30)
    return producer


def batches(size, count):
    """`count` batches of ticks, of which no two have a (symbol, seq) in common."""
    ticks = iter(feed.ticks(size * count, symbols=40))
    return [list(itertools.islice(ticks, size)) for _ in range(count)]


def send(cluster, topic, ticks, **options):
    cluster.send(topic, (tick.record() for tick in ticks), **options)


def test_an_aborted_transaction_at_the_end(cluster, ticks_table, transactions):
    topic = cluster.topic("aborted")
    good, aborted = batches(1_000, 2)
    for ticks, finish in (good, transactions.commit_transaction), (aborted, transactions.abort_transaction):
        transactions.begin_transaction()
        send(cluster, topic, ticks, producer=transactions)
        finish(30)

    summary = ticks_table.ingest_to_end(topic)

    assert (summary["records"], summary["rows"]) == (1_000, 1_000)
    assert readers.by_ticklake(ticks_table) == feed.summaries(good)
    # The markers are behind it too: nothing is left.
    assert cluster.all_is_committed(ticks_table.group, topic)
    assert ticks_table.ingest_to_end(topic)["records"] == 0


def test_only_an_aborted_transaction(cluster, ticks_table, transactions):
    topic = cluster.topic("only-aborted")
    [aborted] = batches(100, 1)
    transactions.begin_transaction()
    send(cluster, topic, aborted, producer=transactions)
    transactions.abort_transaction(30)

    summary = ticks_table.ingest_to_end(topic)

    assert (summary["records"], summary["files"]) == (0, 0)
    assert ticks_table.files() == []


def test_an_open_transaction_at_the_end(cluster, ticks_table, transactions):
    """The job ends before the open transaction, and a later one reads it: its offsets are not skipped."""
    topic = cluster.topic("open")
    before, inside, after = batches(500, 3)
    send(cluster, topic, before)
    transactions.begin_transaction()
    send(cluster, topic, inside, producer=transactions)
    send(cluster, topic, after)

    assert ticks_table.ingest_to_end(topic)["rows"] == 500
    assert readers.by_ticklake(ticks_table) == feed.summaries(before)

    transactions.commit_transaction(30)
    assert ticks_table.ingest_to_end(topic)["rows"] == 1_000
    assert readers.by_ticklake(ticks_table) == feed.summaries(before + inside + after)


def test_an_empty_topic(cluster, ticks_table):
    summary = ticks_table.ingest_to_end(cluster.topic("empty", 3))
    assert {name: value for name, value in summary.items() if value} == {}
    assert ticks_table.program.query("SELECT count(*) AS n FROM market.ticks") == [{"n": 0}]


def test_partitions_that_are_empty(cluster, ticks_table):
    """Only one of three partitions has records: the job waits for no record of the others."""
    topic = cluster.topic("lopsided", 3)
    [ticks] = batches(300, 1)
    send(cluster, topic, ticks, partition=1)
    assert ticks_table.ingest_to_end(topic)["rows"] == 300
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)


def test_a_second_run_finds_only_what_is_new(cluster, ticks_table):
    topic = cluster.topic("second-run", 2)
    first, second = batches(1_000, 2)
    send(cluster, topic, first)
    summary = ticks_table.ingest_to_end(topic)
    assert (summary["records"], summary["rows"], summary["rejected"], summary["skipped"]) == (1_000, 1_000, 0, 0)
    assert summary["files"] == len(ticks_table.files())
    assert summary["file_bytes"] == sum(file.stat().st_size for file in ticks_table.files())
    assert summary["partitions_registered"] == len(feed.summaries(first))
    assert summary["offsets_committed"] == 1_000

    files = ticks_table.files()
    nothing = ticks_table.ingest_to_end(topic)
    assert {name: value for name, value in nothing.items() if value} == {}
    assert ticks_table.files() == files

    send(cluster, topic, second)
    assert ticks_table.ingest_to_end(topic)["rows"] == 1_000
    assert readers.by_ticklake(ticks_table) == feed.summaries(first + second)
