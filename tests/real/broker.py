"""Owns the Kafka broker of the tests: Apache Kafka in KRaft mode, one node, with a storage of its own."""

import base64
import subprocess
import uuid
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from server import Place, Server, free_ports

FORMAT_SECONDS = 60
JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

# Replication of one node; groups that settle at once and notice a killed member soon; small internal topics.
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
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


class Listener(NamedTuple):
    """Where a broker listens besides, and the port that it tells its clients, which may be a proxy's."""

    name: str
    protocol: str
    port: int
    told: int


class Broker(Server):
    """A running broker. `bootstrap` is where it listens; other listeners and properties may be added."""

    def __init__(self, place: Place, java: str, libs: Path, listeners: tuple[Listener, ...] = (), properties: str = ""):
        port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        self._logs = place.folder / "logs"
        settings = place.folder / "server.properties"
        own = Listener("CONTROLLER", "PLAINTEXT", controller, controller)
        told = [Listener("PLAINTEXT", "PLAINTEXT", port, port), *listeners]
        settings.write_text(properties + PROPERTIES.format(
            controller=controller, logs=self._logs,
            listeners=",".join(f"{at.name}://127.0.0.1:{at.port}" for at in [own, *told]),
            advertised=",".join(f"{at.name}://127.0.0.1:{at.told}" for at in told),
            protocols=",".join(f"{at.name}:{at.protocol}" for at in [own, *told])))
        kafka = [java, *JVM, "-cp", f"{libs}/*"]
        format_storage([*kafka, "kafka.tools.StorageTool"], settings)
        super().__init__(place, [*kafka, "kafka.Kafka", settings])

    def start(self):
        # By default it waits for up to 10 s before it looks for a broker again that was not there.
        settings = {"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200}
        self._admin = AdminClient(settings)
        super().start()

    def answers(self) -> bool:
        """Whether it serves its clients and their groups; the first question about a group makes its own topic."""
        try:
            self._admin.list_topics(timeout=1)
            # Not by list_consumer_group_offsets: librdkafka crashes on a coordinator that is not ready.
            self._admin.describe_consumer_groups(["ready"], request_timeout=5)["ready"].result()
        except KafkaException:
            return False
        return True

    def segment(self, topic: str, partition: int) -> Path:
        """The first file of a partition's log."""
        return self._logs / f"{topic}-{partition}" / f"{0:020}.log"


def format_storage(tool: list[str], settings: Path):
    # Kafka's form of a UUID. A fixed first byte: one that begins with '-' reads as an option.
    cluster = base64.urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).rstrip(b"=").decode()
    command = [*tool, "format", "--cluster-id", cluster, "--config", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"the broker's storage cannot be made:\n{done.stdout}{done.stderr}")
