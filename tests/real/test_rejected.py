"""Proves that a bad record is a row of the rejected table, with its reason, and takes no good one with it; and that a
record without a symbol is a row of the null partition, or a bad one, as the table says.
"""

from decimal import Decimal

import pytest

import feed
import readers
from conftest import SCHEMAS
from program import Table

GOOD = feed.ticks(600, symbols=40)
LIKE = b'"ts":1794960000000,"price":1.5,"size":1,"bid":1.4,"ask":1.6,"exchange":"XNAS","seq":1'

# What is sent: the reason and the column of its rejected row.
BAD = {
    b'{"symbol":"AAPL",' + LIKE: ("malformed", None),
    b'{"symbol":"AAPL",%s}x' % LIKE: ("malformed", None),
    b'{"symbol":"A\xff",%s}' % LIKE: ("invalid_utf8", None),
    b"17": ("not_an_object", None),
    b"{%s}" % LIKE: ("null_partition", "symbol"),
    b'{"symbol":"AAPL",%s}' % LIKE.replace(b"1.5", b"1.23456"): ("digits", "price"),
    b'{"symbol":"AAPL",%s}' % LIKE.replace(b"1.5", b"123456789012345.5"): ("out_of_range", "price"),
    b'{"symbol":"AAPL",%s}' % LIKE.replace(b'"size":1', b'"size":"many"'): ("not_a_number", "size"),
    b"": ("empty", None),
    None: ("tombstone", None),
}


@pytest.fixture
def strict_table(program, ticks_table):
    """`market.ticks`, where a record without a symbol is a bad one."""
    ddl = program.folder / "ticks.sql"
    text = (SCHEMAS / "ticks.sql").read_text()
    ddl.write_text(text.replace("TBLPROPERTIES (", "TBLPROPERTIES (\n  'ticklake.null_partition' = 'reject',"))
    return Table(program, ddl, ticks_table.group)


def test_bad_records_are_rows_with_a_reason(cluster, strict_table):
    topic = cluster.topic("bad")
    records = [tick.record() for tick in GOOD]
    # Among the good ones, 50 apart.
    wanted = {}
    for i, (value, (reason, column)) in enumerate(BAD.items()):
        offset = 50 * i + 25
        records.insert(offset, (f"key {i}", value))
        wanted[offset] = (topic, 0, reason, column, hexadecimal(f"key {i}".encode()), hexadecimal(value))
    cluster.send(topic, records)

    summary = strict_table.ingest_to_end(topic)

    assert (summary["records"], summary["rows"]) == (len(records), len(GOOD))
    assert (summary["rejected"], summary["skipped"]) == (len(BAD), 0)
    for read in readers.READERS.values():
        assert read(strict_table) == feed.summaries(GOOD)
    found = {
        r["offset"]: (r["topic"], r["partition"], r["reason"], r.get("column"), r.get("key"), r.get("value"))
        for r in strict_table.rejected_rows('topic, "partition", "offset", reason, "column", "key", "value"')
    }
    assert found == wanted
    # An analyst's question.
    reasons = strict_table.program.query(
        'SELECT reason, count(*) AS n FROM market.ticks_rejected WHERE "column" = \'price\' GROUP BY reason')
    assert {row["reason"]: row["n"] for row in reasons} == {"digits": 1, "out_of_range": 1}


def hexadecimal(value: bytes | None) -> str | None:
    """As JSON lines show bytes."""
    return None if value is None else value.hex()


def test_rejected_rows_are_written_once(cluster, strict_table):
    topic = cluster.topic("bad-again")
    cluster.send(topic, [(None, value) for value in BAD])
    assert strict_table.ingest_to_end(topic)["rejected"] == len(BAD)
    cluster.forget_group(strict_table.group)
    assert strict_table.ingest_to_end(topic)["files"] == 0
    assert len(strict_table.rejected_rows('"partition", "offset"')) == len(BAD)


def test_no_symbol_is_the_null_partition(cluster, ticks_table):
    topic = cluster.topic("null")
    good = feed.ticks(100, symbols=20)
    unnamed = [b"{%s}" % LIKE, b'{"symbol":null,%s}' % LIKE.replace(b'"seq":1', b'"seq":2'),
               b'{"symbol":"",%s}' % LIKE.replace(b'"seq":1', b'"seq":3')]
    cluster.send(topic, [(None, value) for value in unnamed] + [tick.record() for tick in good])

    summary = ticks_table.ingest_to_end(topic)

    assert (summary["rows"], summary["rejected"]) == (103, 0)
    wanted = feed.summaries(good)
    wanted["2026-11-18", None] = feed.Summary(3, 3, Decimal("4.5000"), 1794960000000, 1794960000000)
    for read in readers.READERS.values():
        assert read(ticks_table) == wanted
