"""Proves that every type of a table's DDL reads in Trino as it was sent: usual values, the ends of each range, null."""

import json

from every_type import DDL, HIGHEST, KEYS, LOWEST, NULLS, USUAL
from program import CloudTable


def test_every_type_reads_equal_in_trino(cluster, cloud, s3, trino):
    ddl = cloud.folder / "types.sql"
    ddl.write_text(DDL)
    table = CloudTable(cloud, s3, ddl, "alltypes")
    topic = cluster.topic("types")
    rows = [USUAL, LOWEST, HIGHEST, NULLS]
    records = [{"symbol": "BRK/B", "n": n} | {name: sent for name, (sent, _) in row.items()}
               for n, row in enumerate(rows)]
    cluster.send(topic, zip(KEYS, map(json.dumps, records)))

    summary = table.ingest_to_end(topic)

    assert (summary["rows"], summary["rejected"]) == (len(rows), 0), table.rejected_rows('reason, "column"')
    names = [name for name in USUAL]
    selected = ", ".join(f'"{name}"' for name in ["bytes", *names])
    found = trino.query(f'SELECT {selected}, "date", symbol FROM {table.name} ORDER BY n')
    for row, key, (bytes_, *values, date, symbol) in zip(rows, KEYS, found, strict=True):
        assert bytes_ == key
        for name, value in zip(names, values, strict=True):
            _, wanted = row.get(name, (None, None))
            assert plain(value) == wanted, name
        assert (date, symbol) == (f"{row['ts'][1]:%Y-%m-%d}".zfill(10), "BRK/B")


def test_neighbours_at_both_ends_of_a_range_read_equal_in_trino(cluster, cloud, s3, trino):
    """Files keep differences of neighbours, and engines read them in as many bits as the type has."""
    ddl = cloud.folder / "types.sql"
    ddl.write_text(DDL)
    table = CloudTable(cloud, s3, ddl, "neighbours")
    topic = cluster.topic("neighbours")
    names = [name for name in HIGHEST if name not in ("text", "ts", "single", "twice")]
    files = {"UP": [LOWEST, HIGHEST], "DOWN": [HIGHEST, LOWEST], "NULL": [LOWEST, NULLS, HIGHEST], "LONG": [LOWEST, HIGHEST] * 100}
    cluster.send(topic, (
        (None, json.dumps({"symbol": symbol, "n": n, "ts": NULLS["ts"][0]} | {name: row[name][0] for name in names if name in row}))
        for symbol, rows in files.items() for n, row in enumerate(rows)))

    assert table.ingest_to_end(topic)["files"] == len(files)
    selected = ", ".join(f'"{name}"' for name in names)
    for symbol, rows in files.items():
        found = trino.query(f"SELECT {selected} FROM {table.name} WHERE symbol = '{symbol}' ORDER BY n")
        assert found == [tuple(row.get(name, (None, None))[1] for name in names) for row in rows], symbol


def plain(value):
    """Trino's rows as tuples."""
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    return [plain(part) for part in value] if isinstance(value, list) else value
