"""Writes rows as other tools' users do, one folder a date and symbol, with what each tool does by default.

Each reads the same files, a day in each, and writes to a folder of the machine, day by day as a nightly job does. (Given all 30
days at once, pyarrow keeps the files of the first two open, of which it has 1,024, and begins new files of the others with
each of its batches: 100,000 and more.) No setting of theirs is changed. `load` puts such a folder into the lake's
bucket and beside its table in Glue.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from program import CloudTable

UPLOADS = 8
SPARK_SECONDS = 3_600
# Glue takes so many at once.
PARTITIONS = 100

SPARK = """
import sys
from pyspark.sql import SparkSession
folder, *days = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.driver.memory", "3g").config("spark.ui.enabled", "false") \\
    .config("spark.sql.session.timeZone", "UTC").getOrCreate()
for day in days:
    spark.read.parquet(day).write.mode("append").partitionBy("date", "symbol").parquet(folder)
"""


def by_pyarrow(days: list[Path], folder: Path):
    for day in days:
        pq.write_to_dataset(pq.read_table(day), folder, partition_cols=["date", "symbol"])


def by_duckdb(days: list[Path], folder: Path):
    with duckdb.connect() as connection:
        for day in days:
            connection.execute(f"COPY (SELECT * FROM read_parquet('{day}')) TO '{folder}' "
                               "(FORMAT parquet, PARTITION_BY (date, symbol), APPEND)")


def by_spark(python: Path, java: str):
    def write(days: list[Path], folder: Path):
        done = subprocess.run(
            [python, "-c", SPARK, folder, *days], timeout=SPARK_SECONDS, capture_output=True, text=True,
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
