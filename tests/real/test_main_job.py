"""Proves the main job: a Python producer, a topic of 4 partitions, two `ticklake ingest` in one group. Each of the two
is killed with SIGKILL while its files are on their way, and started again, while the producer goes on. In the end
`ticklake query`, DuckDB and pyarrow each find exactly the rows that were sent, and each (symbol, seq) once.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import feed
import readers
from conftest import SCHEMAS
from program import Table
from wait import until

TICKS = 200_000
PARTITIONS = 4
# Small, so that thousands of files are cut by rows and by age.
LIMITS = ["--flush-rows", "2000", "--flush-age", "2s"]
# A killed member is missed by the group after so long; the default is 45 s.
SOON = ["-X", "session.timeout.ms=6000"]
SENT_A_SECOND = 20_000


@pytest.fixture(scope="module")
def sent():
    return feed.ticks(TICKS)


@pytest.fixture(scope="module")
def table(cluster, start_program, sent, measured, tmp_path_factory):
    """The table after the job, with two crashes in it."""
    with start_program("main-job", tmp_path_factory.mktemp("main-job")) as program:
        table = Table(program, SCHEMAS / "ticks.sql")
        topic = cluster.topic("ticks", PARTITIONS, unique=False)
        job = Job(cluster, table, topic)
        begin = time.monotonic()
        first, second, third = sent[:TICKS // 4], sent[TICKS // 4:TICKS // 2], sent[TICKS // 2:]
        with ThreadPoolExecutor(1) as producing:
            job.start("one")
            job.start("two")
            until("both processes have partitions", lambda: cluster.assigned(table.group) == [2, 2], 30, job.running())
            job.crash_while(producing.submit(job.send, first), "one")
            job.crash_while(producing.submit(job.send, second), "two")
            producing.submit(job.send, third).result()
        acknowledged = time.monotonic()
        until("all that was sent is committed", job.all_is_committed, 120, job.running())
        measured(f"main job: {TICKS:,} ticks sent in {acknowledged - begin:.1f} s with two crashes, all committed "
                 f"{time.monotonic() - acknowledged:.1f} s later, {len(table.files()):,} files")
        job.stop()
        yield table


class Job:
    """The processes of the job, by name, and its producer."""

    def __init__(self, cluster, table, topic):
        self._cluster, self._table, self._topic = cluster, table, topic
        self._processes = {}

    def start(self, name):
        self._processes[name] = self._table.start(name, self._topic, *LIMITS, *SOON)

    def send(self, ticks):
        self._cluster.send(self._topic, (tick.record() for tick in ticks), rate=SENT_A_SECOND)

    def crash_while(self, sending, name):
        """Kills a process when files are being written and offsets are behind, starts it anew, and lets the producer
        come to the end of its part."""
        before = len(self._table.files())
        until("files are being written", lambda: len(self._table.files()) >= before + 100, 60, self.running())
        self._processes[name].kill()
        assert not self.all_is_committed(), "the kill came too late: everything was committed"
        self.start(name)
        sending.result()

    def all_is_committed(self):
        return self._cluster.all_is_committed(self._table.group, self._topic)

    def running(self):
        return self._processes.values()

    def stop(self):
        for process in self.running():
            process.stop()


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
    rows = readers.arrow_rows(table.location).sort_by([("symbol", "ascending"), ("seq", "ascending")])
    wanted = feed.table(sent)
    assert rows.num_rows == wanted.num_rows
    for name in feed.SCHEMA.names:
        assert rows[name].combine_chunks().equals(wanted[name].combine_chunks()), name


def test_nothing_was_rejected(table):
    assert table.program.query("SELECT count(*) AS n FROM market.ticks_rejected") == [{"n": 0}]


def test_nothing_is_left_to_read(table):
    files = table.files()
    summary = table.ingest_to_end("ticks", *LIMITS, *SOON)
    assert (summary["records"], summary["rows"], summary["files"]) == (0, 0, 0)
    assert table.files() == files
