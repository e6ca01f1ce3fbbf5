"""Proves that a bad record is a row of the rejected table, with its reason, and takes no good one with it."""

import feed
import readers

GOOD = feed.ticks(600, symbols=40)
LIKE = '"ts":1794960000000,"price":1.5,"size":1,"bid":1.4,"ask":1.6,"exchange":"XNAS","seq":1'

# Name: the record's value, and the column that the rejected row names (None: the record as a whole).
BAD = {
    "no JSON": (b'{"symbol":"AAPL",' + LIKE.encode(), None),
    "trailing bytes": (('{"symbol":"AAPL",%s}x' % LIKE).encode(), None),
    "no UTF-8": (('{"symbol":"A\xff",%s}' % LIKE).encode("latin-1"), None),
    "no object": (b"17", None),
    "no symbol": (("{%s}" % LIKE).encode(), "symbol"),
    "too many fraction digits": (('{"symbol":"AAPL",%s}' % LIKE.replace("1.5", "1.23456")).encode(), "price"),
    "too many digits": (('{"symbol":"AAPL",%s}' % LIKE.replace("1.5", "123456789012345.5")).encode(), "price"),
    "a text for a number": (('{"symbol":"AAPL",%s}' % LIKE.replace('"size":1', '"size":"many"')).encode(), "size"),
    "no value": (b"", None),
    "tombstone": (None, None),
}


def test_bad_records_are_rows_with_a_reason(cluster, ticks_table):
    topic = cluster.topic("bad")
    records = [tick.record() for tick in GOOD]
    # Among the good ones, 50 apart.
    offsets = {}
    for i, (name, (value, _)) in enumerate(BAD.items()):
        offsets[name] = 50 * i + 25
        records.insert(offsets[name], (f"key of {name}", value))
    cluster.send(topic, records)

    summary = ticks_table.ingest_to_end(topic)

    assert (summary["records"], summary["rows"]) == (len(records), len(GOOD))
    assert (summary["rejected"], summary["skipped"]) == (len(BAD), 0)
    for read in readers.READERS.values():
        assert read(ticks_table) == feed.summaries(GOOD)
    rejected = {row["offset"]: row for row in ticks_table.rejected_rows('topic, "partition", "offset", reason, "column"')}
    assert sorted(rejected) == sorted(offsets.values())
    for name, (_, column) in BAD.items():
        row = rejected[offsets[name]]
        assert (row["topic"], row["partition"], row.get("column")) == (topic, 0, column), name
        assert row["reason"], name
    # An analyst's question.
    reasons = ticks_table.program.query(
        'SELECT reason, count(*) AS n FROM market.ticks_rejected WHERE "column" = \'price\' GROUP BY reason')
    assert sum(row["n"] for row in reasons) == 2


def test_rejected_rows_are_written_once(cluster, ticks_table):
    topic = cluster.topic("bad-again")
    cluster.send(topic, [(None, value) for value, _ in BAD.values()])
    assert ticks_table.ingest_to_end(topic)["rejected"] == len(BAD)
    cluster.forget_group(ticks_table.group)
    assert ticks_table.ingest_to_end(topic)["files"] == 0
    assert len(ticks_table.rejected_rows('"partition", "offset"')) == len(BAD)
