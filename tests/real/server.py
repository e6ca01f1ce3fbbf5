"""Owns a server of the tests: a process in a folder of its own that listens on free ports of the loopback.

It is ready when it answers (nothing waits by the clock), and is stopped by its process id after a look at its command
line: process ids wrap quickly on small machines. What it is and how it is asked is a subclass's.
"""

import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from guard import Guard
from wait import until

# Of the slowest, which are two where two workers begin.
START_SECONDS = 180
STOP_SECONDS = 20


class Place(NamedTuple):
    """What a server is given to live in: an empty folder, a file for its output, and who ends it if pytest cannot."""

    folder: Path
    log: Path
    guard: Guard


class Server:
    """A server that stops and starts again on the same ports, with what its folder has kept.

    Its command line names its folder: by that it is known to be ours.
    """

    def __init__(self, place: Place, command: list, env: dict[str, str] | None = None):
        self.name = place.log.stem
        self.log = place.log
        self.folder = place.folder
        self._guard = place.guard
        self._command = [str(argument) for argument in command]
        self._env = os.environ | (env or {})
        self._process = None
        # Appended to at each start.
        self.log.unlink(missing_ok=True)

    def answers(self) -> bool:
        """Whether it serves its clients now; it says so within some seconds."""
        raise NotImplementedError

    def start(self):
        """Starts it and waits until it answers; raises with the end of its log if it does not."""
        assert self._process is None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches pytest only, which then stops it.
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True)
        self._guard.watch(self._process)
        try:
            until(f"{self.name} answers", self.answers, START_SECONDS, [self])
        except AssertionError as e:
            raise RuntimeError(f"{e}\n{self.log} ends with:\n{tail(self.log)}") from None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def must_run(self, when: str):
        code = self._process.poll()
        assert code is None, f"{self.name} ended with {code} {when}"

    @contextmanager
    def standing_still(self):
        """As in a long pause of its machine: connections stay open, and nothing answers."""
        self._must_be_ours()
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL, as when its machine goes away; its folder stays, with what was written."""
        self._must_be_ours()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self):
        """Stops it; its folder stays. Does nothing the second time."""
        if self.is_running():
            self._must_be_ours()
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None

    def _must_be_ours(self):
        pid = str(self._process.pid)
        found = subprocess.run(["ps", "-ww", "-o", "args=", "-p", pid], capture_output=True, text=True).stdout
        if str(self.folder) not in found:
            raise RuntimeError(f"process {pid} should be the {self.name} of {self.folder}, but is: {found}")


@contextmanager
def running(server: Server):
    """The server, started; however this is left, it is ended and its folder removed."""
    try:
        server.start()
        yield server
    finally:
        # At once: what an orderly end would write goes with the folder.
        if server.is_running():
            server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def page(url: str, headers: dict[str, str] = {}) -> str:
    """What a server of ours says at an address; nothing, if it does not answer or has an error."""
    # Without the proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def tail(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
