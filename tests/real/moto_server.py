"""Runs moto's server with what its Glue lacks: pages and segments of partitions, as AWS's gives them, in a thousandth of the
time; and statistics of columns, which it takes and forgets.

    moto_server.py FOLDER ARGUMENT…    FOLDER says whose server this is; the arguments are moto's
"""

import json
import sys
import uuid

from moto.glue.responses import GlueResponse
from moto.server import main

PAGE = 1000
# Partitions that the next page is made of, by its token.
left: dict[str, list[dict]] = {}


def get_partitions(response: GlueResponse) -> str:
    asked = response.parameters
    found = left.get(asked.get("NextToken"))
    if found is None:
        there = response.glue_backend.get_partitions(asked["DatabaseName"], asked["TableName"], asked.get("Expression"))
        segment = asked.get("Segment", {"SegmentNumber": 0, "TotalSegments": 1})
        found = told(there[segment["SegmentNumber"]::segment["TotalSegments"]])
    most = min(asked.get("MaxResults", PAGE), PAGE)
    answer = {"Partitions": found[:most]}
    if found[most:]:
        answer["NextToken"] = uuid.uuid4().hex
        left[answer["NextToken"]] = found[most:]
    return json.dumps(answer)


def batch_get_partition(response: GlueResponse) -> str:
    asked = response.parameters
    table = response.glue_backend.get_table(asked["DatabaseName"], asked["TableName"])
    keys = [str(key["Values"]) for key in asked["PartitionsToGet"]]
    return json.dumps({"Partitions": told(table.partitions[key] for key in keys if key in table.partitions)})


def told(partitions) -> list[dict]:
    return [{**entry, "CreationTime": entry["CreationTime"].timestamp()} for entry in (p.as_dict() for p in partitions)]


def nothing(_response: GlueResponse) -> str:
    return "{}"


# Without the first, Trino makes no table; without the others, it writes and plans with errors.
for action in "delete", "update", "get":
    for what in "table", "partition":
        setattr(GlueResponse, f"{action}_column_statistics_for_{what}", nothing)
GlueResponse.get_partitions = get_partitions
GlueResponse.batch_get_partition = batch_get_partition

if __name__ == "__main__":
    main(sys.argv[2:])
