"""Owns what is known of a table on S3 under chaos: a copy of its files that grows, and what two engines find in it.

No object is ever changed: a key that was seen once must stay as it was.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow.parquet as pq

import feed
import readers
from feed import Tick
from program import CloudTable

FETCHES = 4


class Copied(NamedTuple):
    """A folder of the copy, as the readers take a table."""

    ddl: Path
    location: Path

    def files(self) -> list[Path]:
        return sorted(self.location.glob("date=*/**/*.parquet"))


class Lake:
    """The table's files and its rejected sibling's, copied from S3 once each."""

    def __init__(self, table: CloudTable, s3, folder: Path):
        self._bucket, self._client, self._folder = table.bucket, s3.client(), folder
        self._seen = {}
        self._sources = {}
        self.ticks = Copied(table.ddl, folder / "lake/ticks")
        self.rejected = Copied(table.ddl, folder / "lake/ticks_rejected")

    def refresh(self):
        """Copies what is new. Fails where an object is another one than before, or gone."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="lake/")
        found = {found["Key"]: (found["ETag"], found["Size"], found["LastModified"])
                 for page in pages for found in page.get("Contents", [])}
        changed = {key: (was, found.get(key)) for key, was in self._seen.items() if found.get(key) != was}
        assert not changed, f"objects were overwritten or removed: {changed}"
        with ThreadPoolExecutor(FETCHES) as threads:
            for _ in threads.map(self._fetch, found.keys() - self._seen.keys()):
                pass
        self._seen = found

    def _fetch(self, key: str):
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def rows_by_source(self) -> Counter:
        """How many rows the files have of each partition of the topic, the rejected ones included."""
        for copied in self.ticks, self.rejected:
            for file in copied.files():
                if file not in self._sources:
                    footer = pq.read_metadata(file)
                    self._sources[file] = int(footer.metadata[b"ticklake.partition"]), footer.num_rows
        rows = Counter()
        for partition, count in self._sources.values():
            rows[partition] += count
        return rows


class Verdict(NamedTuple):
    """What an engine found, beside what it should."""

    engine: str
    rows: int
    doubled: int
    lost: int
    rejected: int
    rejected_doubled: int
    rejected_lost: int
    # Partitions whose summaries are not as they should be: also with another sum or another time.
    wrong: list

    def is_exact(self) -> bool:
        return not any([self.doubled, self.lost, self.rejected_doubled, self.rejected_lost, self.wrong])

    def __str__(self):
        return (f"{self.rows:,} rows ({self.doubled} doubled, {self.lost} lost, {len(self.wrong)} partitions differ), "
                f"{self.rejected:,} rejected ({self.rejected_doubled} doubled, {self.rejected_lost} lost)")


def by_trino(trino, table: CloudTable, sent: list[Tick], bad: list[str]) -> Verdict:
    rejected = trino.query(f"SELECT from_utf8(value) FROM {table.name}_rejected")
    return judged("Trino", readers.by_trino(trino, table), rejected, sent, bad)


def by_duckdb(lake: Lake, sent: list[Tick], bad: list[str]) -> Verdict:
    with duckdb.connect() as connection:
        rejected = connection.execute(
            f"SELECT decode(value) FROM read_parquet('{lake.rejected.location}/date=*/*.parquet')").fetchall()
    return judged("DuckDB", readers.by_duckdb(lake.ticks), rejected, sent, bad)


def judged(engine: str, found: readers.Summaries, rejected, sent: list[Tick], bad: list[str]) -> Verdict:
    wanted = feed.summaries(sent)
    differ = [(key, found.get(key), wanted.get(key)) for key in found.keys() | wanted.keys()
              if found.get(key) != wanted.get(key)]
    kept, known = Counter(value for [value] in rejected), Counter(bad)
    return Verdict(
        engine, sum(s.rows for s in found.values()), sum(s.rows - s.keys for s in found.values()),
        sum(max(0, wanted[key].keys - (found[key].keys if key in found else 0)) for key in wanted),
        len(rejected), (kept - known).total(), (known - kept).total(), differ)
