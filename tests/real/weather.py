"""Owns proxies before S3 and Glue whose faults come and go: in fair weather all goes through as it is."""

import time
from collections.abc import Callable

import faulty_s3
import strict_glue
from proxy import Proxy, Through

GLUE_FAULTS = [*strict_glue.FAULTS, "internal error"]


class Weather(Proxy):
    """A proxy with two switches."""

    def __init__(self, upstream: str, through: type[Through]):
        super().__init__(upstream, through)
        # Whether requests meet the faults of the handler.
        self.stormy = False
        # A request that creates is kept for up to so long, and then goes on: also when its sender is dead by then.
        self.late_seconds = 0.0

    def felt(self, faults: list[str], count: int) -> Callable[[], bool]:
        """Whether so many more of these are counted than now."""
        def seen():
            return sum(self.seen[fault] for fault in faults)

        enough = seen() + count
        return lambda: seen() >= enough


class S3Weather(faulty_s3.Faulty):
    # A process that it meets at its start may end, and another comes.
    spared_creates = spared_others = 0
    server: Weather

    def on(self, body: bytes):
        if self.command == "PUT" and self.server.late_seconds:
            number = self.server.count("late")
            time.sleep(self.server.late_seconds * (number * 7 % 10) / 10)
        if self.server.stormy:
            return super().on(body)
        return self.answer(self.ask(body))


class GlueWeather(strict_glue.Strict):
    """AWS's limits in any weather."""

    server: Weather

    @property
    def faults(self) -> bool:
        return self.server.stormy

    def faulted(self, operation: str, asked: dict, number: int) -> bool:
        if number % 7 == 6:
            self.server.count("internal error")
            self.tell(500, {"__type": "InternalServiceException", "Message": "try again"})
            return True
        return strict_glue.Faulty.faulted(self, operation, asked, number)
