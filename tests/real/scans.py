"""Asks what analysts ask of ticks, in Trino and in `ticklake query`, and takes down what it takes to answer.

The questions' texts are the same for both engines. What of S3 was read is told by Trino itself, and for `ticklake query`
by a proxy that its requests go through, so that footers are counted too.
"""

import json
import re
import resource
import time
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from counted_s3 import Counting
from market import Market
from program import Program
from sql import Trino

# A question may read each file of a large lake.
SECONDS = 1_800


class Question(NamedTuple):
    """`{table}` stands for the table in its text."""

    name: str
    sql: str
    # Whether it names a part of a day, so that most of each file need not be read.
    is_of_a_range: bool = False


class Scan(NamedTuple):
    """An answer, and what of S3 was read for it."""

    answer: list[tuple]
    bytes: int
    files: int


class Effort(NamedTuple):
    """What else it took; Trino does not tell of row groups."""

    seconds: float
    cpu: float
    row_groups: int | None


def questions(market: Market) -> list[Question]:
    date, symbol = market.dates[len(market.dates) // 2], market.symbol(0)
    day = f"\"date\" = '{date}'"
    one = f"{day} AND symbol = '{symbol}'"

    def between(first: str, last: str) -> str:
        return f"ts >= TIMESTAMP '{date} {first}' AND ts < TIMESTAMP '{date} {last}'"

    def bars(where: str) -> str:
        return (f"SELECT date_trunc('minute', ts) AS minute, array_agg(price ORDER BY seq)[1] AS open, max(price) AS high, "
                f"min(price) AS low, array_agg(price ORDER BY seq DESC)[1] AS close, sum(size) AS volume "
                f"FROM {{table}} WHERE {where} GROUP BY date_trunc('minute', ts) ORDER BY minute")

    return [
        Question("bars of a minute, a symbol, a day", bars(one)),
        Question("the same, an hour", bars(f"{one} AND {between('15:00:00', '16:00:00')}"), True),
        Question("VWAP by symbol, a day",
                 "SELECT symbol, round(CAST(sum(price * size) AS double) / CAST(sum(size) AS double), 6) AS vwap "
                 f"FROM {{table}} WHERE {day} GROUP BY symbol ORDER BY symbol"),
        Question("last prices as of a time", "SELECT symbol, array_agg(price ORDER BY seq DESC)[1] AS last FROM {table} "
                 f"WHERE {day} AND ts <= TIMESTAMP '{date} 15:00:00' GROUP BY symbol ORDER BY symbol", True),
        Question("top movers, a day",
                 "SELECT symbol, round(CAST(last AS double) / CAST(first AS double) - 1, 6) AS moved FROM ("
                 "SELECT symbol, array_agg(price ORDER BY seq)[1] AS first, array_agg(price ORDER BY seq DESC)[1] AS last "
                 f"FROM {{table}} WHERE {day} GROUP BY symbol) AS ends ORDER BY abs(last / first - 1) DESC, symbol LIMIT 10"),
        Question("gaps in `seq`, a symbol, all days",
                 "SELECT seq, missing FROM (SELECT seq, seq - lag(seq) OVER (ORDER BY seq) - 1 AS missing FROM {table} "
                 f"WHERE symbol = '{symbol}') AS steps WHERE missing > 0 ORDER BY seq"),
        Question("counts by date", "SELECT \"date\", count(*) AS ticks FROM {table} GROUP BY \"date\" ORDER BY \"date\""),
        Question("a quarter of an hour, all symbols",
                 "SELECT symbol, count(*) AS ticks, min(price) AS low, max(price) AS high FROM {table} "
                 f"WHERE {day} AND {between('15:00:00', '15:15:00')} GROUP BY symbol ORDER BY symbol", True),
    ]


def by_trino(trino: Trino, sql: str) -> tuple[Scan, Effort]:
    rows, account = trino.accounted(sql, SECONDS)
    # Operators that read of S3: each of their drivers has a piece of a file, and files of up to 32 MB are one.
    drivers = [part["totalDrivers"] for part in account["operatorSummaries"] if part["physicalInputDataSize"] != "0B"]
    return (Scan(answer_of(rows), data(account["physicalInputDataSize"]), sum(drivers)),
            Effort(duration(account["elapsedTime"]), duration(account["totalCpuTime"]), None))


def by_ticklake(program: Program, proxy: Counting, sql: str) -> Scan:
    proxy.taken.clear()
    said = asked(program.with_s3(proxy.endpoint), sql)
    return Scan(answer_of_lines(said), proxy.bytes, len(proxy.files))


def by_ticklake_in_full(program: Program, proxy: Counting, sql: str) -> tuple[Scan, Effort]:
    """Asked twice: a process as it is used, and one behind the proxy that tells which row groups it reads, as their
    statistics do not rule them out."""
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    answer = answer_of_lines(asked(program, sql))
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    proxy.taken.clear()
    plan = asked(program.with_s3(proxy.endpoint), f"EXPLAIN ANALYZE {sql}")
    groups = re.findall(r"row_groups_pruned_statistics=[^→]+→ ([\d.]+(?: [KM])?) matched", plan)
    return Scan(answer, proxy.bytes, len(proxy.files)), Effort(seconds, cpu, sum(map(thousands, groups)))


def asked(program: Program, sql: str) -> str:
    return program.must("query", "--format", "jsonl", sql, seconds=SECONDS).stdout


def answer_of_lines(said: str) -> list[tuple]:
    return answer_of(json.loads(line, parse_float=Decimal).values() for line in said.splitlines())


def answer_of(rows) -> list[tuple]:
    return [tuple(plain(value) for value in row) for row in rows]


def plain(value):
    """In the form in which two engines' values are compared."""
    match value:
        case float() | Decimal():
            return Decimal(str(value)).normalize()
        case datetime():
            return value.isoformat(timespec="seconds")
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.000)?Z?", value):
            return value[:19]
        case _:
            return value


