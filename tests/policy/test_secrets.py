"""No secret in plain text."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from rules import ALL, types
from rules.pack import policies

from components.workload import Workload
from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, arguments, evaluate, secret

RULE = "secret-inputs"
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg\n-----END OPENSSH PRIVATE KEY-----"
GOSSIP = "cg8StVXbQJ0gPvMd9o7yrg=="
TOKEN = "3f0c9a3e-8f4b-4b1e-9a55-0b6a2f5b7c11"

CASES: list[tuple[str, dict[str, Any]]] = [
    (types.COMMAND, {"connection": {"host": "h", "privateKey": "k"}}),
    (types.COMMAND, {"connection": {"host": "h", "password": "p"}}),
    (types.COMMAND, {"create": f"cat >key <<EOF\n{PEM}\nEOF"}),
    (types.COMMAND, {"create": f"consul agent -encrypt={GOSSIP}"}),
    (types.COMMAND, {"create": f"""echo '{{"acl": {{"tokens": {{"default": "{TOKEN}"}}}}}}' >x"""}),
    (types.COMMAND, {"create": f"CONSUL_HTTP_TOKEN={TOKEN} consul members"}),
    (types.COMMAND, {"create": "git clone https://user:pass@example.com/x"}),
    (types.COMMAND, {"environment": {"DB_PASSWORD": "p"}}),
    (types.CONTAINER, {"envs": ["PATH=/bin", "API_TOKEN=t"]}),
    (Workload.TOKEN, {"environment": {"PATH": "/bin", "API_TOKEN": "t"}}),
    (types.COMMAND, {"create": f"""echo '{{"acl": {{"tokens": {{"master": "{TOKEN}"}}}}}}' >x"""}),
    (types.COMMAND, {"stdin": f"""{{"management": "{TOKEN}"}}"""}),
    (types.CONTAINER, {"command": ["agent", "-encrypt", f"-encrypt={GOSSIP}"]}),
    (types.CONTAINER, {"uploads": [{"file": "/f", "content": f'{{"encrypt": "{GOSSIP}"}}'}]}),
    (types.SEED, {"userData": f"#cloud-config\nssh_keys: {{rsa_private: '{PEM}'}}"}),
    (types.DOCKER_PROVIDER, {"host": "tcp://h:2376", "keyMaterial": "k"}),
    (types.DOCKER_PROVIDER, {"registryAuth": '[{"address": "r", "password": "p"}]'}),
    (types.COPY, {"source": {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": PEM}}),
]


@pytest.mark.parametrize(("type_", "props"), CASES)
def test_plain_text_is_refused_and_not_repeated(type_: str, props: dict[str, Any]) -> None:
    result = evaluate(RULE, type_, **props)
    assert len(result.problems) == 1
    for part in ("hunter", PEM, GOSSIP, TOKEN, "user:pass"):
        assert part not in result.text


@pytest.mark.parametrize(("type_", "props"), CASES)
def test_marked_as_secret_it_passes(type_: str, props: dict[str, Any]) -> None:
    assert evaluate(RULE, type_, **{key: secret(value) for key, value in props.items()}) == PASSED
    nested = {key: {k: secret(v) for k, v in value.items()} for key, value in props.items() if isinstance(value, dict)}
    if nested and type_ != types.COPY:
        assert evaluate(RULE, type_, **nested) == PASSED


@pytest.mark.parametrize(
    "props",
    [
        {"connection": {"host": "h", "hostKey": "ssh-ed25519 AAAA", "user": "root", "password": ""}},
        {"envs": ["PATH=/bin", "PASSWORD_FILE=/run/secrets/p", "TOKEN="], "memory": 64.0, "mustRun": True},
        {"sshOpts": '["-o", "IdentityFile=/keys/id"]', "keyPath": "/keys", "host": "ssh://root@10.0.0.1:22"},
        {"create": "#!/bin/sh\ncurl http://docker/v1.40/info; echo $CONSUL_HTTP_TOKEN; -----BEGIN CERTIFICATE-----"},
        {"labels": [{"label": "a:b@c", "value": "see https://example.com/a:b@c"}]},
        {},
    ],
)
def test_what_only_resembles_a_secret_passes(props: dict[str, Any]) -> None:
    assert evaluate(RULE, types.CONTAINER, **props) == PASSED


def test_unknown_is_no_pass_where_a_secret_belongs() -> None:
    assert evaluate(RULE, types.COMMAND, connection={"host": "h", "password": UNKNOWN}) == DEFERRED
    assert evaluate(RULE, types.COMMAND, environment={"DB_PASSWORD": UNKNOWN}) == DEFERRED
    assert evaluate(RULE, types.COMMAND, create=UNKNOWN, triggers=[UNKNOWN], cloudinit=UNKNOWN) == PASSED


def test_it_applies_to_every_type() -> None:
    assert evaluate(RULE, "some:other/kind:Thing", password="p").problems


def test_at_a_level_that_hides_which_values_are_secret_it_fails_closed() -> None:
    """The engine asks for no remediation at the level mandatory, so the rule sees all secrets in plain text."""
    [policy] = [one for one in policies(ALL) if one.name == RULE]
    assert isinstance(policy, ResourceValidationPolicy)
    assert policy.enforcement_level is EnforcementLevel.REMEDIATE
    reported: list[str] = []
    args = arguments(Declared(types.COMMAND, "c", {"connection": {"password": secret("p")}}), None)
    policy.validate(args, lambda message, urn: reported.append(message))
    [message] = reported
    assert "set it to remediate" in message
