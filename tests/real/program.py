"""Runs the program under test: `ticklake` processes whose output is kept, which always end and are always reaped."""

import json
import os
import shlex
import signal
import subprocess
from decimal import Decimal
from pathlib import Path

from guard import Guard
from server import tail

STOP_SECONDS = 40
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
        self._globals = ["--brokers", bootstrap, "--catalog", f"sqlite:{folder / 'catalog.sqlite'}"]
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("TICKLAKE_")}
        self._running: list[Running] = []

    def start(self, name: str, *arguments) -> Running:
        process = Running(name, self._command(arguments), self.folder, self._env, self.logs, self._guard)
        self._running.append(process)
        return process

    def run(self, *arguments, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess:
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
        other = Program(self._binary, bootstrap, self.folder, self.logs, self._guard)
        other._running = self._running
        return other

    def end_all(self):
        for process in self._running:
            process.kill()

    def _command(self, arguments) -> list[str]:
        return [self._binary, *self._globals, *map(str, arguments)]


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

    def ingest_to_end(self, topic: str, *options, seconds: float = 60) -> dict[str, int]:
        """Ingests what is in the topic now; the counts of the summary."""
        arguments = self.ingest(topic, "--until-end", "--summary", "json", *options)
        summary = json.loads(self.program.must(*arguments, seconds=seconds).stdout)
        return {name: summary[name] for name in COUNTS}

    def rejected_rows(self, columns: str) -> list[dict]:
        return self.program.query(f'SELECT {columns} FROM {self.name}_rejected ORDER BY "partition", "offset"')

    def files(self) -> list[Path]:
        """The data files, without the rejected table's."""
        return sorted(self.location.glob("date=*/*/*.parquet"))
