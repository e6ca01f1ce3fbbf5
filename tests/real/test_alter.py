"""Proves that a table whose DDL changes under its jobs stays one table in the cloud: files of all its generations read in
Trino and in the program's engine as they were sent, and what in Glue is not the DDL's stays as it is.
"""

import json

import pytest
from trino.exceptions import TrinoQueryError

import strict_glue
from program import CloudTable

FIRST = """
CREATE EXTERNAL TABLE `market`.`ticks` (
  `ts` timestamp, `seq` int, `size` int, `tiny` tinyint, `ratio` float, `note` string
)
PARTITIONED BY (`date` string, `symbol` string)
STORED AS PARQUET
TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/symbol)')
"""
WIDENED = "`venue` string, `size` bigint, `tiny` int, `ratio` double"
COLUMNS = ["seq", "venue", "size", "tiny", "ratio"]
HUGE = 2**40


class Generations:
    """A table, and what must be read of it, by its first column."""

    def __init__(self, cluster, program, s3, database):
        self.ddl = program.folder / "ticks.sql"
        self.ddl.write_text(FIRST)
        self.table = CloudTable(program, s3, self.ddl, database)
        self.cluster, self.program = cluster, program
        self.topic = cluster.topic(database)
        self.wanted = []

    def alter(self, *changes, options=()) -> str:
        """Changes the text of the DDL, and the table by it."""
        text = self.table.ddl.read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        self.table.ddl.write_text(text)
        return self.program.must("table", "alter", self.table.ddl, *options).stdout

    def ingest(self, day, *rows):
        """Rows of a day, as dicts, which must all be taken."""
        records = [{"symbol": "AAPL", "ts": f"2026-11-{day}T12:00:00Z"} | row for row in rows]
        self.cluster.send(self.topic, (("AAPL", json.dumps(record)) for record in records))
        summary = self.table.ingest_to_end(self.topic)
        assert (summary["rows"], summary["rejected"]) == (len(rows), 0)
        self.wanted += [tuple(row.get(name) for name in COLUMNS) for row in rows]

    def by_trino(self, trino):
        return trino.query(f'SELECT {", ".join(COLUMNS)} FROM {self.table.name} ORDER BY seq')

    def by_ticklake(self):
        rows = self.program.query(f'SELECT {", ".join(COLUMNS)} FROM {self.table.name} ORDER BY seq')
        found = [tuple(row.get(name) for name in COLUMNS) for row in rows]
        return [tuple(float(value) if name == "ratio" else value for name, value in zip(COLUMNS, row)) for row in found]


def test_three_generations_are_one_table(cluster, cloud, s3, glue, trino):
    with strict_glue.strict_glue(glue.endpoint) as strict:
        lake = Generations(cluster, cloud.with_glue(strict.endpoint), s3, "generations")
        lake.ingest(20, {"seq": 1, "size": 7, "tiny": -100, "ratio": 1.5, "note": "one"},
                    {"seq": 2, "size": -2**31, "tiny": 20, "ratio": 0.25, "note": "two"})

        told = lake.alter(("`size` int, `tiny` tinyint, `ratio` float", WIDENED))
        assert "~ `size` int → bigint\n" in told and "! each partition that Glue has gets the types too\n" in told and "is changed, with 1 partition\n" in told
        lake.ingest(21, {"seq": 3, "size": HUGE, "tiny": 70_000, "ratio": 1e300, "note": "three", "venue": "XNAS"})
        assert lake.by_trino(trino) == lake.by_ticklake() == lake.wanted

        # A column that is gone, also from what is yet to come into partitions of before.
        told = lake.alter((", `note` string", ""))
        assert told.startswith("- `note` string") and "Glue" not in told
        lake.ingest(22, {"seq": 4, "size": HUGE, "tiny": 1, "ratio": 1e300, "note": 4, "venue": "ARCX"})
        lake.ingest(21, {"seq": 5, "size": -HUGE, "tiny": 1, "ratio": 1e-300, "note": 5})
        assert lake.by_trino(trino) == lake.by_ticklake() == lake.wanted
        with pytest.raises(TrinoQueryError, match="note"):
            trino.query(f"SELECT note FROM {lake.table.name}")
        assert lake.table.verify()["problems"] == []
        assert (strict.seen["UpdateTable"], strict.seen["archived"], strict.seen["refused"]) == (2, 0, 0)

        # Wider values that come late, into a partition that was registered with narrow types.
        lake.ingest(20, {"seq": 6, "size": HUGE, "tiny": 1, "ratio": 1e300, "venue": "XNAS"})
        assert lake.by_trino(trino) == lake.by_ticklake() == lake.wanted
        assert strict.seen["BatchUpdatePartition"] == 1
        assert "nothing changes" in lake.alter()


