"""Runs the program under test: `ticklake` processes whose output is kept, which always end and are always reaped."""

import json
import os
import shlex
import signal
import subprocess
from copy import copy
from decimal import Decimal
from pathlib import Path

import aws
from glue import Glue
from guard import Guard
from s3 import S3
from server import tail

STOP_SECONDS = 40
# What takes longer hangs: a debug build on a busy machine takes its time.
COMMAND_SECONDS = 120
# The group notices soon that a process is gone which could not say so.
SHORT_SESSION = ["-X", "session.timeout.ms=6000"]
# What a summary counts.
COUNTS = ["records", "rows", "rejected", "skipped", "files", "file_bytes", "partitions_registered", "offsets_committed"]


class Running:
    """A `ticklake` that runs beside the test; its stdout and stderr are in files."""

    def __init__(self, name: str, command: list[str], cwd: Path, env: dict[str, str], logs: Path, guard: Guard):
        self.name = name
        self.out = logs / f"{name}.out"
        self.log = logs / f"{name}.log"
        with self.out.open("ab") as out, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)
        guard.watch(self._process)

    def must_run(self, when: str):
        code = self._process.poll()
        assert code is None, f"{self.name} ended with {code} {when}; its log ends with:\n{tail(self.log)}"

    def code(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit code; it is killed, and the test fails, when it has not ended in time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {seconds} s; its log ends with:\n{tail(self.log)}") from None

    def stop(self, by: signal.Signals = signal.SIGTERM):
        """A signal to end, after which it must end well within the deadline."""
        self.must_run("before it was stopped")
        self.signal(by)
        code = self.wait()
        assert code == 0, f"{self.name} ended with {code} after {by.name}; its log ends with:\n{tail(self.log)}"

    def signal(self, signal: signal.Signals):
        self._process.send_signal(signal)

    def kill(self):
        """SIGKILL: it has no chance to do anything more."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Program:
    """The binary with what all its commands share: brokers, catalog, a folder of its own, logs.

    Settings come from the command line alone: no `ticklake.toml`, no `TICKLAKE_…` in the environment.
    """

    def __init__(self, binary: str, bootstrap: str, folder: Path, logs: Path, guard: Guard):
        self.folder = folder
        self.logs = logs
        self._guard = guard
        self._binary = binary
        self._bootstrap = bootstrap
        self._catalog = f"sqlite:{folder / 'catalog.sqlite'}"
        self._env = {k: v for k, v in os.environ.items() if not k.startswith(("TICKLAKE_", "AWS_"))}
        self._within: tuple[str, ...] = ()
        self._running: list[Running] = []

    def start(self, name: str, *arguments) -> Running:
        process = Running(name, self._command(arguments), self.folder, self._env, self.logs, self._guard)
        self._running.append(process)
        return process

    def run(self, *arguments, stdin: str = "", seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess:
        """Runs a command to its end, whatever its exit code; it is killed at the deadline, and that is an error."""
        command = self._command(arguments)
        process = subprocess.Popen(
            command, cwd=self.folder, env=self._env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(stdin, seconds)
            ended = f"ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            ended = f"did not end within {seconds} s"
        with (self.logs / "commands.log").open("a") as log:
            print(f"{shlex.join(command)} {ended}", out[-2_000:], err[-10_000:], sep="\n", file=log)
        assert not ended.startswith("did not"), f"{shlex.join(command)} {ended}:\n{err[-4_000:]}"
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def must(self, *arguments, code: int = 0, **options) -> subprocess.CompletedProcess:
        """Runs a command that must end with `code`."""
        done = self.run(*arguments, **options)
        assert done.returncode == code, (
            f"{shlex.join(done.args)} ended with {done.returncode}, not {code}:\n{done.stderr[-4_000:]}")
        return done

    def last_error(self, *arguments, **options) -> str:
        """The last line of what a command says that must fail with 1: the chain of the error."""
        lines = self.must(*arguments, code=1, **options).stderr.splitlines()
        assert lines, f"{arguments} failed and said nothing"
        return lines[-1]

    def query(self, sql: str) -> list[dict]:
        """The rows of `ticklake query`; numbers with a point are decimals."""
        lines = self.must("query", "--format", "jsonl", sql).stdout.splitlines()
        return [json.loads(line, parse_float=Decimal) for line in lines]

    def with_brokers(self, bootstrap: str) -> "Program":
        """The same, with other brokers; what it starts ends with this."""
        other = copy(self)
        other._bootstrap = bootstrap
        return other

    def within(self, *command: str) -> "Program":
        """The same, started by another command, which becomes it: the process id stays."""
        other = copy(self)
        other._within = command
        return other

    def in_cloud(self, s3: S3, glue: Glue) -> "Program":
        """The same, with Glue as the catalog, and with the environment in which AWS's tools find both servers."""
        other = copy(self)
        other._catalog = "glue"
        other._env = self._env | aws.ENVIRONMENT | {
            "AWS_ENDPOINT_URL_S3": s3.endpoint, "AWS_ENDPOINT_URL_GLUE": glue.endpoint}
        return other

    def with_s3(self, endpoint: str) -> "Program":
        """The same, with S3 at another address."""
        return self.with_variables(AWS_ENDPOINT_URL_S3=endpoint)

    def with_glue(self, endpoint: str) -> "Program":
        """The same, with Glue at another address."""
        return self.with_variables(AWS_ENDPOINT_URL_GLUE=endpoint)

    def with_variables(self, **variables: str) -> "Program":
        """The same, with other variables in its environment; an empty one is taken out."""
        other = copy(self)
        other._env = {name: value for name, value in (self._env | variables).items() if value}
        return other

    def end_all(self):
        for process in self._running:
            process.kill()

    def _command(self, arguments) -> list[str]:
        return [*self._within, self._binary, "--brokers", self._bootstrap, "--catalog", self._catalog, *map(str, arguments)]


class Table:
    """A table of the project's own DDL in a folder of the program's, and the ingest that fills it."""

    def __init__(self, program: Program, ddl: Path, group: str | None = None):
        self.program = program
        self.ddl = ddl
        self.name = f"market.{ddl.stem}"
        self.location = program.folder / "lake" / ddl.stem
        self.group = group or f"ticklake-{self.name}"

    def ingest(self, topic: str, *options) -> list[str]:
        """The arguments of `ticklake ingest` from a topic to here."""
        return ["ingest", "--topic", topic, "--table", self.ddl, "--location", self.location, "--group", self.group,
                *options]

    def start(self, name: str, topic: str, *options) -> Running:
        return self.program.start(name, *self.ingest(topic, *options))

    def ingest_to_end(self, topic: str, *options, seconds: float = COMMAND_SECONDS) -> dict[str, int]:
        """Ingests what is in the topic now; the counts of the summary."""
        arguments = self.ingest(topic, "--until-end", "--summary", "json", *options)
        summary = json.loads(self.program.must(*arguments, seconds=seconds).stdout)
        return {name: summary[name] for name in COUNTS}

    def verify(self, *options, code: int = 0, seconds: float = COMMAND_SECONDS) -> dict:
        """The report of `ticklake verify`, which must end with `code`."""
        return json.loads(self.program.must("verify", self.name, "--json", *options, code=code, seconds=seconds).stdout)

    def rejected_rows(self, columns: str) -> list[dict]:
        return self.program.query(f'SELECT {columns} FROM {self.name}_rejected ORDER BY "partition", "offset"')

    def files(self) -> list[Path]:
        """The data files, without the rejected table's."""
        return sorted(self.location.glob("date=*/*/*.parquet"))


class CloudTable(Table):
    """A table of the project's own DDL on S3 and in Glue, in a database and a bucket of the caller's."""

    def __init__(self, program: Program, s3: S3, ddl: Path, database: str):
        own = program.folder / ddl.name
        own.write_text(ddl.read_text().replace("`market`", f"`{database}`"))
        super().__init__(program, own)
        self.name = f"{database}.{ddl.stem}"
        self.group = f"ticklake-{self.name}"
        self.bucket = s3.make_bucket(database)
        self.location = f"s3://{self.bucket}/lake/{ddl.stem}/"
        self._s3 = s3

    def files(self) -> list[str]:
        """The keys of the data files."""
        pages = self._s3.client().get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"lake/{self.ddl.stem}/date=")
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))
