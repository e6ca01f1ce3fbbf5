"""Proves that `check` finds what the servers say of themselves: rules of a bucket, a workgroup, rights."""

import pytest

import aws


@pytest.fixture
def check(cluster, cloud_table, glue):
    """Runs a check of a job on a topic that is there; its lines, by what was looked at."""
    topic = cluster.topic(cloud_table.name.replace(".", "-"))

    def run(program=cloud_table.program, code=0, **variables):
        program = program.with_variables(AWS_ENDPOINT_URL_ATHENA=glue.endpoint, **variables)
        said = program.must(
            "check", "--topic", topic, "--table", cloud_table.ddl, "--location", cloud_table.location, code=code).stdout
        return {line[6:14].strip(): line for line in said.splitlines() if line[0] != " "}

    return run


def test_a_cloud_where_all_is_well_is_told_so(check, cloud_table, glue):
    glue.client("athena").create_work_group(Name="desk", Configuration={
        "EnforceWorkGroupConfiguration": True, "BytesScannedCutoffPerQuery": 10 << 30,
        "ResultConfiguration": {"OutputLocation": "s3://somewhere/results/"}})
    cloud_table.program.must("table", "create", cloud_table.ddl, "--location", cloud_table.location)
    found = check(TICKLAKE_ATHENA__WORKGROUP="desk")
    assert {what: line[:4] for what, line in found.items() if what != "records"} == dict.fromkeys(
        ["topic", "group", "store", "expiry", "clock", "catalog", "athena"], "good")
    assert "results go to s3://somewhere/results/; a query that scans more than 10.00 GiB is ended" in found["athena"]
    assert "its partitions can be read" in found["catalog"]


def test_a_rule_that_removes_files_of_the_table_is_found(check, cloud_table, glue):
    """versitygw checks who asks, and knows no rules; moto's S3 does."""
    client = aws.client("s3", glue.endpoint)
    client.create_bucket(Bucket=cloud_table.bucket)

    def rule(name, prefix, **does):
        return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, **does}

    def found_with(*rules):
        client.put_bucket_lifecycle_configuration(
            Bucket=cloud_table.bucket, LifecycleConfiguration={"Rules": list(rules)})
        return check(cloud_table.program.with_s3(glue.endpoint))["expiry"]

    month = {"Expiration": {"Days": 30}}
    assert check(cloud_table.program.with_s3(glue.endpoint))["expiry"].startswith("good")
    harmless = rule("uploads", "", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7})
    assert found_with(harmless, rule("results", "results/", **month)).startswith("good")
    key = cloud_table.location.removeprefix(f"s3://{cloud_table.bucket}/")
    for prefix in ["", key, f"{key}date=2020", key.split("/")[0]]:
        said = found_with(harmless, rule("old", prefix, **month))
        assert said.startswith("look") and "rule 'old' removes objects" in said and "30 days" in said, said
        assert "uploads" not in said


def test_a_workgroup_that_is_not_there_is_worth_a_look(check):
    said = check(TICKLAKE_ATHENA__WORKGROUP="nobody")["athena"]
    assert said.startswith("look") and "no such workgroup (workgroup: nobody)" in said
