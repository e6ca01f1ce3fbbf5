"""Reads a table as three strangers to each other do: `ticklake query`, DuckDB and pyarrow.

Each gives, by (date, symbol), a `feed.Summary` of the rows that meet the conditions; the partitions come from the
catalog for the first and from the folders' names for the others. The null partition's symbol is None.
"""

import datetime
from decimal import Decimal
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import bars
import feed
from feed import Summary
from program import Table

Summaries = dict[tuple[str, str | None], Summary]


class Columns(NamedTuple):
    """What is compared of a table: all its columns; that which numbers a symbol's rows; a sum; a time."""

    schema: pa.Schema
    key: str
    amount: str
    time: str


COLUMNS = {
    "ticks": Columns(feed.SCHEMA, "seq", "price", "ts"),
    "indices": Columns(bars.SCHEMA, "trade_date", "close", "trade_date"),
}


def columns(table: Table) -> Columns:
    return COLUMNS[table.ddl.stem]


def by_ticklake(table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    rows = table.program.query(
        f"SELECT date, symbol, {aggregates(table, '{}')} FROM {table.name} {where(date, symbol)} GROUP BY date, symbol")
    # A null is left out of a JSON line.
    return {
        (r["date"], r.get("symbol")):
            Summary(r["n"], r["keys"], Decimal(r["amount"]), milliseconds(r["first"]), milliseconds(r["last"]))
        for r in rows
    }


def by_duckdb(table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    files = f"{table.location}/date=*/symbol=*/*.parquet".replace("'", "''")
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT date, symbol, {aggregates(table, 'epoch_ms({})')} "
            f"FROM read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false) "
            f"{where(date, symbol)} GROUP BY date, symbol").fetchall()
    return {(date, symbol): Summary(*values) for date, symbol, *values in rows}


def by_pyarrow(table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    _, key, amount, time = columns(table)
    rows = arrow_rows(table, date, symbol)
    rows = pa.table({"date": rows["date"], "symbol": rows["symbol"], "key": rows[key], "amount": rows[amount],
                     "time": rows[time].cast(pa.timestamp("ms")).cast(pa.int64())})
    groups = rows.group_by(["date", "symbol"]).aggregate(
        [([], "count_all"), ("key", "count_distinct"), ("amount", "sum"), ("time", "min"), ("time", "max")])
    return {
        (r["date"], r["symbol"]):
            Summary(r["count_all"], r["key_count_distinct"], r["amount_sum"], r["time_min"], r["time_max"])
        for r in groups.to_pylist()
    }


def by_trino(trino, table: Table, date: str | None = None, symbol: str | None = None) -> Summaries:
    """As Athena reads it: through the catalog, with nothing told but the table's name."""
    rows = trino.query(
        f'SELECT "date", symbol, {aggregates(table, "{}")} FROM {table.name} {where(date, symbol)} '
        'GROUP BY "date", symbol')
    return {
        (date, symbol): Summary(n, keys, amount, milliseconds(str(first)), milliseconds(str(last)))
        for date, symbol, n, keys, amount, first, last in rows
    }


READERS = {"ticklake": by_ticklake, "duckdb": by_duckdb, "pyarrow": by_pyarrow}


def arrow_rows(table: Table, date: str | None = None, symbol: str | None = None) -> pa.Table:
    """The rows with the types that they must have, in no order. A file with other types is an error."""
    schema = columns(table).schema
    folders = ds.partitioning(pa.schema([("date", pa.string()), ("symbol", pa.string())]), flavor="hive")
    dataset = ds.dataset(table.location, format="parquet", partitioning=folders)
    condition = pc.scalar(True)
    for name, value in ("date", date), ("symbol", symbol):
        if value is not None:
            condition = condition & (pc.field(name) == value)
    rows = dataset.to_table(filter=condition).select(schema.names)
    assert rows.schema.equals(schema), f"the files' types are\n{rows.schema}"
    return rows


def must_equal(found: pa.Table, wanted: pa.Table, by: list[str]):
    """Compares every value of every row, in the order of `by`, which tells each row apart."""
    assert found.num_rows == wanted.num_rows
    order = [(name, "ascending") for name in by]
    found, wanted = found.sort_by(order), wanted.sort_by(order)
    for name in wanted.schema.names:
        assert found[name].combine_chunks().equals(wanted[name].combine_chunks()), name


def aggregates(table: Table, instant: str) -> str:
    """The aggregates of a summary; `instant` says how a time is read out."""
    _, key, amount, time = columns(table)
    return (f"count(*) AS n, count(DISTINCT {key}) AS keys, sum({amount}) AS amount, "
            f"{instant.format(f'min({time})')} AS first, {instant.format(f'max({time})')} AS last")


def where(date: str | None, symbol: str | None) -> str:
    conditions = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'"
                  for name, value in (("date", date), ("symbol", symbol)) if value is not None]
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def milliseconds(time: str) -> int:
    """Of `2026-11-18T00:00:00.001Z`; without an offset it is UTC."""
    parsed = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)
    return (parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)
