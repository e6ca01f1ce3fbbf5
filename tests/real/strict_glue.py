"""Owns a proxy before moto's Glue that keeps the limits of AWS's, and that can fail as AWS's does.

What moto lets pass is refused here: more than 100 partitions in a call, empty or long values, a page beyond 1,000, a change
of a table by another version than it has. Keys that are not there are `UnprocessedKeys`. With faults, calls are throttled, meet other
changes, fail for one partition among many, leave out keys that are there, and lose their answer after the work is done.
With quotas, what is beyond so many calls a second is throttled. Indexes of partitions, which moto forgets, are kept: one that is made
later is CREATING until it has been asked for once more than that.
"""

import json
import threading
import time

from proxy import Answer, Proxy, Through, listening

# What calls may meet, as they are counted.
FAULTS = ["throttled", "met another change", "one of a batch failed", "key left out", "answer lost"]
BATCH = 100
PAGE = 1000
INDEXES = 3


class Quota:
    """So many calls a second; after a pause as many at once."""

    def __init__(self, rate: float):
        self._rate = self._left = rate
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def takes(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(max(1, self._rate), self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Strict(Through):
    """Each call as AWS's Glue takes it. `seen["archived"]` counts the changes of tables that keep the version before."""

    faults = False
    quotas: dict[str, Quota] = {}
    # By database and table; and of each index its name, its keys and its state.
    indexes: dict[tuple[str, str], list[dict]] = {}
    updating = threading.Lock()

    def on(self, body: bytes):
        operation = self.headers["X-Amz-Target"].removeprefix("AWSGlue.")
        asked = json.loads(body)
        number = self.server.count(operation)
        wrong = beyond_limits(operation, asked)
        if wrong:
            self.server.count("refused")
            return self.fail("InvalidInputException", wrong)
        if operation in self.quotas and not self.quotas[operation].takes():
            self.server.count("throttled")
            return self.fail("ThrottlingException", "Rate exceeded")
        if self.faults and self.faulted(operation, asked, number):
            return None
        if operation == "UpdateTable":
            return self.update(asked)
        if operation.endswith("PartitionIndex") or operation == "GetPartitionIndexes":
            return self.index(operation, asked)
        status, told = self.glue(asked)
        if operation == "CreateTable" and status == 200:
            made = [index_of(index, "ACTIVE") for index in asked.get("PartitionIndexes", [])]
            self.indexes[asked["DatabaseName"], asked["TableInput"]["Name"]] = made
        if operation == "BatchGetPartition" and status == 200:
            told = self.with_unprocessed(told, asked)
        if self.faults and operation == "BatchCreatePartition" and number % 5 == 4:
            self.server.count("answer lost")
            return self.lose()
        return self.tell(status, told)

    def faulted(self, operation: str, asked: dict, number: int) -> bool:
        """Whether the call has been failed."""
        if number % 4 == 2:
            self.server.count("throttled")
            self.fail("ThrottlingException", "Rate exceeded")
        elif operation in ("BatchCreatePartition", "CreateTable") and number % 5 == 3:
            self.server.count("met another change")
            self.fail("ConcurrentModificationException", "Too many simultaneous requests")
        elif operation == "BatchCreatePartition" and number % 3 == 1:
            self.server.count("one of a batch failed")
            self.one_fails(asked)
        else:
            return False
        return True

    def one_fails(self, asked: dict):
        first, *others = asked["PartitionInputList"]
        status, told = self.glue(asked | {"PartitionInputList": others}) if others else (200, {})
        detail = {"ErrorCode": "InternalServiceException", "ErrorMessage": "try again"}
        told["Errors"] = [*told.get("Errors", []), {"PartitionValues": first["Values"], "ErrorDetail": detail}]
        self.tell(status, told)

    def update(self, asked: dict):
        """moto takes any version."""
        if not asked.get("SkipArchive"):
            self.server.count("archived")
        with self.updating:
            wanted = {"DatabaseName": asked["DatabaseName"], "Name": asked["TableInput"]["Name"]}
            there = self.glue(wanted, "GetTable")[1].get("Table", {})
            if asked.get("VersionId", there.get("VersionId")) != there.get("VersionId"):
                self.server.count("other version")
                return self.fail("ConcurrentModificationException", "Update table failed due to concurrent modifications")
            told = self.glue(asked)
        self.tell(*told)

    def index(self, operation: str, asked: dict):
        there = self.indexes.setdefault((asked["DatabaseName"], asked["TableName"]), [])
        if operation == "GetPartitionIndexes":
            told = {"PartitionIndexDescriptorList": [dict(index) for index in there]}
            for index in there:
                index["IndexStatus"] = "ACTIVE"
            return self.tell(200, told)
        busy = [index["IndexName"] for index in there if index["IndexStatus"] == "CREATING"]
        if busy:
            self.server.count("refused")
            return self.fail("InvalidInputException", f"Index {busy[0]} is in CREATING state. Only 1 index can be created or "
                             "deleted simultaneously per table.")
        there.append(index_of(asked["PartitionIndex"], "CREATING"))
        self.tell(200, {})

    def with_unprocessed(self, told: dict, asked: dict) -> dict:
        found = told.get("Partitions", [])
        if self.faults and found and self.server.count("keys found") % 4 == 1:
            self.server.count("key left out")
            found = found[1:]
        there = {tuple(p["Values"]) for p in found}
        keys = [key for key in asked["PartitionsToGet"] if tuple(key["Values"]) not in there]
        return {"Partitions": found, "UnprocessedKeys": keys}

    def glue(self, asked: dict, operation: str | None = None) -> tuple[int, dict]:
        """What moto answers to a call, or to another one in its place."""
        headers = dict(self.headers)
        if operation:
            headers["X-Amz-Target"] = f"AWSGlue.{operation}"
        answer = self.ask(json.dumps(asked).encode(), headers)
        return answer.status, json.loads(answer.body or b"{}")

    def fail(self, code: str, message: str):
        self.tell(400, {"__type": code, "Message": message})

    def tell(self, status: int, told: dict):
        self.answer(Answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(told).encode()))


class Faulty(Strict):
    faults = True


class Losing(Strict):
    """Loses the answer to each first change of a table, which is made."""

    def update(self, asked: dict):
        if self.server.count("changes") % 2 == 0:
            return super().update(asked)
        self.glue(asked)
        self.server.count("answer lost")
        return self.lose()


class Refusing(Strict):
    """Takes one batch of partitions, and then none: as when a right is taken away."""

    def on(self, body: bytes):
        if self.headers["X-Amz-Target"].endswith("BatchCreatePartition") and self.server.count("batches") > 1:
            return self.fail("AccessDeniedException", "not authorized to perform: glue:BatchCreatePartition")
        return super().on(body)


def index_of(asked: dict, state: str) -> dict:
    keys = [{"Name": name, "Type": "string"} for name in asked["Keys"]]
    return {"IndexName": asked["IndexName"], "Keys": keys, "IndexStatus": state}


def beyond_limits(operation: str, asked: dict) -> str | None:
    """What AWS's model of Glue does not allow."""
    created, looked_up = asked.get("PartitionInputList", []), asked.get("PartitionsToGet", [])
    if len(created) > BATCH or len(looked_up) > PAGE:
        return f"{len(created)} partitions to create, {len(looked_up)} to get"
    for entry in [*created, *looked_up]:
        if any(not 1 <= len(value) <= 1024 for value in entry["Values"]):
            return f"values {entry['Values']}"
    for entry in created:
        storage = entry["StorageDescriptor"]
        if not storage["Location"].startswith("s3://") or "SerializationLibrary" not in storage["SerdeInfo"]:
            return f"storage {storage}"
    keys = [column["Name"] for column in asked.get("TableInput", {}).get("PartitionKeys", [])]
    indexes = asked.get("PartitionIndexes", [])
    if len(indexes) > INDEXES or any(not set(index["Keys"]) <= set(keys) for index in indexes):
        return f"indexes {indexes} over {keys}"
    if asked.get("MaxResults", 1) > PAGE or len(asked.get("Expression", "")) > 2048:
        return f"{operation} {asked}"
    return None


def strict_glue(upstream: str):
    return listening(Proxy(upstream, Strict))


def limited_glue(upstream: str, calls_a_second: float):
    """Each of the calls about partitions may be made so often: AWS has a quota for each, in an account's region."""
    operations = ["BatchCreatePartition", "BatchGetPartition", "GetPartitions", "GetTable"]
    limited = type("Limited", (Strict,), {"quotas": {operation: Quota(calls_a_second) for operation in operations}})
    return listening(Proxy(upstream, limited))


def faulty_glue(upstream: str):
    return listening(Proxy(upstream, Faulty))


def losing_glue(upstream: str):
    return listening(Proxy(upstream, Losing))


def refusing_glue(upstream: str):
    return listening(Proxy(upstream, Refusing))
