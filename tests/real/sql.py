"""Owns the SQL engine of the tests: Trino, which Athena is made of, with its Hive plugin on our Glue and our S3.

One node that is coordinator and worker, with settings that make it answer as Athena does.
"""

import json
from pathlib import Path

from trino.dbapi import Cursor, connect
from trino.exceptions import TrinoQueryError

import aws
from glue import Glue
from s3 import S3
from server import Place, Server, free_ports, page
from wait import until

JVM = ["-Xmx1500M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC",
       "--add-modules=jdk.incubator.vector", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
QUERY_SECONDS = 120
NODE_SECONDS = 30
# A view says which catalog its tables are of.
NAME = "awsdatacatalog"

CONFIG = f"""
coordinator=true
node-scheduler.include-coordinator=true
node.environment=test
node.bind-ip=127.0.0.1
node.internal-address=127.0.0.1
plugin.dir={{home}}/plugin
http-server.http.port={{port}}
http-server.log.enabled=false
discovery.uri=http://127.0.0.1:{{port}}
query.max-memory-per-node=500MB
memory.heap-headroom-per-node=300MB
query.max-run-time={QUERY_SECONDS}s
"""

# The last four: as Athena rounds times and finds files, and so that external tables can be made and written.
CATALOG = f"""
connector.name=hive
hive.metastore=glue
hive.metastore.glue.endpoint-url={{glue}}
hive.metastore.glue.region={aws.REGION}
hive.metastore.glue.aws-access-key={aws.ACCESS_KEY}
hive.metastore.glue.aws-secret-key={aws.SECRET_KEY}
fs.native-s3.enabled=true
s3.endpoint={{s3}}
s3.region={aws.REGION}
s3.path-style-access=true
s3.aws-access-key={aws.ACCESS_KEY}
s3.aws-secret-key={aws.SECRET_KEY}
hive.timestamp-precision=MILLISECONDS
hive.recursive-directories=true
hive.non-managed-table-writes-enabled=true
hive.security=allow-all
"""


def rows(cursor: Cursor, sql: str) -> list[tuple]:
    """It answers before it knows of itself as a node that has the catalog, some seconds before: then the query is tried again."""
    def told() -> list[list[tuple]]:
        try:
            return [[tuple(row) for row in cursor.execute(sql).fetchall()]]
        except TrinoQueryError as e:
            if e.error_name != "NO_NODES_AVAILABLE":
                raise
            return []

    [found] = until("Trino has a node", told, NODE_SECONDS)
    return found


class Trino(Server):
    """A running Trino whose catalog, under Athena's name for it, is the tables of `glue` and the objects of `s3`."""

    def __init__(self, place: Place, java: str, home: Path, glue: Glue, s3: S3):
        [self.port] = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        # `etc` of the working folder is where it looks for catalogs, and for what else can be set.
        etc = place.folder / "etc"
        (etc / "catalog").mkdir(parents=True)
        config = etc / "config.properties"
        config.write_text(CONFIG.format(home=home, port=self.port))
        (etc / f"catalog/{NAME}.properties").write_text(CATALOG.format(glue=glue.endpoint, s3=s3.endpoint))
        super().__init__(
            place, [java, *JVM, f"-Dconfig={config}", "-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"])

    def query(self, sql: str) -> list[tuple]:
        """Runs a statement to its end; its rows in Python's types, or trino's error."""
        with connect(host="127.0.0.1", port=self.port, user="test", catalog=NAME, timezone="UTC",
                     request_timeout=QUERY_SECONDS) as connection:
            return rows(connection.cursor(), sql)

    def accounted(self, sql: str, seconds: int) -> tuple[list[tuple], dict]:
        """Runs a statement that may take so long; its rows, and Trino's own account of what it took."""
        with connect(host="127.0.0.1", port=self.port, user="test", catalog=NAME, timezone="UTC",
                     request_timeout=QUERY_SECONDS, session_properties={"query_max_run_time": f"{seconds}s"}) as connection:
            found = rows(cursor := connection.cursor(), sql)
        told = page(f"{self.endpoint}/v1/query/{cursor.query_id}", {"X-Trino-User": "test"})
        return found, json.loads(told)["queryStats"]

    def answers(self) -> bool:
        said = page(f"{self.endpoint}/v1/info")
        return said != "" and not json.loads(said)["starting"]
