"""Owns what stands before the brokers of Amazon MSK: TLS and a login by IAM; behind it is a broker without either.

It takes any token and keeps it, so that the test says whether MSK would have taken it.
"""

import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36


class Msk:
    """`port` is where it listens; `tokens` has one for each connection that has logged in."""

    def __init__(self, certificate: Path):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.tokens: list[str] = []

    @contextmanager
    def before(self, broker: tuple[str, int]):
        """Serves, as long as the context lasts."""
        self._broker = broker
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            # Wakes the thread up, which a close alone does not.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket):
        try:
            with self._context.wrap_socket(connection, server_side=True) as client, \
                    socket.create_connection(self._broker) as broker:
                if self._log_in(client, broker):
                    threading.Thread(target=pour, args=[broker, client], daemon=True).start()
                    pour(client, broker)
        except OSError:
            pass  # a client that went away, or that is none of TLS

    def _log_in(self, client, broker) -> bool:
        while (request := frame(client)) is not None:
            api, version, correlation, length = struct.unpack_from(">hhih", request)
            body = request[10 + max(length, 0):]
            if api == API_VERSIONS:
                send(broker, request)
                send(client, frame(broker))
            elif api == HANDSHAKE:
                name = b"OAUTHBEARER"
                assert body == struct.pack(">h", len(name)) + name, body
                send(client, struct.pack(">ihih", correlation, 0, 1, len(name)) + name)
            else:
                assert (api, version in (0, 1)) == (AUTHENTICATE, True), (api, version)
                self.tokens.append(body[4:].split(b"auth=Bearer ")[1].split(b"\x01")[0].decode())
                send(client, struct.pack(">ihhi", correlation, 0, -1, 0) + struct.pack(">q", 0) * version)
                return True
        return False


def frame(connection) -> bytes | None:
    """A request or an answer, without its length; nothing at the connection's end."""
    length = exactly(connection, 4)
    return length and exactly(connection, struct.unpack(">i", length)[0])


def exactly(connection, length: int) -> bytes | None:
    found = b""
    while len(found) < length:
        part = connection.recv(length - len(found))
        if not part:
            return None
        found += part
    return found


def send(connection, bytes: bytes):
    connection.sendall(struct.pack(">i", len(bytes)) + bytes)


def pour(source, sink):
    try:
        while part := source.recv(1 << 16):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side went away
