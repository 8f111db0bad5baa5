"""Engines: who commands them, and that they share one store."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pulumi
import pytest
from rules import engine_text, payloads, types
from rules.rule import Resource

from components.config.settings import parse, read_stack_file
from tests.components.recorder import run_lab
from tests.policy.evaluate import (
    DEFERRED,
    PASSED,
    UNKNOWN,
    Declared,
    evaluate,
    evaluate_one,
    evaluate_stack,
)
from tests.policy.platform import platform_for

API = "engine-api-certificates"
SHARED = "engines-share-store"
ENDED = "engine-end-of-life"
STORE = "consul://10.99.0.11:8500"


def script(document: dict[str, Any] | None = None, flags: str = "-H fd://") -> str:
    """A script that quotes for the shell as the program does."""
    unit = f"[Service]\nExecStart=\nExecStart=/usr/bin/env dockerd {flags}\nTimeoutStartSec=0\n"
    return f"put /x 0644 {shlex.quote(json.dumps(document or {}, indent=2))}\nput /y 0644 {shlex.quote(unit)}\n"


def engine(address: str, store: str | None = STORE, advertise: str | None = "lab0:2376", **inputs: Any) -> Declared:
    """The component of an engine."""
    declared = {"address": address, "cluster_store": store, "cluster_advertise": advertise, **inputs}
    return Declared(types.ENGINE, f"{address}-engine", {key: v for key, v in declared.items() if v is not None})


OPEN = ["tcp://0.0.0.0:2376", "tcp://:2376", "tcp://", "tcp://[::]:2375", "tcp://10.99.0.11:2376", "0.0.0.0:2375"]
CLOSED = ["fd://", "unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375", "tcp://[::1]:2375"]


@pytest.mark.parametrize("listener", OPEN)
def test_open_api(listener: str) -> None:
    for text in (
        script(flags=f"-H fd:// -H {listener}"),
        script(flags=f"--host={listener}"),
        script({"hosts": ["fd://", listener], "live-restore": True}),
        script({"hosts": [listener], "live-restore": True, "tls": True}),
        script({"tlsverify": False}, f"-H {listener}"),
        f"echo 'DOCKER_OPTS=\"-H {listener}\"' >>/etc/default/docker",
    ):
        [problem] = evaluate(API, types.COMMAND, create=text).problems
        assert f"'{listener}'" in problem


@pytest.mark.parametrize("listener", CLOSED)
def test_closed_api(listener: str) -> None:
    assert evaluate(API, types.COMMAND, create=script(flags=f"-H {listener}")) == PASSED
    assert evaluate(API, types.COMMAND, create=script({"hosts": [listener], "bip": "10.1.0.1/24"})) == PASSED


@pytest.mark.parametrize("listener", OPEN)
def test_api_that_asks_for_certificates(listener: str) -> None:
    assert evaluate(API, types.COMMAND, create=script({"tlsverify": True}, f"-H {listener}")) == PASSED
    assert evaluate(API, types.COMMAND, create=script(flags=f"-H {listener} --tlsverify --tlscacert=/ca")) == PASSED


def test_open_api_by_other_carriers() -> None:
    document = json.dumps({"hosts": ["tcp://0.0.0.0:2376"]})
    files = [{"path": "/etc/docker/daemon.json", "content": document}]
    for form in (f"#cloud-config\n{json.dumps({'write_files': files})}", f"#cloud-config\nwrite_files: {files!r}\n"):
        assert evaluate(API, types.SEED, userData=form).problems
    assert evaluate(API, types.COMMAND, create="cat >/etc/docker/daemon.json", stdin=document).problems
    assert evaluate(API, types.COMMAND, create="true", update=f"cat <<EOF\n{document}\nEOF\n# docker").problems


def test_open_api_in_a_copied_file() -> None:
    asset = pulumi.StringAsset("ExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2376")
    [text] = payloads.of(Resource(types.COPY, "drop-in", "urn", {"source": asset}))
    assert engine_text.unverified_listeners(text) == ["tcp://0.0.0.0:2376"]
    wire = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": text}
    assert evaluate(API, types.COPY, source=wire).problems


def test_text_that_configures_no_engine_passes() -> None:
    for text in ("docker -H tcp://10.0.0.1:2376 ps", "dockerd --version 2>/dev/null", 'f() { echo "{}"; }', ""):
        assert evaluate(API, types.COMMAND, create=text) == PASSED
        assert engine_text.unverified_listeners(text) == []


def test_unknown_script_is_evaluated_when_it_is_known() -> None:
    assert evaluate(API, types.COMMAND, create=UNKNOWN) == PASSED
    assert evaluate(API, types.COMMAND, create=UNKNOWN, update=script(flags="-H tcp://0.0.0.0:1")).problems


def test_quotes_in_a_document_do_not_hide_it() -> None:
    text = script({"hosts": ["tcp://0.0.0.0:2376"], "labels": ["owner=o'neil"]})
    assert evaluate(API, types.COMMAND, create=text).problems


def test_listeners_that_a_component_declares() -> None:
    for listener in OPEN:
        assert f"'{listener}'" in evaluate(API, types.ENGINE, listeners=["fd://", listener], tls_verify=False).text
        assert evaluate(API, types.ENGINE, listeners=["fd://", listener], tls_verify=True) == PASSED
    assert evaluate(API, types.ENGINE, listeners=CLOSED) == PASSED
    assert evaluate(API, types.ENGINE, listeners=UNKNOWN) == DEFERRED


@pytest.mark.parametrize(
    "engines",
    [
        [engine("10.99.0.11"), engine("10.99.0.12"), engine("10.99.0.13")],
        [engine(h, "consul://127.0.0.1:8500") for h in ("a", "b")],
        [engine(h, f"consul://{h}:8500", f"{h}:2376") for h in ("10.99.0.11", "10.99.0.12")],
        [engine("10.99.0.11")],
        [],
    ],
    ids=["one store", "own agent", "own agent by address", "one engine", "no engine"],
)
def test_shared_store(engines: list[Declared]) -> None:
    assert evaluate_stack(SHARED, *engines) == PASSED


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (engine("other", store=None), "cluster-store is missing"),
        (engine("other", advertise=None), "cluster-advertise is missing"),
        (engine("other", "consul://10.99.0.12:8500"), "cluster-store is 'consul://10.99.0.12:8500'"),
        (engine("other", "etcd://10.99.0.11:8500"), "cluster-store is 'etcd://"),
        (engine("other", STORE + "/prefix"), "cluster-store is '"),
        (engine("other", advertise="eth0:2376"), "cluster-advertise is 'eth0:2376'"),
        (engine("other", advertise="lab0:2375"), "cluster-advertise is 'lab0:2375'"),
        (engine("other", advertise="10.99.0.13:2376"), "cluster-advertise is '(own address):2376'"),
    ],
)
def test_one_different_engine(other: Declared, problem: str) -> None:
    result = evaluate_stack(SHARED, engine("10.99.0.11"), other, engine("10.99.0.12"))
    assert result.names == ["other-engine"]
    assert problem in result.text


@pytest.mark.parametrize(
    ("key", "value"), [("store", "10.99.0.11:8500"), ("advertise", "lab0"), ("advertise", ":2376")]
)
def test_form_that_dockerd_refuses(key: str, value: str) -> None:
    result = evaluate_stack(SHARED, engine("only", **{key: value}))
    assert f"cluster-{key} '{value}'" in result.text


def test_two_engines_that_advertise_one_address() -> None:
    engines = [engine(host, advertise="10.99.0.11:2376") for host in ("a", "b")]
    assert "and so does a-engine" in evaluate_stack(SHARED, *engines).text


def test_engine_that_is_used_without_a_store() -> None:
    def provider(host: str) -> Declared:
        return Declared(types.DOCKER_PROVIDER, f"docker-{host}", {"host": f"ssh://root@{host}:22"})

    overlay = Declared(types.NETWORK, "ov", {"driver": "overlay"})
    configured = [engine("10.99.0.11"), provider("10.99.0.11")]
    assert evaluate_stack(SHARED, *configured, overlay) == PASSED
    assert evaluate_stack(SHARED, *configured, provider("10.99.0.12")) == PASSED
    assert evaluate_stack(SHARED, *configured, provider("10.99.0.12"), overlay).names == ["docker-10.99.0.12"]


def test_unknown_input_hides_no_different_engine() -> None:
    unknown = engine("u", UNKNOWN)
    assert evaluate_stack(SHARED, engine("10.99.0.11"), unknown).unknown
    result = evaluate_stack(SHARED, unknown, engine("only", advertise=None))
    assert result.unknown
    assert "only-engine" in result.names


def test_end_of_life() -> None:
    [problem] = evaluate_stack(ENDED, *(engine(address, version="20.10.24") for address in "ab")).problems
    assert problem == "2 engine(s) of line 20.10: a-engine, b-engine"
    assert evaluate_stack(ENDED, engine("a", version="19.03")).problems
    assert evaluate_stack(ENDED, engine("a", version="27.5.1")) == PASSED
    assert evaluate_stack(ENDED, engine("a", version="20.10"), config={"ended": []}) == PASSED
    assert evaluate_stack(ENDED, engine("a", version=UNKNOWN)) == DEFERRED


@pytest.mark.parametrize("stack", ["dev", "ci", "site"])
def test_the_programs_engines_declare_what_the_rules_ask_for(stack: str, tmp_path: Path) -> None:
    settings = parse(read_stack_file(Path(__file__).parents[2], stack), stack)
    lab = run_lab(settings, platform_for(settings, tmp_path))
    declared = {item.name: item.inputs for item in lab.of(types.ENGINE)}
    assert set(declared) == {f"{node}-engine" for node in settings.nodes}
    for node, inputs in ((node, declared[f"{key}-engine"]) for key, node in settings.nodes.items()):
        assert inputs["address"] == str(node.address)
        assert inputs["cluster_store"].startswith("consul://")
        assert inputs["cluster_advertise"] == "lab0:2376"
        assert inputs["version"] == "20.10"
        pools = [str(pool.base) for pool in settings.engine.address_pools]
        assert [pool["base"] for pool in inputs["address_pools"]] == pools
        assert inputs["listeners"][0] == "fd://"
        assert (len(inputs["listeners"]) > 1) is inputs["tls_verify"] is (settings.engine.api == "tls")


@pytest.mark.parametrize("stack", ["dev", "site"])
def test_the_listeners_in_the_programs_scripts_are_closed_like_those_it_declares(stack: str, tmp_path: Path) -> None:
    """The text rule reads the same configuration."""
    settings = parse(read_stack_file(Path(__file__).parents[2], stack), stack)
    for item in run_lab(settings, platform_for(settings, tmp_path)).of(types.COMMAND):
        assert evaluate_one(API, Declared(types.COMMAND, item.name, {"stdin": item.inputs["stdin"]})) == PASSED


@pytest.mark.parametrize(
    ("props", "part"),
    [({"no_new_privileges": False}, "setuid"), ({"icc": True}, "default bridge"), ({"firewall": False}, "no firewall")],
)
def test_hardening_that_is_off(props: dict[str, Any], part: str) -> None:
    [problem] = evaluate("engine-hardened", types.ENGINE, **props).problems
    assert part in problem


@pytest.mark.parametrize("props", [{}, {"no_new_privileges": True, "icc": False, "firewall": True}])
def test_hardening_that_is_on(props: dict[str, Any]) -> None:
    assert evaluate("engine-hardened", types.ENGINE, **props) == PASSED


def test_hardening_that_is_not_known_yet_hides_no_other() -> None:
    assert evaluate("engine-hardened", types.ENGINE, no_new_privileges=UNKNOWN) == DEFERRED
    assert evaluate("engine-hardened", types.ENGINE, no_new_privileges=UNKNOWN, icc=True).problems
