"""Looks at a table's files as links of chains (DESIGN §3): what no query shows, and what makes it exactly once."""

from collections import defaultdict

import pyarrow.parquet as pq

from program import Table


def must_tile(table: Table) -> int:
    """Checks that the links of every chain tile the offsets from 0, with no gap and no overlap, and that each is
    named by where it starts. How many chains have more than one link."""
    chains = defaultdict(list)
    for file in table.files():
        footer = {key.decode(): value.decode() for key, value in pq.read_schema(file).metadata.items()}
        topic, partition = footer["ticklake.topic"], int(footer["ticklake.partition"])
        start, end = int(footer["ticklake.start"]), int(footer["ticklake.end"])
        assert file.name == f"k-{topic}-{partition}-{start:020}.parquet"
        chains[file.parent, topic, partition].append((start, end))
    for chain, links in chains.items():
        at = 0
        for start, end in sorted(links):
            assert start == at < end, f"{chain}: {sorted(links)}"
            at = end
    return sum(len(links) > 1 for links in chains.values())


def must_be_sorted(table: Table, columns: list[str]):
    """Checks that the rows of every file are in the order of the table's DDL, and that the partition columns are not
    in the files."""
    for file in table.files():
        rows = pq.ParquetFile(file).read()
        assert not {"date", "symbol"} & set(rows.schema.names), file
        order = list(zip(*(rows[name].to_pylist() for name in columns)))
        assert order == sorted(order), file
