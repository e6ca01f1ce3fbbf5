"""Makes a market of any size from a seed, a day at a time: rows for Parquet writers, and the same as JSON lines.

As large feeds are: symbols whose popularity falls as 1/rank, prices that walk in cents with a bid and an ask beside
them, sizes in lots, times in a session of six and a half hours in their order, `seq` counted by symbol with gaps now
and then. The columns are those of schemas/ticks.sql.
"""

import datetime
from pathlib import Path
from typing import Iterator, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feed import EPOCH, SCHEMA, column

FIRST_DATE = datetime.date(2026, 10, 19)
OPEN = datetime.time(13, 30)
SESSION_MS = int(6.5 * 3_600_000)
EXCHANGES = np.array(list("QNPZKVUD"))
# One step of a price's logarithm; one of so many ticks has numbers missing before it.
STEP, GAP = 1e-4, 2_000
LINES = 100_000


class Market(NamedTuple):
    ticks: int
    days: int
    symbols: int
    seed: int = 1

    @property
    def dates(self) -> list[str]:
        return [(FIRST_DATE + datetime.timedelta(days=day)).isoformat() for day in range(self.days)]

    def symbol(self, rank: int) -> str:
        """The symbol that is traded the most is that of rank 0."""
        return f"S{rank:03d}"

    def rows(self) -> Iterator[pa.Table]:
        """A table a day, in the order of the times."""
        rng = np.random.default_rng(self.seed)
        names = np.array([self.symbol(rank) for rank in range(self.symbols)])
        popularity = np.cumsum(1 / np.arange(1, self.symbols + 1))
        # What goes on from day to day, by symbol: the price's logarithm and the last number.
        prices = rng.uniform(np.log(5), np.log(500), self.symbols)
        seqs = np.zeros(self.symbols, np.int64)
        for day in range(self.days):
            count = self.ticks * (day + 1) // self.days - self.ticks * day // self.days
            ranks = np.searchsorted(popularity, rng.uniform(0, popularity[-1], count), side="right")
            steps, numbers = rng.normal(0, STEP, count), 1 + rng.integers(1, 4, count) * (rng.integers(0, GAP, count) == 0)
            cents = np.maximum(np.round(100 * np.exp(walk(ranks, steps, prices))), 1).astype(np.int64)
            bid, ask = np.maximum(cents - rng.integers(0, 4, count), 1), cents + rng.integers(0, 4, count)
            lots, odd = 100 * rng.integers(1, 9, count), rng.integers(1, 100, count)
            open_ms = (FIRST_DATE - EPOCH).days * 86_400_000 + (OPEN.hour * 60 + OPEN.minute) * 60_000
            columns = {
                "date": pa.array([self.dates[day]]).take(pa.array(np.zeros(count, np.int32))),
                "symbol": pa.array(names).take(pa.array(ranks)),
                "ts": open_ms + day * 86_400_000 + np.sort(rng.integers(0, SESSION_MS, count)),
                "price": 100 * cents, "size": np.where(rng.integers(0, 4, count) == 0, odd, lots),
                "bid": 100 * bid, "ask": 100 * ask,
                "exchange": pa.array(EXCHANGES).take(pa.array(rng.integers(0, len(EXCHANGES), count))),
                "seq": walk(ranks, numbers, seqs),
            }
            yield pa.table([values if isinstance(values, pa.Array) else column(values, SCHEMA.field(name).type)
                            for name, values in columns.items()], schema=SCHEMA)


def walk(ranks: np.ndarray, steps: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where each symbol is after each of its steps; `last` is where it was before, and then where it is."""
    order = np.argsort(ranks, kind="stable")
    sums = np.cumsum(steps[order])
    of = ranks[order]
    first = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    ends = np.r_[first[1:], len(of)] - 1
    before = np.repeat(np.r_[sums[:1] * 0, sums[ends[:-1]]], np.diff(np.r_[first, len(of)]))
    walked = np.empty_like(sums)
    walked[order] = sums - before + last[of]
    last[of[ends]] = walked[order[ends]]
    return walked


def write_lines(rows: pa.Table, file: Path):
    """The rows as Kafka's records, a JSON object a line."""
    texts = {"symbol": '{"symbol":"', "ts": '","ts":', "price": ',"price":', "size": ',"size":', "bid": ',"bid":',
             "ask": ',"ask":', "exchange": ',"exchange":"', "seq": '","seq":'}
    with file.open("wb") as out:
        for batch in rows.to_batches(LINES):
            parts = []
            for name, before in texts.items():
                values = batch[name].cast(pa.int64()) if name == "ts" else batch[name]
                parts += [pa.scalar(before), values.cast(pa.string())]
            lines = pc.binary_join_element_wise(*parts, pa.scalar("}\n"), "")
            # The texts lie one behind the other: the bytes are the file.
            _, offsets, data = lines.buffers()
            ends = np.frombuffer(offsets, np.int32)
            out.write(memoryview(data)[ends[0]:ends[len(lines)]])
