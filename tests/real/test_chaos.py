"""Proves that whatever happens to its processes and servers, a job writes every acknowledged record once, and every bad
one once into the rejected table.

    TICKLAKE_CHAOS_EVENTS=60   so many events in a run; without it some chosen ones
    TICKLAKE_CHAOS_SEED=7      another schedule
"""

import os
import time

import pytest

import chains
import chaos
import evidence
import faulty_s3
from chaos import Chaos, Feed, Servers
from broker import Broker
from cluster import Cluster
from conftest import REAL, SCHEMAS
from evidence import Lake
from program import SHORT_SESSION, CloudTable
from proxy import listening
from server import running
from weather import GLUE_FAULTS, GlueWeather, S3Weather, Weather

COUNT = int(os.environ.get("TICKLAKE_CHAOS_EVENTS", 0))
SEED = int(os.environ.get("TICKLAKE_CHAOS_SEED", 1))
PROTOCOLS = {"classic": SHORT_SESSION, "consumer": ["-X", "group.protocol=consumer"]}
SHORT = {
    "classic": [chaos.s3_fails, chaos.zombie_with_files_on_their_way, chaos.broker_is_killed, chaos.join,
                chaos.offsets_are_deleted],
    "consumer": [chaos.glue_fails, chaos.zombie, chaos.kill_with_files_on_their_way, chaos.s3_stops,
                 chaos.offsets_are_reset],
}
LIMITS = ["--flush-rows", "200", "--flush-age", "1s", "--log-level", "info,ticklake=debug,librdkafka=debug"]
# Dense: commits and looks at the catalog are many, and who leaves does not take long.
SETTINGS = '[ingest]\ncommit_interval = "1s"\ncatalog_ttl = "5s"\ndrain_deadline = "10s"\n'
# What a process says that finds another writer's file under the name that it wants.
MET = "another writer's link is there"
# Of so many, some do.
ZOMBIES = 6
SECONDS_FOR_AN_EVENT = 30
DRAIN_SECONDS = VERIFY_SECONDS = 300


@pytest.fixture(scope="module")
def shaken_broker(place):
    """One of its own: the clients of other tests would not get over what it goes through."""
    with running(Broker(place("chaos-broker"), os.environ["REAL_JAVA"], REAL / "kafka/libs")) as broker:
        yield broker


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_chaos_doubles_nothing_and_loses_nothing(
        protocol, program, shaken_broker, s3, glue, trino, tmp_path, measured):
    seed = SEED
    kinds = chaos.schedule(seed, COUNT) if COUNT else SHORT[protocol]
    (program.folder / "ticklake.toml").write_text(SETTINGS)
    broker = shaken_broker
    cluster = Cluster(broker.bootstrap)
    cloud = program.with_brokers(broker.bootstrap).in_cloud(s3, glue)
    table = CloudTable(cloud, s3, SCHEMAS / "ticks.sql", f"chaos{protocol}{seed}")
    topic = cluster.topic("chaos", chaos.PARTITIONS)
    lake = Lake(table, s3, tmp_path / "copy")
    sent = Feed(cluster, topic, seed, seconds=60 + SECONDS_FOR_AN_EVENT * len(kinds))
    arguments = table.ingest(topic, *LIMITS, *PROTOCOLS[protocol])
    log = program.logs / "events.log"
    print(f"seed {seed}, events in {log}, files in {tmp_path}")

    with listening(Weather(s3.endpoint, S3Weather)) as s3_weather, \
            listening(Weather(glue.endpoint, GlueWeather)) as glue_weather:
        servers = Servers(broker, s3, s3_weather, glue, glue_weather)
        run = Chaos(seed, servers, table, lake, topic, arguments, log)
        try:
            with sent.producing():
                try:
                    run.run(kinds)
                finally:
                    run.calm()
            run.stop_all()
            run.must_cover_offsets()
        finally:
            program.end_all()
            lake.refresh()  # also where it failed: its files are what is looked at then

        calm = time.monotonic()
        table.ingest_to_end(topic, *PROTOCOLS[protocol], seconds=DRAIN_SECONDS)
        drained = time.monotonic() - calm
    cluster = Cluster(broker.bootstrap)
    lake.refresh()
    verdicts = [evidence.by_trino(trino, table, sent.sent, sent.bad), evidence.by_duckdb(lake, sent.sent, sent.bad)]
    met = sum(log.read_text(errors="replace").count(MET) for log in program.logs.glob("m*.log"))
    said = summary(protocol, seed, run, sent, verdicts, lake, met, drained)
    run.log.open("a").write(said)
    measured(said)
    assert all(verdict.is_exact() for verdict in verdicts), [verdict.wrong[:5] for verdict in verdicts]
    assert sum(cluster.ends(topic).values()) == len(sent.sent) + len(sent.bad), "the producer sent a record twice"
    assert cluster.all_is_committed(table.group, topic)
    chains.must_tile(lake.ticks)
    chains.must_tile(lake.rejected)
    assert not run.crew.unforeseen(), "\n".join(run.crew.unforeseen())
    assert run.stall < chaos.RECOVERY_SECONDS
    must_have_met_it(run, met)
    begun = time.monotonic()
    report = table.verify("--records", seconds=VERIFY_SECONDS)
    assert (report["problems"], report["gaps"]) == ([], [])
    assert report["checked"]["rows"] == len(sent.sent) + len(sent.bad)
    said = f"  verify     {report['checked']}, no problem, in {time.monotonic() - begun:.1f} s\n"
    run.log.open("a").write(said)
    measured(said)
    # Read once more from the beginning, every row is found where it is.
    cluster.forget_group(table.group)
    assert table.ingest_to_end(topic, seconds=DRAIN_SECONDS)["files"] == 0
    lake.refresh()


