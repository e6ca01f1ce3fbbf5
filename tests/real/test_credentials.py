"""Proves how S3 is reached: keys of a profile, keys that a program gives and that end, settings of S3 itself."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

import aws
import feed
from conftest import SCHEMAS
from program import CloudTable, Running
from proxy import Proxy, Through, listening
from wait import until

# Longer than the pause between two questions for keys.
KEYS_SECONDS = 33


class Recording(Through):
    """Counts what PUTs ask of S3 beside the file; the server behind knows none of it."""

    ASKED = ["x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
             "x-amz-server-side-encryption-bucket-key-enabled", "x-amz-storage-class"]

    def on(self, body: bytes):
        if self.command == "PUT":
            self.server.count("put")
            for name in self.ASKED:
                self.server.count(f"{name}: {self.headers.get(name)}")
        self.answer(self.ask(body))


class Hanging(NamedTuple):
    """A job, and the programs that it has asked for keys, which give none."""

    batch: Running
    folder: Path

    def started(self) -> list[str]:
        return (self.folder / "pids").read_text().split()

    def left(self) -> list[str]:
        return [pid for pid in self.started() if is_there(pid, self.folder) or is_there(pid, "sleep 600")]


@pytest.fixture(scope="module", autouse=True)
def hanging(cluster, s3, glue, start_program, tmp_path_factory):
    """Begins with the first test: it waits for half a minute, and the others run meanwhile."""
    folder = tmp_path_factory.mktemp("hanging")
    with start_program("hanging", folder) as program:
        giver = folder / "giver.sh"
        # Two processes: one waits for the other.
        giver.write_text(f"echo $$ >> {folder}/pids\nsleep 600 &\necho $! >> {folder}/pids\nwait\n")
        table = CloudTable(program.in_cloud(s3, glue), s3, SCHEMAS / "ticks.sql", "hanging")
        table.program = profile(table.program, f"credential_process = sh {giver} || true")
        hanging = Hanging(table.start("batch", cluster.topic("hanging"), "--until-end"), folder)
        until("it asks for keys", (folder / "pids").exists, 30)
        try:
            yield hanging
        finally:
            hanging.batch.kill()
            for pid in hanging.left():
                os.kill(int(pid), signal.SIGKILL)


def profile(program, text: str):
    """The program with a profile `lake` of this text, and no keys in the environment."""
    file = program.folder / "aws-config"
    file.write_text(f"[profile lake]\nregion = us-east-1\n{text}\n")
    return program.with_variables(
        AWS_CONFIG_FILE=str(file), AWS_PROFILE="lake", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_REGION="")


def test_a_job_runs_with_the_keys_of_a_profile(cluster, cloud_table):
    topic = cluster.topic("profile")
    ticks = feed.ticks(100, symbols=20)
    cluster.send(topic, (tick.record() for tick in ticks))
    keys = f"aws_access_key_id = {aws.ACCESS_KEY}\naws_secret_access_key = {aws.SECRET_KEY}"
    cloud_table.program = profile(cloud_table.program, keys)
    assert cloud_table.ingest_to_end(topic)["rows"] == len(ticks)


def test_keys_that_end_are_fetched_anew_and_not_for_each_request(cluster, cloud_table):
    """A program of the profile gives keys for a short time, as helpers of single sign-on do."""
    topic = cluster.topic("process")
    folder = cloud_table.program.folder
    calls = folder / "calls"
    giver = folder / "giver.py"
    giver.write_text(
        "import datetime, json, pathlib\n"
        f"pathlib.Path({str(calls)!r}).open('a').write('x')\n"
        f"end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds={KEYS_SECONDS})\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': {aws.ACCESS_KEY!r}, 'SecretAccessKey': {aws.SECRET_KEY!r},"
        " 'Expiration': end.strftime('%Y-%m-%dT%H:%M:%SZ')}))\n")
    cloud_table.program = profile(cloud_table.program, f"credential_process = {sys.executable} {giver}")
    daemon = cloud_table.start("daemon", topic, "--flush-age", "200ms")
    # S3's client and Glue's each hold their own: until both have ended.
    until("both have asked", lambda: calls.exists() and len(calls.read_text()) >= 2, 30, [daemon])
    end = time.monotonic() + KEYS_SECONDS + 1
    sent = 0
    while time.monotonic() < end:
        cluster.send(topic, (tick.record() for tick in feed.ticks(200, symbols=20, seed=sent)))
        sent += 1
        until("all is committed", lambda: cluster.all_is_committed(cloud_table.group, topic), 60, [daemon])
    daemon.stop()
    files = len(cloud_table.files())
    assert files > 100
    assert 3 <= len(calls.read_text()) <= 8, (files, len(calls.read_text()))


def test_a_program_that_gives_no_keys_is_ended(hanging):
    assert hanging.batch.wait(120) == 1
    error = hanging.batch.log.read_text().splitlines()[-1]
    assert "credentials" in error, error
    assert len(hanging.started()) >= 2
    until("none is left", lambda: not hanging.left(), 10)


def is_there(pid: str, words) -> bool:
    found = subprocess.run(["ps", "-ww", "-o", "stat=,args=", "-p", pid], capture_output=True, text=True).stdout
    return str(words) in found and not found.startswith("Z")


def test_a_key_of_kms_and_a_storage_class_go_with_each_file(cluster, cloud_table, s3):
    topic = cluster.topic("settings")
    ticks = feed.ticks(100, symbols=20)
    cluster.send(topic, (tick.record() for tick in ticks))
    (cloud_table.program.folder / "ticklake.toml").write_text(
        '[s3]\nkms_key = "arn:aws:kms:us-east-1:111122223333:key/k"\nstorage_class = "STANDARD_IA"\n')
    with listening(Proxy(s3.endpoint, Recording)) as recording:
        cloud_table.program = cloud_table.program.with_s3(recording.endpoint)
        summary = cloud_table.ingest_to_end(topic)
    puts = recording.seen["put"]
    assert puts > summary["files"] == len(cloud_table.files())
    for asked in ("x-amz-server-side-encryption: aws:kms", "x-amz-storage-class: STANDARD_IA",
                  "x-amz-server-side-encryption-aws-kms-key-id: arn:aws:kms:us-east-1:111122223333:key/k",
                  "x-amz-server-side-encryption-bucket-key-enabled: true"):
        assert recording.seen[asked] == puts, json.dumps(recording.seen)