def test_what_is_not_the_ddls_stays(cluster, cloud, s3, glue):
    lake = Generations(cluster, cloud, s3, "foreign")
    lake.ingest(20, {"seq": 1})
    client, (database, name) = glue.client(), lake.table.name.split(".")

    def table():
        return client.get_table(DatabaseName=database, Name=name)["Table"]

    def partition():
        [found] = client.get_partitions(DatabaseName=database, TableName=name)["Partitions"]
        return found

    # As a crawler, an engine and people leave it.
    found = table()
    kept = {key: found[key] for key in ("Name", "TableType", "PartitionKeys", "StorageDescriptor", "Parameters")}
    kept |= {"Owner": "somebody", "Retention": 7, "Description": "all ticks"}
    kept["Parameters"] |= {"recordCount": "12", "transient_lastDdlTime": "1"}
    kept["StorageDescriptor"]["Columns"][5] |= {"Type": "varchar(8)", "Parameters": {"seen": "yes"}}
    kept["StorageDescriptor"]["SerdeInfo"]["Parameters"]["more"] = "1"
    client.update_table(DatabaseName=database, TableInput=kept)
    before = partition()

    # The answer is lost after the change was made, and the call is made again.
    with strict_glue.losing_glue(glue.endpoint) as losing:
        lake.program = lake.program.with_glue(losing.endpoint)
        assert "is changed" in lake.alter(("`size` int", "`size` bigint, `venue` string COMMENT 'where'"))
        assert losing.seen["answer lost"] == 1 and losing.seen["other version"] == 1
        assert "nothing changes" in lake.alter()
    found = table()
    columns = found["StorageDescriptor"].pop("Columns")
    assert [(c["Name"], c["Type"]) for c in columns] == [
        ("ts", "timestamp"), ("seq", "int"), ("size", "bigint"), ("venue", "string"), ("tiny", "tinyint"), ("ratio", "float"),
        ("note", "varchar(8)")]
    assert columns[3]["Comment"] == "where" and columns[6]["Parameters"] == {"seen": "yes"}
    del kept["StorageDescriptor"]["Columns"]
    assert {key: found[key] for key in kept} == kept
    # It is read by the types that it has itself.
    after = partition()
    assert [c["Type"] for c in after["StorageDescriptor"].pop("Columns")] == [c["Type"] for c in columns]
    del before["StorageDescriptor"]["Columns"]
    assert all(after[key] == before[key] for key in ("Values", "StorageDescriptor"))


def test_partitions_are_indexed_where_the_ddl_asks_for_it(cluster, cloud_table, glue):
    """With the table, or later: then one index after the other, as Glue makes no two at once."""
    name, ask = cloud_table.name, "TBLPROPERTIES (\n  'partition_filtering.enabled' = 'true',"
    plain = cloud_table.ddl.read_text()
    topic = cluster.topic("indexed")
    with strict_glue.strict_glue(glue.endpoint) as strict:
        program = cloud_table.program.with_glue(strict.endpoint)

        def indexes():
            return {index["IndexName"]: [key["Name"] for key in index["Keys"]]
                    for index in strict_glue.Strict.indexes[tuple(name.split("."))]}

        def alter():
            return program.must("table", "alter", cloud_table.ddl).stdout

        def check():
            said = program.must("check", "--topic", topic, "--table", name, "--location", cloud_table.location).stdout
            return next(line for line in said.splitlines() if line[6:].startswith("catalog"))

        wanted = {"by_date": ["date", "symbol"], "by_symbol": ["symbol", "date"]}
        cloud_table.ddl.write_text(plain.replace("TBLPROPERTIES (", ask))
        program.must("table", "create", cloud_table.ddl, "--location", cloud_table.location)
        assert indexes() == wanted
        assert check().startswith("good") and "nothing changes\n" == alter()[-len("nothing changes\n"):]

        program.must("table", "drop", name)
        cloud_table.ddl.write_text(plain)
        program.must("table", "create", cloud_table.ddl, "--location", cloud_table.location)
        assert indexes() == {} and strict.seen["CreatePartitionIndex"] == 0
        cloud_table.ddl.write_text(plain.replace("TBLPROPERTIES (", ask))
        told = alter()
        assert "+ 'partition_filtering.enabled' = 'true'\n! Glue indexes" in told
        assert told.endswith("the index of partitions by date is being made\n"
                             "the index of partitions by symbol comes after that one: run this again once that is there\n")
        assert alter().endswith("run this again once that is there\n"), "it is not made twice"
        assert check().startswith("look") and "no index by symbol" in check()
        assert alter().endswith("the index of partitions by symbol is being made\n")
        assert indexes() == wanted and strict.seen["refused"] == 0
        assert "being made" in alter() and "being made" not in alter()
        assert program.must("table", "show", name).stdout.count("'partition_filtering.enabled'") == 1
