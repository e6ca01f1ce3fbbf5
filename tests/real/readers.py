"""Reads a table of ticks as three strangers to each other do: `ticklake query`, DuckDB and pyarrow.

Each gives, by (date, symbol), a `feed.Summary` of the rows that meet the conditions; the partitions come from the
catalog for the first and from the folders' names for the others.
"""

import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from feed import SCHEMA, Summary
from program import Table

Summaries = dict[tuple[str, str], Summary]


def by_ticklake(table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    rows = table.program.query(
        "SELECT date, symbol, count(*) AS n, count(DISTINCT seq) AS seqs, sum(price) AS price, min(ts) AS first, "
        f"max(ts) AS last FROM {table.name} {where(date, symbol)} GROUP BY date, symbol")
    return {
        (r["date"], r["symbol"]):
            Summary(r["n"], r["seqs"], Decimal(r["price"]), milliseconds(r["first"]), milliseconds(r["last"]))
        for r in rows
    }


def by_duckdb(table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    files = f"{table.location}/date=*/symbol=*/*.parquet".replace("'", "''")
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT date, symbol, count(*), count(DISTINCT seq), sum(price), epoch_ms(min(ts)), epoch_ms(max(ts)) "
            f"FROM read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false) "
            f"{where(date, symbol)} GROUP BY date, symbol").fetchall()
    return {(date, symbol): Summary(*values) for date, symbol, *values in rows}


def by_pyarrow(table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    groups = arrow_rows(table.location, date, symbol).group_by(["date", "symbol"]).aggregate(
        [("seq", "count"), ("seq", "count_distinct"), ("price", "sum"), ("ts", "min"), ("ts", "max")])
    for time in "ts_min", "ts_max":
        groups = groups.set_column(groups.schema.get_field_index(time), time, groups[time].cast(pa.int64()))
    return {
        (r["date"], r["symbol"]):
            Summary(r["seq_count"], r["seq_count_distinct"], r["price_sum"], r["ts_min"], r["ts_max"])
        for r in groups.to_pylist()
    }


READERS = {"ticklake": by_ticklake, "duckdb": by_duckdb, "pyarrow": by_pyarrow}


def arrow_rows(location: Path, date: str | None = None, symbol: str | None = None) -> pa.Table:
    """The rows with the types that they must have, in no order. A file with other types is an error."""
    folders = ds.partitioning(pa.schema([("date", pa.string()), ("symbol", pa.string())]), flavor="hive")
    dataset = ds.dataset(location, format="parquet", partitioning=folders)
    conditions = [pc.field(name) == value for name, value in (("date", date), ("symbol", symbol)) if value is not None]
    condition = conditions[0] if conditions else None
    for other in conditions[1:]:
        condition = condition & other
    rows = dataset.to_table(filter=condition).select(SCHEMA.names)
    assert rows.schema.equals(SCHEMA), f"the files' types are\n{rows.schema}"
    return rows


def where(date: str | None, symbol: str | None) -> str:
    conditions = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'"
                  for name, value in (("date", date), ("symbol", symbol)) if value is not None]
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def milliseconds(time: str) -> int:
    """Of `2026-11-18T00:00:00.001Z`; without an offset it is UTC."""
    parsed = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)
    return (parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)
