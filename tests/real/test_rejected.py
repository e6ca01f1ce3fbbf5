"""Proves that a bad record is a row of the rejected table, with its reason, and takes no good one with it."""

import feed
import readers

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


def test_bad_records_are_rows_with_a_reason(cluster, ticks_table):
    topic = cluster.topic("bad")
    records = [tick.record() for tick in GOOD]
    # Among the good ones, 50 apart.
    wanted = {}
    for i, (value, (reason, column)) in enumerate(BAD.items()):
        offset = 50 * i + 25
        records.insert(offset, (f"key {i}", value))
        wanted[offset] = (topic, 0, reason, column, hexadecimal(f"key {i}".encode()), hexadecimal(value))
    cluster.send(topic, records)

    summary = ticks_table.ingest_to_end(topic)

    assert (summary["records"], summary["rows"]) == (len(records), len(GOOD))
    assert (summary["rejected"], summary["skipped"]) == (len(BAD), 0)
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(GOOD)
    found = {
        r["offset"]: (r["topic"], r["partition"], r["reason"], r.get("column"), r.get("key"), r.get("value"))
        for r in ticks_table.rejected_rows('topic, "partition", "offset", reason, "column", "key", "value"')
    }
    assert found == wanted
    # An analyst's question.
    reasons = ticks_table.program.query(
        'SELECT reason, count(*) AS n FROM market.ticks_rejected WHERE "column" = \'price\' GROUP BY reason')
    assert {row["reason"]: row["n"] for row in reasons} == {"digits": 1, "out_of_range": 1}


def hexadecimal(value: bytes | None) -> str | None:
    """As JSON lines show bytes."""
    return None if value is None else value.hex()


def test_rejected_rows_are_written_once(cluster, ticks_table):
    topic = cluster.topic("bad-again")
    cluster.send(topic, [(None, value) for value in BAD])
    assert ticks_table.ingest_to_end(topic)["rejected"] == len(BAD)
    cluster.forget_group(ticks_table.group)
    assert ticks_table.ingest_to_end(topic)["files"] == 0
    assert len(ticks_table.rejected_rows('"partition", "offset"')) == len(BAD)
