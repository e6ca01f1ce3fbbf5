"""Proves what a local disk has when offsets are committed, and what a disk that is full or read-only does to a job."""

import os
import subprocess
from pathlib import Path

import pytest

import feed
import readers
from job import LIMITS

C = Path(__file__).with_name("durable.c")


@pytest.fixture(scope="module")
def durable(tmp_path_factory):
    """The library that writes down what is asked of the disk."""
    library = tmp_path_factory.mktemp("durable") / "durable.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, C, "-ldl"], check=True)
    return library


def watched(program, durable, log: Path):
    return program.with_variables(LD_PRELOAD=str(durable), DURABLE_LOG=str(log))


def calls(log: Path) -> list[tuple[str, str]]:
    return [tuple(line.split(" ", 1)) for line in log.read_text().splitlines()]


def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_the_offset(cluster, ticks_table, durable, tmp_path):
    topic = cluster.topic("durable", 2)
    ticks = feed.ticks(2_000, symbols=40)
    cluster.send(topic, (tick.record() for tick in ticks))
    log = tmp_path / "calls"
    ticks_table.program = watched(ticks_table.program, durable, log)
    ticks_table.ingest_to_end(topic, *LIMITS)
    synced, unsynced, links, commits = set(), set(), 0, 0
    for what, path in calls(log):
        folder = os.path.dirname(path)
        if what == "sync":
            # What is synced is so until its folder has a new entry.
            synced.add(path)
            unsynced = {entry for entry in unsynced if os.path.dirname(entry) != path}
        elif what == "from":
            assert path in synced, f"linked before its bytes were on the disk: {path}"
        elif what in ("link", "folder"):
            assert what == "folder" or folder not in unsynced, f"the folder itself may vanish: {path}"
            unsynced.add(path)
            links += what == "link"
        else:
            commits += 1
            assert not unsynced, f"an offset is committed, and these may vanish: {sorted(unsynced)[:3]}"
    assert links > len(ticks_table.files()) > 40 and commits >= 1
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)


def test_another_process_link_is_on_the_disk_before_offsets_are_committed_for_it(
        cluster, ticks_table, durable, tmp_path):
    """The first writer syncs nothing, as one that died between its link and its sync; the second finds its links."""
    topic = cluster.topic("durable-other")
    ticks = feed.ticks(500, symbols=40)
    cluster.send(topic, (tick.record() for tick in ticks))
    ticks_table.ingest_to_end(topic, "--no-fsync")
    log = tmp_path / "calls"
    ticks_table.program = watched(ticks_table.program, durable, log)
    ticks_table.group = "another"
    assert ticks_table.ingest_to_end(topic)["files"] == 0
    found = calls(log)
    commit = next(index for index, (what, _) in enumerate(found) if what == "commit")
    synced = {path for what, path in found[:commit] if what == "sync"}
    folders = {str(file.parent) for file in ticks_table.files()}
    assert folders <= synced, f"{len(folders - synced)} of {len(folders)} folders were not synced"
    assert {os.path.dirname(folder) for folder in folders} <= synced
