"""Proves that `verify` finds what is wrong with a table on S3 and in Glue, and nothing else, and that `table repair` mends
what can be mended.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import feed
import readers


def said(report):
    return [(problem["kind"], problem["file"] or problem["partition"]) for problem in report["problems"]]


def test_a_table_in_the_cloud_is_checked_and_repaired(cluster, cloud_table, s3, glue, trino, measured):
    topic = cluster.topic("cloud-verify", 4)
    ticks = feed.ticks(6_000, symbols=100, dates=1)
    # In transactions, so that not every offset is a record; and some records are no rows.
    producer = cluster.producer(transactional_id="cloud-verify")
    producer.init_transactions(30)
    for part in range(0, len(ticks), 2_000):
        aborted = [("AAPL", '{"symbol":"AAPL","price":1}')]
        good = [tick.record() for tick in ticks[part:part + 2_000]] + [("AAPL", "no json")] * 3
        for records, end in (aborted, producer.abort_transaction), (good, producer.commit_transaction):
            producer.begin_transaction()
            cluster.send(topic, records, producer=producer)
            end(30)
        cloud_table.ingest_to_end(topic)
    begin = time.monotonic()
    report = cloud_table.verify("--records")
    assert said(report) == []
    assert report["checked"]["rows"] == len(ticks) + 9
    assert report["location"] == cloud_table.location
    compared = [source["compared"] for source in report["sources"]]
    assert sum(source["records"] for source in compared) == len(ticks) + 9
    assert len(compared) == 4 and all(source["committed"] == source["to"] for source in compared)
    checked = report["checked"]
    measured(f"verify on S3 and Glue: {checked['partitions']} partitions, {checked['links']} links, {checked['rows']:,} rows "
             f"and their records in {time.monotonic() - begin:.1f} s")

    # A file that is lost, in a chain of three; a partition that is not registered.
    chains = {}
    for key in cloud_table.files():
        chains.setdefault(key.rsplit("-", 1)[0], []).append(key)
    chain = next(keys for keys in chains.values() if len(keys) == 3 and "BRK" not in keys[0])
    lost, after = (key.removeprefix(f"lake/{cloud_table.ddl.stem}/") for key in chain[1:])
    s3.client().delete_object(Bucket=cloud_table.bucket, Key=chain[1])
    database, name = cloud_table.name.split(".")
    other = next(tick for tick in ticks if tick.symbol == "BRK/B")
    glue.client().delete_partition(
        DatabaseName=database, TableName=name, PartitionValues=[other.date, other.symbol])
    # Each waits some seconds for a registration that may be on its way.
    with ThreadPoolExecutor(2) as threads:
        plain, with_records = (threads.submit(cloud_table.verify, *options, code=1) for options in ([], ["--records"]))
    unregistered = f"date={other.date}/symbol=BRK%2FB"
    assert said(plain.result()) == [("gap", after), ("unregistered-partition", unregistered)]
    assert said(with_records.result()) == [
        ("gap", after), ("unregistered-partition", unregistered), ("missing-rows", lost.rsplit("/", 1)[0])]

    files = cloud_table.files()
    repaired = json.loads(cloud_table.program.must("table", "repair", cloud_table.name, "--json").stdout)
    assert [line["partition"] for line in repaired["registered"]] == [unregistered]
    assert said(cloud_table.verify(code=1)) == [("gap", after)]
    assert cloud_table.files() == files
    again = cloud_table.program.must("table", "repair", cloud_table.name).stdout
    assert again == f"{cloud_table.name}: the catalog lacks nothing that is there\n"

    # As the report says: the files of the chain that follow are moved away, and another group writes them anew.
    s3.client().delete_object(Bucket=cloud_table.bucket, Key=chain[2])
    cloud_table.program.must(
        "ingest", "--topic", topic, "--table", cloud_table.ddl, "--location", cloud_table.location, "--group", "again",
        "--until-end")
    assert said(cloud_table.verify("--records")) == []
    assert readers.by_trino(trino, cloud_table) == feed.summaries(ticks)

    # What retention has removed is not compared, and not called missing.
    halves = {partition: end // 2 for partition, end in cluster.ends(topic).items()}
    for partition, offset in halves.items():
        cluster.drop_records_below(topic, partition, offset)
    report = cloud_table.verify("--records")
    assert said(report) == []
    assert {source["partition"]: source["compared"]["from"] for source in report["sources"]} == halves
