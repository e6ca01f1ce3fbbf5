"""Runs moto's server with what its Glue lacks and Trino asks for: statistics of columns. It takes and forgets them.

    moto_server.py FOLDER ARGUMENT…    FOLDER says whose server this is; the arguments are moto's
"""

import sys

from moto.glue.responses import GlueResponse
from moto.server import main


def nothing(_response: GlueResponse) -> str:
    return "{}"


# Without the first, Trino makes no table; without the others, it writes and plans with errors.
for action in "delete", "update", "get":
    for what in "table", "partition":
        setattr(GlueResponse, f"{action}_column_statistics_for_{what}", nothing)

if __name__ == "__main__":
    main(sys.argv[2:])
