"""Owns the Kafka broker of the tests: Apache Kafka in KRaft mode, one node, on free ports of the loopback.

It starts from an empty folder, is ready when it answers (nothing waits by the clock), and is stopped by its process
id after a look at its command line: process ids wrap quickly on small machines.
"""

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from guard import Guard

START_SECONDS = 60
STOP_SECONDS = 20
JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

# Replication of one node; groups that settle at once and notice a killed member soon; small internal topics.
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
"""


class Broker:
    """A running broker. `bootstrap` is where it listens."""

    def __init__(self, java: str, libs: Path, folder: Path, log: Path, guard: Guard):
        self._folder = folder
        self._guard = guard
        self._java = [java, *JVM, "-cp", f"{libs}/*"]
        self._log = log
        self._process = None
        port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        self._settings = self._folder / "server.properties"
        self._settings.write_text(
            PROPERTIES.format(port=port, controller=controller, logs=self._folder / "logs"))

    def start(self):
        """Starts it and waits until it answers; raises with the end of its log if it does not."""
        self._format()
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal reaches pytest only, which then stops it.
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._settings)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self._guard.watch(self._process)
        deadline = time.monotonic() + START_SECONDS
        while not answers(admin):
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                state = "is not ready in time" if code is None else f"ended with {code}"
                raise RuntimeError(f"the broker {state}; its log, {self._log}, ends with:\n{tail(self._log)}")

    @contextmanager
    def standing_still(self):
        """As in a long pause of its machine: connections stay open, and nothing answers."""
        self._must_be_ours(self._process.pid)
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def segment(self, topic: str, partition: int) -> Path:
        """The first file of a partition's log."""
        return self._folder / "logs" / f"{topic}-{partition}" / f"{0:020}.log"

    def stop(self):
        """Stops it and removes its folder. Does nothing the second time."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            self._must_be_ours(process.pid)
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _must_be_ours(self, pid: int):
        found = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout
        if str(self._settings) not in found:
            raise RuntimeError(f"process {pid} should be the broker of {self._settings}, but is: {found}")

    def _format(self):
        # Kafka's form of a UUID. A fixed first byte: one that begins with '-' reads as an option.
        cluster = base64.urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).rstrip(b"=").decode()
        arguments = ["format", "--cluster-id", cluster, "--config", str(self._settings)]
        command = [*self._java, "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"the broker's storage cannot be made:\n{done.stdout}{done.stderr}")


def answers(admin: AdminClient) -> bool:
    """Whether the broker serves its clients and their groups; the first question about a group makes its own topic."""
    try:
        admin.list_topics(timeout=1)
        # Not by list_consumer_group_offsets: librdkafka crashes on a coordinator that is not ready.
        admin.describe_consumer_groups(["ready"], request_timeout=5)["ready"].result()
    except KafkaException:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def tail(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
