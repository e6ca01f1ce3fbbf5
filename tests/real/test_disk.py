"""Proves what a local disk has when offsets are committed, and what a disk that is full or read-only does to a job."""

import os
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

import feed
import readers
from job import LIMITS
from program import SHORT_SESSION, Program
from wait import until

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


class Disk(NamedTuple):
    """A folder on a disk that is small, as a program sees it that is started within it."""

    program: Program
    ballast: Path

    def fill(self):
        """Leaves no room but for some small files."""
        self.ballast.touch()
        if self.is_real():
            with self.ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(bytes(4_096))

    def make_room(self):
        self.ballast.unlink()

    def is_real(self) -> bool:
        return self.ballast.parts[1] == "proc"


# It ends with its input, and so with the test, however that ends.
NAMESPACE = "mount -t tmpfs -o size=2m tmpfs {folder} && echo ready && read -r _"


@pytest.fixture
def disk(ticks_table, durable, guard):
    """A tmpfs of two megabytes in a namespace of mounts, where this user may make one; else a write that says that the
    disk is full: containers often forbid the first."""
    folder = ticks_table.program.folder / "lake"
    folder.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", NAMESPACE.format(folder=folder)]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guard.watch(holder)
    try:
        if holder.stdout.readline() == "ready\n":
            enter = ["nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials",
                     f"--wd={ticks_table.program.folder}"]
            yield Disk(ticks_table.program.within(*enter), Path(f"/proc/{holder.pid}/root{folder}/ballast"))
        else:
            full = ticks_table.program.folder / "full"
            program = ticks_table.program.with_variables(LD_PRELOAD=str(durable), DURABLE_FULL=str(full))
            yield Disk(program, full)
    finally:
        holder.kill()
        holder.wait()


def test_a_disk_that_is_full_holds_a_job_up_and_loses_nothing(cluster, ticks_table, disk):
    topic = cluster.topic("full", 2)
    ticks = feed.ticks(1_000, symbols=40, dates=1)
    ticks_table.program = disk.program
    daemon = ticks_table.start("daemon", topic, "--flush-age", "200ms", *SHORT_SESSION)

    def committed():
        return cluster.all_is_committed(ticks_table.group, topic)

    cluster.send(topic, (tick.record() for tick in ticks[:40]))
    until("the first rows are committed", committed, 60, [daemon])
    disk.fill()
    cluster.send(topic, (tick.record() for tick in ticks[40:]))
    until("the room is missed", lambda: "No space left" in daemon.log.read_text(), 30, [daemon])
    assert not committed()
    word = next(line for line in daemon.log.read_text().splitlines() if "No space left" in line)
    assert "trying again" in word and str(ticks_table.location) in word, word
    # What can be read is whole, also now.
    assert ticks_table.program.query(f"SELECT count(*) AS n FROM {ticks_table.name}")[0]["n"] >= 40
    disk.make_room()
    until("all is committed", committed, 90, [daemon])
    daemon.stop()
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)


def test_a_job_that_a_full_disk_ends_is_gone_on_with_by_the_next(cluster, ticks_table, disk):
    topic = cluster.topic("full-batch", 2)
    ticks = feed.ticks(1_000, symbols=40, dates=1)
    ticks_table.program = disk.program
    (ticks_table.program.folder / "ticklake.toml").write_text('[ingest]\ndrain_deadline = "2s"\n')
    daemon = ticks_table.start("daemon", topic, "--flush-age", "200ms", *SHORT_SESSION)
    cluster.send(topic, (tick.record() for tick in ticks[:500]))
    until("the first rows are committed", lambda: cluster.all_is_committed(ticks_table.group, topic), 60, [daemon])
    disk.fill()
    cluster.send(topic, (tick.record() for tick in ticks[500:]))
    until("the room is missed", lambda: "No space left" in daemon.log.read_text(), 30, [daemon])
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(30) == 1, "what is not written is no success"
    disk.make_room()
    ticks_table.ingest_to_end(topic)
    assert readers.by_ticklake(ticks_table) == feed.summaries(ticks)


def test_a_folder_that_may_not_be_written_is_an_error_before_anything_is_read(cluster, ticks_table, disk):
    topic = cluster.topic("read-only")
    ticks = feed.ticks(100, symbols=20)
    cluster.send(topic, (tick.record() for tick in ticks))
    folder = ticks_table.location
    if not disk.is_real():
        folder.mkdir(parents=True)
        folder.chmod(0o555)
        if os.access(folder, os.W_OK):
            pytest.skip("nothing is read-only for this user, and it may make no mount")
    else:
        # In a namespace of its own, as a disk that was mounted read-only.
        remount = f"mount -o remount,ro {folder.parent} && exec \"$@\""
        ticks_table.program = disk.program.within(*disk.program._within, "sh", "-c", remount, "sh")
    error = ticks_table.program.last_error(*ticks_table.ingest(topic, "--until-end"))
    assert "cannot write to the table's location" in error and f"location: file://{folder}/" in error, error
    assert "read-only" in error.lower() or "permission denied" in error.lower(), error
