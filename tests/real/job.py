"""The main job as it is run: processes of one consumer group that write a table, and that may crash."""

from cluster import Cluster
from program import SHORT_SESSION, Table
from wait import until

# Small, so that many files are cut, by rows and by age.
LIMITS = ["--flush-rows", "2000", "--flush-age", "2s"]
OPTIONS = [*LIMITS, *SHORT_SESSION]


class Job:
    """The processes of a job, by name."""

    def __init__(self, cluster: Cluster, table: Table, topic: str):
        self.cluster, self.table, self.topic = cluster, table, topic
        self._processes = {}

    def start(self, name: str):
        self._processes[name] = self.table.start(f"{self.table.name}-{name}", self.topic, *OPTIONS)

    def wait_for_shares(self, partitions: list[int]):
        """Waits until the members have been given so many partitions each."""
        until(f"the processes have {partitions} partitions",
              lambda: self.cluster.assigned(self.table.group) == partitions, 45, self._running())

    def crash(self, name: str, files: int):
        """Kills a process when `files` more files have been written and offsets are behind, and starts it anew."""
        before = len(self.table.files())
        until("files are being written", lambda: len(self.table.files()) >= before + files, 60, self._running())
        self._processes[name].kill()
        assert not self.is_committed(), "the kill came too late: everything was committed"
        self.start(name)

    def finish(self):
        """Waits until all that was sent is committed, and stops the processes."""
        until("all that was sent is committed", self.is_committed, 120, self._running())
        for process in self._running():
            process.stop()

    def is_committed(self) -> bool:
        return self.cluster.all_is_committed(self.table.group, self.topic)

    def _running(self):
        return self._processes.values()
