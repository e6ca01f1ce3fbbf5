"""Ends what pytest started when pytest itself dies without a word: by SIGKILL, or by a crash of a native library.

A shell reads the process ids from a pipe. When the pipe ends, it kills those that still run with the session's
folder in their command line; after an orderly end there are none.
"""

import subprocess
from pathlib import Path

SCRIPT = """
pids=
while read -r pid; do pids="$pids $pid"; done
for pid in $pids; do
  if ps -ww -o args= -p "$pid" | grep -qF -- "$1"; then kill -KILL "$pid"; fi
done
"""


class Guard:
    """Watches over processes whose command lines name `folder`, which no other session has."""

    def __init__(self, folder: Path):
        # A session of its own: Ctrl-C in the terminal does not reach it.
        self._shell = subprocess.Popen(
            ["sh", "-c", SCRIPT, "guard", f"{folder}/"], stdin=subprocess.PIPE, text=True, start_new_session=True)

    def watch(self, process: subprocess.Popen):
        print(process.pid, file=self._shell.stdin, flush=True)

    def end(self):
        self._shell.stdin.close()
        self._shell.wait()
