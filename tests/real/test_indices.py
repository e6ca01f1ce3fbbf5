"""Proves the tutorial's own input: the reference CSV, sent by a Python producer, is exactly the rows of
`market.indices` for every reader, after a crash of one of two `ticklake ingest` in a group.
"""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import bars
import readers
from conftest import SCHEMAS
from job import Job
from program import Table


@pytest.fixture(scope="module")
def sent():
    return bars.read()[1]


@pytest.fixture(scope="module")
def table(cluster, start_program, sent, tmp_path_factory):
    names, _ = bars.read()
    half = len(sent) // 2
    with start_program("indices", tmp_path_factory.mktemp("indices")) as program:
        table = Table(program, SCHEMAS / "indices.sql")
        job = Job(cluster, table, cluster.topic("indices", 4, unique=False))

        def send(part):
            cluster.send(job.topic, (bar.record(names) for bar in part))

        job.start("one")
        job.start("two")
        job.wait_for_shares([2, 2])
        send(sent[:half])
        with ThreadPoolExecutor(1) as producing:
            rest = producing.submit(send, sent[half:])
            job.crash("one", files=50)
            rest.result()
        job.finish()
        yield table


@pytest.fixture(params=readers.READERS)
def read(request):
    return readers.READERS[request.param]


def test_finds_exactly_what_was_sent(table, sent, read):
    assert read(table) == bars.summaries(sent)


def test_finds_one_index_and_one_date(table, sent, read):
    for symbol in "HSI", "000001.SS", "J203.JO":
        assert read(table, symbol=symbol) == bars.summaries([bar for bar in sent if bar.symbol == symbol]), symbol
    date = sent[-1].date
    assert read(table, date=date) == bars.summaries([bar for bar in sent if bar.date == date])


def test_every_value_of_every_row_is_as_sent(table, sent):
    readers.must_equal(readers.arrow_rows(table), bars.table(sent), by=["symbol", "trade_date"])


def test_an_analyst_finds_the_best_year(table, sent):
    """A question over dates and names, as it is asked."""
    rows = table.program.query(
        "SELECT symbol, substr(date, 1, 4) AS year, max(high) AS high FROM market.indices "
        "WHERE date >= '1980-01-01' GROUP BY symbol, year ORDER BY high DESC, symbol, year LIMIT 1")
    best = max((bar for bar in sent if bar.date >= "1980-01-01"), key=lambda bar: Decimal(bar.numbers[1]))
    assert [(r["symbol"], r["year"], Decimal(r["high"])) for r in rows] == [
        (best.symbol, best.date[:4], Decimal(best.numbers[1]))]
