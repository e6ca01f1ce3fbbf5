"""Proves that every engine of the README's table reads what was sent: each type, each odd symbol, a table without files,
files that went, files that are not the table's; or that it does not, where EXCEPTIONS says so.
"""

import ctypes
import datetime
import json
import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

import feed
from conftest import REAL
from engines import ENGINES, WITH_CONDITIONS, In, Lake, versions
from every_type import DDL, EPOCH, HIGHEST, KEYS, LOWEST, NOON, NULLS, USUAL
from guests import GuestError
from parquet_java import ParquetJava
from program import CloudTable

README = Path(__file__).parents[2] / "README.md"
ROWS = [USUAL, LOWEST, HIGHEST, NULLS]
COLUMNS = ["bytes", *USUAL]
# Columns that can be compared with a literal; a `float` has none that every dialect reads as the same number.
SCALARS = ["yes", "tiny", "small", "whole", "big", "twice", "short", "price", "wide", "text", "day", "ts", "nanos"]
# Beside the feed's: digits alone, a blank, what URLs read as a blank, and letters beyond ASCII. None is the null partition.
SYMBOLS = [*feed.ODD_SYMBOLS, "0700", "a b", "a+b", "日経", None]
# An engine that takes these for numbers shows 700.
DIGITS = ["0700", "0005", "600519"]

NO_FILE = "a path without files is an error"
EVERY_FILE = "reads whatever is in a folder and is neither hidden nor empty"
AS_ITS_FOLDER = "shows and takes a symbol as its folder is written"
# What is escaped in a folder's name.
ESCAPED = ["BRK/B", "^GSPC", "ES=F", "EUR:USD", "X%2FY", "50%", "A'B", "[Q]", None]
# What an engine does not read as it was sent: by engine and column, symbol or case, why and in which version.
EXCEPTIONS = {
    ("trino", "A'B"): "its question to Glue does not escape a quote, 476",
    ("ticklake", "WHERE ts"): "DataFusion's timestamp without a precision is of nanoseconds: the years 1677 to 2262",
    ("duckdb", "no files"): f"{NO_FILE}, 2.0.0",
    ("polars", "no files"): f"{NO_FILE}, 2.1.0",
    ("pyarrow", "no files"): f"{NO_FILE}, 26.0.1",
    ("pandas", "no files"): f"{NO_FILE}, 3.1.1",
    ("trino", "foreign file"): f"{EVERY_FILE}, 476",
    ("ticklake", "foreign file"): f"{EVERY_FILE}, as Athena does",
    ("pyarrow", "foreign file"): f"{EVERY_FILE}, 26.0.1",
    ("pandas", "foreign file"): f"{EVERY_FILE}, 3.1.1",
    ("spark", "no files"): f"{NO_FILE}, 4.3.0",
    ("spark", "foreign file"): f"{EVERY_FILE}, 4.3.0",
    ("awswrangler", "no files"): f"{NO_FILE}, 3.17.1",
    ("awswrangler", "listed"): f"{AS_ITS_FOLDER}, 3.17.1",
} | {("awswrangler", symbol): f"{AS_ITS_FOLDER}, 3.17.1" for symbol in ESCAPED} | {
    ("parquet-java", name): "`cat -c` shows a list as null, also of files that others wrote, 1.15.2"
    for name in ("list", "deep")
}


@pytest.fixture(scope="module")
def lake(cluster, s3, glue, trino, guests, start_program, tmp_path_factory):
    """A row of every kind of value for one symbol, and a row for each odd symbol."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "ddl").mkdir()
    ddl = folder / "ddl/types.sql"
    ddl.write_text(DDL)
    with start_program("engines", folder) as program:
        table = CloudTable(program.in_cloud(s3, glue), s3, ddl, "engines")
        topic = cluster.topic("engines")
        rows = [{name: sent for name, (sent, _) in row.items()} for row in ROWS]
        records = [{"symbol": "ROWS", "n": n} | row for n, row in enumerate(rows)]
        records += [{"symbol": symbol, "n": n, "ts": NULLS["ts"][0]} for n, symbol in enumerate(SYMBOLS, len(ROWS))]
        keys = KEYS + [None] * len(SYMBOLS)
        cluster.send(topic, zip(keys, map(json.dumps, records)))
        summary = table.ingest_to_end(topic)
        assert (summary["rows"], summary["rejected"]) == (len(records), 0)
        yield Lake(table, s3, trino, guests)


@pytest.fixture
def small_lake(cluster, cloud_table, s3, trino, guests):
    """A lake with a row for each of the symbols that are digits."""
    topic = cluster.topic("small")
    cluster.send(topic, (tick(symbol).record() for symbol in DIGITS))
    assert cloud_table.ingest_to_end(topic)["files"] == len(DIGITS)
    return Lake(cloud_table, s3, trino, guests)


@pytest.fixture(scope="module")
def parquet_java():
    return ParquetJava(os.environ["REAL_JAVA"], REAL / "parquet/libs")


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def test_every_type_reads_as_it_was_sent(lake, engine):
    found = sorted(ENGINES[engine](lake, ["n", *COLUMNS, "date"], In("symbol", ["ROWS"])), key=lambda row: row[0])

    _, *columns, dates = zip(*found, strict=True)
    wanted = {name: [row.get(name, (None, None))[1] for row in ROWS] for name in USUAL} | {"bytes": KEYS}
    different = {name: values for name, values in zip(COLUMNS, columns, strict=True)
                 if [plain(name, value) for value in values] != [plain(name, value) for value in wanted[name]]}
    assert set(different) == excepted(engine, COLUMNS), different
    assert list(dates) == ["2026-11-22", "0001-01-01", "9999-12-31", "2026-11-22"]


@pytest.mark.parametrize("engine", WITH_CONDITIONS)
def test_a_condition_on_each_type_finds_its_rows(lake, engine):
    """Each row is alone in its file: an engine that took the file's statistics amiss would leave it out."""
    different = {}
    for name in SCALARS:
        values = {n: row[name][1] for n, row in enumerate(ROWS) if name in row}
        found = outcome(engine, lake, ["n"], In("symbol", ["ROWS"]), In(name, list(values.values())))
        if isinstance(found, str) or sorted(n for [n] in found) != list(values):
            different[f"WHERE {name}"] = found
    assert set(different) == excepted(engine, [f"WHERE {name}" for name in SCALARS]), different


