"""Runs a job on real servers while a seeded schedule of events does to them, and to its processes, what may happen.

An event is a function below. An outage begins with its event and ends by itself some seconds later, so that outages
overlap with whatever comes next. Choices come from the seed; how far the processes are at that moment does not.
"""

import itertools
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

import feed
from broker import Broker
from cluster import Cluster
from crew import Crew
from evidence import Lake
from glue import Glue
from program import CloudTable
from s3 import S3
from wait import until
from weather import Weather

PARTITIONS = 6
LEAST, MOST = 2, 4
# Records a second, of which each 40th is bad; few symbols, as each is a file every second.
RATE = 600
BAD_EACH = 40
SYMBOLS = 40
TICK_SECONDS = 0.2
LAG_SECONDS = 1.0
# Of a member that stands still: the group gives its partitions away after 6.
STILL_SECONDS = 7.5, 14
OUTAGE_SECONDS = 2, 9
PAUSE_SECONDS = 0.5, 5
EMPTY_SECONDS = 60


class Feed:
    """What is sent: good ticks, and now and then a record that is none."""

    def __init__(self, cluster: Cluster, topic: str, seed: int, seconds: int):
        self._cluster, self._topic, self._seed, self._most = cluster, topic, seed, RATE * seconds
        self.sent, self.bad = [], []
        self._enough = threading.Event()

    @contextmanager
    def producing(self):
        # A record waits for its broker for as long as it takes: what was given to the producer is acknowledged.
        # It looks for the leaders by itself: told by a broker that stops that there is none, librdkafka waits for minutes.
        producer = self._cluster.producer(message_timeout_ms=0, topic_metadata_refresh_interval_ms=2_000)
        with ThreadPoolExecutor(1) as thread:
            sending = thread.submit(self._cluster.send, self._topic, self._records(), RATE, producer)
            try:
                yield
            finally:
                self._enough.set()
            sending.result()

    def _records(self):
        ticks = feed.ticks(self._most, SYMBOLS, dates=max(3, self._most // 8000), seed=self._seed)
        for number, tick in enumerate(ticks):
            if self._enough.is_set():
                return
            if number % BAD_EACH == 0:
                self.bad.append(f"bad {number}")
                yield f"key {number}", self.bad[-1]
            self.sent.append(tick)
            yield tick.record()
        raise AssertionError("the events took too long: no tick is left to send")


class Servers(NamedTuple):
    """What a job needs, and the proxies before two of them."""

    broker: Broker
    s3: S3
    s3_weather: Weather
    glue: Glue
    glue_weather: Weather


class Chaos:
    """One run: its servers, its members, what is out just now, and a line for each event in `log`."""

    def __init__(self, seed: int, servers: Servers, table: CloudTable, lake: Lake, topic: str, arguments: list,
                 log: Path):
        self.rng = random.Random(seed)
        self.servers, self.table, self.lake, self.topic = servers, table, lake, topic
        self.cluster = Cluster(servers.broker.bootstrap)
        through = table.program.with_s3(servers.s3_weather.endpoint).with_glue(servers.glue_weather.endpoint)
        # In turn: through the proxies, and straight to the servers.
        self.crew = Crew([through, through, table.program], arguments, self.note)
        self.log = log
        self.events = Counter()
        self.begun = time.monotonic()
        self.seconds = 0.0
        # The longest time without a commit while all servers were up.
        self.stall = 0.0
        # By what is out: when it ends, and how.
        self._outages = {}
        self._later = []
        self._watched = self._progressed = self.begun
        self._committed = -1

    def note(self, what: str):
        members, outages = " ".join(map(str, self.crew.members)), " ".join(self._outages)
        with self.log.open("a") as log:
            print(f"{time.monotonic() - self.begun:8.2f} s  {what:<58} | {members} | out: {outages}", file=log)

    def run(self, kinds: list):
        for _ in range(LEAST):
            self.crew.start()
        self.settle()
        for event in kinds:
            self.events[event.__name__] += 1
            self.note(f"event {event.__name__}")
            event(self)
            self.live(self.rng.uniform(*PAUSE_SECONDS))
        self.settle()
        self.seconds = time.monotonic() - self.begun

    def live(self, seconds: float):
        """Lets time pass: what is due ends, members that ended are missed and replaced."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for name in [name for name, (due, _) in self._outages.items() if due <= now]:
                self.end(name)
            due = [what for when, what in self._later if when <= now]
            self._later = [(when, what) for when, what in self._later if when > now]
            for what in due:
                what()
            self.crew.look()
            while len([m for m in self.crew.members if m.state != "leaving"]) < LEAST:
                self.crew.start()
            self._watch(now)
            if now >= end:
                return
            time.sleep(TICK_SECONDS)

    def later(self, seconds: float, what):
        self._later.append((time.monotonic() + seconds, what))

    def one_more(self):
        if len(self.crew.members) < MOST:
            self.crew.start()

    def out(self, name: str, outage, seconds: float | None = None):
        """Begins an outage, a context, which ends after some seconds; that of a server ends one that it is in."""
        self.end(name)
        outage.__enter__()
        seconds = seconds or self.rng.uniform(*OUTAGE_SECONDS)
        self._outages[name] = time.monotonic() + seconds, outage
        self.note(f"{name} is out for {seconds:.1f} s")

    def end(self, name: str):
        if name in self._outages:
            _, outage = self._outages.pop(name)
            outage.__exit__(None, None, None)
            self.note(f"{name} is back")
            if name == "broker":
                # A client that has seen the broker go may wait for its answers for long.
                self.cluster = Cluster(self.servers.broker.bootstrap)
            self._progressed = time.monotonic()

    def settle(self):
        """What has begun takes its time, and all have work for a moment."""
        while self._outages or self._later:
            self.live(0.5)
        until("the members have all partitions", self._all_are_assigned, 60)
        self.live(2)

    def calm(self):
        """At once all servers are back, and nobody stands still."""
        for name in list(self._outages):
            self.end(name)
        for member in list(self.crew.members):
            self.crew.wake(member)
        self._later.clear()

    def stop_all(self):
        """No member is left, and the group knows."""
        self.settle()
        for member in self.crew.standing():
            self.crew.leave(member)
        until("the members have left", self._none_is_left, 90)
        until("the group is empty", lambda: self._assigned() == [], EMPTY_SECONDS)
        self.note("all have left")

    def _none_is_left(self) -> bool:
        self.crew.look()
        return not self.crew.members

    def must_cover_offsets(self):
        """No member is there: each record below a committed offset is a row of a file by now."""
        self.lake.refresh()
        rows = self.lake.rows_by_source()
        committed = {p: tp.offset for p, tp in self.cluster.committed(self.table.group, self.topic).items()}
        ahead = {p: (offset, rows[p]) for p, offset in committed.items() if rows[p] < offset}
        assert not ahead, f"committed offsets are ahead of the rows in files, by partition: {ahead}"
        self.note(f"{sum(committed.values())} committed, {rows.total()} rows in files")

    def _watch(self, now: float):
        """How long, while all servers are up, nothing was committed."""
        if now - self._watched < LAG_SECONDS or self._outages:
            if self._outages:
                self._progressed = now
            return
        self._watched = now
        try:
            committed = sum(tp.offset for tp in self.cluster.committed(self.table.group, self.topic).values())
        except (KafkaException, TimeoutError) as e:
            return self.note(f"the group tells no offsets: {e!r}")
        if committed != self._committed:
            self._committed, self._progressed = committed, now
        elif now - self._progressed > self.stall:
            self.stall = now - self._progressed
            if self.stall > 10:
                self.note(f"nothing was committed for {self.stall:.0f} s")

    def _assigned(self) -> list[int] | None:
        try:
            return self.cluster.assigned(self.table.group)
        except (KafkaException, TimeoutError):
            return None  # the group is not there yet, or its coordinator

    def _all_are_assigned(self) -> bool:
        return sum(self._assigned() or []) == PARTITIONS


# --- The events ---------------------------------------------------------------------------------------------------


def kill(chaos: Chaos):
    """A process dies; another comes some moments later."""
    if member := chaos.crew.choose(chaos.rng):
        chaos.note(f"SIGKILL {member.name}")
        chaos.crew.kill(member)
        chaos.later(chaos.rng.uniform(0, 3), chaos.one_more)


def kill_all(chaos: Chaos):
    """A machine with all of them dies, those that stand still too."""
    chaos.note("SIGKILL of all")
    for member in list(chaos.crew.members):
        chaos.crew.kill(member)
    chaos.live(chaos.rng.uniform(0, 2))


def zombie(chaos: Chaos):
    """A process stands still until its partitions are another's, and then goes on with what it has."""
    if member := chaos.crew.choose(chaos.rng):
        seconds = chaos.rng.uniform(*STILL_SECONDS)
        chaos.crew.still(member)
        chaos.note(f"SIGSTOP {member.name} for {seconds:.1f} s")
        chaos.later(seconds, lambda: chaos.crew.wake(member))


def zombie_with_files_on_their_way(chaos: Chaos):
    """Another owner meets its files, or they come too late; and it hears of both when it goes on."""
    s3_is_late(chaos)
    chaos.live(chaos.rng.uniform(1, 3))
    zombie(chaos)


def kill_with_files_on_their_way(chaos: Chaos):
    """They are created after its death."""
    s3_is_late(chaos)
    chaos.live(chaos.rng.uniform(1, 3))
    kill(chaos)


def join(chaos: Chaos):
    """One more, in place of another where there are many."""
    if len(chaos.crew.members) >= MOST and (member := chaos.crew.choose(chaos.rng)):
        chaos.crew.leave(member)
    chaos.crew.start()


def leave(chaos: Chaos):
    """SIGTERM."""
    if member := chaos.crew.choose(chaos.rng):
        chaos.note(f"SIGTERM {member.name}")
        chaos.crew.leave(member)


def broker_stops(chaos: Chaos):
    chaos.out("broker", away(chaos.servers.broker, chaos.servers.broker.stop))


def broker_is_killed(chaos: Chaos):
    chaos.out("broker", away(chaos.servers.broker, chaos.servers.broker.kill), seconds=chaos.rng.uniform(0.5, 4))


def broker_stands_still(chaos: Chaos):
    chaos.out("broker", chaos.servers.broker.standing_still())


def s3_stops(chaos: Chaos):
    chaos.out("S3", away(chaos.servers.s3, chaos.servers.s3.stop))


def s3_fails(chaos: Chaos):
    """409, 503, answers lost, errors after the work."""
    chaos.out("S3's answers", set_while(chaos.servers.s3_weather, "stormy", True))


def s3_is_late(chaos: Chaos):
    """Files are created seconds after they were sent, also those of the dead."""
    chaos.out("S3's haste", set_while(chaos.servers.s3_weather, "late_seconds", chaos.rng.uniform(2, 12)))


def glue_fails(chaos: Chaos):
    """Throttled, 500, another change, one of a batch, answers lost."""
    chaos.out("Glue's answers", set_while(chaos.servers.glue_weather, "stormy", True))


def glue_stands_still(chaos: Chaos):
    chaos.out("Glue", chaos.servers.glue.standing_still())


def offsets_are_deleted(chaos: Chaos):
    """With the group. Kafka allows it while nobody is in it."""
    chaos.stop_all()
    chaos.must_cover_offsets()
    chaos.cluster.forget_group(chaos.table.group)
    chaos.note("the group is deleted")


def offsets_are_reset(chaos: Chaos):
    """To the beginning, or to somewhere before."""
    chaos.stop_all()
    chaos.must_cover_offsets()
    committed = chaos.cluster.committed(chaos.table.group, chaos.topic)
    part = chaos.rng.choice([0.0, chaos.rng.random()])
    chaos.cluster.commit(chaos.table.group, [
        TopicPartition(chaos.topic, p, int(tp.offset * part)) for p, tp in committed.items()])
    chaos.note(f"the offsets are {part:.0%} of what they were")


@contextmanager
def away(server, go):
    go()
    yield
    server.start()


@contextmanager
def set_while(weather, name: str, value):
    before = getattr(weather, name)
    setattr(weather, name, value)
    yield
    setattr(weather, name, before)


EVENTS = [kill, kill_all, kill_with_files_on_their_way, zombie, zombie_with_files_on_their_way, join, leave,
          broker_stops, broker_is_killed, broker_stands_still, s3_stops, s3_fails, s3_is_late, glue_fails,
          glue_stands_still, offsets_are_deleted, offsets_are_reset]
# What happens to processes happens oftener.
DECK = [*EVENTS, kill, zombie, zombie_with_files_on_their_way]


def schedule(seed: int, count: int) -> list:
    """So many events: the whole deck in some order, and again."""
    rng = random.Random(f"schedule {seed}")
    decks = (rng.sample(DECK, len(DECK)) for _ in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(decks), count))
