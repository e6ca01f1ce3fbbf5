"""Makes what the tests send: ticks from a seed, with what is exactly expected of them afterwards."""

import datetime
import functools
import random
from collections import defaultdict
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

# What FACTS 4.8 names, a slash and a percent sign that could be taken for an escape, and a dot at both ends.
ODD_SYMBOLS = ["BRK.B", "BRK/B", "^GSPC", "ES=F", "EUR:USD", "BTC-USD", "X%2FY", "50%", "A'B", "[Q]", "_A", ".B."]
# Its prices have 18 digits: more than a double holds.
HUGE = "HUGE"
EPOCH = datetime.date(1970, 1, 1)
FIRST_DATE = datetime.date(2026, 11, 18)
DAY_MS = 86_400_000
EXCHANGES = ["XNAS", "XNYS", "ARCX", "BATS"]

# The columns of schemas/ticks.sql, and before them its partition columns.
SCHEMA = pa.schema([
    ("date", pa.string()), ("symbol", pa.string()), ("ts", pa.timestamp("ms", "UTC")),
    ("price", pa.decimal128(18, 4)), ("size", pa.int64()), ("bid", pa.decimal128(18, 4)),
    ("ask", pa.decimal128(18, 4)), ("exchange", pa.string()), ("seq", pa.int64()),
])


@functools.cache
def date_of_day(days: int) -> str:
    return (EPOCH + datetime.timedelta(days=days)).isoformat()


class Tick(NamedTuple):
    """A tick; the prices are in ten-thousandths, the time is milliseconds since the epoch, UTC."""

    symbol: str
    ts: int
    price: int
    size: int
    bid: int
    ask: int
    exchange: str
    seq: int

    @property
    def date(self) -> str:
        return date_of_day(self.ts // DAY_MS)

    def record(self) -> tuple[str, str]:
        """The Kafka record: its key is the symbol. No symbol here needs an escape in JSON."""
        return self.symbol, (
            f'{{"symbol":"{self.symbol}","ts":{self.ts},"price":{number(self.price)},"size":{self.size},'
            f'"bid":{number(self.bid)},"ask":{number(self.ask)},"exchange":"{self.exchange}","seq":{self.seq}}}')


class Summary(NamedTuple):
    """What is compared of a table partition: its rows, how many of them have a key of their own, the sum of an amount,
    the first and the last time in milliseconds since the epoch."""

    rows: int
    keys: int
    amount: Decimal
    first: int
    last: int


def number(ten_thousandths: int) -> str:
    return f"{ten_thousandths // 10_000}.{ten_thousandths % 10_000:04d}"


def decimal(ten_thousandths: int) -> Decimal:
    return Decimal(ten_thousandths).scaleb(-4)


def ticks(count: int, symbols: int = 300, dates: int = 3, seed: int = 1) -> list[Tick]:
    """Ticks of `symbols` symbols whose popularity falls as 1/rank, over whole days, from midnight to midnight; within
    a few seconds they are out of order. `seq` counts each symbol's own, from 0, so that (symbol, seq) is a key."""
    rng = random.Random(seed)
    plain = [f"S{i:03d}" for i in range(symbols - len(ODD_SYMBOLS) - 1)]
    names = [HUGE, *ODD_SYMBOLS, *plain]
    rng.shuffle(names)
    chosen = rng.choices(names, [1 / (rank + 1) for rank in range(len(names))], k=count)
    # Each symbol at least once.
    chosen[:len(names)] = names
    prices = {name: rng.randrange(10_000, 9_000_000) for name in names} | {HUGE: 98_765_432_109_876_543}
    seqs = defaultdict(int)
    start = (FIRST_DATE - EPOCH).days * DAY_MS
    made = []
    for i, symbol in enumerate(chosen):
        # The first is at midnight, the last a millisecond before.
        in_order = i * (dates * DAY_MS - 1) // max(1, count - 1)
        ts = start + (in_order if i in (0, count - 1) else max(0, in_order - rng.randrange(3_000)))
        price = prices[symbol] = max(1, prices[symbol] + rng.randrange(-5_000, 5_001))
        made.append(Tick(symbol, ts, price, rng.randrange(1, 1_000), max(0, price - 100), price + 100,
                         rng.choice(EXCHANGES), seqs[symbol]))
        seqs[symbol] += 1
    return made


def summaries(sent: list[Tick]) -> dict[tuple[str, str], Summary]:
    """By (date, symbol), what a reader must find when exactly `sent` is in the table."""
    groups = defaultdict(list)
    for tick in sent:
        groups[tick.date, tick.symbol].append(tick)
    return {
        key: Summary(len(group), len({t.seq for t in group}), decimal(sum(t.price for t in group)),
                     min(t.ts for t in group), max(t.ts for t in group))
        for key, group in groups.items()
    }


def table(sent: list[Tick]) -> pa.Table:
    """The rows as Arrow."""
    columns = [[t.date for t in sent], [t.symbol for t in sent], *list(zip(*sent))[1:]]
    return pa.Table.from_arrays([column(values, f.type) for values, f in zip(columns, SCHEMA)], schema=SCHEMA)


def column(values, of: pa.DataType) -> pa.Array:
    if not pa.types.is_decimal(of):
        return pa.array(values, of)
    # The integers are the decimal's own: the same sixteen bytes, read with another scale.
    whole = pa.array(values, pa.int64()).cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(of, len(whole), whole.buffers())
