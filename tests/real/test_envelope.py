"""Proves that what surrounds a record in Kafka reaches its row: key, headers, timestamp, topic, partition and offset."""

import pyarrow.parquet as parquet

from program import Table

DDL = """
CREATE EXTERNAL TABLE market.envelope (
  price decimal(18,4), k binary, trace string, raw binary, sent timestamp, t string, p int, o bigint
)
PARTITIONED BY (`date` string, symbol string)
STORED AS PARQUET
TBLPROPERTIES (
  'ticklake.partition.date' = 'day(@timestamp)', 'ticklake.partition.symbol' = 'identity(@headers.symbol)',
  'ticklake.source.k' = '@key', 'ticklake.source.trace' = '@headers.trace', 'ticklake.source.raw' = '@headers.raw',
  'ticklake.source.sent' = '@timestamp', 'ticklake.source.t' = '@topic', 'ticklake.source.p' = '@partition',
  'ticklake.source.o' = '@offset'
)
"""
NOON = 1_795_348_800_000  # 2026-11-22T12:00:00Z


def test_the_envelope_of_a_record_is_in_its_row(cluster, program):
    ddl = program.folder / "envelope.sql"
    ddl.write_text(DDL)
    table = Table(program, ddl)
    topic = cluster.topic("envelope")
    producer = cluster.producer()
    value = b'{"price":1.5}'
    for key, headers in [
        (b"\x00\xff", [("symbol", b"AAPL"), ("trace", b"first"), ("trace", "zwei €".encode()), ("raw", b"\xfe")]),
        (None, [("symbol", b"BRK/B"), ("trace", None)]),
        (b"k", [("symbol", b"AAPL"), ("trace", b"\xff")]),
    ]:
        producer.produce(topic, value, key=key, headers=headers, timestamp=NOON)
    assert producer.flush(30) == 0

    summary = table.ingest_to_end(topic)

    assert (summary["rows"], summary["rejected"]) == (2, 1)
    rows = {}
    for file in table.files():
        for row in parquet.read_table(file, partitioning=None).to_pylist():
            rows[row["o"]] = (file.parent.name, row)
    folder, first = rows[0]
    assert folder == "symbol=AAPL" and file.parent.parent.name == "date=2026-11-22"
    assert (first["k"], first["trace"], first["raw"]) == (b"\x00\xff", "zwei €", b"\xfe")
    assert (first["sent"].timestamp() * 1000, first["t"], first["p"]) == (NOON, topic, 0)
    folder, second = rows[1]
    assert folder == "symbol=BRK%2FB"
    assert (second["k"], second["trace"], second["raw"]) == (None, None, None)
    [rejected] = table.rejected_rows('"offset", reason, "column"')
    assert (rejected["offset"], rejected["reason"], rejected["column"]) == (2, "invalid_utf8", "trace")
