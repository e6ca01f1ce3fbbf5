"""Proves that no secret is printed: whatever place it is in, whatever the command does with it, at every level."""

import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

import aws
import feed
from program import CloudTable
from secure import PASSWORD
from conftest import SCHEMAS

# Most commands wait for servers that are not there, or refuse.
THREADS = 4
KEY_PASSWORD = "key-password-5b21"
CLIENT_SECRET = "client-secret-a90c"
OAUTH = "oauth-config-77de"
SESSION = "session+token/e1f2=="
GIVEN = "argument-of-a-giver-3d4e"
LOGIN = "password-in-a-url-c3b8"
# Three more places, beside what the commands are told: a variable, a file, and the command line.
TYPO = "password-under-a-wrong-name-0f6d"


@pytest.fixture
def told(program, secure, s3, glue):
    """The program, told of secrets in each place that there is, which it needs; and all of them."""
    pem, certificate = secure.authority.pair(KEY_PASSWORD)
    (program.folder / "ticklake.toml").write_text(
        '[kafka]\nsecurity.protocol = "SASL_SSL"\nsasl.mechanism = "SCRAM-SHA-512"\nsasl.username = "reader"\n'
        f'ssl.ca.location = "{secure.authority.certificate}"\nssl.key.pem = """{pem}"""\n'
        f'ssl.certificate.pem = """{certificate}"""\n')
    giver = program.folder / "giver.py"
    giver.write_text("import json\nprint(json.dumps({'Version': 1, 'AccessKeyId': %r, 'SecretAccessKey': %r}))\n" % (
        aws.ACCESS_KEY, aws.SECRET_KEY))
    config = program.folder / "aws-config"
    config.write_text(f"[profile giver]\nregion = us-east-1\ncredential_process = {sys.executable} {giver} {GIVEN}\n"
                      f"[profile wrong]\nregion = us-east-1\ncredential_process = echo {GIVEN}\n")
    told = program.in_cloud(s3, glue).with_brokers(f"127.0.0.1:{secure.port}").with_variables(
        TICKLAKE_KAFKA__SASL_PASSWORD=PASSWORD, AWS_CONFIG_FILE=str(config))
    secrets = [PASSWORD, KEY_PASSWORD, CLIENT_SECRET, OAUTH, SESSION, GIVEN, LOGIN, TYPO, aws.SECRET_KEY,
               pem.splitlines()[2]]
    encoded = [base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets]
    return told, [*secrets, *encoded]


FLAGS = ["-X", f"ssl.key.password={KEY_PASSWORD}", "-X", f"sasl.oauthbearer.config={OAUTH}", "-X", "debug=all"]


