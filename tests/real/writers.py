"""Writes rows as other tools' users do, one folder a date and symbol, with what each tool does by default.

Each reads the same files, a day in each, and writes to a folder of the machine. Only limits that make it refuse are
raised. `load` puts such a folder into the lake's bucket and beside its table in Glue.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from program import CloudTable

UPLOADS = 8
SPARK_SECONDS = 3_600
# Glue takes so many at once.
PARTITIONS = 100

SPARK = """
import sys
from pyspark.sql import SparkSession
rows, folder = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.driver.memory", "3g").config("spark.ui.enabled", "false") \\
    .config("spark.sql.session.timeZone", "UTC").getOrCreate()
spark.read.parquet(rows).write.partitionBy("date", "symbol").parquet(folder)
"""


def by_pyarrow(rows: Path, folder: Path):
    files = sorted(rows.glob("*.parquet"))
    whole = pa.concat_tables(pq.read_table(file) for file in files)
    # It refuses more than 1,024 folders.
    pq.write_to_dataset(whole, folder, partition_cols=["date", "symbol"], max_partitions=1_000_000)


def by_duckdb(rows: Path, folder: Path):
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM read_parquet('{rows}/*.parquet')) TO '{folder}' "
                           "(FORMAT parquet, PARTITION_BY (date, symbol))")


def by_spark(python: Path, java: str):
    def write(rows: Path, folder: Path):
        done = subprocess.run(
            [python, "-c", SPARK, rows, folder], timeout=SPARK_SECONDS, capture_output=True, text=True,
            env=os.environ | {"JAVA_HOME": str(Path(java).resolve().parents[1]), "SPARK_LOCAL_IP": "127.0.0.1",
                              "SPARK_LOCAL_DIRS": str(folder.parent)})
        assert done.returncode == 0, done.stderr[-4_000:]
    return write


def spark_version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('pyspark'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def load(folder: Path, table: CloudTable, name: str, s3, glue) -> str:
    """Puts the files of a folder into the table's bucket, and makes a table of them beside it that is as it is but for
    where it lies; its name."""
    files = sorted(folder.glob("date=*/symbol=*/*.parquet"))
    client, prefix = s3.client(), f"other/{name}/"

    def put(file: Path):
        client.put_object(Bucket=table.bucket, Key=prefix + str(file.relative_to(folder)), Body=file.read_bytes())

    with ThreadPoolExecutor(UPLOADS) as threads:
        for _ in threads.map(put, files):
            pass
    database, own = table.name.split(".")
    location = f"s3://{table.bucket}/{prefix}"
    catalog = glue.client()
    found = catalog.get_table(DatabaseName=database, Name=own)["Table"]
    storage = found["StorageDescriptor"]
    catalog.create_table(DatabaseName=database, TableInput={
        "Name": name, "TableType": "EXTERNAL_TABLE", "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
        "PartitionKeys": found["PartitionKeys"], "StorageDescriptor": storage | {"Location": location}})
    partitions = sorted({file.parent.relative_to(folder).parts for file in files})
    for at in range(0, len(partitions), PARTITIONS):
        added = [{"Values": [part.split("=", 1)[1] for part in parts],
                  "StorageDescriptor": storage | {"Location": location + "/".join(parts) + "/"}}
                 for parts in partitions[at:at + PARTITIONS]]
        answer = catalog.batch_create_partition(DatabaseName=database, TableName=name, PartitionInputList=added)
        assert not answer.get("Errors"), answer["Errors"][:3]
    return f"{database}.{name}"
