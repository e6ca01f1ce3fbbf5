"""The reference CSV: daily bars of stock indices, as JSON records and as the rows that they must become."""

import csv
import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from feed import DAY_MS, EPOCH, Summary

SAMPLE = Path(__file__).parents[2] / "schemas/samples/indexProcessed.csv"

# The columns of schemas/indices.sql, and before them its partition columns.
SCHEMA = pa.schema([
    ("date", pa.string()), ("symbol", pa.string()), ("trade_date", pa.date32()),
    *((name, pa.decimal128(18, 6)) for name in ("open", "high", "low", "close", "adj_close")),
    ("volume", pa.decimal128(18, 2)), ("close_usd", pa.decimal128(38, 18)),
])


class Bar(NamedTuple):
    """A line of the CSV. Its numbers are texts, in the order of the file."""

    symbol: str
    date: str
    numbers: list[str]

    def record(self, names: list[str]) -> tuple[str, str]:
        """The Kafka record: its key is the index, its numbers have the digits of the file."""
        numbers = ",".join(f"{json.dumps(name)}:{text}" for name, text in zip(names[2:], self.numbers, strict=True))
        return self.symbol, f'{{"Index":"{self.symbol}","Date":"{self.date}",{numbers}}}'

    @property
    def close(self) -> Decimal:
        return Decimal(self.numbers[3])


def read() -> tuple[list[str], list[Bar]]:
    """The names of the columns, and the lines."""
    with SAMPLE.open(newline="") as file:
        names, *lines = csv.reader(file)
    return names, [Bar(symbol, date, numbers) for symbol, date, *numbers in lines]


def summaries(sent: list[Bar]) -> dict[tuple[str, str], Summary]:
    """By (date, symbol), what a reader must find; an index has one bar a day."""
    found = {}
    for bar in sent:
        midnight = (datetime.date.fromisoformat(bar.date) - EPOCH).days * DAY_MS
        assert (bar.date, bar.symbol) not in found
        found[bar.date, bar.symbol] = Summary(1, 1, bar.close, midnight, midnight)
    return found


def table(sent: list[Bar]) -> pa.Table:
    """The rows as Arrow."""
    rows = [(bar.date, bar.symbol, datetime.date.fromisoformat(bar.date), *map(Decimal, bar.numbers)) for bar in sent]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(zip(*rows), SCHEMA)], schema=SCHEMA)