def data(said: str) -> int:
    """Bytes, as Trino says them."""
    return round(float(said.removesuffix("B")))


UNITS = {"ns": 1e-9, "us": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3_600}


def duration(said: str) -> float:
    """Seconds, of Trino's `1.51m`."""
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", said).groups()
    return float(number) * UNITS[unit]


def thousands(said: str) -> int:
    """Of DataFusion's `1.33 K`."""
    number, _, unit = said.partition(" ")
    return round(float(number) * {"": 1, "K": 1e3, "M": 1e6}[unit])


def bytes_table(engine: str, read: dict[str, dict[str, Scan]]) -> list[str]:
    """A line of Markdown a question: what is read of the files of each writer, and our part of the best other one's."""
    found = []
    for question, scans in read.items():
        best = min(scan.bytes for writer, scan in scans.items() if writer != "ticklake")
        found.append([question, *(size(scan.bytes) for scan in scans.values()), f"{scans['ticklake'].bytes / best:.2f}"])
    return markdown([f"{engine}: read of S3", *next(iter(read.values())), "of the best other"], found)


def efforts_table(engine: str, read: dict[str, dict[str, Scan]], efforts: dict[str, dict[str, Effort]]) -> list[str]:
    def said(scan: Scan, effort: Effort) -> str:
        groups = "" if effort.row_groups is None else f"{effort.row_groups:,} · "
        return f"{scan.files:,} · {groups}{effort.seconds:.1f} s · {effort.cpu:.1f} s"

    what = "files, time, CPU" if engine == "Trino" else "files, row groups, time, CPU"
    return markdown([f"{engine}: {what}", *next(iter(read.values()))],
                    [[question, *(said(scan, efforts[question][writer]) for writer, scan in scans.items())]
                     for question, scans in read.items()])


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]


def size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
