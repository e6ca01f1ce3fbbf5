"""The Rust suites of all stores and of all catalogs, on the real servers."""

import os
import subprocess
from pathlib import Path

import aws
from strict_glue import strict_glue

PROJECT = Path(__file__).parents[2]


def test_the_store_suite_on_s3(s3, glue):
    assert passed("store::s3", s3, glue) == 9
    assert s3.client().list_objects_v2(Bucket="store-s3")["KeyCount"] > 0, "without a server its tests do nothing"


def test_the_catalog_suite_on_glue(s3, glue):
    with strict_glue(glue.endpoint) as strict:
        assert passed("catalog::glue", s3, strict) == 13
        assert strict.seen["BatchCreatePartition"] > 25, "without a server its tests do nothing"
        assert strict.seen["other version"] >= 1 and strict.seen["archived"] == 0
        assert strict.seen["refused"] == 0


def passed(suite, s3, glue) -> int:
    """How many tests of a suite passed."""
    bucket = s3.make_bucket(suite.replace("::", "-"))
    servers = {"TICKLAKE_IT_S3": s3.endpoint, "TICKLAKE_IT_BUCKET": bucket, "TICKLAKE_IT_GLUE": glue.endpoint}
    run = subprocess.run(
        ["cargo", "test", "--locked", "--test", "it", "--", f"{suite}::"],
        cwd=PROJECT, env=os.environ | servers | aws.ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    [line] = [line for line in run.stdout.splitlines() if line.startswith("test result: ok.")]
    return int(line.split()[3])
