"""Owns the S3 of the tests: versitygw, which keeps objects as files; conditional writes are atomic in it."""

import aws
from server import Place, Server, free_ports, page


class S3(Server):
    """A running S3. `endpoint` is where it listens; buckets are named by the path."""

    def __init__(self, place: Place, binary: str):
        [port] = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        buckets = place.folder / "buckets"
        buckets.mkdir()
        super().__init__(
            place,
            [binary, "--port", f"127.0.0.1:{port}", "--health", "/health", "--keep-alive", "--quiet", "posix", buckets],
            env={"ROOT_ACCESS_KEY": aws.ACCESS_KEY, "ROOT_SECRET_KEY": aws.SECRET_KEY})

    def client(self):
        return aws.client("s3", self.endpoint)

    def make_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name

    def answers(self) -> bool:
        return page(f"{self.endpoint}/health") != ""
