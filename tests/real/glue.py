"""Owns the Glue and the Athena of the tests: moto's server, which has all its state in memory.

Its Glue is a catalog that other programs can use. Its Athena runs no SQL: any text succeeds, with no rows.
"""

import sys
from pathlib import Path

import aws
from server import Place, Server, free_ports, page


class Glue(Server):
    """A running server of AWS's JSON APIs at `endpoint`. A start forgets what it knew."""

    def __init__(self, place: Place):
        [port] = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        script = Path(__file__).with_name("moto_server.py")
        super().__init__(place, [sys.executable, script, place.folder, "-H", "127.0.0.1", "-p", port])

    def client(self, service: str = "glue"):
        """A boto3 client of `glue` or `athena`."""
        return aws.client(service, self.endpoint)

    def answers(self) -> bool:
        return page(f"{self.endpoint}/moto-api/data.json") != ""

    def calls(self) -> int:
        """How many requests it has answered, by its log."""
        return sum("POST / HTTP" in line for line in self.log.read_text(errors="replace").splitlines())