@pytest.mark.parametrize("log", ["text", "json"])
def test_no_secret_is_printed(told, secure, s3, log, request):
    program, secrets = told
    topic = secure.cluster.topic("secrets")
    ticks = feed.ticks(60, symbols=15, dates=1)
    secure.cluster.send(topic, (tick.record() for tick in ticks))
    table = CloudTable(program, s3, SCHEMAS / "ticks.sql", f"secrets{log}")
    table.group = f"group-{request.node.name}"
    loud = ["--log-format", log, "--log-level", "trace", *FLAGS]
    ingest = [*table.ingest(topic, "--until-end"), *loud]
    produce = ["produce", "--topic", topic, "--simulate", "--count", "10", *loud]
    query = ["query", f"SELECT count(*) FROM {table.name}", *loud]
    athena = ["query", "--engine", "athena", "SELECT 1", *loud]
    login = f"http://me:{LOGIN}@127.0.0.1:9"
    elsewhere = ["ingest", "--topic", topic, "--table", table.ddl, "--location", f"s3://me:{LOGIN}@bucket/l/", *loud]
    seen = []

    def must_print_none(code: int, of, *arguments, must_say: str = ""):
        done = of.must(*arguments, code=code)
        seen.append(len(done.stderr))
        assert must_say in done.stderr + done.stdout, done.stderr[-2_000:]
        for secret in secrets:
            at = (done.stdout + done.stderr).find(secret)
            assert at < 0, f"{secret}: {(done.stdout + done.stderr)[max(0, at - 300):at + 100]}"

    commands = []

    def printed(*command, **options):
        commands.append(partial(must_print_none, *command, **options))

    # What goes well, at the lowest level, librdkafka's own debugging among it.
    must_print_none(0, program, *ingest, must_say="SASL")
    printed(0, program, *produce)
    printed(0, program, *query)
    with_giver = program.with_variables(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    printed(0, with_giver, *query, "--profile", "giver")
    for format in "text", "json":
        printed(0, program, "config", "--format", format, *FLAGS, must_say="********")
        urls = {"TICKLAKE_S3__ENDPOINT": login, "TICKLAKE_INGEST__LOCATION": f"s3://me:{LOGIN}@bucket/"}
        printed(0, program.with_variables(**urls), "config", "--format", format, must_say="127.0.0.1:9")
    # What fails: a login, keys that are none, addresses with a login, a name that is mistyped.
    printed(1, program.with_variables(TICKLAKE_KAFKA__SASL_PASSWORD=TYPO), *ingest, must_say="invalid credentials")
    printed(1, program.with_variables(AWS_SECRET_ACCESS_KEY=TYPO), *ingest, must_say="SignatureDoesNotMatch")
    temporary = program.with_variables(AWS_SESSION_TOKEN=SESSION, AWS_SECRET_ACCESS_KEY=TYPO)
    printed(1, temporary, *query, must_say="InvalidToken")
    printed(1, temporary.with_variables(TICKLAKE_ATHENA__ENDPOINT="http://127.0.0.1:9"), *athena, must_say="Athena")
    printed(1, program, *produce, "-X", "ssl.key.password=none", must_say="ssl.key.pem")
    printed(2, program, *produce, "-X", f"sasl.pasword={TYPO}", must_say="sasl.pasword")
    printed(2, program, *produce, "-X", f"sasl.oauthbearer.client.secret={CLIENT_SECRET}", must_say="client.secret")
    printed(0, program, "config", "-X", f"sasl.oauthbearer.client.secret={CLIENT_SECRET}", must_say="client.secret")
    printed(2, program, *produce, "-X", f"sasl.password:{TYPO}", must_say="sasl.password")
    printed(2, program, *elsewhere, must_say="no login")
    printed(2, program.with_variables(AWS_ENDPOINT_URL_S3=login), *ingest, must_say="an endpoint is")
    printed(2, program.with_variables(TICKLAKE_S3__ENDPOINT=login), *ingest, must_say="an endpoint is")
    printed(2, program.with_variables(TICKLAKE_AWS__ENDPOINT=login), *ingest, must_say="an endpoint is")
    proxied = program.with_variables(HTTP_PROXY=login, http_proxy=login, NO_PROXY="", no_proxy="")
    printed(1, proxied, *query)
    wrong = program.with_variables(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    printed(1, wrong, *query, "--profile", "wrong", must_say="wrong")
    for number, text in enumerate([
        f'[kafka]\nsasl.password = "{TYPO}', f"[kafka]\nsasl.password = {TYPO}",
        f'[kafka]\nsasl.password = ["{TYPO}"]', f'[kafka]\nsasl.password = "{TYPO}"\n"sasl.password" = "{TYPO}"',
    ]):
        file = program.folder / f"wrong-{number}.toml"
        file.write_text(text)
        printed(2, program, "config", "--config", file, must_say=file.name)
    with ThreadPoolExecutor(THREADS) as threads:
        for ended in [threads.submit(command) for command in commands]:
            ended.result()
    assert max(seen) > 20_000, "nothing was traced"


def test_a_list_for_a_kafka_property_is_blamed_on_the_layer_that_has_it(program):
    (program.folder / "ticklake.toml").write_text('[kafka]\nsasl.mechanism = ["PLAIN"]\n')
    error = program.must("config", "-X", "client.id=me", code=2).stderr
    assert "sasl.mechanism takes one value" in error and "from: file ticklake.toml" in error, error
