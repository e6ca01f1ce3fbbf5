"""Proves that no writer's files answer an analyst's questions by fewer bytes than ours, and half as many do where a
question names a part of a day.

The same rows are written by ticklake, out of a topic, and by others with what they do by default. Every one of the
questions has one answer, whoever wrote and whoever reads; what was read of S3 is measured in both engines.

    TICKLAKE_SCANS_TICKS=20000000   so many ticks, of 500 symbols in 30 days, with Spark among the writers; prints the tables
                                    that BENCHMARKS.md has. Of fewer it says only what is read
"""

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow.parquet as pq
import pytest

import scans
import writers
from conftest import SCHEMAS
from counted_s3 import counted_s3
from market import Market, write_lines
from program import CloudTable
from scans import Effort, Scan

COUNT = int(os.environ.get("TICKLAKE_SCANS_TICKS", 0))
MARKET = Market(COUNT, days=30, symbols=500) if COUNT else Market(30_000, days=3, symbols=12)
WRITERS = {"pyarrow": writers.by_pyarrow, "DuckDB": writers.by_duckdb}
VERSIONS = {"pyarrow": version("pyarrow"), "DuckDB": version("duckdb")}
if COUNT:
    SPARK = Path(os.environ["REAL_SPARK"])
    WRITERS["Spark"] = writers.by_spark(SPARK, os.environ["REAL_JAVA"])
    VERSIONS["Spark"] = writers.spark_version(SPARK)
# The goal is about so many; where there are few in a file, it is mostly footer, whoever wrote it (BENCHMARKS.md).
GOAL_TICKS = 20_000_000
PARTITIONS = 4
SECONDS = 1_800


class Written(NamedTuple):
    """A table, and the folder where its files lie."""

    name: str
    folder: Path

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("date=*/symbol=*/*.parquet"))

    def sizes(self) -> list[str]:
        """How many files and row groups of how many bytes, in all and for a row."""
        bytes = sum(file.stat().st_size for file in self.files())
        groups = sum(pq.read_metadata(file).num_row_groups for file in self.files())
        return [f"{len(self.files()):,}", f"{groups:,}", scans.size(bytes), f"{bytes / MARKET.ticks:.2f}"]


def digest(files: Path) -> list[tuple]:
    """What two tables of the same rows have in common, by partition."""
    with duckdb.connect() as connection:
        return connection.execute(
            "SELECT date, symbol, count(*), sum(price), sum(size), sum(bid), sum(ask), bit_xor(hash(exchange)), sum(seq), "
            "sum(seq * epoch_ms(ts)), sum(size * epoch_ms(ts)) FROM "
            f"read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false) GROUP BY ALL ORDER BY ALL"
        ).fetchall()


@pytest.fixture(scope="module")
def market(cluster, start_program, s3, glue, measured, tmp_path_factory):
    """The program, and the tables by who wrote them, ours first."""
    folder = tmp_path_factory.mktemp("scans")
    rows = folder / "rows"
    rows.mkdir()
    with start_program("scans", folder) as program:
        cloud = program.in_cloud(s3, glue)
        table = CloudTable(cloud, s3, SCHEMAS / "ticks.sql", "scans")
        topic = cluster.topic("scans", PARTITIONS)
        for date, day in zip(MARKET.dates, MARKET.rows(), strict=True):
            pq.write_table(day, rows / f"{date}.parquet")
            write_lines(day, lines := folder / "lines")
            cloud.must("produce", "--topic", topic, "--ndjson", lines, "--key", "symbol", seconds=SECONDS)
            lines.unlink()
        counts = table.ingest_to_end(topic, seconds=SECONDS)
        assert (counts["rows"], counts["rejected"]) == (MARKET.ticks, 0), counts
        tables = {"ticklake": Written(table.name, s3.folder_of(table.location.removeprefix("s3://")))}
        for name, write in WRITERS.items():
            made = folder / name
            write(sorted(rows.glob("*.parquet")), made)
            # Glue's names are in lower case.
            tables[name] = Written(writers.load(made, table, name.lower(), s3, glue), s3.folder_of(f"{table.bucket}/other/{name.lower()}"))
            shutil.rmtree(made)
        sent = digest(rows / "*.parquet")
        for name, written in tables.items():
            assert digest(written.folder / "date=*/symbol=*/*.parquet") == sent, name
        shutil.rmtree(rows)
        for line in scans.markdown(["writer", "files", "row groups", "bytes", "a row"],
                                   [[f"{name} {VERSIONS.get(name, '')}", *table.sizes()] for name, table in tables.items()]):
            measured(line)
        yield cloud, tables


@pytest.fixture(scope="module")
def answers():
    """By question: whoever answers first, all others agree."""
    return {}


def test_trino_reads_less_of_ours(market, answers, trino, measured):
    _, tables = market
    if COUNT:
        for table in tables.values():  # the first time it meets a table, and compiles
            trino.query(scans.questions(MARKET)[0].sql.format(table=table.name))
    compare("Trino", market, answers, measured, lambda sql: scans.by_trino(trino, sql))


def test_ticklake_query_reads_less_of_ours_and_nothing_twice(market, answers, s3, measured):
    program, _ = market
    with counted_s3(s3.endpoint) as proxy:
        def ask(sql: str) -> tuple[Scan, Effort | None]:
            found = scans.by_ticklake_in_full(program, proxy, sql) if COUNT else (scans.by_ticklake(program, proxy, sql), None)
            sizes = sum(s3.folder_of(path.lstrip("/")).stat().st_size for path in proxy.files)
            assert found[0].bytes <= sizes, proxy.taken[:10]
            return found

        compare("ticklake query", market, answers, measured, ask)


def compare(engine: str, market, answers, measured, ask):
    """Asks every question of every writer's table."""
    program, tables = market
    read, efforts = {}, {}
    for question in scans.questions(MARKET):
        found = {writer: ask(question.sql.format(table=table.name)) for writer, table in tables.items()}
        read[question.name] = {writer: scan for writer, (scan, _) in found.items()}
        efforts[question.name] = {writer: effort for writer, (_, effort) in found.items()}
        with (program.logs / "scans.log").open("a") as log:
            print(engine, question.name, *((writer, scan[1:], effort) for writer, (scan, effort) in found.items()), file=log)
        for writer, scan in read[question.name].items():
            assert scan.answer and scan.answer == answers.setdefault(question.name, scan.answer), (question.name, writer)
    for line in scans.bytes_table(engine, read) + (scans.efforts_table(engine, read, efforts) if COUNT else []):
        measured(line)
    if 0 < COUNT < GOAL_TICKS:
        return
    for question in scans.questions(MARKET):
        found = {writer: scan.bytes for writer, scan in read[question.name].items()}
        ours, best = found.pop("ticklake"), min(found.values())
        assert ours <= (best / 2 if question.is_of_a_range else best), (question.name, ours, found)
