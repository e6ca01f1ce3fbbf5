"""Proves the main job: a Python producer, a topic of 4 partitions, two `ticklake ingest` in one group. Each of the two
is killed with SIGKILL while its files are on their way, and started again, while the producer goes on. In the end
`ticklake query`, DuckDB and pyarrow each find exactly the rows that were sent, and each (symbol, seq) once.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import chains
import feed
import readers
from conftest import SCHEMAS
from job import OPTIONS, Job
from program import Table

TICKS = 200_000
SENT_A_SECOND = 20_000


@pytest.fixture(scope="module")
def sent():
    return feed.ticks(TICKS)


@pytest.fixture(scope="module")
def table(cluster, start_program, sent, measured, tmp_path_factory):
    """The table after the job, with two crashes in it."""
    with start_program("main-job", tmp_path_factory.mktemp("main-job")) as program:
        table = Table(program, SCHEMAS / "ticks.sql")
        job = Job(cluster, table, cluster.topic("ticks", 4, unique=False))

        def send(part):
            cluster.send(job.topic, (tick.record() for tick in part), rate=SENT_A_SECOND)

        first, second, third = sent[:TICKS // 4], sent[TICKS // 4:TICKS // 2], sent[TICKS // 2:]
        begin = time.monotonic()
        with ThreadPoolExecutor(1) as producing:
            job.start("one")
            job.start("two")
            job.wait_for_shares([2, 2])
            for part, name in (first, "one"), (second, "two"):
                sending = producing.submit(send, part)
                job.crash(name, files=100)
                sending.result()
            send(third)
        acknowledged = time.monotonic()
        job.finish()
        measured(f"main job: {TICKS:,} ticks sent in {acknowledged - begin:.1f} s with two crashes, all committed and "
                 f"stopped {time.monotonic() - acknowledged:.1f} s later, {len(table.files()):,} files")
        yield table


@pytest.fixture(params=readers.READERS)
def read(request):
    return readers.READERS[request.param]


def test_finds_exactly_what_was_sent(table, sent, read):
    assert read(table) == feed.summaries(sent)


def test_finds_one_date(table, sent, read):
    date = sent[TICKS // 2].date
    assert read(table, date=date) == feed.summaries([t for t in sent if t.date == date])


def test_finds_each_odd_symbol(table, sent, read):
    for symbol in [*feed.ODD_SYMBOLS, feed.HUGE]:
        assert read(table, symbol=symbol) == feed.summaries([t for t in sent if t.symbol == symbol]), symbol


def test_finds_one_partition(table, sent, read):
    date, symbol = sent[-1].date, "BRK/B"
    wanted = [t for t in sent if (t.date, t.symbol) == (date, symbol)]
    assert wanted and read(table, date=date, symbol=symbol) == feed.summaries(wanted)


def test_every_value_of_every_row_is_as_sent(table, sent):
    readers.must_equal(readers.arrow_rows(table), feed.table(sent), by=["symbol", "seq"])


def test_the_files_are_chains(table):
    assert chains.must_tile(table) > 100
    chains.must_be_sorted(table, ["ts", "seq"])


def test_nothing_was_rejected(table):
    assert table.program.query("SELECT count(*) AS n FROM market.ticks_rejected") == [{"n": 0}]


def test_nothing_is_left_to_read(table):
    files = table.files()
    summary = table.ingest_to_end("ticks", *OPTIONS)
    assert (summary["records"], summary["rows"], summary["files"]) == (0, 0, 0)
    assert table.files() == files
