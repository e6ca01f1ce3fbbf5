"""Runs parquet-java's own tools, the command `parquet`, on files."""

import re
import subprocess
from pathlib import Path

JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
SECONDS = 120


class ParquetJava:
    """The tools; each call is a Java of its own."""

    def __init__(self, java: str, libs: Path):
        self._java, self._libs = java, libs
        [jar] = libs.glob("parquet-cli-*.jar")
        self.version = jar.stem.removeprefix("parquet-cli-")

    def must(self, *arguments) -> str:
        """What a command prints that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, (
            f"parquet {arguments} ended with {done.returncode}:\n{done.stdout[-4_000:]}{done.stderr[-4_000:]}")
        return done.stdout

    def run(self, *arguments) -> subprocess.CompletedProcess:
        command = [self._java, *JVM, "-cp", f"{self._libs}/*", "org.apache.parquet.cli.Main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)

    def column_index(self, file: Path) -> dict[str, tuple[int, str, str]]:
        """By column, of those that have an index, of its first page: how many nulls, the least and the greatest value."""
        parts = re.split(r"^column index for column (.*):\n", self.must("column-index", file), flags=re.M)[1:]
        found = {}
        for name, text in zip(parts[::2], parts[1::2]):
            pages = re.findall(r"^page-0 +(\d+)  (.*?) *$", text.split("offset index")[0], re.M)
            if pages:
                [(nulls, values)] = pages
                least, greatest = (re.split(r" {2,}", values) + [""])[:2]
                found[name] = (int(nulls), least, greatest)
        return found
