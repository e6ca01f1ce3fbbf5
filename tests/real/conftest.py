"""The fixtures: servers for the session, a folder and a catalog for each test, and the logs of what failed."""

import os
import re
import shutil
import signal
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import aws
from broker import Broker
from cluster import Cluster
from glue import Glue
from guard import Guard
from guests import ASKED_FOR, guest
from program import CloudTable, Program, Table
from s3 import S3
from secure import secure_broker
from server import Place, running, tail
from sql import Trino

SCHEMAS = Path(__file__).parents[2] / "schemas"
REAL = Path(os.environ.get("REAL_DIR", ""))
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
def place(guard, tmp_path_factory, worker_id):
    """Gives a server of a name where to live; each worker has servers of its own."""
    logs = REAL / "logs" / worker_id
    logs.mkdir(parents=True, exist_ok=True)
    return lambda name: Place(tmp_path_factory.mktemp(name), logs / f"{name}.log", guard)


# The servers start when the first test asks for them, and tests share them: a test makes topics, buckets and schemas
# of its own, and who makes a server stand still or stop lets it go on.


@pytest.fixture(scope="session")
def broker(place):
    with running(Broker(place("broker"), os.environ["REAL_JAVA"], REAL / "kafka/libs")) as broker:
        yield broker


@pytest.fixture(scope="session")
def secure(place, tmp_path_factory):
    libs = REAL / "kafka/libs"
    with secure_broker(place("secure"), tmp_path_factory.mktemp("keys"), os.environ["REAL_JAVA"], libs) as secure:
        yield secure


@pytest.fixture(scope="session")
def s3(place):
    with running(S3(place("s3"), REAL / "versitygw/versitygw")) as s3:
        yield s3


@pytest.fixture(scope="session")
def glue(place):
    with running(Glue(place("glue"))) as glue:
        yield glue


@pytest.fixture(scope="session")
def trino(place, glue, s3):
    with running(Trino(place("trino"), os.environ["REAL_TRINO_JAVA"], REAL / "trino", glue, s3)) as trino:
        yield trino


@pytest.fixture(scope="session")
def guests(place, glue, s3):
    """By name, the engines with a virtual environment of their own that TICKLAKE_ENGINES names."""
    java_home = Path(os.environ["REAL_JAVA"]).resolve().parents[1]
    told = aws.ENVIRONMENT | {
        "AWS_DEFAULT_REGION": aws.REGION, "AWS_ENDPOINT_URL_S3": s3.endpoint, "AWS_ENDPOINT_URL_GLUE": glue.endpoint,
        "JAVA_HOME": str(java_home), "SPARK_LOCAL_IP": "127.0.0.1", "TZ": "UTC"}
    with ExitStack() as guests:
        yield {name: guests.enter_context(guest(place(name), REAL, told)) for name in ASKED_FOR}


@pytest.fixture(scope="session")
def cluster(broker):
    """The broker, as other programs see it: each test makes topics and groups of its own."""
    return Cluster(broker.bootstrap)


@pytest.fixture(scope="session")
def start_program(cluster, guard):
    """Makes a `ticklake` of a name and a folder, as a context: what it started ends with it."""

    @contextmanager
    def start(name: str, folder: Path):
        logs = REAL / "logs" / re.sub(r"[^\w.-]+", "-", name)
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
def cloud(program, s3, glue):
    """`ticklake` with S3 and Glue."""
    return program.in_cloud(s3, glue)


@pytest.fixture
def cloud_table(request, cloud, s3):
    """The ticks on S3 and in Glue, in a database and a bucket that no other test has."""
    database = re.sub(r"[^a-z0-9]+", "", request.node.name.removeprefix("test_").lower())[:40]
    return CloudTable(cloud, s3, SCHEMAS / "ticks.sql", database)


@pytest.fixture
def ticks_table(program):
    """`market.ticks`, filled by a consumer group that no other test has."""
    return Table(program, SCHEMAS / "ticks.sql", group=f"group-{program.logs.name}")


@pytest.fixture(scope="session")
def measured():
    """Takes a line with a figure; the lines are printed at the end of the session."""
    return MEASURED.append


def pytest_terminal_summary(terminalreporter):
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    lines = [line for report in reports for name, line in getattr(report, "user_properties", []) if name == "measured"]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A report takes along what was measured; that of a failure, the ends of the logs of the programs that ran."""
    report = yield
    report.user_properties += [("measured", line) for line in MEASURED]
    MEASURED.clear()
    if report.failed:
        programs = (value for value in item.funcargs.values() if isinstance(getattr(value, "logs", None), Path))
        for program in programs:
            for log in sorted(program.logs.glob("*.log")):
                report.sections.append((f"end of {log}", tail(log)))
    return report
