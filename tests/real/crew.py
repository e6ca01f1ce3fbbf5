"""Owns the processes of a job under chaos: they come, are killed, stand still, leave, and are missed when they end."""

import re
import signal
import time
from collections import Counter

from program import Program, Running
from server import tail

# A member that was asked to leave writes what it has read: its drain deadline, and the end of a consumer.
LEAVE_SECONDS = 60

# How a process may end with an error, as the design has it: while it starts and a server is away, or stood still itself
# for longer than a start is tried; after SIGTERM, when what it has read cannot be made durable or committed in time.
FORESEEN = {
    "start": re.compile(r"no broker answers|cannot .*(error sending request|SlowDown|InternalError|AWS Glue)"),
    "leave": re.compile(r"no broker answers|the drain deadline came before|the last offsets were not committed"),
}


class Member:
    """A process of the group."""

    def __init__(self, running: Running):
        self.name = running.name
        self.running = running
        self.born = time.monotonic()
        # In what it is: "on" | "still" (stopped by SIGSTOP) | "leaving" (asked to end by SIGTERM).
        self.state = "on"
        self.since = self.born

    def enter(self, state: str):
        self.state, self.since = state, time.monotonic()

    def __str__(self):
        return self.name + {"on": "", "still": "(still)", "leaving": "(leaving)"}[self.state]


class Crew:
    """The members that are there. Each is reached by `signal` or by its end; every end by itself is kept."""

    def __init__(self, programs: list[Program], arguments: list, note):
        self._programs, self._arguments, self._note = programs, arguments, note
        self.members: list[Member] = []
        self.count = Counter()
        # (what it was at, its last words) of those that ended with an error.
        self.exits: list[tuple[str, str]] = []

    def start(self):
        number = self.count["started"]
        self.count["started"] += 1
        program = self._programs[number % len(self._programs)]
        member = Member(program.start(f"m{number:02}", *self._arguments))
        self.members.append(member)
        self._note(f"{member.name} starts")

    def standing(self) -> list[Member]:
        return [m for m in self.members if m.state == "on"]

    def kill(self, member: Member):
        member.running.kill()
        self.members.remove(member)
        self.count["killed"] += 1

    def still(self, member: Member):
        member.running.signal(signal.SIGSTOP)
        member.enter("still")
        self.count["stood still"] += 1

    def wake(self, member: Member):
        if member in self.members and member.state == "still":
            member.running.signal(signal.SIGCONT)
            member.enter("on")
            self._note(f"{member.name} wakes up")

    def leave(self, member: Member):
        self.wake(member)
        member.running.signal(signal.SIGTERM)
        member.enter("leaving")
        self.count["left"] += 1

    def look(self):
        """Misses those that have ended; fails where one does not end that should."""
        for member in list(self.members):
            code = member.running.code()
            seconds = time.monotonic() - member.since
            if code is None:
                assert member.state != "leaving" or seconds < LEAVE_SECONDS, (
                    f"{member.name} was asked to end {seconds:.0f} s ago and runs; its log ends with:\n"
                    f"{tail(member.running.log)}")
                continue
            self.members.remove(member)
            if code != 0 or member.state != "leaving":
                self._ended(member, code)

    def _ended(self, member: Member, code: int):
        """By itself, or with an error."""
        lines = member.running.log.read_text(errors="replace").splitlines()
        words = lines[-1] if lines else "(it said nothing)"
        age = time.monotonic() - member.born
        begun = any("assigned" in line for line in lines)
        at = "leave" if member.state == "leaving" else "work" if begun else "start"
        self.count["ended by itself"] += 1
        self.exits.append((at, f"{member.name} after {age:.0f} s with {code}: {words}"))
        self._note(f"{member.name} ENDED ({at}) with {code}: {words}")

    def unforeseen(self) -> list[str]:
        return [f"({at}) {words}" for at, words in self.exits
                if at not in FORESEEN or not FORESEEN[at].search(words)]
