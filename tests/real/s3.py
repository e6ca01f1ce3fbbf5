"""Owns the S3 of the tests: versitygw, which keeps objects as files; conditional writes are atomic in it."""

import json
import shutil
import subprocess
from pathlib import Path

import aws
from server import Place, Server, free_ports, page


class S3(Server):
    """A running S3. `endpoint` is where it listens; buckets are named by the path."""

    def __init__(self, place: Place, binary: str):
        [port] = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        buckets = place.folder / "buckets"
        buckets.mkdir()
        users = place.folder / "users"
        users.mkdir()
        self._binary, self._buckets = binary, buckets
        super().__init__(
            place,
            [binary, "--port", f"127.0.0.1:{port}", "--health", "/health", "--keep-alive", "--quiet", "--iam-dir", users,
             "posix", buckets],
            env={"ROOT_ACCESS_KEY": aws.ACCESS_KEY, "ROOT_SECRET_KEY": aws.SECRET_KEY})

    def client(self):
        return aws.client("s3", self.endpoint)

    def folder_of(self, path: str) -> Path:
        """Where the objects of `BUCKET/PREFIX` lie as files, for who reads no S3."""
        return self._buckets / path

    def make_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name

    def make_user(self, key: str, secret: str):
        """Somebody who may do only what buckets' policies say."""
        subprocess.run(
            [self._binary, "admin", "--access", aws.ACCESS_KEY, "--secret", aws.SECRET_KEY, "--endpoint-url",
             self.endpoint, "create-user", "--access", key, "--secret", secret, "--role", "user"],
            check=True, capture_output=True, timeout=30)

    def allow(self, bucket: str, user: str, *actions: str):
        """What a user may do in a bucket: this, and no more."""
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        own = [{"Effect": "Allow", "Principal": {"AWS": [user]}, "Action": [action],
                "Resource": resources[0] if action == "s3:ListBucket" else resources[1]} for action in actions]
        self.client().put_bucket_policy(
            Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": own}))

    def lose_bucket(self, name: str):
        """Somebody has deleted it, with all that is in it."""
        shutil.rmtree(self._buckets / name)

    def answers(self) -> bool:
        return page(f"{self.endpoint}/health") != ""
