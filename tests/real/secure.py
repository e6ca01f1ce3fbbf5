"""Owns a broker that asks who comes: TLS and SASL on one port, IAM as Amazon MSK has it on another, and ACLs."""

from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

from authority import Authority
from broker import Broker, Listener
from cluster import SECONDS, Cluster
from msk import Msk
from server import Place, free_ports, running

PASSWORD = "open-sesame-7f3c"
# Each may do everything where no ACL is, and on what an ACL is for only what that says.
PROPERTIES = """
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_plain="{password}";
listener.name.secure.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="me";
ssl.keystore.type=PEM
ssl.keystore.location={server}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
"""


class Secure(NamedTuple):
    """A broker that is asked by others than this test over TLS only. `port` is that of SASL_SSL, `iam` of MSK's."""

    broker: Broker
    cluster: Cluster
    authority: Authority
    port: int
    msk: Msk

    def properties(self, **changed: str) -> list[str]:
        """A reader who logs in by SCRAM; names with `_` for `.`, an empty one is left out."""
        usual = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "reader",
                 "sasl_password": PASSWORD, "ssl_ca_location": str(self.authority.certificate)}
        given = {name.replace("_", "."): value for name, value in (usual | changed).items() if value}
        return [argument for name, value in given.items() for argument in ("-X", f"{name}={value}")]

    def allow(self, kind: ResourceType, name: str, *operations: AclOperation):
        """What the reader may do on a topic or a group: this, and no more."""
        for operation in operations:
            acl = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:reader", "*", operation,
                             AclPermissionType.ALLOW)
            self.cluster.admin.create_acls([acl])[acl].result(SECONDS)


@contextmanager
def secure_broker(place: Place, folder: Path, java: str, libs: Path):
    """The broker, running; its certificates are in the folder."""
    authority = Authority(folder, "authority")
    server = authority.server()
    port, behind = free_ports(2)
    msk = Msk(server)
    listeners = (Listener("SECURE", "SASL_SSL", port, port), Listener("IAM", "PLAINTEXT", behind, msk.port))
    broker = Broker(place, java, libs, listeners, PROPERTIES.format(password=PASSWORD, server=server))
    with msk.before(("127.0.0.1", behind)), running(broker):
        secure = Secure(broker, Cluster(broker.bootstrap), authority, port, msk)
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion("reader", scram, PASSWORD.encode())
        secure.cluster.admin.alter_user_scram_credentials([user])["reader"].result(SECONDS)
        yield secure
