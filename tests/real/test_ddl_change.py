"""Proves that a DDL with an added column goes on where the old one ended, and only there: a record that was a row under
the one and is rejected under the other is in one of the two tables, once.
"""

import feed
from conftest import SCHEMAS
from program import SHORT_SESSION
from wait import until


def test_an_added_column_goes_on_after_a_clean_end_only(cluster, ticks_table):
    table, program = ticks_table, ticks_table.program
    topic = cluster.topic("added")
    old = table.ddl
    new = program.folder / "new.sql"
    new.write_text((SCHEMAS / "ticks.sql").read_text().replace("`seq` ", "`venue` int,\n  `seq` "))
    (program.folder / "ticklake.toml").write_text('[ingest]\ncommit_interval = "1h"\n')

    def send(count):
        """Each is a row of the old DDL; by the new one, their venue is no number."""
        cluster.send(topic, (
            (key, value.replace("{", '{"venue":"none",', 1))
            for key, value in (tick.record() for tick in feed.ticks(count, symbols=5))))

    def count(name):
        return program.query(f"SELECT count(*) AS n FROM {name}")[0]["n"]

    # Killed with its rows in files and no offset committed.
    send(200)
    daemon = table.start("daemon", topic, "--flush-age", "1s", *SHORT_SESSION)
    until("the rows are in files", lambda: table.files() and count("market.ticks") == 200, 30, [daemon])
    daemon.kill()
    send(100)

    program.must("table", "drop", "market.ticks")
    table.ddl = new
    error = program.last_error(*table.ingest(topic, "--until-end"))
    assert "another DDL" in error and "--from" in error

    # The end of the old one, and the new one from there on.
    program.run("table", "drop", "market.ticks")
    table.ddl = old
    assert table.ingest_to_end(topic)["rows"] == 300
    assert count("market.ticks") == 300
    send(50)
    program.must("table", "drop", "market.ticks")
    table.ddl = new
    summary = table.ingest_to_end(topic)
    assert (summary["records"], summary["rows"], summary["rejected"]) == (50, 0, 50)
    assert (count("market.ticks"), count("market.ticks_rejected")) == (300, 50)

    # Without the group's offset nobody knows how much was written under which.
    cluster.forget_group(table.group)
    assert "another DDL" in program.last_error(*table.ingest(topic, "--until-end"))
    send(20)
    assert table.ingest_to_end(topic, "--from", "350")["rejected"] == 20
    assert (count("market.ticks"), count("market.ticks_rejected")) == (300, 70)