def must_have_met_it(run: Chaos, met: int):
    """What should happen has happened, and to a job at work: else the run has shown nothing."""
    def count(*events) -> int:
        return sum(run.events[event] for event in events)

    assert run.crew.count["killed"] >= count(*chaos.KILLS)
    assert run.crew.count["stood still"] == count(*chaos.ZOMBIES)
    s3, glue = run.servers.s3_weather.seen, run.servers.glue_weather.seen
    for event, seen, faults in (chaos.s3_fails, s3, faulty_s3.FAULTS), (chaos.s3_is_late, s3, ["late"]):
        assert not count(event) or all(seen[fault] for fault in faults), (event.__name__, seen)
    assert not count(chaos.glue_fails) or any(glue[fault] for fault in GLUE_FAULTS), glue
    assert glue["refused"] == 0, glue
    # One alone may give up what it holds as soon as it wakes up.
    assert count(*chaos.ZOMBIES) < ZOMBIES or met > 0, "no zombie met another's file"


def summary(protocol, seed, run, sent, verdicts, lake, met, drained) -> str:
    events = ", ".join(sorted(f"{event.__name__} {count}" for event, count in run.events.items()))
    crew = ", ".join(f"{count} {what}" for what, count in run.crew.count.items())
    faults = {name: dict(weather.seen)
              for name, weather in (("S3", run.servers.s3_weather), ("Glue", run.servers.glue_weather))}
    return "\n".join([
        f"chaos, protocol {protocol}, seed {seed}: {run.events.total()} events in {run.seconds:.0f} s",
        f"  events     {events}",
        f"  sent       {len(sent.sent):,} ticks, {len(sent.bad):,} bad records",
        *(f"  {verdict.engine:<10} {verdict}" for verdict in verdicts),
        f"  files      {len(lake.ticks.files()):,} of ticks, {len(lake.rejected.files()):,} of rejected records",
        f"  processes  {crew}",
        f"             met another's file {met} times",
        *(f"             {at}: {words}" for at, words in run.crew.exits),
        f"  recovery   at most {run.recovery:.1f} s until all was committed that was sent before all was up again; a "
        f"partition stood for at most {run.stall:.1f} s while all servers were up; the rest drained in {drained:.1f} s",
        f"  proxies    {faults}",
        ""])
