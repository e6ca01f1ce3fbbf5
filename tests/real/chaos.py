"""Runs a job on real servers while a seeded schedule of events does to them, and to its processes, what may happen.

An event is a function below. An outage begins with its event and ends by itself some seconds later, and once it was
felt, so that outages overlap with whatever comes next. Now and then all that has begun ends, and the job must go on.
Choices come from the seed; how far the processes are at that moment does not.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

import faulty_s3
import feed
from broker import Broker
from cluster import Cluster
from crew import Crew, Member
from evidence import Lake
from glue import Glue
from program import CloudTable
from s3 import S3
from wait import until
from weather import GLUE_FAULTS, Weather

PARTITIONS = 6
# So many stand at least: who stands still is replaced, and passed. So many are there at most, but for those.
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
# What was not felt by then ends all the same.
LONGEST_SECONDS = 30
# So much of bad weather is felt.
FEW = 5
PAUSE_SECONDS = 0.5, 5
SETTLE_EACH = 10
EMPTY_SECONDS = 60
# Within which a job goes on that has its servers back. What it may wait for: a session of 6 s, a rebalance, stores and
# brokers that are tried again after 10 s, a start that is given up after 15 s; on a machine that is busy with all of it.
RECOVERY_SECONDS = 60


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


class Due(NamedTuple):
    """What is to be done after some seconds and once something was felt, and at `latest` in any case."""

    soonest: float
    latest: float
    felt: Callable[[], bool]
    what: Callable[[], None]

    def has_come(self, now: float) -> bool:
        return now >= self.latest or now >= self.soonest and self.felt()


def due_in(seconds: float, what: Callable[[], None], felt: Callable[[], bool] = lambda: True) -> Due:
    now = time.monotonic()
    return Due(now + seconds, now + max(seconds, LONGEST_SECONDS), felt, what)


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
        # The longest time without a commit of some partition while all servers were up and somebody was there.
        self.stall = 0.0
        # The longest time from the end of all outages until all was committed that had been sent before.
        self.recovery = 0.0
        # By what is out: its end.
        self._outages: dict[str, Due] = {}
        self._later: list[Due] = []
        self._watched = self._up = self.begun
        # By partition: what the group has committed, and when that was seen to move.
        self._committed: dict[int, int] = {}
        self._moved = [self.begun] * PARTITIONS

    def note(self, what: str):
        members, outages = " ".join(map(str, self.crew.members)), " ".join(self._outages)
        with self.log.open("a") as log:
            print(f"{time.monotonic() - self.begun:8.2f} s  {what:<58} | {members} | out: {outages}", file=log)

    def run(self, kinds: list):
        for _ in range(LEAST):
            self.crew.start()
        self.settle()
        for number, event in enumerate(kinds, 1):
            self.events[event] += 1
            self.note(f"event {event.__name__}")
            event(self)
            self.live(self.rng.uniform(*PAUSE_SECONDS))
            if number % SETTLE_EACH == 0:
                self.settle()
        self.settle()
        self.seconds = time.monotonic() - self.begun

    def live(self, seconds: float):
        """Lets time pass: what is due ends, members that ended are missed and replaced."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for name in [name for name, due in self._outages.items() if due.has_come(now)]:
                self.end(name)
            come = [due for due in self._later if due.has_come(now)]
            self._later = [due for due in self._later if due not in come]
            for due in come:
                due.what()
            self.crew.look()
            if not self.crew.members:
                self._up = now
            while len(self.crew.standing()) < LEAST:
                self.crew.start()
            self._watch(now)
            if now >= end:
                return
            time.sleep(TICK_SECONDS)

    def later(self, *when_and_what):
        self._later.append(due_in(*when_and_what))

    def someone(self) -> Member:
        """Of those that stand; where none does, one comes."""
        while not (standing := self.crew.standing()):
            self.live(TICK_SECONDS)
        return self.rng.choice(standing)

    def passed(self, member: Member) -> Callable[[], bool]:
        """Whether others have gone on with every partition since now, when a member does nothing any more."""
        # What it has committed itself is seen by then.
        since = time.monotonic() + 2 * LAG_SECONDS
        return lambda: member not in self.crew.members or min(self._moved) > since

    def one_more(self):
        if len(self.crew.members) < MOST:
            self.crew.start()

    def out(self, name: str, outage, seconds: float | None = None, felt: Callable[[], bool] = lambda: True):
        """Begins an outage, a context, which ends after some seconds; that of a server ends one that it is in."""
        self.end(name)
        outage.__enter__()
        seconds = seconds or self.rng.uniform(*OUTAGE_SECONDS)
        self._outages[name] = due_in(seconds, lambda: outage.__exit__(None, None, None), felt)
        self.note(f"{name} is out for {seconds:.1f} s")

    def end(self, name: str):
        if name in self._outages:
            outage = self._outages.pop(name)
            outage.what()
            self.note(f"{name} is back" if outage.felt() else f"{name} is back, and nobody has felt it")
            if name == "broker":
                # A client that has seen the broker go may wait for its answers for long.
                self.cluster = Cluster(self.servers.broker.bootstrap)
            self._up = time.monotonic()

    def settle(self):
        """What has begun takes its time; then all that has been sent until then is committed soon."""
        while self._outages or self._later:
            self.live(0.5)
        begun = time.monotonic()
        ends = until("the broker tells how far its topic goes", lambda: self._asked(self.cluster.ends, self.topic), 30)
        while True:
            self.live(LAG_SECONDS)
            behind = {p: (self._committed.get(p), end) for p, end in ends.items() if self._committed.get(p, 0) < end}
            if not behind and self._all_are_assigned():
                break
            seconds = time.monotonic() - begun
            assert seconds < RECOVERY_SECONDS, (
                f"all is up for {seconds:.0f} s, and the job does not go on; by partition, what is committed and what was "
                f"sent before: {behind}; partitions of each member: {self._assigned()}")
        self.recovery = max(self.recovery, time.monotonic() - begun)
        self.note(f"all goes on after {time.monotonic() - begun:.1f} s")
        self.live(2)

    def calm(self):
        """At once all servers are back, and nobody stands still; also the others, when one fails to come back."""
        self._later.clear()
        with ExitStack() as calls:
            for name in list(self._outages):
                calls.callback(self.end, name)
            for member in list(self.crew.members):
                calls.callback(self.crew.wake, member)

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
        """What the group has committed, and how long some partition stands while all servers are up."""
        if now - self._watched < LAG_SECONDS or "broker" in self._outages:
            return
        self._watched = now
        committed = self._asked(self.cluster.committed, self.table.group, self.topic)
        if committed is None:
            return self.note("the group tells no offsets")
        offsets = {p: tp.offset for p, tp in committed.items()}
        for partition in range(PARTITIONS):
            if offsets.get(partition) != self._committed.get(partition):
                self._moved[partition] = now
        self._committed = offsets
        seconds = now - max(self._up, min(self._moved))
        if not self._outages and seconds > self.stall:
            self.stall = seconds
            if self.stall > 10:
                self.note(f"a partition stands for {self.stall:.0f} s")

    def _asked(self, question, *of):
        try:
            return question(*of)
        except (KafkaException, TimeoutError):
            return None  # the group is not there yet, or its coordinator

    def _assigned(self) -> list[int] | None:
        return self._asked(self.cluster.assigned, self.table.group)

    def _all_are_assigned(self) -> bool:
        return sum(self._assigned() or []) == PARTITIONS