def test_every_odd_symbol_is_listed(lake, engine):
    found = {symbol for [symbol] in ENGINES[engine](lake, ["symbol"])}
    assert (found == {"ROWS", *SYMBOLS}) == (not excepted(engine, ["listed"])), found


def test_every_odd_symbol_is_found(lake, engine):
    found = {symbol: outcome(engine, lake, ["n"], In("symbol", [symbol])) for symbol in SYMBOLS}
    different = {symbol: rows for n, (symbol, rows) in enumerate(found.items(), len(ROWS)) if rows != [(n,)]}
    assert set(different) == excepted(engine, SYMBOLS), different


def test_parquet_java_shows_each_row(lake, parquet_java):
    files = [file for _, file in files_of_rows(lake)]
    wanted = [{"bytes": key} | {name: value for name, (_, value) in row.items()} for row, key in zip(ROWS, KEYS)]
    different = {}
    # Of lists it takes one only.
    for names in [name for name in COLUMNS if name not in ("list", "deep")], ["list"], ["deep"]:
        options = [option for name in ["n", *names] for option in ("-c", name)]
        rows = sorted(map(json.loads, parquet_java.must("cat", *options, *files).splitlines()), key=lambda row: row["n"])
        for name in names:
            found = [plain(name, row[name]) for row in rows]
            if found != [as_avro(name, row.get(name)) for row in wanted]:
                different[name] = found
    assert set(different) == excepted("parquet-java", COLUMNS), different
    assert not any(value for values in different.values() for value in values), different
    for command in "meta", "pages":
        parquet_java.must(command, files[0])


def test_parquet_java_finds_each_value_in_the_page_index(lake, parquet_java):
    """In a file of one row, both ends are its value. A long text's are cut; what lists hold is not in the index."""
    for row, file in files_of_rows(lake):
        if row in (LOWEST, HIGHEST):
            index = parquet_java.column_index(file)
            for name in SCALARS:
                value = row.get(name, (None, None))[1]
                wanted = (1, "<none>", "<none>") if value is None else (0, as_text(value), as_text(value))
                assert index.pop(name) == wanted or len(str(value)) > 60, name
            assert not any("list" in name or "pairs" in name for name in index), index


def test_a_table_without_files(cloud_table, s3, trino, guests):
    cloud_table.program.must("table", "create", cloud_table.ddl, "--location", cloud_table.location)
    must_find(Lake(cloud_table, s3, trino, guests), [], "no files")


def test_a_partition_whose_files_went(small_lake):
    [gone] = [key for key in small_lake.table.files() if "symbol=0005/" in key]
    small_lake.s3.client().delete_object(Bucket=small_lake.table.bucket, Key=gone)
    must_find(small_lake, ["0700", "600519"], "files went")
    report = small_lake.table.verify(code=1)
    assert "0005" in json.dumps(report), report


def test_what_other_tools_leave_in_the_folders(small_lake):
    """Hadoop's mark of success, and the empty objects by which consoles show folders."""
    for folder in folders(small_lake):
        put(small_lake, folder, b"")
        put(small_lake, f"{folder}_SUCCESS", b"")
    must_find(small_lake, DIGITS, "hidden files")


def test_a_foreign_file_in_a_partition(small_lake):
    put(small_lake, f"{folders(small_lake)[-1]}notes.txt", b"not the table's")
    must_find(small_lake, DIGITS, "foreign file")


