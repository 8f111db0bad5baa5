"""The program under Pulumi's mocks, with everything that it declared recorded."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, rpc

from components.config.platform import (
    HostKey,
    Hypervisor,
    Identity,
    MachineImage,
    NodeEngine,
    Platform,
    StoreTls,
    StoreTokens,
    Tls,
)
from components.config.settings import Settings
from components.lab import Lab

SECRET = rpc._special_secret_sig


def unwrapped(value: Any) -> Any:
    """The value with its secrets in clear."""
    if isinstance(value, dict):
        return (
            unwrapped(value["value"])
            if value.get(rpc._special_sig_key) == SECRET
            else {k: unwrapped(v) for k, v in value.items()}
        )
    return [unwrapped(item) for item in value] if isinstance(value, list) else value


@dataclass
class Declared:
    """One registration, as the engine would get it."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    secrets: set[str]
    """Top-level inputs with a secret in them."""
    parent: str
    provider: str
    dependencies: set[str]
    deleted_with: str
    replace_with: list[str]
    delete_before_replace: bool
    replace_on_changes: list[str]
    replacement_trigger: Any


class Answers(mocks.Mocks):
    """Answers every registration with its inputs and the outputs that the program reads."""

    def __init__(self) -> None:
        super().__init__()
        self.networks: dict[str, str] = {}
        """Id -> name: of each engine's own networks several have one name."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ == "docker:index/container:Container":
            networks = args.inputs.get("networksAdvanced") or []
            outputs["networkDatas"] = [
                {"networkName": self.networks.get(n["name"], n["name"]), "ipAddress": "10.0.0.9"} for n in networks
            ]
        if args.typ == "docker:index/network:Network":
            outputs.setdefault("ipamConfigs", [{"subnet": "10.0.1.0/24"}])
            self.networks[f"{args.name}_id"] = args.inputs["name"]
        if args.typ == "command:local:Command":
            outputs |= {"stdout": args.inputs["stdin"] if args.inputs["create"] == "cat" else "", "stderr": ""}
        if args.typ == "command:remote:Command":
            outputs |= {"stdout": "" if args.name.endswith("-ports") else "{}", "stderr": ""}
        if args.name.endswith("-checks"):
            outputs["stdout"] = "\n".join(self.results(args.inputs["stdin"]))
        return f"{args.name}_id", outputs

    def results(self, script: str) -> list[str]:
        """What the checks of a node print where each finds what it expects."""
        plan = re.search(r"printf %s ('.*?') \|\n\tpython3", script, re.DOTALL)
        records = [one["record"] for one in json.loads(shlex.split(plan[1])[0])["checks"]] if plan else []
        return [json.dumps({**one, "got": one["expect"], "seconds": 0, "output": ""}) for one in records]

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program called {args.token}")


class Recorder(mocks.MockMonitor):
    """Keeps every registration, with its options."""

    def __init__(self) -> None:
        super().__init__(Answers())
        self.declared: dict[str, Declared] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # the protocol's name
        with event_loop():
            response: Any = super().RegisterResource(request)  # type: ignore[no-untyped-call]  # the SDK's is untyped
            inputs = rpc.deserialize_properties(request.object)
        self.declared[response.urn] = Declared(
            type=request.type,
            name=request.name,
            urn=response.urn,
            inputs=unwrapped(inputs),
            secrets={key for key, value in request.object.fields.items() if SECRET in str(value)},
            parent=request.parent,
            provider=request.provider.rsplit("::", 1)[0],
            dependencies=set(request.dependencies),
            deleted_with=request.deletedWith,
            replace_with=list(request.replace_with),
            replacement_trigger=MessageToDict(request.replacement_trigger),
            delete_before_replace=request.deleteBeforeReplace,
            replace_on_changes=list(request.replaceOnChanges),
        )
        return response

    def of(self, type_: str) -> list[Declared]:
        return [item for item in self.declared.values() if item.type == type_]


def make_platform(directory: Path, settings: Settings) -> Platform:
    """A platform record whose key files exist (their content is no key)."""

    def file(name: str, text: str) -> Path:
        path = directory / name
        path.write_text(text)
        return path

    keys = {
        key: HostKey(
            private=file(f"{key}.private", f"PRIVATE HOST KEY OF {key}"),
            public=file(f"{key}.public", f"ssh-ed25519 KEY-OF-{key} comment"),
        )
        for key in settings.nodes
    }
    tls = Tls(
        ca=file("ca.pem", "THE AUTHORITY\n"),
        client_cert=file("client.pem", "CLIENT CERTIFICATE\n"),
        client_key=file("client-key.pem", "PRIVATE CLIENT TLS KEY\n"),
        server_certs={key: file(f"{key}.pem", f"CERTIFICATE OF {key}\n") for key in settings.nodes},
        server_keys={key: file(f"{key}-key.pem", f"PRIVATE TLS KEY OF {key}\n") for key in settings.nodes},
    )
    named = {
        name: Hypervisor(uri=spec.uri, pool_path=f"{spec.pool_dir}/overlab-{settings.name}", domain_type="kvm")
        for name, spec in settings.platform.hypervisors.items()
        if name in settings.hypervisors
    }
    own = Hypervisor(uri="qemu:///system?socket=/s", pool_path=str(directory / "pool"), domain_type="qemu")
    containers = settings.machine_kind == "container"
    return Platform(
        kind="system" if named else "bundled",
        hypervisor=None if named or containers else own,
        hypervisors=named,
        image=None if containers else MachineImage(source="/base.qcow2", content_hash="0123456789abcdef"),
        node_engine=make_node_engine() if containers else None,
        registry_mirror="http://10.99.0.1:5000",
        identity=Identity(
            client_key=file("client", "PRIVATE CLIENT KEY"),
            client_public_key=file("client.pub", "ssh-ed25519 CLIENT overlab"),
            known_hosts=file("known_hosts", ""),
            host_keys=keys,
            tls=tls,
            gossip_key=file("gossip", "PRIVATE GOSSIP KEY"),
            store_tokens=StoreTokens(
                management=file("management", "PRIVATE MANAGEMENT TOKEN"),
                agents=file("agents", "PRIVATE AGENTS TOKEN"),
                engines=file("engines", "PRIVATE ENGINES TOKEN"),
                retired=file("retired", ""),
            ),
            store_tls=StoreTls(
                ca=file("store-ca.pem", "THE STORE'S AUTHORITY\n"),
                certs={key: file(f"store-{key}.pem", f"STORE CERTIFICATE OF {key}\n") for key in settings.nodes},
                keys={key: file(f"store-{key}-key.pem", f"PRIVATE STORE KEY OF {key}\n") for key in settings.nodes},
            ),
        ),
        run_dir=directory,
    )


def make_node_engine(**facts: Any) -> NodeEngine:
    """An engine that runs no privileged container, on a machine with cgroup v1; ``facts`` are its others."""
    usual = {
        "docker_host": "unix:///run/overlab/docker.sock",
        "image": "overlab/node:0123456789abcdef",
        "privileged": False,
        "capabilities": ("SYS_ADMIN", "NET_ADMIN"),
        "cgroup_namespace": "host",
    }
    return NodeEngine.model_validate(usual | facts)


@contextmanager
def event_loop() -> Iterator[None]:
    """A loop of this thread's own, closed at the end."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def run_program(program: Callable[[], Any], stack: str = "dev", *, preview: bool = False) -> Recorder:
    """Run a program that declares resources, and wait for all of them and for what it returns."""
    recorder = Recorder()
    with event_loop():
        mocks.set_mocks(recorder.mocks, project="overlab", stack=stack, preview=preview, monitor=recorder)

        @pulumi.runtime.test  # type: ignore[untyped-decorator]  # the SDK's is untyped
        def declare() -> pulumi.Output[Any]:
            return pulumi.Output.from_input(program())

        function: Callable[[], None] = declare
        function()
    return recorder


def run_lab(settings: Settings, platform: Platform, *, preview: bool = False) -> Recorder:
    """Declare the lab and wait for all of it."""
    return run_program(lambda: Lab(settings, platform).outputs, settings.stack, preview=preview)
