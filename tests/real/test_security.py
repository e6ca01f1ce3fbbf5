"""Proves how Kafka is reached where it asks who comes: TLS, SASL, ACLs, and IAM as Amazon MSK has it."""

import base64
import datetime
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from confluent_kafka.admin import AclOperation, ResourceType

import aws
import feed
import readers
from authority import Authority
from conftest import SCHEMAS
from program import Table
from secure import PASSWORD
from wait import until

WRONG = "open-barley-91aa"
# All that is wrong is said within.
SECONDS = 15
THREADS = 5


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
    cases = [
        ({"sasl_password": WRONG}, ["authentication failed", "credentials"]),
        ({"sasl_username": "nobody"}, ["authentication failed"]),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, ["SCRAM-SHA-256", "SCRAM-SHA-512"]),
        ({"ssl_ca_location": str(other)}, ["certificate verify failed", "ssl.ca.location"]),
        ({"ssl_ca_location": ""}, ["certificate verify failed", "ssl.ca.location"]),
        (plain, ["security.protocol", "APIVERSION_QUERY"]),
        ({"sasl_mechanism": "", "security_protocol": "SSL", "sasl_username": "", "sasl_password": ""},
         ["security.protocol"]),
    ]

    def must_say(wrong, words, command):
        error = soon(table.program, *command, *secure.properties(**wrong))
        for word in [f"127.0.0.1:{secure.port}", *words]:
            assert word.lower() in error.lower(), (wrong, error)

    # Each waits for the broker, nearly all of its time.
    with ThreadPoolExecutor(THREADS) as threads:
        for ended in [threads.submit(must_say, wrong, words, command) for wrong, words in cases
                      for command in (produce(topic), table.ingest(topic, "--until-end"))]:
            ended.result()


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


def test_a_check_names_the_rights_that_lack(secure, table):
    topic, _ = filled(secure, "secure-check")
    group = table.group

    def check(code):
        lines = table.program.must(
            "check", *table.ingest(topic)[1:], *secure.properties(), code=code).stdout.splitlines()
        return [line for line in lines if line.startswith("BAD")]

    assert check(0) == []
    secure.allow(ResourceType.GROUP, group, AclOperation.DESCRIBE)
    assert check(1) == [f"BAD   group     {group} may not be joined by this user"]
    secure.allow(ResourceType.GROUP, group, AclOperation.READ)
    assert check(0) == []
    secure.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    [said] = check(1)
    assert said.startswith("BAD   records ") and "Topic authorization failed" in said and "READ" in said, said


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
