"""Proves how Kafka is reached where it asks who comes: TLS, SASL, ACLs, and IAM as Amazon MSK has it."""

import base64
import datetime
import os
import time
import uuid
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

import aws
import feed
import readers
from authority import Authority
from broker import Broker, Listener
from cluster import Cluster
from conftest import REAL, SCHEMAS
from msk import Msk
from program import Table
from server import free_ports, running
from wait import until

PASSWORD = "open-sesame-7f3c"
WRONG = "open-barley-91aa"
# All that is wrong is said within.
SECONDS = 15
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


@pytest.fixture(scope="module")
def secure(place, tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"), "authority")
    server = authority.server()
    port, behind = free_ports(2)
    msk = Msk(server)
    listeners = (Listener("SECURE", "SASL_SSL", port, port), Listener("IAM", "PLAINTEXT", behind, msk.port))
    properties = PROPERTIES.format(password=PASSWORD, server=server)
    broker = Broker(place("secure-broker"), os.environ["REAL_JAVA"], REAL / "kafka/libs", listeners, properties)
    with msk.before(("127.0.0.1", behind)), running(broker):
        secure = Secure(broker, Cluster(broker.bootstrap), authority, port, msk)
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion("reader", scram, PASSWORD.encode())
        secure.cluster.admin.alter_user_scram_credentials([user])["reader"].result(SECONDS)
        yield secure


@pytest.fixture
def table(request, program, secure):
    return Table(program.with_brokers(f"127.0.0.1:{secure.port}"), SCHEMAS / "ticks.sql", f"group-{request.node.name}")


def filled(secure, name: str) -> tuple[str, list[feed.Tick]]:
    """A topic with ticks in it."""
    topic = secure.cluster.topic(name)
    ticks = feed.ticks(200, symbols=20)
    secure.cluster.send(topic, (tick.record() for tick in ticks))
    return topic, ticks


def soon(program, *arguments) -> str:
    """The error of a command that must fail within seconds, and says nothing of a password."""
    start = time.monotonic()
    done = program.must(*arguments, code=1)
    assert time.monotonic() - start < SECONDS, done.stderr
    assert PASSWORD not in done.stderr and WRONG not in done.stderr
    return done.stderr.splitlines()[-1]


def topic_name(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def produce(topic: str, *options) -> list[str]:
    return ["produce", "--topic", topic, "--simulate", "--count", "100", *options]


@pytest.mark.parametrize("login", [
    {}, {"sasl_mechanism": "PLAIN", "sasl_username": "plain"}], ids=["scram", "plain"])
def test_ticks_go_in_and_come_out_by_tls_and_a_login(secure, table, login):
    topic = topic_name("secure")
    properties = secure.properties(**login)
    table.program.must(*produce(topic, "--create-topic", "2"), *properties)
    assert table.ingest_to_end(topic, *properties)["rows"] == 100
    assert table.program.query(f"SELECT count(*) AS n FROM {table.name}") == [{"n": 100}]


def test_the_login_may_be_in_a_file_and_the_password_in_a_variable(secure, table):
    topic, ticks = filled(secure, "secure-file")
    (table.program.folder / "ticklake.toml").write_text(
        '[kafka]\nsecurity.protocol = "SASL_SSL"\nsasl.mechanism = "SCRAM-SHA-512"\nsasl.username = "reader"\n'
        f'ssl.ca.location = "{secure.authority.certificate}"\n')
    table.program = table.program.with_variables(TICKLAKE_KAFKA__SASL_PASSWORD=PASSWORD)
    table.ingest_to_end(topic)
    assert readers.by_ticklake(table) == feed.summaries(ticks)


def test_what_is_wrong_with_the_login_is_said_within_seconds(secure, table, tmp_path):
    topic, _ = filled(secure, "secure-wrong")
    other = Authority(tmp_path, "other").certificate
    plain = {name: "" for name in ("security_protocol", "sasl_mechanism", "sasl_username", "sasl_password")}
    for wrong, words in [
        ({"sasl_password": WRONG}, ["authentication failed", "credentials"]),
        ({"sasl_username": "nobody"}, ["authentication failed"]),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, ["SCRAM-SHA-256", "SCRAM-SHA-512"]),
        ({"ssl_ca_location": str(other)}, ["certificate verify failed", "ssl.ca.location"]),
        ({"ssl_ca_location": ""}, ["certificate verify failed", "ssl.ca.location"]),
        (plain, ["security.protocol", "APIVERSION_QUERY"]),
        ({"sasl_mechanism": "", "security_protocol": "SSL", "sasl_username": "", "sasl_password": ""},
         ["security.protocol"]),
    ]:
        for command in produce(topic), table.ingest(topic, "--until-end"):
            error = soon(table.program, *command, *secure.properties(**wrong))
            for word in [f"127.0.0.1:{secure.port}", *words]:
                assert word.lower() in error.lower(), (wrong, error)


def test_what_an_acl_forbids_is_said_within_seconds(secure, table):
    topic, _ = filled(secure, "secure-acl")
    group = table.group
    ingest = [*table.ingest(topic, "--until-end"), *secure.properties()]
    secure.allow(ResourceType.GROUP, group, AclOperation.DESCRIBE)
    error = soon(table.program, *ingest)
    assert group in error and "Group authorization failed" in error and "must allow: READ" in error, error
    secure.allow(ResourceType.GROUP, group, AclOperation.READ)
    secure.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    error = soon(table.program, *ingest)
    assert topic in error and "Topic authorization failed" in error and "must allow: READ" in error, error
    error = soon(table.program, *produce(topic), *secure.properties())
    assert topic in error and "Topic authorization failed" in error and "to produce WRITE" in error, error
    secure.allow(ResourceType.TOPIC, topic, AclOperation.READ)
    assert table.ingest_to_end(topic, *secure.properties())["rows"] == 200

    hidden, _ = filled(secure, "secure-hidden")
    secure.allow(ResourceType.TOPIC, hidden, AclOperation.ALTER)
    for command in produce(hidden), table.ingest(hidden, "--until-end"):
        error = soon(table.program, *command, *secure.properties())
        assert hidden in error and "ACL" in error, error


def test_rights_that_are_taken_away_end_a_job_with_a_word(secure, table):
    topic, _ = filled(secure, "secure-taken")
    daemon = table.start("daemon", topic, "--flush-age", "200ms", *secure.properties())
    until("all is committed", lambda: secure.cluster.all_is_committed(table.group, topic), 60, [daemon])
    secure.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    assert daemon.wait(SECONDS) == 1
    error = daemon.log.read_text().splitlines()[-1]
    assert topic in error and "Topic authorization failed" in error, error


def with_keys(program):
    return program.with_variables(**aws.ENVIRONMENT, AWS_SESSION_TOKEN="a/session+token==")


def test_msk_is_shown_a_token_of_the_credentials_by_every_client(secure, table, monkeypatch):
    topic = topic_name("msk")
    program = table.program = with_keys(table.program.with_brokers(f"127.0.0.1:{secure.msk.port}"))
    properties = ["-X", "sasl.mechanism=AWS_MSK_IAM", "-X", f"ssl.ca.location={secure.authority.certificate}"]
    # Who asks for the topic, who makes it, and who sends: three clients.
    program.must(*produce(topic, "--create-topic", "2"), *properties)
    assert len(secure.msk.tokens) >= 3
    before = len(secure.msk.tokens)
    assert table.ingest_to_end(topic, *properties)["rows"] == 100
    assert len(secure.msk.tokens) > before
    for token in secure.msk.tokens:
        assert signed_by_aws(token, monkeypatch)


def signed_by_aws(token: str, monkeypatch) -> bool:
    """Whether AWS's own library signs the same, with the keys and at the time that the token names."""
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    found = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
    at = datetime.datetime.strptime(found["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    assert abs(at.timestamp() - time.time()) < 300 and found["X-Amz-Expires"] == "900"
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: at.replace(tzinfo=None))
    keys = Credentials(aws.ACCESS_KEY, aws.SECRET_KEY, "a/session+token==")
    request = AWSRequest("GET", f"https://kafka.{aws.REGION}.amazonaws.com/?Action=kafka-cluster%3AConnect")
    SigV4QueryAuth(keys, "kafka-cluster", aws.REGION, expires=900).add_auth(request)
    wanted = {name: value for name, [value] in parse_qs(urlsplit(request.url).query).items()}
    assert found.pop("User-Agent").startswith("ticklake/")
    assert found == wanted
    return True


def test_what_is_wrong_with_msk_is_said_within_seconds(secure, table):
    """A broker that takes other tokens stands for MSK that refuses; and there are no credentials."""
    topic, _ = filled(secure, "msk-wrong")
    properties = ["-X", "sasl.mechanism=AWS_MSK_IAM", "-X", f"ssl.ca.location={secure.authority.certificate}"]
    keyed = with_keys(table.program)
    for command in produce(topic), table.ingest(topic, "--until-end"):
        error = soon(keyed, *command, *properties)
        assert f"127.0.0.1:{secure.port}" in error and "invalid_token" in error, error
        keyless = keyed.with_variables(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_SESSION_TOKEN="")
        done = keyless.must(*command, *properties, code=2)
        assert "no AWS credentials: set AWS_PROFILE" in done.stderr
