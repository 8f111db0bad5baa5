"""Engines: who commands them, and that they share one store."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pulumi
import pytest
from rules import daemon, payloads, types
from rules.daemon import Daemon
from rules.rule import Resource

from components.config.settings import parse, read_stack_file
from tests.components.recorder import run_lab
from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, CheckResult, Declared, judge, judge_one, judge_stack
from tests.policy.platform import platform_for

API = "engine-api-certificates"
SHARED = "engines-share-store"
ENDED = "engine-end-of-life"
STORE = "consul://10.99.0.11:8500"


def script(document: dict[str, Any] | None = None, flags: str = "-H fd://") -> str:
    """A script that quotes for the shell as the program does."""
    unit = f"[Service]\nExecStart=\nExecStart=/usr/bin/env dockerd {flags}\nTimeoutStartSec=0\n"
    return f"put /x 0644 {shlex.quote(json.dumps(document or {}, indent=2))}\nput /y 0644 {shlex.quote(unit)}\n"


def engine(host: str, store: str | None = STORE, advertise: str | None = "lab0:2376", **daemon: Any) -> Declared:
    document = {"cluster-store": store, "cluster-advertise": advertise, **daemon}
    text = script({key: value for key, value in document.items() if value is not None})
    return Declared(types.COMMAND, f"{host}-dockerd", {"create": text, "connection": {"host": host}})


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
        [problem] = judge(API, types.COMMAND, create=text).problems
        assert f"'{listener}'" in problem


@pytest.mark.parametrize("listener", CLOSED)
def test_closed_api(listener: str) -> None:
    assert judge(API, types.COMMAND, create=script(flags=f"-H {listener}")) == GOOD
    assert judge(API, types.COMMAND, create=script({"hosts": [listener], "bip": "10.1.0.1/24"})) == GOOD


@pytest.mark.parametrize("listener", OPEN)
def test_api_that_asks_for_certificates(listener: str) -> None:
    assert judge(API, types.COMMAND, create=script({"tlsverify": True}, f"-H {listener}")) == GOOD
    assert judge(API, types.COMMAND, create=script(flags=f"-H {listener} --tlsverify --tlscacert=/ca")) == GOOD


def test_open_api_by_other_ways_to_the_machine() -> None:
    document = json.dumps({"hosts": ["tcp://0.0.0.0:2376"]})
    files = [{"path": "/etc/docker/daemon.json", "content": document}]
    for form in (f"#cloud-config\n{json.dumps({'write_files': files})}", f"#cloud-config\nwrite_files: {files!r}\n"):
        assert judge(API, types.SEED, userData=form).problems
    assert judge(API, types.COMMAND, create="cat >/etc/docker/daemon.json", stdin=document).problems
    assert judge(API, types.COMMAND, create="true", update=f"cat <<EOF\n{document}\nEOF\n# docker").problems


def test_open_api_in_a_copied_file() -> None:
    asset = pulumi.StringAsset("ExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2376")
    [text] = payloads.of(Resource(types.COPY, "drop-in", "urn", {"source": asset}))
    assert daemon.read(text) == Daemon(listeners=("tcp://0.0.0.0:2376",))
    wire = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": text}
    assert judge(API, types.COPY, source=wire).problems


def test_what_only_talks_about_engines_is_let_alone() -> None:
    for text in ("docker -H tcp://10.0.0.1:2376 ps", "dockerd --version 2>/dev/null", 'f() { echo "{}"; }', ""):
        assert judge(API, types.COMMAND, create=text) == GOOD
        assert daemon.read(text) is None


def test_unknown_script_is_judged_when_it_is_known() -> None:
    assert judge(API, types.COMMAND, create=UNKNOWN) == GOOD
    assert judge(API, types.COMMAND, create=UNKNOWN, update=script(flags="-H tcp://0.0.0.0:1")).problems


def test_quotes_in_a_document_do_not_hide_it() -> None:
    text = script({"hosts": ["tcp://0.0.0.0:2376"], "labels": ["owner=o'neil"]})
    assert judge(API, types.COMMAND, create=text).problems


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
    assert judge_stack(SHARED, *engines) == GOOD


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (engine("odd", store=None), "cluster-store is missing"),
        (engine("odd", advertise=None), "cluster-advertise is missing"),
        (engine("odd", "consul://10.99.0.12:8500"), "cluster-store is 'consul://10.99.0.12:8500'"),
        (engine("odd", "etcd://10.99.0.11:8500"), "cluster-store is 'etcd://"),
        (engine("odd", STORE + "/prefix"), "cluster-store is '"),
        (engine("odd", advertise="eth0:2376"), "cluster-advertise is 'eth0:2376'"),
        (engine("odd", advertise="lab0:2375"), "cluster-advertise is 'lab0:2375'"),
        (engine("odd", advertise="10.99.0.13:2376"), "cluster-advertise is '(own address):2376'"),
    ],
)
def test_one_engine_apart(odd: Declared, said: str) -> None:
    verdict = judge_stack(SHARED, engine("10.99.0.11"), odd, engine("10.99.0.12"))
    assert verdict.names == ["odd-dockerd"]
    assert said in verdict.text


@pytest.mark.parametrize(
    ("key", "value"), [("store", "10.99.0.11:8500"), ("advertise", "lab0"), ("advertise", ":2376")]
)
def test_form_that_dockerd_refuses(key: str, value: str) -> None:
    verdict = judge_stack(SHARED, engine("only", **{key: value}))
    assert f"cluster-{key} '{value}'" in verdict.text


def test_two_engines_that_advertise_one_address() -> None:
    engines = [engine(host, advertise="10.99.0.11:2376") for host in ("a", "b")]
    assert "and so does a" in judge_stack(SHARED, *engines).text


def test_store_by_flags_counts_and_several_scripts_of_one_machine_are_one_engine() -> None:
    flags = "--cluster-store=consul://10.99.0.11:8500 --cluster-advertise lab0:2376"
    by_flags = Declared(types.COMMAND, "f", {"create": script(flags=flags), "connection": {"host": "f"}})
    halves = [engine("h", advertise=None), engine("h", store=None)]
    halves = [Declared(one.type, f"half{index}", one.props) for index, one in enumerate(halves)]
    assert judge_stack(SHARED, engine("10.99.0.11"), by_flags, *halves) == GOOD


def test_engine_that_is_used_but_never_told_of_the_store() -> None:
    def provider(host: str) -> Declared:
        return Declared(types.DOCKER_PROVIDER, f"docker-{host}", {"host": f"ssh://root@{host}:22"})

    overlay = Declared(types.NETWORK, "ov", {"driver": "overlay"})
    told = [engine("10.99.0.11"), provider("10.99.0.11")]
    assert judge_stack(SHARED, *told, overlay) == GOOD
    assert judge_stack(SHARED, *told, provider("10.99.0.12")) == GOOD
    assert judge_stack(SHARED, *told, provider("10.99.0.12"), overlay).names == ["docker-10.99.0.12"]


def test_unknown_script_hides_no_engine_apart() -> None:
    unseen = Declared(types.COMMAND, "u", {"create": UNKNOWN, "connection": {"host": "u"}})
    assert judge_stack(SHARED, unseen) == UNSEEN
    verdict = judge_stack(SHARED, unseen, engine("only", advertise=None))
    assert verdict.unknown
    assert verdict.problems


def test_end_of_life() -> None:
    def wanting(version: str) -> Declared:
        return Declared(types.COMMAND, version, {"create": f"want={version}\n{script({'live-restore': True})}"})

    [problem] = judge_stack(ENDED, engine("a"), engine("b")).problems
    assert problem == "2 engine(s) of line 20.10: a, b"
    assert judge_stack(ENDED, wanting("19.03")).problems
    assert judge_stack(ENDED, wanting("27.5.1")) == GOOD
    assert judge_stack(ENDED, engine("a"), config={"ended": []}) == GOOD
    assert judge_stack(ENDED, Declared(types.COMMAND, "u", {"create": UNKNOWN})) == UNSEEN


@pytest.mark.parametrize("stack", ["dev", "ci", "site"])
def test_the_programs_own_scripts_are_understood(stack: str, tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    settings = parse(read_stack_file(project, stack), stack)
    lab = run_lab(settings, platform_for(settings, tmp_path))
    configuring: dict[str, Daemon] = {}
    for command in lab.of(types.COMMAND):
        for text in payloads.of(Resource(types.COMMAND, command.name, command.urn, command.inputs)):
            part = daemon.read(text)
            if part is not None:
                configuring[command.name] = part
    assert set(configuring) == {f"{node}-dockerd" for node in settings.nodes}
    for part in configuring.values():
        assert part.store
        assert part.advertise == "lab0:2376"
        assert part.pools == tuple(str(pool.base) for pool in settings.engine.address_pools)
        assert part.version == "20.10"
        assert "fd://" in part.listeners


def test_other_engines_of_the_stack_may_be_named_by_their_first_boot_data() -> None:
    data = json.dumps({"write_files": [{"content": json.dumps({"cluster-store": STORE})}]})
    seed = Declared(types.SEED, "seed", {"userData": f"#cloud-config\n{data}"})
    verdict: CheckResult = judge_stack(SHARED, seed)
    assert verdict.names == ["seed"]
    assert "cluster-advertise is missing" in verdict.text
    assert judge_one(API, seed) == GOOD
