"""Owns an HTTP proxy of the tests: it stands before a server, and answers, delays, changes or loses what goes through.

What becomes of a request is a subclass of `Through`.
"""

import http.client
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

SECONDS = 60
# Of one connection only; the proxy has its own with each side.
HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Proxy(ThreadingHTTPServer):
    """`endpoint` is where it listens; `seen` counts by names that its handler gives."""

    daemon_threads = True

    def __init__(self, upstream: str, through: type["Through"]):
        super().__init__(("127.0.0.1", 0), through)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.seen = Counter()
        self._upstream = urlsplit(upstream)
        self._lock = threading.Lock()

    def count(self, name: str) -> int:
        """Counts, and says the how manieth it is."""
        with self._lock:
            self.seen[name] += 1
            return self.seen[name]

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """What the server behind answers. The headers are as they came, as they are signed."""
        connection = http.client.HTTPConnection(self._upstream.hostname, self._upstream.port, timeout=SECONDS)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Through(BaseHTTPRequestHandler):
    """One request: `on` decides, by `self.ask` and `self.answer`, or by `self.lose`."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def on(self, body: bytes):
        raise NotImplementedError

    def ask(self, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        return self.server.ask(self.command, self.path, headers or dict(self.headers), body)

    def answer(self, answer: Answer):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        # An answer to HEAD has the length of what it has not.
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else len(answer.body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.body)

    def lose(self):
        """The connection ends without an answer."""
        self.close_connection = True

    def _on(self):
        self.on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _on

    def log_message(self, *arguments):
        pass


@contextmanager
def listening(proxy: Proxy):
    """The proxy, as long as the context lasts."""
    with proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
