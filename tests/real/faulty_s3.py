"""Owns proxies before the S3 server that answer a conditional PUT as AWS's S3 may: FACTS 1.20 to 1.27."""

from proxy import Answer, Proxy, Through, listening

FAULTS = ["slow down", "conflict", "answer lost", "error after the work"]


def error(status: int, code: str) -> Answer:
    return Answer(status, {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode())


class Faulty(Through):
    """Of the PUTs that create, four of ten meet some fault; of all requests, some are told to slow down."""

    # Not the first ones, which are a job's start: that tries for some seconds only, and then says what is wrong.
    spared_creates, spared_others = 8, 20

    def on(self, body: bytes):
        creates = self.command == "PUT" and self.headers.get("If-None-Match") == "*"
        number = self.server.count("create" if creates else "other")
        if not creates:
            if number > self.spared_others and number % 7 == 0:
                return self.fault("slow down", error(503, "SlowDown"))
            return self.answer(self.ask(body))
        if number <= self.spared_creates:
            return self.answer(self.ask(body))
        match number % 10:
            case 0:
                return self.fault("slow down", error(503, "SlowDown"))
            case 3:
                # Dropped, as another write was under way: nothing is there.
                return self.fault("conflict", error(409, "ConditionalRequestConflict"))
            case 5:
                self.ask(body)
                self.server.count("answer lost")
                return self.lose()
            case 8:
                self.ask(body)
                return self.fault("error after the work", error(500, "InternalError"))
            case _:
                return self.answer(self.ask(body))

    def fault(self, name: str, answer: Answer):
        self.server.count(name)
        self.answer(answer)


class Overwriting(Through):
    """A server that does not know `If-None-Match`, as some that speak S3: each PUT is taken, or so it says."""

    def on(self, body: bytes):
        answer = self.ask(body)
        self.answer(Answer(200, {"ETag": '"other"'}, b"") if answer.status == 412 else answer)


def faulty_s3(upstream: str):
    return listening(Proxy(upstream, Faulty))


def overwriting_s3(upstream: str):
    return listening(Proxy(upstream, Overwriting))
