"""Proves that what was expired leaves a table for good: out of Glue, then from S3, with the command killed on the way, and
with the whole topic read again after each step. Trino and `ticklake query` see the days that are left.
"""

import json
import os
import time

import feed
import readers
from wait import until

# Two years ago: no clock is so wrong that these days are still to come for it.
AGO = 730 * feed.DAY_MS
TICKS = [tick._replace(ts=tick.ts - AGO) for tick in feed.ticks(4_000, symbols=60, dates=4)]
DATES = sorted({tick.date for tick in TICKS})


def test_expired_days_do_not_come_back(cluster, cloud_table, trino, s3):
    table, program = cloud_table, cloud_table.program
    topic = cluster.topic("expire", 2)
    cluster.send(topic, [tick.record() for tick in TICKS])
    table.ingest_to_end(topic, "--flush-rows", "8")
    # What has a tick of a later day behind it in its source is below the committed offsets.
    later = [TICKS[-1]._replace(symbol=f"L{i}", seq=i) for i in range(40)]
    cluster.send(topic, [tick.record() for tick in later])
    table.ingest_to_end(topic)
    left = feed.summaries([tick for tick in TICKS + later if tick.date >= DATES[2]])
    old = [key for key in table.files() if is_old(key)]

    before = ["table", "expire", table.name, "--before", DATES[2]]
    assert "nothing was changed" in program.must(*before).stdout
    told = json.loads(program.must(*before, "--json").stdout)
    assert not told["applied"] and told["busy"] == [] == told["problems"]
    assert sum(day["dropped"]["files"] for day in told["days"]) == len(old)
    assert readers.by_trino(trino, table) == feed.summaries(TICKS + later), "it was only told"

    def closers():
        return [key for key in table.files() if is_old(key) and key not in old]

    for count in (1, 30):
        running = program.start(f"expire-{count}", *before, "--apply")
        until(f"{count} closers", lambda: len(closers()) >= count, 60, [])
        running.kill()
    done = json.loads(program.must(*before, "--apply", "--json").stdout)
    assert done["applied"] and done["busy"] == [] == done["problems"]
    must_have_left(table, trino, left)
    assert set(old) <= set(table.files()), "files stay for the grace time"
    read_again(table, topic, left, trino, len(TICKS + later))

    for key in closers():
        long_ago = time.time() - 8 * 86_400
        os.utime(s3.folder_of(f"{table.bucket}/{key}"), (long_ago, long_ago))
    done = json.loads(program.must(*before, "--apply", "--json").stdout)
    assert sum(day["removed"]["files"] for day in done["days"]) == len(old)
    assert not set(old) & set(table.files())
    must_have_left(table, trino, left)
    read_again(table, topic, left, trino, len(TICKS + later))
    assert "there are none" in program.must(*before).stdout


def is_old(key: str) -> bool:
    return key.split("date=")[1][:10] < DATES[2]


def must_have_left(table, trino, left):
    assert readers.by_trino(trino, table) == left
    assert readers.by_ticklake(table) == left
    assert table.verify("--records")["problems"] == []
    lines = table.program.must("table", "partitions", table.name).stdout.splitlines()
    assert len(lines) == len(left) and not any(is_old(line) for line in lines)


def read_again(table, topic, left, trino, count):
    """By a group that knows nothing of the table."""
    arguments = table.ingest(topic, "--until-end", "--summary", "json")
    arguments[arguments.index("--group") + 1] = f"again-{time.monotonic_ns()}"
    summary = json.loads(table.program.must(*arguments, seconds=120).stdout)
    assert (summary["rows"], summary["already_there"]) == (count, count)
    assert (summary["files"], summary["partitions_registered"]) == (0, 0)
    must_have_left(table, trino, left)