# --- The events ---------------------------------------------------------------------------------------------------


def kill(chaos: Chaos):
    """A process dies; another comes some moments later."""
    member = chaos.someone()
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
    member = chaos.someone()
    seconds = chaos.rng.uniform(*STILL_SECONDS)
    chaos.crew.still(member)
    chaos.note(f"SIGSTOP {member.name} for {seconds:.1f} s")
    chaos.later(seconds, lambda: chaos.crew.wake(member), chaos.passed(member))


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
    if len(chaos.crew.members) >= MOST:
        chaos.crew.leave(chaos.someone())
    chaos.crew.start()


def leave(chaos: Chaos):
    """SIGTERM."""
    member = chaos.someone()
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
    weather = chaos.servers.s3_weather
    chaos.out("S3's answers", set_while(weather, "stormy", True), felt=weather.felt(faulty_s3.FAULTS, FEW))


def s3_is_late(chaos: Chaos):
    """Files are created seconds after they were sent, also those of the dead."""
    weather, seconds = chaos.servers.s3_weather, chaos.rng.uniform(2, 12)
    chaos.out("S3's haste", set_while(weather, "late_seconds", seconds), felt=weather.felt(["late"], FEW))


def glue_fails(chaos: Chaos):
    """Throttled, 500, another change, one of a batch, answers lost."""
    weather = chaos.servers.glue_weather
    # A job asks seldom: what it knows is good for `catalog_ttl`.
    chaos.out("Glue's answers", set_while(weather, "stormy", True), felt=weather.felt(GLUE_FAULTS, 1))


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


KILLS = [kill, kill_all, kill_with_files_on_their_way]
ZOMBIES = [zombie, zombie_with_files_on_their_way]
EVENTS = [*KILLS, *ZOMBIES, join, leave, broker_stops, broker_is_killed, broker_stands_still, s3_stops, s3_fails,
          s3_is_late, glue_fails, glue_stands_still, offsets_are_deleted, offsets_are_reset]
# What happens to processes happens oftener.
DECK = [*EVENTS, kill, zombie, zombie_with_files_on_their_way]


def schedule(seed: int, count: int) -> list:
    """So many events: the whole deck in some order, and again."""
    rng = random.Random(f"schedule {seed}")
    decks = (rng.sample(DECK, len(DECK)) for _ in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(decks), count))
