"""Waits for a state that is asked for, never for a time: a condition, a deadline, and processes that must live."""

import time

POLL_SECONDS = 0.05


def until(what: str, condition, seconds: float, running=()):
    """Asks `condition` until it gives something true, and returns that.

    Fails with `what` and the last answer when `seconds` have passed, and at once when one of `running` has ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        for process in running:
            process.must_run(f"while waiting until {what}")
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; the last answer was {answer!r}")
        time.sleep(POLL_SECONDS)
