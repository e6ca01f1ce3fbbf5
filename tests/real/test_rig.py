"""Proves that the servers behave as what they stand for, in what other tests build on."""

import datetime
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError

NOON = datetime.datetime(2026, 11, 22, 12)


def test_only_the_first_of_two_conditional_writes_is_taken(s3):
    client, bucket = s3.client(), s3.make_bucket("conditional")
    client.put_object(Bucket=bucket, Key="a/once", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket, Key="a/once", Body=b"second", IfNoneMatch="*")

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert body(client, bucket, "a/once") == b"first"


def test_s3_keeps_its_objects_over_a_restart(s3):
    client, bucket = s3.client(), s3.make_bucket("restart")
    client.put_object(Bucket=bucket, Key="a/kept", Body=b"kept")

    s3.stop()
    s3.start()

    assert body(client, bucket, "a/kept") == b"kept"


def test_trino_glue_and_s3_hold_one_table(s3, glue, trino):
    bucket = s3.make_bucket("rig")
    trino.query("CREATE SCHEMA rig")
    trino.query("CREATE TABLE rig.ticks (price decimal(18, 4), ts timestamp(3), symbol varchar) WITH "
                f"(format = 'PARQUET', external_location = 's3://{bucket}/ticks/', partitioned_by = ARRAY['symbol'])")
    rows = [(Decimal("1.5"), NOON, "BRK/B"), (Decimal("2.5"), NOON, "^GSPC")]

    trino.query("INSERT INTO rig.ticks VALUES "
                + ", ".join(f"(DECIMAL '{price}', TIMESTAMP '{ts}', '{symbol}')" for price, ts, symbol in rows))

    assert trino.query("SELECT * FROM rig.ticks ORDER BY symbol") == rows
    assert trino.query("SELECT price FROM rig.ticks WHERE symbol = 'BRK/B'") == [(Decimal("1.5"),)]
    partitions = glue.client().get_partitions(DatabaseName="rig", TableName="ticks")["Partitions"]
    # The value is raw. The Location has the key's own bytes, in which `%2F` is no escape.
    locations = {p["Values"][0]: p["StorageDescriptor"]["Location"] for p in partitions}
    folders = {"BRK/B": "ticks/symbol=BRK%2FB", "^GSPC": "ticks/symbol=%5EGSPC"}
    assert locations == {symbol: f"s3://{bucket}/{folder}" for symbol, folder in folders.items()}
    for folder in folders.values():
        assert s3.client().list_objects_v2(Bucket=bucket, Prefix=f"{folder}/")["KeyCount"] == 1


def body(client, bucket: str, key: str) -> bytes:
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()
