"""Proves what a bucket does to a job that is not as it should be: at the start, and when it changes while the job runs."""

import time

import pytest

import aws
import feed
import readers
from wait import until

USER, SECRET = "a-writer", "secret-of-a-writer-4d07"
WRITER = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]


@pytest.fixture
def topic(cluster, request):
    """With the first ticks in it; `ticks` are all."""
    topic = cluster.topic(request.node.name[5:60])
    cluster.send(topic, (tick.record() for tick in TICKS[:20]))
    return topic


TICKS = feed.ticks(400, symbols=20)


def rest(cluster, topic):
    cluster.send(topic, (tick.record() for tick in TICKS[20:]))


@pytest.fixture
def limited(cloud_table, s3):
    """The table, written by a user with the writer's rights."""
    s3.make_user(f"{USER}-{cloud_table.bucket}", SECRET)
    s3.allow(cloud_table.bucket, f"{USER}-{cloud_table.bucket}", *WRITER)
    cloud_table.program = cloud_table.program.with_variables(
        AWS_ACCESS_KEY_ID=f"{USER}-{cloud_table.bucket}", AWS_SECRET_ACCESS_KEY=SECRET)
    return cloud_table


def started(cluster, table, topic):
    daemon = table.start("daemon", topic, "--flush-age", "200ms")
    until("the first rows are committed", lambda: cluster.all_is_committed(table.group, topic), 60, [daemon])
    return daemon


def last_line(process, code: int = 1) -> str:
    assert process.wait(40) == code
    return process.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("missing", WRITER)
def test_a_right_that_is_missing_is_named(cluster, limited, s3, missing):
    topic = cluster.topic("right")
    cluster.send(topic, (tick.record() for tick in TICKS))
    if missing == "s3:GetObject":
        # Where nothing is, nothing is read: another group meets the files of the first.
        limited.ingest_to_end(topic)
        limited.group = f"{limited.group}-again"
    s3.allow(limited.bucket, f"{USER}-{limited.bucket}", *[right for right in WRITER if right != missing])
    start = time.monotonic()
    error = limited.program.last_error(*limited.ingest(topic, "--until-end"))
    assert time.monotonic() - start < 10
    assert f"s3://{limited.bucket}/" in error and missing in error and "AccessDenied" in error, error
    assert cluster.committed(limited.group, topic) == {}
    s3.allow(limited.bucket, f"{USER}-{limited.bucket}", *WRITER)
    limited.ingest_to_end(topic)
    assert readers.by_ticklake(limited) == feed.summaries(TICKS)


def test_a_right_that_is_lost_ends_the_job_and_loses_nothing(cluster, limited, s3, topic):
    daemon = started(cluster, limited, topic)
    s3.allow(limited.bucket, f"{USER}-{limited.bucket}", "s3:GetObject", "s3:ListBucket")
    rest(cluster, topic)
    error = last_line(daemon)
    assert f"s3://{limited.bucket}/" in error and "s3:PutObject" in error and "AccessDenied" in error, error
    s3.allow(limited.bucket, f"{USER}-{limited.bucket}", *WRITER)
    limited.ingest_to_end(topic)
    assert readers.by_ticklake(limited) == feed.summaries(TICKS)


def test_a_bucket_that_is_deleted_ends_the_job(cluster, cloud_table, s3, topic):
    daemon = started(cluster, cloud_table, topic)
    before = cluster.committed(cloud_table.group, topic)[0].offset
    s3.lose_bucket(cloud_table.bucket)
    rest(cluster, topic)
    error = last_line(daemon)
    assert f"there is no bucket '{cloud_table.bucket}' here" in error, error
    assert cluster.committed(cloud_table.group, topic)[0].offset == before


def test_a_region_that_is_not_the_buckets_is_said(cluster, cloud_table, topic):
    cloud_table.program = cloud_table.program.with_variables(AWS_REGION="eu-west-1", TICKLAKE_AWS__REGION="eu-west-1")
    start = time.monotonic()
    error = cloud_table.program.last_error(*cloud_table.ingest(topic, "--until-end"))
    assert time.monotonic() - start < 10
    assert f"s3://{cloud_table.bucket}/" in error and "region" in error.lower() and "eu-west-1" in error, error
    assert aws.REGION in error, error