def test_the_ways_around_exceptions_that_the_readme_gives(lake):
    quote = f"SELECT symbol FROM {lake.table.name} WHERE concat(symbol, '') = 'A''B'"
    assert lake.trino.query(quote) == [("A'B",)]
    far = f"SELECT n FROM {lake.table.name} WHERE ts = CAST('9999-12-31 23:59:59.999' AS timestamp(3))"
    assert lake.table.program.query(far) == [{"n": ROWS.index(HIGHEST)}]
    if "awswrangler" in ENGINES:
        assert ENGINES["awswrangler"](lake, ["n"], In("symbol", ["BRK%2FB"])) == [(len(ROWS) + SYMBOLS.index("BRK/B"),)]
    if "spark" in ENGINES:
        with pytest.raises(GuestError, match="year 0 is out of range"):
            lake.guests["spark"].ask(str(lake.s3.folder_of(lake.path)), "SELECT ts FROM lake")


def test_exceptions_are_of_what_is_tried_and_of_the_versions_that_the_readme_names(lake, parquet_java):
    cases = {"listed", "no files", "files went", "hidden files", "foreign file"}
    tried = {*COLUMNS, *(f"WHERE {name}" for name in SCALARS), *SYMBOLS, *cases}
    assert {what for _, what in EXCEPTIONS} <= tried
    section = README.read_text().split("**Other engines.**")[1].split("\n\n**")[0]
    for name, version in (versions(lake) | {"parquet-java": parquet_java.version}).items():
        assert re.search(rf"^\| {name} \| {re.escape(version)} \|", section, re.M | re.I), f"{name} {version}"
        for (engine, what), why in EXCEPTIONS.items():
            assert engine != name or why.endswith(f", {version}"), what


def must_find(lake, symbols, case):
    """Each engine finds a row of each symbol and no more, unless it is an exception in this case."""
    wanted = sorted((symbol, 0) for symbol in symbols)
    found = {engine: outcome(engine, lake, ["symbol", "seq"]) for engine in ENGINES}
    different = {engine: rows for engine, rows in found.items() if isinstance(rows, str) or sorted(rows) != wanted}
    assert set(different) == {engine for engine, what in EXCEPTIONS if what == case and engine in ENGINES}, found


def outcome(engine, lake, columns, *conditions) -> list[tuple] | str:
    """The rows, or what the engine says instead."""
    try:
        return ENGINES[engine](lake, columns, *conditions)
    except Exception as error:  # each has errors of its own
        return f"{type(error).__name__}: {error}"


def excepted(engine, among) -> set:
    return {what for name, what in EXCEPTIONS if name == engine and what in among}


def plain(name, value):
    """A value in the form in which all engines' are compared: UTC without an offset, structs as tuples, maps as dicts."""
    match value:
        case None:
            return None
        case float() if name == "single":
            return ctypes.c_float(value).value
        case datetime.datetime() if value.tzinfo:
            return value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        case _ if name == "pairs":
            return dict(value)
        case dict():
            return tuple(plain(name, part) for part in value.values())
        case tuple():
            return tuple(plain(name, part) for part in value)
        case list():
            return [plain(name, part) for part in value]
        case _:
            return value


def files_of_rows(lake) -> list[tuple[dict, Path]]:
    """Each file of the rows of each kind of value, with a row of it."""
    keys = {key.split("date=")[1][:10]: key for key in lake.table.files() if "symbol=ROWS" in key}
    folder = lake.s3.folder_of(lake.table.bucket)
    return [(row, folder / keys.pop(date)) for row in ROWS if (date := f"{row['ts'][1]:%Y-%m-%d}".zfill(10)) in keys]


def as_avro(name, value):
    """A value as `cat` shows it, which is as the file keeps it."""
    match value:
        case None:
            return None
        case Decimal() if name == "wide":
            return [ctypes.c_int8(byte).value for byte in unscaled(value).to_bytes(16, "big", signed=True)]
        case Decimal():
            return unscaled(value)
        case datetime.datetime():
            return (value - EPOCH) // datetime.timedelta(milliseconds=1)
        case datetime.date():
            return (value - EPOCH.date()).days
        case bytes():
            return value.decode("latin-1")
        case dict():
            return {key: as_avro(name, part) for key, part in value.items()}
        case _:
            return plain(name, value)


def unscaled(value: Decimal) -> int:
    """All its digits."""
    return int(f"{value:f}".replace(".", ""))


def as_text(value) -> str:
    """As Java prints it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(value).replace("e+", "E")
        case datetime.datetime():
            return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}+0000".zfill(28)
        case _:
            return str(value)


def tick(symbol) -> feed.Tick:
    noon = (NOON - datetime.datetime(1970, 1, 1)) // datetime.timedelta(milliseconds=1)
    return feed.Tick(symbol, noon, 1_000, 1, 900, 1_100, "XNAS", 0)


def folders(lake) -> list[str]:
    """The keys of the table's folder, of its date's, and of each partition's."""
    partitions = [key.rsplit("/", 1)[0] + "/" for key in lake.table.files()]
    date = partitions[0].rsplit("/", 2)[0] + "/"
    return [date.rsplit("/", 2)[0] + "/", date, *partitions]


def put(lake, key, body):
    lake.s3.client().put_object(Bucket=lake.table.bucket, Key=key, Body=body)
