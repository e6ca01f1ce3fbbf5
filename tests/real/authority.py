"""Owns an authority of the tests, which signs certificates for servers of this machine; its files end with a folder."""

import datetime
import ipaddress
from pathlib import Path

# moto brings it.
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE = datetime.timedelta(days=2)


class Authority:
    """`certificate` is a file that its clients trust."""

    def __init__(self, folder: Path, name: str):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = self._sign(self._name, self._key, [x509.BasicConstraints(ca=True, path_length=0)])
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server(self) -> Path:
        """A file with a key and a certificate."""
        file = self._folder / "server.pem"
        file.write_text("".join(self.pair()))
        return file

    def pair(self, password: str = "") -> tuple[str, str]:
        """A key, locked where a password is given, and its certificate, for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "of a test")]), key, [address])
        lock = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        return private.decode(), signed.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, subject: x509.Name, key, extensions) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - LIFE).not_valid_after(now + LIFE))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())
