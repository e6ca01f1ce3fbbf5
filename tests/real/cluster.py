"""Talks to the broker as other programs do, by confluent-kafka: makes topics, sends records, looks at groups."""

import time
import uuid

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from wait import until

SECONDS = 30


class Cluster:
    """A broker from the outside. Every call has a deadline and raises what the broker says."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def topic(self, name: str, partitions: int = 1, unique: bool = True) -> str:
        """Makes a topic; `unique` adds to the name what no other test has."""
        name = f"{name}-{uuid.uuid4().hex[:8]}" if unique else name
        assert self._make(name, partitions), f"{name} is there already"
        return name

    def producer(self, **properties) -> Producer:
        """An idempotent producer; names of properties with `_` for `.`."""
        given = {name.replace("_", "."): value for name, value in properties.items()}
        defaults = {"enable.idempotence": True, "linger.ms": 20, "compression.type": "zstd"}
        return Producer({"bootstrap.servers": self.bootstrap} | defaults | given)

    def send(self, topic: str, records, rate: int | None = None, producer: Producer | None = None, partition: int = -1):
        """Sends (key, value) pairs and returns when all are acknowledged; `rate` is records a second."""
        producer = producer or self.producer()
        failed = []

        def delivered(error, _message):
            if error is not None:
                failed.append(error)

        start = time.monotonic()
        for sent, (key, value) in enumerate(records):
            if rate and sent % 100 == 0:
                # A poll ends when it has served something.
                while (early := start + sent / rate - time.monotonic()) > 0:
                    producer.poll(early)
            while True:
                try:
                    producer.produce(topic, value=value, key=key, partition=partition, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(1)
        left = producer.flush(SECONDS)
        assert not failed and left == 0, f"not delivered to {topic}: {left} left, errors {failed[:3]}"

    def ends(self, topic: str) -> dict[int, int]:
        """The high watermark of each partition."""
        partitions = self.admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions
        asked = {TopicPartition(topic, p): OffsetSpec.latest() for p in partitions}
        found = self.admin.list_offsets(asked, request_timeout=SECONDS)
        return {tp.partition: answer.result(SECONDS).offset for tp, answer in found.items()}

    def committed(self, group: str, topic: str) -> dict[int, TopicPartition]:
        """What a group has committed, by partition; a partition it has not is left out."""
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        found = asked[group].result(SECONDS).topic_partitions
        return {tp.partition: tp for tp in found if tp.topic == topic and tp.offset >= 0}

    def all_is_committed(self, group: str, topic: str) -> bool:
        """Whether the group has committed the end of every partition."""
        committed = self.committed(group, topic)
        return all(end == 0 or (p in committed and committed[p].offset == end) for p, end in self.ends(topic).items())

    def commit(self, group: str, offsets: list[TopicPartition]):
        """Moves the offsets of a group without members."""
        moved = self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)])
        for tp in moved[group].result(SECONDS).topic_partitions:
            assert tp.error is None, f"{tp}: {tp.error}"

    def forget_group(self, group: str):
        """Deletes a group without members, and with it all that it has committed."""
        self.admin.delete_consumer_groups([group])[group].result(SECONDS)

    def make_anew(self, topic: str, partitions: int):
        """Deletes a topic, and makes another one of its name."""
        self.admin.delete_topics([topic], operation_timeout=SECONDS)[topic].result(SECONDS)
        # A deleted topic keeps its name for some moments.
        until(f"{topic} is made anew", lambda: self._make(topic, partitions), SECONDS)

    def _make(self, name: str, partitions: int) -> bool:
        try:
            self.admin.create_topics([NewTopic(name, partitions, 1)], operation_timeout=SECONDS)[name].result(SECONDS)
        except KafkaException as e:
            if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def drop_records_below(self, topic: str, partition: int, offset: int):
        """What retention does: the log of the partition then begins at `offset`."""
        asked = self.admin.delete_records([TopicPartition(topic, partition, offset)])
        for done in asked.values():
            done.result(SECONDS)

    def assigned(self, group: str) -> list[int]:
        """How many partitions each member of the group has been given, in ascending order; none where no group is."""
        described = self.admin.describe_consumer_groups([group])[group].result(SECONDS)
        return sorted(len(m.assignment.topic_partitions) if m.assignment else 0 for m in described.members)

    def read_all(self, topic: str) -> list:
        """All messages of a topic, by partition and offset."""
        ends = self.ends(topic)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"read-{uuid.uuid4().hex}",
                             "enable.auto.commit": False})
        messages = []
        try:
            consumer.assign([TopicPartition(topic, p, 0) for p in ends])
            deadline = time.monotonic() + SECONDS
            while len(messages) < sum(ends.values()):
                assert time.monotonic() < deadline, f"read {len(messages)} of {ends} from {topic}"
                for message in consumer.consume(10_000, 0.2):
                    assert message.error() is None, message.error()
                    messages.append(message)
        finally:
            consumer.close()
        return sorted(messages, key=lambda m: (m.partition(), m.offset()))
