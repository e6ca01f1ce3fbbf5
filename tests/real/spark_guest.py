"""Runs Spark for guests.py: gives the rows of a statement on the files of a folder, whose view is `lake`."""

import os
import pickle
import sys

from pyspark import __version__
from pyspark.sql import Row, SparkSession

# All that is not told is Spark's default; `mergeSchema` is off so.
SETTINGS = {
    "spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "1",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
}


def plain(value):
    """Without Spark's own classes, which the other side does not have."""
    match value:
        case Row():
            return tuple(map(plain, value))
        case list():
            return [plain(part) for part in value]
        case bytearray():
            return bytes(value)
        case _:
            return value


def rows(spark, folder, statement):
    spark.read.parquet(folder).createOrReplaceTempView("lake")
    return [tuple(map(plain, row)) for row in spark.sql(statement).collect()]


def main():
    # What Spark and Java print goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    builder = SparkSession.builder.master("local[1]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    answer = __version__
    while True:
        pickle.dump(answer, answers)
        answers.flush()
        try:
            question = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = rows(spark, *question)
        except Exception as error:  # told to who asked
            answer = f"{type(error).__name__}: {str(error)[:2_000]}"


if __name__ == "__main__":
    main()
