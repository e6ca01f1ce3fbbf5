"""Owns a proxy before the S3 server that counts what is read of objects."""

from urllib.parse import unquote

from proxy import Proxy, Through, listening


class Counting(Proxy):
    def __init__(self, upstream: str):
        super().__init__(upstream, Counted)
        # The path of an object and how many bytes of it, for each answer.
        self.taken: list[tuple[str, int]] = []

    @property
    def bytes(self) -> int:
        return sum(length for _, length in self.taken)

    @property
    def files(self) -> set[str]:
        return {path for path, _ in self.taken}


class Counted(Through):
    server: Counting

    def on(self, body: bytes):
        answer = self.ask(body)
        if self.command == "GET" and answer.status in (200, 206) and "list-type=" not in self.path:
            self.server.taken.append((unquote(self.path), len(answer.body)))
        self.answer(answer)


def counted_s3(upstream: str):
    return listening(Counting(upstream))
