"""Proves that a change of the day is within the limits of Glue's API, and that what comes of it is read: each symbol gets a new
partition, all at once.

    TICKLAKE_NEW_PARTITIONS=10000 TICKLAKE_ENGINES="spark awswrangler" tests/real/run.sh test_midnight.py

is the full size. TICKLAKE_GLUE_CALLS is how many calls a second of each operation are taken, 1 without it.
"""

import json
import os
import time
from collections import Counter
from typing import NamedTuple

import pytest

import feed
import strict_glue
from conftest import SCHEMAS
from engines import ENGINES, In, Lake
from feed import DAY_MS, Tick
from program import CloudTable
from proxy import Proxy, Through, listening
from test_metrics import Figures, scrape
from wait import until

PARTITIONS = int(os.environ.get("TICKLAKE_NEW_PARTITIONS", 600))
CALLS_A_SECOND = float(os.environ.get("TICKLAKE_GLUE_CALLS", 1))
MIDNIGHT = (feed.FIRST_DATE - feed.EPOCH).days * DAY_MS + DAY_MS
SECONDS = 60 + PARTITIONS / 10
FAR = 0.03
ROWS = "SELECT count(*), count(DISTINCT symbol), sum(seq) FROM"
FOUND = (PARTITIONS + 1, PARTITIONS, PARTITIONS * (PARTITIONS + 1) // 2)


class Counting(Through):
    """Counts what S3 is asked, and is as far away as S3 is."""

    def on(self, body: bytes):
        time.sleep(FAR)
        self.server.count("lists" if "list-type" in self.path else f"{self.command}s")
        self.answer(self.ask(body))


class Midnight(NamedTuple):
    table: CloudTable
    # Versions of the table before and after.
    versions: tuple[int, int]
    # What Glue was asked meanwhile, and what the job said of itself then.
    calls: dict[str, int]
    figures: Figures
    # From the first file until all were written, and until all were registered.
    written: float
    registered: float


def ticks() -> list[Tick]:
    """The last tick of a day, and then one of each symbol."""
    symbols = ["S00000", *(f"S{n:05d}" for n in range(PARTITIONS))]
    return [Tick(symbol, MIDNIGHT + n - 1, 10_000 + n, 1, 1, 2, "XNAS", n) for n, symbol in enumerate(symbols)]


@pytest.fixture(scope="module")
def midnight(cluster, s3, glue, start_program, tmp_path_factory):
    """The table after it, through a Glue that throttles."""
    with start_program("midnight", tmp_path_factory.mktemp("midnight")) as program:
        table = CloudTable(program.in_cloud(s3, glue), s3, SCHEMAS / "ticks.sql", "midnight")
        topic = cluster.topic("midnight", 4)
        before, *after = ticks()
        database, name = table.name.split(".")

        def versions() -> int:
            return len(glue.client().get_table_versions(DatabaseName=database, TableName=name)["TableVersions"])

        with strict_glue.limited_glue(glue.endpoint, CALLS_A_SECOND) as limited:
            daemon = table.program.with_glue(limited.endpoint).start(
                "daemon", *table.ingest(topic, "--metrics", "127.0.0.1:0", "--flush-age", "1s"))

            def until_told(what, condition):
                return until(what, lambda: (figures := scrape(daemon)) and condition(figures) and figures, SECONDS, [daemon])

            cluster.send(topic, [before.record()])
            until("the day before is committed", lambda: cluster.all_is_committed(table.group, topic), 60, [daemon])
            made, asked = versions(), limited.seen.copy()

            cluster.send(topic, (tick.record() for tick in after))
            until_told("a file is there", lambda f: f["files_total"] > 1)
            begun = time.monotonic()
            until_told("all files are there", lambda f: f["files_total"] > PARTITIONS)
            written = time.monotonic() - begun
            until_told("all are registered", lambda f: f["partitions_registered_total"] > PARTITIONS)
            registered = time.monotonic() - begun
            until("all is committed", lambda: cluster.all_is_committed(table.group, topic), SECONDS, [daemon])
            figures = until_told("no file waits", lambda f: f["oldest_unregistered_seconds"] == 0)
            daemon.stop()
            yield Midnight(table, (made, versions()), limited.seen - asked, figures, written, registered)


def test_a_day_of_new_partitions_is_registered_within_the_limits(midnight, measured):
    calls, figures = midnight.calls, midnight.figures
    count = figures["registration_lag_seconds_count"]
    lags = {s.labels["le"]: int(s.value) for s in figures.samples if s.name.endswith("lag_seconds_bucket")}
    measured(f"{PARTITIONS:,} new partitions, {CALLS_A_SECOND:g} calls a second: after the first file all are written in "
             f"{midnight.written:.1f} s and registered in {midnight.registered:.1f} s; lag "
             f"{figures['registration_lag_seconds_sum'] / count:.2f} s on average, below {lags}; calls {dict(calls)}")
    assert count == figures["partitions_registered_total"] == PARTITIONS + 1
    assert calls["throttled"] > 0 and calls["refused"] == 0
    made, now = midnight.versions
    assert now == made and calls["UpdateTable"] == 0


def test_the_program_reads_the_partitions_of_a_day(midnight, s3, glue, measured):
    name = midnight.table.name
    with strict_glue.strict_glue(glue.endpoint) as strict, listening(Proxy(s3.endpoint, Counting)) as counting:
        program = midnight.table.program.with_glue(strict.endpoint).with_s3(counting.endpoint)

        # A folder's marker is no file, whatever it is called: some tools leave them.
        marker = {"Bucket": midnight.table.bucket, "Key": f"lake/ticks/date={ticks()[-1].date}/symbol=S00000/x.parquet/"}
        s3.client().put_object(**marker, Body=b"")

        def said(*arguments) -> tuple[list[dict], Counter]:
            begin, asked = time.monotonic(), strict.seen + counting.seen
            lines = program.must(*arguments, seconds=SECONDS).stdout.splitlines()
            calls = strict.seen + counting.seen - asked
            measured(f"{PARTITIONS:,} partitions by {arguments[:2]}: {time.monotonic() - begin:.1f} s, {dict(calls)}")
            return [json.loads(line) for line in lines], calls

        [row], calls = said("query", "--format", "jsonl", f"{ROWS} {name}")
        # The folders of a day are listed together.
        assert tuple(row.values()) == FOUND and 2 < calls["lists"] < PARTITIONS / 50
        ask = ["table", "partitions", name, "--stats", "--json"]
        stats, calls = said(*ask)
        assert [row["rows"] for row in stats] == [1] * (PARTITIONS + 1)
        lists = calls["lists"]
        assert lists < PARTITIONS / 50 and calls["GETs"] == PARTITIONS + 1
        again, calls = said(*ask)
        assert again == stats and calls["lists"] == lists and calls["GETs"] == 0, "footers are read once"
        # What was kept may be spoiled: then it is as if there were none.
        [kept] = program.folder.glob("cache/ticklake/footers/*.json")
        kept.write_bytes(kept.read_bytes()[:-1])
        done = program.must(*ask, seconds=SECONDS)
        assert [json.loads(line) for line in done.stdout.splitlines()] == stats and "of no use" in done.stderr
        s3.client().delete_object(**marker)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reads_the_partitions_of_a_day(midnight, engine, s3, trino, guests, measured):
    lake = Lake(midnight.table, s3, trino, guests)

    def read(what, *conditions) -> list[tuple]:
        begin = time.monotonic()
        found = sorted(ENGINES[engine](lake, ["symbol", "seq"], *conditions))
        measured(f"{what} of {PARTITIONS:,} partitions by {engine}: {time.monotonic() - begin:.1f} s")
        return found

    sent = sorted((tick.symbol, tick.seq) for tick in ticks())
    assert read("all") == sent
    assert read("one", In("symbol", [sent[-1][0]])) == sent[-1:]
