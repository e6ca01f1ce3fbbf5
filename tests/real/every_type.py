"""Defines a table with a column of each type that a DDL can have, and rows of it: what is sent, and what must be read."""

import datetime
from decimal import Decimal

DDL = """
CREATE EXTERNAL TABLE `market`.`types` (
  `n` int, `yes` boolean, `tiny` tinyint, `small` smallint, `whole` int, `big` bigint, `single` float, `twice` double,
  `short` decimal(9,2), `price` decimal(18,4), `wide` decimal(38,18), `text` string, `bytes` binary, `day` date,
  `ts` timestamp, `nanos` bigint, `list` array<int>, `pairs` map<string,decimal(18,4)>,
  `quote` struct<bid:double,venue:string>, `deep` array<struct<at:timestamp,levels:array<bigint>>>
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/symbol)',
  'ticklake.format.nanos' = 'rfc3339', 'ticklake.source.bytes' = '@key')
"""

FIRST = datetime.datetime(1, 1, 1)
LAST = datetime.datetime(9999, 12, 31, 23, 59, 59, 999000)
NOON = datetime.datetime(2026, 11, 22, 12, 0, 0, 123000)
EPOCH = datetime.datetime(1970, 1, 1)

# What is sent, by column, and what must be read.
USUAL = {
    "yes": (True, True), "tiny": (7, 7), "small": (300, 300), "whole": (-70_000, -70_000), "big": (2**40, 2**40),
    "single": (1.5, 1.5), "twice": (0.1, 0.1), "short": (1.25, Decimal("1.25")), "price": (229.87, Decimal("229.8700")),
    "wide": ("0.000000000000000001", Decimal("0.000000000000000001")), "text": ("héllo, \"日経\" 🦀\n", "héllo, \"日経\" 🦀\n"),
    "day": ("2026-11-22", datetime.date(2026, 11, 22)), "ts": ("2026-11-22T13:00:00.123+01:00", NOON),
    "nanos": ("2026-11-22T12:00:00.123456789Z",
              (NOON.replace(microsecond=0) - EPOCH) // datetime.timedelta(seconds=1) * 10**9 + 123_456_789),
    "list": ([1, None, -2], [1, None, -2]),
    "pairs": ({"a": "1.5", "b": None}, {"a": Decimal("1.5000"), "b": None}),
    "quote": ({"bid": 1.25, "venue": "XNAS"}, (1.25, "XNAS")),
    "deep": ([{"at": "2026-11-22T12:00:00.123Z", "levels": [1, 2]}, {"at": None, "levels": []}, None],
             [(NOON, [1, 2]), (None, []), None]),
}
LOWEST = {
    "yes": (False, False), "tiny": (-128, -128), "small": (-32_768, -32_768), "whole": (-2**31, -2**31),
    "big": (-2**63, -2**63), "single": (-3.4028234663852886e38, -3.4028235e38), "twice": (-1.7976931348623157e308,) * 2,
    "short": ("-9999999.99", Decimal("-9999999.99")), "price": ("-99999999999999.9999", Decimal("-99999999999999.9999")),
    "wide": ("-99999999999999999999.999999999999999999", Decimal("-99999999999999999999.999999999999999999")),
    "text": ("", ""), "day": ("0001-01-01", FIRST.date()), "ts": ("0001-01-01T00:00:00Z", FIRST),
    "nanos": ("1677-09-21T00:12:44Z", -9_223_372_036_000_000_000), "list": ([], []), "pairs": ({}, {}),
    "quote": ({}, (None, None)), "deep": ([], []),
}
HIGHEST = {
    "tiny": (127, 127), "small": (32_767, 32_767), "whole": (2**31 - 1, 2**31 - 1), "big": (2**63 - 1, 2**63 - 1),
    "single": (3.4028234663852886e38, 3.4028235e38), "twice": (1.7976931348623157e308,) * 2,
    "short": ("9999999.99", Decimal("9999999.99")), "price": ("99999999999999.9999", Decimal("99999999999999.9999")),
    "wide": ("99999999999999999999.999999999999999999", Decimal("99999999999999999999.999999999999999999")),
    "text": ("x" * 100_000, "x" * 100_000), "day": ("9999-12-31", LAST.date()), "ts": ("9999-12-31T23:59:59.999Z", LAST),
    "nanos": ("2262-04-11T23:47:16Z", 9_223_372_036_000_000_000),
}
# Of these only the time stands: it gives the partition.
NULLS = {"ts": ("2026-11-22T12:00:00.123Z", NOON)}

KEYS = [b"\x00\xff key", b"", b"k", None]
