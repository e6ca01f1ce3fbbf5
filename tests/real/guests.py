"""Owns engines that run in a virtual environment of their own, as they are large, or their packages do not go with this
one's: Spark, awswrangler.

A guest is asked by pickles on its stdin and answers by pickles on its stdout: first with its version, then to each
question with rows, or with a text that says what went wrong.
"""

import os
import pickle
import select
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from server import Place, tail

# Their names, which are those of their environments, and of their scripts here.
ASKED_FOR = os.environ.get("TICKLAKE_ENGINES", "").split()
# The start of Spark among it, on a busy machine.
ANSWER_SECONDS = 300


class GuestError(Exception):
    """What an engine says of a question that it does not answer."""


class Guest:
    """A running engine; its name is its log's."""

    def __init__(self, place: Place, environments: Path, env: dict[str, str]):
        self.log = place.log
        name = place.log.stem
        # Its command line names its folder: by that it is known to be ours.
        command = [environments / name / "bin/python", Path(__file__).with_name(f"{name}_guest.py"), place.folder]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=place.folder, env=os.environ | env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True)
        place.guard.watch(self._process)
        self.version = self._answer()

    def ask(self, *question) -> list[tuple]:
        """The rows; or a GuestError."""
        pickle.dump(question, self._process.stdin)
        self._process.stdin.flush()
        answer = self._answer()
        if isinstance(answer, str):
            raise GuestError(answer)
        return answer

    def end(self):
        """With the Java that it may have started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self):
        can_be_read, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        try:
            assert can_be_read, f"no answer within {ANSWER_SECONDS} s"
            return pickle.load(self._process.stdout)
        except (AssertionError, EOFError) as e:
            self.end()
            raise RuntimeError(f"{self.log.stem}: {e}; its log ends with:\n{tail(self.log)}") from None


@contextmanager
def guest(place: Place, environments: Path, env: dict[str, str]):
    """The engine, running; it ends with this."""
    guest = Guest(place, environments, env)
    try:
        yield guest
    finally:
        guest.end()
