"""Proves that `ticklake produce` delivers to a real broker what its sources hold, keyed, and says how much it was."""

import json
import re

import bars
import feed
import readers
from server import free_ports


def test_csv(cluster, program):
    topic = cluster.topic("csv", 3)
    names, lines = bars.read()

    done = program.must("produce", "--topic", topic, "--csv", bars.SAMPLE, "--key", "Index")

    assert says(done, len(lines))
    sent = [(m.key().decode(), m.value().decode()) for m in cluster.read_all(topic)]
    # A number has the digits of the file.
    assert sorted(sent) == sorted(bar.record(names) for bar in lines)


def test_a_count_ends_a_loop(cluster, program):
    topic = cluster.topic("loop")
    _, lines = bars.read()
    done = program.must("produce", "--topic", topic, "--csv", bars.SAMPLE, "--loop", "--count", 2 * len(lines) + 5)
    assert says(done, 2 * len(lines) + 5)
    assert cluster.ends(topic) == {0: 2 * len(lines) + 5}


def test_ndjson_from_stdin(cluster, program):
    topic = cluster.topic("ndjson", 4)
    records = [tick.record() for tick in feed.ticks(2_000, symbols=40)]

    done = program.must("produce", "--topic", topic, "--ndjson", "-", "--key", "symbol",
                        stdin="\n".join(value for _, value in records) + "\n")

    assert says(done, 2_000)
    sent = cluster.read_all(topic)
    assert sorted((m.key().decode(), m.value().decode()) for m in sent) == sorted(records)
    # A symbol is in one partition, in the order sent.
    assert len({(m.key(), m.partition()) for m in sent}) == len({m.key() for m in sent})
    for symbol in {key for key, _ in records}:
        assert [m.value().decode() for m in sent if m.key().decode() == symbol] == [v for k, v in records if k == symbol]


def test_simulated_ticks_are_rows(cluster, program, ticks_table):
    topic = cluster.topic("simulated", 4)
    simulate = ["--simulate", "--symbols", "25", "--seed", "7", "--count", "5000"]

    done = program.must("produce", "--topic", topic, *simulate)

    assert says(done, 5_000)
    values = [json.loads(m.value()) for m in cluster.read_all(topic)]
    assert len(values) == 5_000 and len({v["symbol"] for v in values}) <= 25
    summary = ticks_table.ingest_to_end(topic)
    assert (summary["rows"], summary["rejected"], summary["skipped"]) == (5_000, 0, 0)
    found = readers.by_ticklake(ticks_table)
    assert found == readers.by_duckdb(ticks_table) == readers.by_pyarrow(ticks_table)
    assert sum(s.keys for s in found.values()) == 5_000

    # The seed decides the feed.
    again = cluster.topic("simulated-again", 4)
    program.must("produce", "--topic", again, *simulate)
    assert sorted(m.value() for m in cluster.read_all(again)) == sorted(m.value() for m in cluster.read_all(topic))


def test_a_broker_that_is_away_is_an_error(program):
    [port] = free_ports(1)
    away = program.with_brokers(f"127.0.0.1:{port}")
    sources = {"csv": ["--csv", bars.SAMPLE], "simulate": ["--simulate"]}
    for process in [away.start(name, "produce", "--topic", "nowhere", *source) for name, source in sources.items()]:
        assert process.wait(60) == 1
        assert f"127.0.0.1:{port}" in process.log.read_text().splitlines()[-1]


def says(done, delivered):
    """Whether the command said how many records were delivered; digits may be grouped."""
    text = re.sub(r"(?<=\d)[,_ ](?=\d{3})", "", done.stdout + done.stderr)
    return re.search(rf"\b{delivered}\b.*delivered|delivered.*\b{delivered}\b", text)
