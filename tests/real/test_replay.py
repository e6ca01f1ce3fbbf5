"""Proves that rejected records become rows under a fixed DDL, each once, though the replay is killed again and again; and that
Trino sees the rows, and which records are open still.
"""

import json

import feed
import readers
from wait import until

TICKS = 6_000
SYMBOLS = 200


def test_a_replay_that_is_killed_gives_each_row_once(cluster, cloud_table, trino):
    table, program = cloud_table, cloud_table.program
    topic = cluster.topic("replay", 4)
    ticks = feed.ticks(TICKS, symbols=SYMBOLS)
    sent = [broken(number, *tick.record()) for number, tick in enumerate(ticks)]
    cluster.send(topic, sent)
    summary = table.ingest_to_end(topic, seconds=120)
    words = TICKS // 40
    assert (summary["rows"], summary["rejected"]) == (TICKS // 2, TICKS // 2)

    fixed = program.folder / "fixed.sql"
    fixed.write_text(table.ddl.read_text().replace("TBLPROPERTIES (", "TBLPROPERTIES (\n  'ticklake.format.price' = 'rounded',"))
    replay = ["replay", fixed, "--location", table.location]

    def replayed():
        return sum("-r1-" in key for key in table.files())

    before = 0
    for count in (5, 60, 150):
        running = program.start(f"replay-{count}", *replay)
        until(f"{count} files of the replay", lambda: replayed() >= max(count, before + 1), 60, [running])
        running.kill()
        before = replayed()
    # Whoever comes with the DDL of before finishes it all the same, and has nothing to do then.
    done = json.loads(program.must("replay", table.ddl, "--location", table.location, "--summary", "json", seconds=120).stdout)
    assert done["replay"] == 2 and done["rows"] == 0, done

    right = [tick for number, tick in enumerate(ticks) if number % 40 != 1]
    assert readers.by_trino(trino, table) == feed.summaries(right)
    assert readers.by_ticklake(table) == feed.summaries(right)
    for answer in (
        trino.query(f'SELECT reason, attempt, count(*) FROM {table.name}_rejected_open GROUP BY 1, 2'),
        [tuple(row.values()) for row in program.query(
            f'SELECT reason, attempt, count(*) AS n FROM {table.name}_rejected_open GROUP BY 1, 2')],
    ):
        assert [tuple(row) for row in answer] == [("not_a_number", 2, words)]
    assert table.verify()["problems"] == []


def broken(number: int, key: str, value: str) -> tuple[str, str]:
    """Of two ticks one has a digit too many, whose rounding is the price as it was; of forty one is no number at all."""
    head, rest = value.split('"price":')
    price, rest = rest.split(",", 1)
    if number % 40 == 1:
        price = '"none"'
    elif number % 2:
        whole, _, fraction = price.partition(".")
        price = f"{whole}.{fraction:0<4}1"
    return key, f'{head}"price":{price},{rest}'
