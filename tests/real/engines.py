"""Reads a table on S3 and in Glue as each engine's own users do, by the line that the README gives them.

Three know the catalog (Trino, `ticklake query`, awswrangler), the others the folders only. DuckDB and Spark are given the
files by their paths, as their S3 is an extension that comes from the net. Rows are tuples in Python's own types, in no
order. Spark and awswrangler are there when TICKLAKE_ENGINES names them.
"""

import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import NamedTuple

import duckdb
import pandas
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import S3FileSystem

import aws
from every_type import EPOCH
from guests import ASKED_FOR, Guest
from program import CloudTable
from s3 import S3
from sql import Trino

FOLDERS = ds.partitioning(pa.schema([("date", pa.string()), ("symbol", pa.string())]), flavor="hive")


class Lake(NamedTuple):
    """A table, and the servers where it is."""

    table: CloudTable
    s3: S3
    trino: Trino
    guests: dict[str, Guest]

    @property
    def path(self) -> str:
        """The location without its scheme."""
        return self.table.location.removeprefix("s3://").rstrip("/")

    def arrow_s3(self) -> S3FileSystem:
        return S3FileSystem(access_key=aws.ACCESS_KEY, secret_key=aws.SECRET_KEY, region=aws.REGION,
                            endpoint_override=self.s3.endpoint, force_virtual_addressing=False)


class In(NamedTuple):
    """The condition that a column has one of these values; a list of None alone asks for null."""

    column: str
    values: list

    @property
    def is_null(self) -> bool:
        return self.values == [None]


def by_trino(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    return lake.trino.query(f"SELECT {quoted(columns)} FROM {lake.table.name} {where(conditions)}")


def by_ticklake(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    answer = lake.table.program.folder / "answer.parquet"
    lake.table.program.must("query", "--format", "parquet", "-o", answer,
                            f"SELECT {quoted(columns)} FROM {lake.table.name} {where(conditions)}")
    rows = arrow_rows(pq.read_table(answer))
    answer.unlink()
    return rows


def by_duckdb(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    files = str(lake.s3.folder_of(lake.path) / "date=*/symbol=*/*.parquet").replace("'", "''")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(
            f"SELECT {quoted(columns)} FROM read_parquet('{files}', hive_partitioning = true, "
            f"hive_types_autocast = false) {where(conditions)}").fetchall()


def by_polars(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    rows = pl.scan_parquet(
        f"s3://{lake.path}/date=*/symbol=*/*.parquet", hive_schema={"date": pl.String, "symbol": pl.String},
        storage_options={"aws_endpoint_url": lake.s3.endpoint, "aws_allow_http": "true", "aws_region": aws.REGION,
                         "aws_access_key_id": aws.ACCESS_KEY, "aws_secret_access_key": aws.SECRET_KEY})
    for condition in conditions:
        column = pl.col(condition.column)
        rows = rows.filter(column.is_null() if condition.is_null else column.is_in(instants(condition.values)))
    return rows.select(columns).collect().rows()


def by_pyarrow(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    dataset = ds.dataset(lake.path, format="parquet", partitioning=FOLDERS, filesystem=lake.arrow_s3())
    return arrow_rows(dataset.to_table(columns, filter=arrow_condition(conditions, dataset.schema)))


def by_pandas(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    filters = [(column, "in", instants(values)) for column, values in conditions] or None
    if any(condition.is_null for condition in conditions):
        [null] = conditions  # which that form cannot ask for
        filters = pc.field(null.column).is_null()
    rows = pandas.read_parquet(lake.path, columns=columns, filters=filters, partitioning=FOLDERS,
                               dtype_backend="pyarrow", filesystem=lake.arrow_s3())
    return [tuple(None if value is pandas.NA else value for value in row)
            for row in zip(*(rows[name].to_list() for name in columns))]


def by_spark(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    """A time comes as a number: `collect` makes no datetime of the year 1."""
    selected = ", ".join(f"unix_micros(`{name}`)" if name == "ts" else f"`{name}`" for name in columns)
    statement = f"SELECT {selected} FROM lake {where(conditions, '`')}"
    found = lake.guests["spark"].ask(str(lake.s3.folder_of(lake.path)), statement)
    return [tuple(EPOCH + datetime.timedelta(microseconds=value) if name == "ts" else value
                  for name, value in zip(columns, row)) for row in found]


def by_awswrangler(lake: Lake, columns: list[str], *conditions: In) -> list[tuple]:
    return lake.guests["awswrangler"].ask(lake.table.name, columns, [tuple(condition) for condition in conditions])


GUESTS = {"spark": by_spark, "awswrangler": by_awswrangler}
ENGINES = {"trino": by_trino, "ticklake": by_ticklake, "duckdb": by_duckdb, "polars": by_polars, "pyarrow": by_pyarrow,
           "pandas": by_pandas} | {name: GUESTS[name] for name in ASKED_FOR}
# awswrangler takes conditions on partitions only.
WITH_CONDITIONS = [name for name in ENGINES if name != "awswrangler"]


def versions(lake: Lake) -> dict[str, str]:
    """Of each engine that is not this repository's own."""
    [[trino]] = lake.trino.query("SELECT version()")
    guests = {name: guest.version for name, guest in lake.guests.items()}
    return {"trino": trino} | {name: version(name) for name in ("duckdb", "polars", "pyarrow", "pandas")} | guests


def arrow_condition(conditions: tuple[In, ...], schema: pa.Schema) -> pc.Expression:
    whole = pc.scalar(True)
    for condition in conditions:
        column, values = pc.field(condition.column), condition.values
        of = schema.field(condition.column).type
        whole = whole & (column.is_null() if condition.is_null else column.isin(pa.array(instants(values), of)))
    return whole


def arrow_rows(table: pa.Table) -> list[tuple]:
    return list(zip(*(column.to_pylist() for column in table.columns)))


def quoted(columns: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def where(conditions: tuple[In, ...], quote: str = '"') -> str:
    """`quote` is around names."""
    parts = [f"{quote}{condition.column}{quote} " + (
        "IS NULL" if condition.is_null else f"IN ({', '.join(map(literal, condition.values))})") for condition in conditions]
    return f"WHERE {' AND '.join(parts)}" if parts else ""


def literal(value) -> str:
    """In words that four dialects of SQL share."""
    text = "'" + str(value).replace("'", "''") + "'"
    match value:
        case bool() | int():
            return str(value)
        case Decimal():
            return f"CAST('{value:f}' AS decimal(38, {-value.as_tuple().exponent}))"
        case float():
            return f"CAST({text} AS double)"
        case datetime.datetime():
            return f"CAST({text} AS timestamp)"
        case datetime.date():
            return f"CAST({text} AS date)"
        case _:
            return text


def instants(values: list) -> list:
    """Times without an offset are UTC's."""
    return [value.replace(tzinfo=datetime.timezone.utc) if isinstance(value, datetime.datetime) else value
            for value in values]
