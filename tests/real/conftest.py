"""The fixtures: one broker for the session, a folder and a catalog for each test, and the logs of what failed."""

import os
import re
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker import Broker, tail
from cluster import Cluster
from guard import Guard
from program import Program, Table

SCHEMAS = Path(__file__).parents[2] / "schemas"
MEASURED = []


def pytest_configure(config):
    if "REAL_DIR" not in os.environ:
        raise pytest.UsageError("run these tests by tests/real/run.sh: it brings what they need")
    # As for Ctrl-C: the fixtures are torn down, so that nothing that was started stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def guard(tmp_path_factory):
    guard = Guard(tmp_path_factory.getbasetemp())
    yield guard
    guard.end()


@pytest.fixture(scope="session")
def broker(guard, tmp_path_factory):
    """The broker's process. Tests share it: who makes it stand still lets it go on."""
    real = Path(os.environ["REAL_DIR"])
    logs = real / "logs"
    logs.mkdir(exist_ok=True)
    folder = tmp_path_factory.mktemp("broker")
    broker = Broker(os.environ["REAL_JAVA"], real / "kafka/libs", folder, logs / "broker.log", guard)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def cluster(broker):
    """The broker, as other programs see it: each test makes topics and groups of its own."""
    return Cluster(broker.bootstrap)


@pytest.fixture(scope="session")
def start_program(cluster, guard):
    """Makes a `ticklake` of a name and a folder, as a context: what it started ends with it."""

    @contextmanager
    def start(name: str, folder: Path):
        logs = Path(os.environ["REAL_DIR"]) / "logs" / re.sub(r"[^\w.-]+", "-", name)
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)
        program = Program(os.environ["TICKLAKE_BIN"], cluster.bootstrap, folder, logs, guard)
        try:
            yield program
        finally:
            program.end_all()

    return start


@pytest.fixture
def program(request, start_program, tmp_path):
    """`ticklake` with a folder and a catalog that no other test has."""
    with start_program(request.node.name, tmp_path) as program:
        yield program


@pytest.fixture
def ticks_table(program):
    """`market.ticks`, filled by a consumer group that no other test has."""
    return Table(program, SCHEMAS / "ticks.sql", group=f"group-{program.logs.name}")


@pytest.fixture(scope="session")
def measured():
    """Takes a line with a figure; the lines are printed at the end of the session."""
    return MEASURED.append


def pytest_terminal_summary(terminalreporter):
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the ends of the logs of the programs that the test ran."""
    report = yield
    if report.failed:
        programs = (value for value in item.funcargs.values() if isinstance(getattr(value, "logs", None), Path))
        for program in programs:
            for log in sorted(program.logs.glob("*.log")):
                report.sections.append((f"end of {log}", tail(log)))
    return report
